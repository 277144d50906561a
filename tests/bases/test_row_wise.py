"""Models whose inputs are no examples: two kinds of data, and an integer time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.registration import register
from keras_genmod.networks import dense_network
from keras_genmod.serving import Endpoint, verify
from keras_genmod.serving.examples import read_examples

A = np.random.default_rng(0).uniform(size=(5, 2, 3)).astype("float32")
B = np.random.default_rng(1).integers(0, 10, size=(4, 7)).astype("float32")


@register
class TwoDomains(kg.GenerativeModel):
    """Translates pictures a in [0, 1] to vectors b of digits and back; `call` takes b."""

    _network_names = {"b": "backward"}

    def __init__(self, **kwargs):
        super().__init__((2, 3), **kwargs)
        self.forward = dense_network((2, 3), (7,), hidden_dims=(4,), seed=0)
        self.backward = dense_network((7,), (2, 3), hidden_dims=(4,), seed=1)
        self.embedding = keras.layers.Embedding(1000, 6)
        self.embedding.build(())

    def space_a(self):
        """Pictures."""
        return kg.Space("a", (2, 3), self.real_dtype, kg.ValueRange(0.0, 1.0, advice="Divide by 255."))

    def space_b(self):
        """Vectors of digits."""
        return kg.Space("b", (7,), self.real_dtype, kg.ValueRange(0, 9, integer=True))

    def space_t(self):
        """Times, rows of a table of 1000."""
        return kg.Space("t", (), "int32", kg.ValueRange(0, 999))

    def event_space(self):
        """Pictures."""
        return self.space_a()

    def input_space(self):
        """`call` takes b."""
        return self.space_b()

    def call(self, b, condition=None, training=False):
        """The picture of b."""
        return self.backward(b)

    def denoise(self, x, t):
        """A function of a time that no value but 0 to 999 can have."""
        return x + tf.reshape(self.embedding(t), [-1, 2, 3])

    def denoised(self, x, t, *, batch_size=None):
        """The same for rows of any number."""
        return self._map_rows(
            "denoise",
            lambda x, t, _: self.denoise(x, t),
            (x, t),
            None,
            space=(self.space_a(), self.space_t()),
            batch_size=batch_size,
        )

    def translate(self, x, *, direction):
        """The other side of a or b."""
        if direction == "a_to_b":
            return self._map_rows("forward", lambda a, _: self.forward(a), x, None, space=self.space_a())
        return self._map_rows("backward", self.call, x, None, space=self.space_b(), batch_size=2)

    def endpoints(self, **kwargs):
        """Both ways, and a step in time."""
        return {
            **super().endpoints(),
            "a_to_b": Endpoint(lambda a: {"b": self.forward(a)}, self._inputs(self.space_a())),
            "denoise": Endpoint(
                lambda x, t: {"x": self.denoise(x, t)}, self._inputs(self.event_space(), self.space_t())
            ),
        }


@pytest.fixture(scope="module")
def model():
    return TwoDomains(seed=0)


def test_predict_checks_the_space_that_call_takes(model):
    expected = model.backward(B).numpy()
    np.testing.assert_allclose(model.predict(B, verbose=0), expected, rtol=1e-5, atol=1e-6)
    batches = tf.data.Dataset.from_tensor_slices(B).batch(2)
    np.testing.assert_allclose(model.predict(batches, verbose=0), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict_on_batch(B), expected, rtol=1e-5, atol=1e-6)
    for ask in (lambda b: model.predict(b, verbose=0), model.predict_on_batch):
        with pytest.raises(ValueError, match=r"`b` must have shape \[batch, 7\]; received \(5, 2, 3\)"):
            ask(A)
        with pytest.raises(ValueError, match=r"`b` must hold integers in \[0, 9\]; .* from 0.0 to 90.0"):
            ask(B / B.max() * 90.0)
        with pytest.raises(ValueError, match=r"`b` must hold integers in \[0, 9\]; received fractions"):
            ask(B / 2.0)


def test_later_batches_are_checked_too(model):
    batches = tf.data.Dataset.from_tensor_slices(np.concatenate([B, B / 2.0])).batch(4)
    with pytest.raises(ValueError, match=r"`b` must hold integers in \[0, 9\]; batch 1 .* fractions"):
        model.predict(batches, verbose=0)


def test_each_direction_checks_its_own_space(model):
    b = model.translate(A, direction="a_to_b")
    np.testing.assert_allclose(b, model.forward(A), rtol=1e-5, atol=1e-6)
    # In several passes.
    a = model.translate(B, direction="b_to_a")
    np.testing.assert_allclose(a, model.backward(B), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"`a` must hold values in \[0, 1\]; .*Divide by 255"):
        model.translate(255.0 * A, direction="a_to_b")
    with pytest.raises(ValueError, match=r"`b` must have shape \[batch, 7\]"):
        model.translate(A, direction="b_to_a")
    with pytest.raises(TypeError, match=r"`b` must be an array.*its network `model.backward\(b\)`"):
        model.translate(keras.Input((7,)), direction="b_to_a")


def test_rows_of_several_spaces_stay_together(model):
    times = np.array([7, 0, 999, 3, 7])
    expected = A + model.embedding.get_weights()[0][times].reshape(-1, 2, 3)
    for batch_size in (None, 2):
        np.testing.assert_allclose(model.denoised(A, times, batch_size=batch_size), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"`t` must have one row for each of the 5 rows of `a`; received 1"):
        model.denoised(A, times[:1])
    with pytest.raises(ValueError, match=r"`t` must hold integers in \[0, 999\]"):
        model.denoised(A, times + 1)


def test_an_export_holds_examples_of_its_spaces(model, tmp_path):
    model.export(tmp_path / "1")
    examples = {example.signature: example for example in read_examples(tmp_path / "1")}
    assert set(examples) == {"call", "a_to_b", "denoise"}
    model.space_b().check(examples["call"].inputs["b"])
    model.space_a().check(examples["a_to_b"].inputs["a"])
    times = examples["denoise"].inputs["t"]
    assert times.dtype == np.int32 and times.min() >= 0 and times.max() <= 999
    # The table was read at these rows, in memory and in the export.
    table = model.embedding.get_weights()[0]
    expected = examples["denoise"].inputs["a"] + table[times].reshape(-1, 2, 3)
    np.testing.assert_allclose(examples["denoise"].outputs["x"], expected, rtol=1e-6)
    assert max(verify(tmp_path / "1").values()) < 1e-5


def test_spaces_of_families():
    vae = kg.VAE((6,), latent_dim=2, likelihood="categorical")
    assert vae.event_space() == kg.Space("x", (6,), "float32", vae.value_range())
    assert vae.event_space().value_range.integer and vae.input_space() == vae.event_space()
    assert vae.latent_space() == kg.Space("z", (2,), "float32")
    gan = kg.GAN((6,), latent_dim=3, output_activation="tanh")
    assert gan.input_space() == gan.latent_space() == kg.Space("z", (3,), "float32")
    assert (gan.event_space().value_range.low, gan.event_space().value_range.high) == (-1.0, 1.0)
    vq_vae = kg.VQVAE((6,), num_codes=5, code_dim=2, num_latents=4)
    codes = vq_vae.latent_space()
    assert (codes.shape, codes.dtype) == ((4,), tf.int32)
    assert set(codes.example(100).ravel()) == set(range(5))
    np.testing.assert_allclose(vq_vae.decode(codes.example(7)).shape, (7, 6))
    flow = kg.RealNVP((6,), dtype="float64")
    assert flow.latent_space() == kg.Space("z", (6,), "float64")


def test_the_space_of_data_follows_the_value_range():
    class Own(kg.VAE):
        def value_range(self):
            return kg.ValueRange(3, 4)

    model = Own((6,), latent_dim=2)
    x = np.full((2, 6), 3.5, "float32")
    assert model.encode(x).shape == (2, 2)
    with pytest.raises(ValueError, match=r"values in \[3, 4\]"):
        model.encode(x + 1)
    model.event_space().check(model.event_space().example())


def test_a_network_of_several_inputs_gets_the_condition_last():
    """Once per row, as one-hot vectors where it declares them."""
    x, t, c = keras.Input((2,)), keras.Input((1,)), keras.Input((3,))
    network = keras.Model([x, t, c], keras.layers.Concatenate()([x, t, c]))
    rows, times = np.float32([[1, 2], [3, 4]]), np.float32([[5], [6]])
    conditional = TwoDomains(num_classes=3, seed=0)
    given = conditional._with_condition(network, [tf.constant(rows), tf.constant(times)], [2, 0])
    np.testing.assert_array_equal(network(given), [[1, 2, 5, 0, 0, 1], [3, 4, 6, 1, 0, 0]])
    given = conditional._with_condition(network, [tf.constant(rows), tf.constant(times)], 1)
    np.testing.assert_array_equal(network(given), [[1, 2, 5, 0, 1, 0], [3, 4, 6, 0, 1, 0]])
    unconditional = TwoDomains(seed=0)
    assert len(unconditional._with_condition(network, [rows, times], None)) == 2
    assert unconditional._with_condition(network, rows, None) is rows


@pytest.mark.parametrize("most", [1, 2, 1024])
def test_the_example_of_sample_asks_for_as_many_as_it_may_and_has_conditions_for(most):
    model = kg.VAE((6,), latent_dim=2, num_classes=3, seed=0)
    endpoint = model.endpoints(max_samples=most)["sample"]
    request = endpoint.request()
    rows = min(most, 3)
    assert request["num_samples"] == len(request["condition"]) == rows
    given = [tf.constant(request[name]) for name in endpoint.names]
    # The model's own draws from that seed under these conditions.
    expected = model.sample(rows, condition=request["condition"], seed=tuple(map(int, request["seed"])))
    np.testing.assert_allclose(endpoint.function(*given)["x"], expected, rtol=1e-5, atol=1e-6)
