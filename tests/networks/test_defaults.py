"""Default networks: which goes with which shape, and the check of a user's own."""

import keras
import numpy as np
import pytest

from keras_genmod.networks import check_network, default_decoder, default_encoder


def layer_types(network):
    return [type(layer).__name__ for layer in network.layers]


def test_vectors_get_dense_networks_and_images_convolutions():
    assert "Conv2D" not in layer_types(default_encoder((20,), (4,)))
    assert layer_types(default_encoder((8, 8, 1), (4,))).count("Conv2D") == 2
    assert "Conv2DTranspose" not in layer_types(default_decoder((4,), (20,)))
    assert layer_types(default_decoder((4,), (8, 8, 1))).count("Conv2DTranspose") == 2


def test_dense_decoder_mirrors_the_encoder():
    encoder, decoder = default_encoder((20,), (4,)), default_decoder((4,), (20,))
    widths = [[layer.units for layer in n.layers if hasattr(layer, "units")] for n in (encoder, decoder)]
    assert widths == [[512, 256, 4], [256, 512, 20]]
    assert (encoder.name, decoder.name) == ("encoder", "decoder")


def test_arguments_reach_the_builder():
    encoder = default_encoder((6,), (2,), hidden_dims=(3,), num_classes=4, name="own")
    assert encoder.name == "own"
    # (6 + 4) * 3 + 3 and 3 * 2 + 2, by hand.
    assert encoder.count_params() == 33 + 8


@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 4, 5)])
def test_other_ranks_need_a_network_of_the_user_s(shape):
    for build in (lambda: default_encoder(shape, (2,)), lambda: default_decoder((2,), shape)):
        with pytest.raises(ValueError, match=r"default networks for vectors.*and images.*Pass networks"):
            build()


X = keras.Input((28, 28, 1), name="x")
CONDITION = keras.Input((), dtype="int32", name="condition")


def vector(size, name="x"):
    return keras.Input((size,), name=name)


def check(network, inputs=(X,), shape=(28, 28, 2)):
    check_network("decoder", network, inputs, shape, "the parameters of 784 values")


def test_fitting_networks_pass():
    check(keras.layers.Conv2D(2, 3, padding="same"))
    check(default_decoder((28, 28, 1), (28, 28, 2)))
    check(default_decoder((28, 28, 1), (28, 28, 2), num_classes=3), (X, CONDITION))


def test_misfit_is_told_how_many_outputs_it_needs():
    with pytest.raises(ValueError) as error:
        check(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(784)]))
    words = str(error.value)
    assert "`decoder` must end in 1568 raw outputs of shape (None, 28, 28, 2)" in words
    assert "the parameters of 784 values; received (None, 784)" in words
    assert "Change its last layer" in words


def test_network_without_the_condition_is_told_what_it_is_called_on():
    with pytest.raises(
        ValueError, match=r"`decoder` could not be called on \[x, condition\].*28, 28, 1.*\(None,\)"
    ):
        check(default_decoder((28, 28, 1), (28, 28, 2)), (X, CONDITION))


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="`decoder` must be a Keras model or layer; received function"):
        check(lambda x: x)


def test_check_builds_a_network_that_was_never_called():
    network = keras.Sequential([keras.layers.Dense(2)])
    check(network)
    kernel, bias = network.get_weights()
    assert kernel.shape == (1, 2) and np.all(bias == 0)


class Subclassed(keras.Model):
    """A network that declares no inputs and takes one-hot vectors."""

    def call(self, inputs):
        x, c = inputs
        return keras.ops.concatenate([x, c], axis=-1)


def test_a_subclassed_network_is_told_what_classes_look_like():
    with pytest.raises(
        ValueError, match=r"(?s)`decoder` could not be called.*gets the numbers of classes.*functional"
    ):
        check(Subclassed(), (vector(2), CONDITION), (5,))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((vector(5),), r"called on x of shape \(None, 5\): it takes \(None, 4\)"),
        (
            (vector(4), CONDITION),
            r"it takes 1, of shape \(None, 4\).*`keras.Model\(\[x, condition\], network\(x\)\)`",
        ),
    ],
)
def test_declared_inputs_that_differ_are_named(inputs, words):
    h = keras.Input((4,))
    # Flattened, which hides the difference from a symbolic call.
    network = keras.Model(h, keras.layers.Lambda(lambda x: x[:, :2], output_shape=(2,))(h))
    with pytest.raises(ValueError, match=words):
        check(network, inputs, (2,))


def test_a_last_axis_of_one_is_added_as_keras_does():
    h = keras.Input((4, 1))
    check(keras.Model(h, keras.layers.Flatten()(h)), (keras.Input((4,)),), (4,))


@pytest.mark.parametrize("collect", [list, lambda outputs: dict(zip("abc", outputs, strict=True))])
def test_a_network_of_several_outputs_is_told_to_join_them(collect):
    x = keras.Input((4,))
    mean, scale = keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)
    with pytest.raises(
        ValueError, match=r"one output of shape \(None, 5\).*several.*\(None, 2\).*Join those.*Concatenate"
    ):
        check(keras.Model(x, collect((mean, scale, mean))), (keras.Input((4,)),), (5,))
