"""A small model with an endpoint of each kind, and its export."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.spaces import ROW_SEEDS, SEED, Space
from keras_genmod.serving import Endpoint, export_saved_model


def sample_rows(seed):
    """One row of noise for each seed."""

    def draw(row_seed):
        return tf.random.stateless_normal([4], row_seed)

    return {"x": tf.map_fn(draw, seed, fn_output_signature=tf.float32)}


def sample(num_samples, seed):
    return {"x": tf.random.stateless_normal([num_samples, 4], seed)}


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The path of an export with the model, endpoints and examples that it was made of."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(2)])
    endpoints = {
        "sample_rows": Endpoint(sample_rows, [ROW_SEEDS]),
        "encode": Endpoint(
            lambda x, scale: {"z": model(x) * scale, "code": tf.argmax(model(x), axis=-1)},
            [Space("x", (3,)), Space("scale", (1,))],
        ),
        "sample": Endpoint(
            sample,
            [Space("num_samples", (), tf.int32, batched=False), SEED],
            batched=False,
        ),
    }
    noise = np.random.default_rng(0)
    examples = {
        "encode": {"x": noise.normal(size=(3, 3)), "scale": noise.uniform(size=(3, 1))},
        "sample_rows": {"seed": noise.integers(2**31, size=(4, 2))},
        "sample": {"num_samples": 6, "seed": [1, 2]},
    }
    path = tmp_path_factory.mktemp("serving") / "model" / "1"
    export_saved_model(path, endpoints, "encode", model, examples=examples)
    return types.SimpleNamespace(path=path, model=model, endpoints=endpoints, examples=examples)
