"""What a subclass has forgotten is said where it can be seen first: in `compile`, `predict`, `export`."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.bases import GenerativeModel

X = np.eye(4, dtype="float32")


class Own(GenerativeModel):
    """A model of squared errors of a network that it is given."""

    def __init__(self, network, **kwargs):
        super().__init__((4,), **kwargs)
        self.network = network
        # Without weights, and not built before they are called.
        self.add, self.flatten = keras.layers.Add(), keras.Sequential([keras.layers.Flatten()])

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        output = self.add([self.flatten(self.network(x)), x])
        return {"error": tf.reduce_sum(tf.square(output), axis=-1)}


class Inner(keras.Model):
    """A subclassed network, whose layers get weights when it is called."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4, name="inner_dense")

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (lambda: keras.layers.Dense(4, name="dense_a"), "dense_a"),
        (lambda: keras.Sequential([keras.layers.Dense(4, name="dense_b")]), "dense_b"),
        (Inner, "inner_dense"),
    ],
)
def test_compile_names_the_layers_without_weights(network, name):
    model = Own(network())
    with pytest.raises(
        ValueError, match=rf"Own must have their weights.*not built yet: {name}\..*keras.Input"
    ):
        model.compile()
    model.network(keras.Input((4,)))
    model.compile()
    before = model.network.get_weights()[0]
    model.fit(X, verbose=0)
    assert np.any(model.network.get_weights()[0] != before)


def test_a_model_without_call_says_so(tmp_path):
    model = Own(keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)]))
    model.compile()
    model.fit(X, verbose=0)
    calls = (
        lambda: model.predict(X, verbose=0),
        lambda: model.export(tmp_path / "1"),
        lambda: model.export(tmp_path / "1.onnx", format="onnx"),
    )
    for call in calls:
        with pytest.raises(
            TypeError, match=r"^Own must define `call\(self, x, condition=None, training=False\)`"
        ):
            call()
    assert not any(tmp_path.iterdir())


def test_a_model_needs_no_call_before_it_is_backed_up_or_saved(tmp_path):
    def compiled():
        model = Own(keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, kernel_initializer="ones")]))
        model.compile()
        return model

    def fit(model, epochs):
        model.fit(X, epochs=epochs, verbose=0, callbacks=[backup()])

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)

    model = compiled()
    assert model.built
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.save(tmp_path / "model.keras")
    fit(model, 2)
    resumed = compiled()
    fit(resumed, 2)
    assert int(resumed.training_steps) == int(model.training_steps) == 2
    for weight, other in zip(resumed.network.get_weights(), model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_a_build_of_ones_own_is_called():
    class Built(Own):
        def __init__(self):
            super().__init__(keras.layers.Dense(4))

        def build(self, input_shape):
            self.network.build(input_shape)
            self.built = True

        def call(self, x, condition=None, training=False):
            return self.network(x)

    model = Built()
    assert not model.built and not model.network.built
    model(X)
    model.compile()
    assert np.isfinite(model.fit(X, verbose=0).history["loss"][0])
