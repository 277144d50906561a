"""Models that train on a dictionary: each of its arrays is checked in its own space."""

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.networks import dense_network

A = np.random.default_rng(0).uniform(-1, 1, size=(8, 3)).astype("float32")
B = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")


class TwoDomains(kg.GenerativeModel):
    """Translates a in [-1, 1] to b, and measures the squared distance of two unpaired rows."""

    def __init__(self):
        super().__init__((3,), seed=0)
        self.network = dense_network((3,), (2,), hidden_dims=(4,), seed=0)

    def data_spaces(self):
        """Two domains of different shapes."""
        return kg.Space("a", (3,), self.real_dtype, kg.ValueRange(-1, 1)), kg.Space("b", (2,))

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        rows = tf.minimum(tf.shape(x["a"])[0], tf.shape(x["b"])[0])
        difference = self.network(x["a"])[:rows] - x["b"][:rows]
        return {"distance": tf.reduce_sum(tf.square(difference), axis=-1)}


@pytest.fixture(scope="module")
def model():
    model = TwoDomains()
    model.compile()
    return model


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (
            A,
            TypeError,
            r"`x` must be a dictionary of arrays, `\{'a': \.\.\., 'b': \.\.\.\}`; received ndarray",
        ),
        ({"a": A}, ValueError, r"the arrays `\{'a': \.\.\., 'b': \.\.\.\}`; received the keys \['a'\]"),
        ({"a": A, "b": B, "c": B}, ValueError, r"received the keys \['a', 'b', 'c'\]"),
        ({"a": A, "b": A}, ValueError, r"`b` must have shape \[batch, 2\]; received \(8, 3\)"),
        ({"a": 2 * A, "b": B}, ValueError, r"`a` must hold values in \[-1, 1\]"),
    ],
)
def test_arrays_are_checked_before_the_first_step(model, x, kind, message):
    for ask in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(kind, match=message):
            ask(x)
    assert int(model.training_steps) == 0


def bad_in_second_batch(name):
    x = {"a": A[:6].copy(), "b": B.copy()}
    x[name][5] = {"a": 2.0, "b": np.nan}[name]
    return x


@pytest.mark.parametrize(
    ("name", "message"),
    [("a", r"`a` must hold values in \[-1, 1\]; .*batch 1"), ("b", "`b` must hold finite values; .*batch 1")],
)
def test_batches_are_checked_when_they_come(model, name, message):
    x = bad_in_second_batch(name)
    generator = ({key: part[i : i + 3] for key, part in x.items()} for i in (0, 3))
    with pytest.raises(ValueError, match=message):
        model.fit(generator, verbose=0)
    # TensorFlow's assertions say it in other words.
    with pytest.raises(ValueError, match=rf"`{name}` must hold .*; batch 1 "):
        model.fit(tf.data.Dataset.from_tensor_slices(x).batch(3), verbose=0)


def test_good_data_give_the_same_figures_in_every_form(model):
    x = {"a": A[:6], "b": B}
    expected = np.mean(np.sum((model.network(A[:6]).numpy() - B) ** 2, axis=-1))
    batches = tf.data.Dataset.from_tensor_slices(x).batch(4)
    for data in (x, batches):
        assert model.evaluate(data, verbose=0)[0] == pytest.approx(expected, rel=1e-5)


def test_the_upper_half_of_a_part_is_told():
    with pytest.warns(UserWarning, match=r"`a` has values from .* only, the upper half"):
        TwoDomains().check_data({"a": np.abs(A), "b": B})
