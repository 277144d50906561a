"""CycleGAN: cycles of inverse generators, the pools, domains of different shapes, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.registration import register


@register
class Scale(keras.layers.Layer):
    """Multiplies by a number, and repeats or averages channels: its own inverse's inverse."""

    def __init__(self, factor, channels, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.channels = factor, channels

    def call(self, x):
        if x.shape[-1] > self.channels:
            x = tf.reduce_mean(x, axis=-1, keepdims=True)
        return self.factor * tf.repeat(x, self.channels // x.shape[-1], axis=-1)

    def compute_output_spec(self, x):
        return keras.KerasTensor((*x.shape[:-1], self.channels), dtype=x.dtype)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "channels": self.channels}


def scaling(shape, factor, channels):
    x = keras.Input(shape)
    return keras.Model(x, Scale(factor, channels)(x))


def data(rows_a=6, rows_b=6, shape_a=(8, 8, 1), shape_b=(8, 8, 1)):
    generator = np.random.default_rng(0)
    shapes = {"a": (rows_a, *shape_a), "b": (rows_b, *shape_b)}
    return {name: generator.uniform(-0.9, 0.9, shape).astype("float32") for name, shape in shapes.items()}


def small(shape_a=(8, 8, 1), shape_b=(8, 8, 1), **options):
    return kg.CycleGAN(shape_a, shape_b, **{"filters": 2, "num_blocks": 1, "seed": 0, **options})


def terms(model, x, training=False):
    batch = {name: tf.constant(part) for name, part in x.items()}
    arguments = {"condition": None, "training": training, "seed": tf.constant([0, 1])}
    shared = model.shared_forward(batch, **arguments)
    return model._generator_terms(batch, **arguments, shared=shared)


def test_the_cycle_of_inverse_generators_costs_nothing():
    x = data(shape_b=(8, 8, 2))
    x["b"][..., 1] = x["b"][..., 0]
    model = small(
        shape_b=(8, 8, 2),
        generator_ab=scaling((8, 8, 1), 0.5, 2),
        generator_ba=scaling((8, 8, 2), 2.0, 1),
    )
    found = terms(model, x)
    # Powers of two: no rounding.
    np.testing.assert_array_equal(found["cycle_a"], 0.0)
    np.testing.assert_array_equal(found["cycle_b"], 0.0)
    np.testing.assert_array_equal(model.cycle(x["a"], "ab"), x["a"])
    np.testing.assert_array_equal(model.translate(x["b"], "ba"), 2.0 * x["b"][..., :1])


def test_terms_by_hand():
    """G halves and F halves too: the cycle gives a quarter, the identity one half."""
    x = data()
    halving = {"generator_ab": scaling((8, 8, 1), 0.5, 1), "generator_ba": scaling((8, 8, 1), 0.5, 1)}
    model = small(**halving)
    found = terms(model, x)
    for domain in "ab":
        size = np.abs(x[domain]).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(found[f"cycle_{domain}"], 0.75 * size, rtol=1e-5)
        np.testing.assert_allclose(found[f"identity_{domain}"], 0.5 * size, rtol=1e-5)
        logits = getattr(model, f"discriminator_{domain}")(0.5 * x["ba"["ab".index(domain)]])
        wanted = 0.5 * tf.reduce_mean(tf.square(logits - 1.0), axis=[1, 2, 3])
        direction = "ba" if domain == "a" else "ab"
        np.testing.assert_allclose(found[f"adversarial_{direction}"], wanted, rtol=1e-4, atol=1e-6)
    assert model.players()[-1].term_weights() == {
        "cycle_a": 10.0,
        "cycle_b": 10.0,
        "identity_a": 5.0,
        "identity_b": 5.0,
    }


def test_sets_of_different_lengths_and_batches_of_different_sizes():
    model = small(pool_size=0)
    model.compile()
    history = model.fit(data(rows_a=10, rows_b=4), batch_size=4, epochs=1, verbose=0)
    assert np.all(np.isfinite([values[0] for values in history.history.values()]))
    assert int(model.training_steps) == 3
    # Of a batch with more of one domain the last ones are left out.
    x = data(rows_a=5, rows_b=3)
    unequal = model.evaluate(tf.data.Dataset.from_tensors(x), return_dict=True, verbose=0)
    cut = model.evaluate({name: part[:3] for name, part in x.items()}, return_dict=True, verbose=0)
    assert unequal == cut


@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_the_translation_of_a_row_does_not_depend_on_its_batch(direction):
    shapes = {"a": (8, 8, 1), "b": (16, 16, 2)}
    model = small(shapes["a"], shapes["b"])
    x = data(shape_a=shapes["a"], shape_b=shapes["b"])[direction[0]]
    whole = model.translate(x, direction)
    assert whole.shape[1:] == shapes[direction[1]]
    for rows in ([0], [2, 5]):
        np.testing.assert_allclose(model.translate(x[rows], direction), tf.gather(whole, rows), atol=1e-5)


def test_the_pools_move_once_a_step_and_are_saved(tmp_path):
    model = small(pool_size=8)
    model.compile(micro_batches=2)
    x = data()
    model.fit(x, batch_size=3, shuffle=False, epochs=1, verbose=0)
    assert int(model.pool_a.filled) == 6
    before = model.pool_a.pictures.numpy()
    assert np.any(before[:6] != 0) and not np.any(before[6:])
    model.evaluate(x, verbose=0)
    np.testing.assert_array_equal(model.pool_a.pictures, before)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.pool_a.pictures, before)
    slots = [variable.numpy() for optimizer in model._optimizers() for variable in optimizer.variables]
    kept = [variable.numpy() for optimizer in loaded._optimizers() for variable in optimizer.variables]
    assert len(slots) > 10
    for one, other in zip(slots, kept, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- bad input ----------------------------------------------------------------------------------------


def test_data_that_do_not_fit_are_refused_before_the_first_step():
    model = small()
    model.compile()
    x = data()
    for arguments, error, message in [
        ((x["a"], x["b"]), TypeError, "two sets of pictures without pairs.*Pix2Pix"),
        ((x["a"],), TypeError, "without pairs"),
        (({"a": x["a"]},), ValueError, "`x` must be a dictionary of the arrays"),
        (({"a": x["a"], "b": 9 * x["b"]},), ValueError, r"`b` must hold values in \[-1, 1\]"),
        (({"a": x["a"], "b": x["b"][:, :4]},), ValueError, "`b` must have shape"),
    ]:
        with pytest.raises(error, match=message):
            model.fit(*arguments, verbose=0)
    with pytest.raises(ValueError, match="`direction` must be one of 'ab', 'ba'"):
        model.translate(x["a"], "ac")
    assert int(model.training_steps) == 0


def test_an_identity_needs_equal_shapes():
    with pytest.raises(ValueError, match="domains of one shape"):
        small((8, 8, 1), (8, 8, 3), identity=0.5)
    assert small((8, 8, 1), (8, 8, 3)).identity_weight == 0.0
    assert small().identity_weight == 0.5
