"""The networks of DCGAN, layer by layer, against the guidelines of the paper."""

import keras
import numpy as np
import pytest

import keras_genmod as kg

MODEL = kg.DCGAN((28, 28, 1), seed=0)
SIZES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (30, 45, 2)]


def layers(network, *kinds):
    return [layer for layer in network.layers if isinstance(layer, kinds)]


def producers(layer):
    """The layers that a layer's input comes from."""
    return [node.operation for node in layer._inbound_nodes[0].parent_nodes]


def activation_behind(network, layer):
    """The activation that a layer's output goes through: its own, or the next one's."""
    if layer.activation is not keras.activations.linear:
        return layer.activation.__name__
    while True:
        (layer,) = [other for other in network.layers if layer in producers(other)]
        if isinstance(layer, keras.layers.LeakyReLU):
            return f"leaky_relu {layer.negative_slope:.1f}"
        if isinstance(layer, keras.layers.Activation):
            return layer.activation.__name__
        assert isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Reshape))


def is_normalised(network, layer):
    passed = [layer]
    for other in network.layers[network.layers.index(layer) + 1 :]:
        if isinstance(other, keras.layers.BatchNormalization) and producers(other)[0] in passed:
            return True
        if (
            isinstance(other, (keras.layers.Reshape, keras.layers.Cropping2D))
            and producers(other)[0] in passed
        ):
            passed.append(other)
    return False


@pytest.mark.parametrize("shape", SIZES)
def test_strided_convolutions_and_no_pooling(shape):
    model = kg.DCGAN(shape, seed=0)
    for network, kind in (
        (model.discriminator, keras.layers.Conv2D),
        (model.generator, keras.layers.Conv2DTranspose),
    ):
        convolutions = layers(network, kind)
        assert convolutions and all(layer.strides == (2, 2) for layer in convolutions)
        scaling = [
            layer
            for layer in network.layers
            if "Pooling" in type(layer).__name__ or "Up" in type(layer).__name__
        ]
        assert not scaling
        others = {keras.layers.Conv2D, keras.layers.Conv2DTranspose} - {kind}
        assert not [layer for layer in network.layers if type(layer) in others]
    assert model.generator.output_shape == (None, *shape)
    assert max(layers(model.discriminator, keras.layers.Conv2D)[-1].output.shape[1:3]) <= 7


@pytest.mark.parametrize("shape", SIZES)
def test_batch_normalisation_but_in_the_first_and_the_last_layer(shape):
    model = kg.DCGAN(shape, seed=0)
    discriminator = layers(model.discriminator, keras.layers.Conv2D, keras.layers.Dense)
    normalised = [is_normalised(model.discriminator, layer) for layer in discriminator]
    assert normalised == [False, *[True] * (len(discriminator) - 2), False]
    generator = layers(model.generator, keras.layers.Conv2DTranspose, keras.layers.Dense)
    normalised = [is_normalised(model.generator, layer) for layer in generator]
    assert normalised == [True] * (len(generator) - 1) + [False]


def test_no_dense_hidden_layer():
    (project,) = layers(MODEL.generator, keras.layers.Dense)
    assert isinstance(producers(project)[0], keras.layers.InputLayer)
    (reshape,) = layers(MODEL.generator, keras.layers.Reshape)
    assert producers(reshape) == [project]
    (logit,) = layers(MODEL.discriminator, keras.layers.Dense)
    assert logit.units == 1
    flat = layers(MODEL.discriminator, keras.layers.Flatten)[0]
    assert isinstance(producers(flat)[0], keras.layers.LeakyReLU)


def test_rectifiers_and_tanh():
    *hidden, last = layers(MODEL.generator, keras.layers.Conv2DTranspose, keras.layers.Dense)[::1]
    assert {activation_behind(MODEL.generator, layer) for layer in hidden} == {"relu"}
    assert activation_behind(MODEL.generator, last) == "tanh"
    convolutions = layers(MODEL.discriminator, keras.layers.Conv2D)
    assert {activation_behind(MODEL.discriminator, layer) for layer in convolutions} == {"leaky_relu 0.2"}


def test_initial_weights_have_a_deviation_of_002_and_differ():
    kernels = [
        weight.numpy().ravel()
        for network in (MODEL.generator, MODEL.discriminator)
        for weight in network.trainable_weights
        if "kernel" in weight.path
    ]
    assert len(kernels) == 6
    for kernel in kernels:
        n = kernel.size
        assert abs(kernel.mean()) < 5 * 0.02 / np.sqrt(n)
        assert abs(kernel.std() / 0.02 - 1) < 5 / np.sqrt(2 * n)
    assert len({round(float(kernel[0]), 9) for kernel in kernels}) == 6


def test_the_optimizers_and_the_range_of_the_paper():
    model = kg.DCGAN((8, 8, 1), seed=0)
    model.compile()
    for optimizer in (model.optimizer, model.discriminator_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(2e-4)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.999)
    assert str(model.value_range()) == "values in [-1, 1]"
    config = model.get_config()
    assert config["r1"] == config["r2"] == config["gradient_penalty"] == 0.0


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="`event_shape` must have 3 axes"):
        kg.DCGAN((784,))


def test_a_wasserstein_critic_has_no_batch_normalisation():
    model = kg.WGAN_GP((28, 28, 1), seed=0)
    assert not layers(model.discriminator, keras.layers.BatchNormalization)
    assert layers(model.generator, keras.layers.BatchNormalization)
    with pytest.raises(
        ValueError, match=r"without batch normalisation; received gradient_penalty=10.*batch_norm_1"
    ):
        kg.WGAN_GP((28, 28, 1), discriminator=MODEL.discriminator)
    with pytest.raises(ValueError, match=r"received r1=0.1 .*Set the penalties to 0"):
        kg.GAN((28, 28, 1), discriminator=MODEL.discriminator)
