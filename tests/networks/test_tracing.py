"""Inputs that a network does without are found, in its graph of layers or in a trace of it."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_genmod as kg
from keras_genmod.networks import check_network, dense_network
from keras_genmod.networks.tracing import unused_inputs

X, T = keras.Input((2,), name="x"), keras.Input((), name="t")
C = keras.Input((3,), name="condition")


def parts():
    """The inputs of a denoiser, and the time as a column."""
    x, t, c = keras.Input((2,)), keras.Input(()), keras.Input((3,))
    return x, t, c, layers.Reshape((1,))(t)


def uses_all():
    x, t, c, column = parts()
    return keras.Model([x, t, c], layers.Dense(2)(layers.Concatenate()([x, column, c])))


def drops_condition():
    x, t, c, column = parts()
    layers.Dense(4)(c)  # It goes into a layer, but no further.
    return keras.Model([x, t, c], layers.Dense(2)(layers.Concatenate()([x, column])))


def drops_time():
    x, t, c, column = parts()
    return keras.Model([x, t, c], layers.Dense(2)(layers.Concatenate()([x, c])))


def drops_time_inside():
    x, t, c, _ = parts()
    return keras.Model([x, t, c], keras.Sequential([layers.Flatten()])(drops_time()([x, t, c])))


def crosses_inside():
    """The inner network drops its second input, which here is the condition."""
    x, t, c, column = parts()
    a, b = keras.Input((2,)), keras.Input((3,))
    inner = keras.Model([a, b], layers.Dense(2)(a))
    return keras.Model([x, t, c], layers.Concatenate()([inner([x, c]), column]))


class Subclassed(keras.Model):
    """A network that its inputs reach or not, as the names say."""

    def __init__(self, uses):
        super().__init__()
        self.uses, self.dense = uses, layers.Dense(2)

    def call(self, inputs):
        inputs = dict(zip(("x", "t", "condition"), inputs, strict=True))
        inputs["t"] = inputs["t"][:, None]
        return self.dense(tf.concat([inputs[name] for name in self.uses], axis=1))


CASES = {
    "all": (uses_all, []),
    "no condition": (drops_condition, [2]),
    "no time": (drops_time, [1]),
    "no time inside": (drops_time_inside, [1]),
    "no condition inside": (crosses_inside, [2]),
    "subclass: all": (lambda: Subclassed(("x", "t", "condition")), []),
    "subclass: no condition": (lambda: Subclassed(("x", "t")), [2]),
    "subclass: no time": (lambda: Subclassed(("x", "condition")), [1]),
    "subclass: no x": (lambda: Subclassed(("t",)), [0, 2]),
}


@pytest.mark.parametrize(("build", "unused"), CASES.values(), ids=CASES)
def test_unused_inputs_are_found(build, unused):
    network = build()
    network([X, T, C])
    assert unused_inputs(network, [X, T, C]) == unused
    # What it says is true: the outputs do not change with these inputs, and do with the others.
    rng = np.random.default_rng(0)
    given = [rng.normal(size=shape).astype("float32") for shape in ((4, 2), (4,), (4, 3))]
    output = np.asarray(network(given))
    for position in range(3):
        other = list(given)
        other[position] = other[position] + 1.0
        changed = not np.array_equal(network(other), output)
        assert changed == (position not in unused)


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (drops_condition, ["condition"]),
        (drops_time, ["t"]),
        (lambda: Subclassed(("x", "condition")), ["t"]),
        (lambda: Subclassed(("x",)), ["t", "condition"]),
    ],
    ids=["condition", "time", "subclass", "both"],
)
def test_a_check_warns_of_each_ignored_input(network, names):
    with pytest.warns(UserWarning, match="ignores its input") as caught:
        check_network("denoiser", network(), [X, T, C], (2,), "the noise")
    texts = [str(warning.message) for warning in caught if "ignores" in str(warning.message)]
    assert [text.partition(":")[0] for text in texts] == [
        f"`denoiser` ignores its input `{name}`" for name in names
    ]


@pytest.mark.parametrize("build", [uses_all, lambda: Subclassed(("condition", "t", "x"))])
def test_a_check_of_a_network_that_uses_all_is_silent(build):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_network("denoiser", build(), [X, T, C], (2,), "the noise")


def test_inputs_of_the_right_names_in_another_order_are_refused():
    """Their shapes agree, so that nothing else would notice."""
    c, x = keras.Input((2,), name="condition"), keras.Input((2,), name="x")
    network = keras.Model([c, x], layers.Dense(2)(layers.Concatenate()([c, x])))
    wanted = [keras.Input((2,), name="x"), keras.Input((2,), name="condition")]
    with pytest.raises(ValueError, match=r"called on \[x, condition\]; it takes \[condition, x\]. Declare"):
        check_network("encoder", network, wanted, (2,), "the code")


def test_a_model_warns_of_a_decoder_without_the_condition():
    z, c = keras.Input((2,)), keras.Input((3,))
    decoder = keras.Model([z, c], dense_network((2,), (6,))(z))
    with pytest.warns(UserWarning, match="`decoder` ignores its input `condition`"):
        kg.VAE((6,), latent_dim=2, decoder=decoder, num_classes=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kg.VAE((6,), latent_dim=2, num_classes=3)
        kg.GAN((6,), latent_dim=2, num_classes=3)
        kg.GAN((8, 8, 1), latent_dim=2, num_classes=3, discriminator_conditioning="projection")
        kg.VQVAE((6,), num_codes=4, code_dim=2, num_latents=2, condition_shape=(2,))
        kg.RealNVP((6,), condition_shape=(2,))


def test_a_network_of_replicas_is_traced_too(strategy):
    with strategy.scope():
        network = Subclassed(("x", "t"))
        with pytest.warns(UserWarning, match="`denoiser` ignores its input `condition`"):
            check_network("denoiser", network, [X, T, C], (2,), "the noise")
