"""Signatures that a server would refuse, or answer differently each time, are found wherever they hide."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.spaces import Space
from keras_genmod.serving import Endpoint, export_saved_model
from keras_genmod.serving.purity import check_pure


@tf.function(jit_compile=True)
def compiled(x):
    return 2.0 * x


COUNTER = tf.Variable(0.0)
GENERATOR = tf.random.Generator.from_seed(0)
SEEDS = keras.random.SeedGenerator(0)

IMPURE = {
    "stateful noise": (lambda x: x + tf.random.normal([3]), "RandomStandardNormal"),
    "noise in a loop": (
        lambda x: tf.while_loop(lambda x: tf.reduce_sum(x) < 9.0, lambda x: x + tf.random.uniform([3]), [x]),
        "RandomUniform",
    ),
    "noise in a branch of a function": (
        tf.function(
            lambda x: tf.cond(x[0, 0] > 0.0, lambda: x, lambda: tf.random.shuffle(x)), autograph=False
        ),
        "RandomShuffle",
    ),
    "a generator's noise": (lambda x: x + GENERATOR.normal([3]), "RngReadAndSkip"),
    "a Keras seed generator": (lambda x: x + keras.random.normal([3], seed=SEEDS), "Assign.*VariableOp"),
    "an assignment": (lambda x: x + COUNTER.assign_add(1.0), "AssignAddVariableOp"),
    "Python, eager": (lambda x: tf.py_function(np.sin, [x], tf.float32), "EagerPyFunc"),
    "Python, NumPy": (lambda x: tf.numpy_function(np.sin, [x], tf.float32), "PyFunc"),
    "Python, stateless": (
        lambda x: tf.numpy_function(np.sin, [x], tf.float32, stateful=False),
        "PyFuncState",
    ),
    "Python in a loop": (
        lambda x: tf.map_fn(lambda row: tf.py_function(np.sin, [row], tf.float32), x),
        "EagerPyFunc",
    ),
    "XLA": (compiled, "_XlaMustCompile"),
    "XLA in a loop": (lambda x: tf.map_fn(compiled, x), "jit_compile"),
}

PURE = {
    "weights, a loop and stateless noise": lambda x: tf.map_fn(
        lambda row: row * COUNTER + tf.random.stateless_normal([3], [1, 2]), x
    ),
    "gathering from a variable": lambda x: tf.gather(COUNTER[None], [0]) + x,
    "a branch that reads a variable": lambda x: tf.cond(x[0, 0] > 0.0, lambda: x, lambda: x + COUNTER),
    "assertions": lambda x: tf.ensure_shape(x, [None, 3]) + tf.debugging.check_numerics(x, "x"),
    "a gradient": lambda x: tf.gradients(tf.reduce_sum(x * x * COUNTER), [x])[0],
    "XLA asked to stay away": tf.function(lambda x: x + 1.0, jit_compile=False),
}


@pytest.mark.parametrize(("function", "op"), IMPURE.values(), ids=IMPURE)
def test_impure_signature_is_refused_by_name(function, op, tmp_path):
    endpoint = Endpoint(lambda x: {"y": tf.squeeze(function(x))}, [Space("x", (3,))])
    with pytest.raises(ValueError, match=f"Signature `wrong` must .*{op}"):
        export_saved_model(tmp_path / "model" / "1", {"wrong": endpoint}, "wrong")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", PURE.values(), ids=PURE)
def test_pure_signature_passes(function):
    traced = tf.function(function, [tf.TensorSpec([None, 3])], autograph=False)
    check_pure("right", traced.get_concrete_function().graph)
