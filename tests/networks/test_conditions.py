"""A user's network of classes: it gets them in the form that it declares, or is refused with the way out."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_genmod.core.conditions import ConditionSpec
from keras_genmod.core.spaces import Space
from keras_genmod.networks.conditions import network_condition, network_inputs

CLASSES = ConditionSpec.of(3, None)
LABELS = tf.constant([2, 0, 1, 1])
Z = Space("z", (2,))


def network(shape, encode=lambda c: c, dtype=None):
    x, c = keras.Input((2,)), keras.Input(shape, dtype=dtype)
    return keras.Model([x, c], layers.Concatenate()([x, encode(c)]))


def output(net):
    """What the network makes of zeros and the classes, called as a model calls it."""
    inputs = network_inputs("decoder", net, [Z], CLASSES)
    assert net(inputs).shape[0] is None
    return net([tf.zeros([4, 2]), network_condition(net, LABELS, CLASSES)]).numpy()[:, 2:]


def one_hot(c):
    return layers.CategoryEncoding(3, output_mode="one_hot")(c)


FORMS = {
    "one-hot vectors": lambda: network((3,)),
    "one-hot vectors of a size that is told late": lambda: network((None,), layers.Reshape((3,))),
    "integers": lambda: network((), one_hot, "int32"),
    "a column of integers": lambda: network((1,), one_hot, "int32"),
    "a column of floats into an encoding": lambda: network((1,), one_hot),
    "floats into a one-hot operation": lambda: network(
        (), lambda c: keras.ops.one_hot(keras.ops.cast(c, int), 3)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_network_gets_classes_as_it_declares_them(form):
    np.testing.assert_array_equal(output(FORMS[form]()), np.eye(3)[LABELS])


@pytest.mark.parametrize("shape", [(), (1,)])
def test_classes_may_be_embedded(shape):
    embedding = layers.Embedding(3, 5)
    inner = keras.Sequential([embedding, layers.Flatten()])
    np.testing.assert_array_equal(output(network(shape, inner)), embedding.get_weights()[0][LABELS])


@pytest.mark.parametrize(
    "net",
    [
        lambda: network((1,)),
        lambda: network((1,), layers.Dense(4)),
        lambda: network((), layers.Reshape((1,)), "int32"),
        lambda: network((1,), keras.Sequential([layers.Flatten(), layers.Dense(2)])),
        lambda: network((1,), lambda c: c / 3.0),
    ],
    ids=["beside x", "dense", "reshaped", "inside", "arithmetic"],
)
def test_a_network_that_computes_with_the_number_of_a_class_is_refused(net):
    with pytest.raises(ValueError, match=r"`decoder`.*as if class 2 were twice class 1.*Input\(\(3,\)\)"):
        network_inputs("decoder", net(), [Z], CLASSES)


def test_another_width_is_refused_and_the_advice_runs():
    with pytest.raises(ValueError, match=r"\(None, 4\), the last.*num_classes=3") as error:
        network_inputs("decoder", network((4,)), [Z], CLASSES)
    names = {"keras": keras, "x": keras.Input((2,))}
    for line in re.findall(r"^    (.*)$", str(error.value), flags=re.MULTILINE):
        exec(line.replace("...", "h"), names)
    embedded = names["network"]
    assert output(embedded).shape == (4, 8)


def test_inputs_the_other_way_round_show_their_shapes():
    x, c = keras.Input((2,)), keras.Input((3,))
    swapped = keras.Model([c, x], layers.Concatenate()([c, x]))
    with pytest.raises(ValueError, match=r"shape \(None, 3\) and \(None, 2\), the last for the condition"):
        network_inputs("decoder", swapped, [Z], CLASSES)


def test_arrays_have_the_shape_of_the_model_s():
    arrays = ConditionSpec.of(None, (3,))
    inputs = network_inputs("decoder", network((3,)), [Z], arrays)
    assert inputs[1].shape == (None, 3)
    with pytest.raises(ValueError, match=r"\(None, 4\), the last.*`condition_shape` is \(3,\)"):
        network_inputs("decoder", network((4,)), [Z], arrays)


def test_the_condition_is_the_last_of_several_inputs():
    time = Space("t", (), tf.int32)
    x, t, c = keras.Input((2,)), keras.Input((), dtype="int32"), keras.Input((3,))
    net = keras.Model([x, t, c], layers.Concatenate()([x, one_hot(t), c]))
    inputs = network_inputs("denoiser", net, [Z, time], CLASSES)
    assert [(tensor.name, tensor.shape) for tensor in inputs] == [
        ("z", (None, 2)),
        ("t", (None,)),
        ("condition", (None, 3)),
    ]
    given = network_condition(net, LABELS, CLASSES)
    output = net([tf.zeros([4, 2]), tf.zeros([4], tf.int32), given]).numpy()
    np.testing.assert_array_equal(output[:, 5:], np.eye(3)[LABELS])
