"""A training step of normalizing flows through `fit` beside hand-written steps and zuko, on the CPU.

    pip install torch==2.13.0 zuko    # PyTorch's build for CPUs
    python -m tests.benchmarks.flow_step [--model maf] [--rounds 5] [--without-torch]

The sides are those of `tests.benchmarks.training_steps`; PyTorch's is zuko with the same layers. `maf`: 784
variables, five layers of 512 hidden units, batch 100; `coupling`: 784 variables, six affine couplings with
networks of twice 512, batch 100; `spline`: 32 variables, five autoregressive layers of rational-quadratic
splines with 8 bins on [-4, 4] and 128 hidden units, batch 256 (zuko's on [-5, 5]; none by hand). zuko bounds
the logarithm of a scale by another smooth function, and its couplings take turns by even and odd variables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from tests.benchmarks.training_steps import SEED, Case, run_cases

NUM_VARIABLES = 784
HIDDEN_DIM = 512
NUM_LAYERS, NUM_COUPLINGS = 5, 6
SPLINE_VARIABLES, SPLINE_HIDDEN_DIM, NUM_BINS = 32, 128, 8
MAX_LOG_SCALE = 2.0


def examples(num_examples: int, num_variables: int) -> np.ndarray:
    """Normal noise in which neighbours are related, with heavier tails."""
    noise = np.random.default_rng(0).normal(size=(num_examples, num_variables))
    return (noise + np.tanh(2.0 * np.roll(noise, 1, axis=1))).astype("float32")


# ---- this package ---------------------------------------------------------------------------------


def autoregressive_flow(num_variables: int, hidden_dim: int, transform: str):
    """A flow of autoregressive layers whose orders take turns."""
    import keras_genmod as kg

    layers = [
        kg.bijectors.MaskedAutoregressive(
            (hidden_dim,), transform=transform, ordering="reverse" if number % 2 else "natural"
        )
        for number in range(NUM_LAYERS)
    ]
    return kg.NormalizingFlow((num_variables,), layers, seed=SEED)


def make_maf():
    """Affine autoregressive layers."""
    return autoregressive_flow(NUM_VARIABLES, HIDDEN_DIM, "affine")


def make_spline():
    """Autoregressive splines."""
    return autoregressive_flow(SPLINE_VARIABLES, SPLINE_HIDDEN_DIM, "spline")


def make_coupling():
    """Affine couplings of halves that take turns."""
    import keras_genmod as kg

    options = {"hidden_dims": (HIDDEN_DIM,) * 2}
    layers = [
        kg.bijectors.Coupling(swap=bool(number % 2), network_options=options)
        for number in range(NUM_COUPLINGS)
    ]
    return kg.NormalizingFlow((NUM_VARIABLES,), layers, seed=SEED)


# ---- hand-written with TensorFlow -----------------------------------------------------------------


@cache
def autoregressive_masks() -> list[tuple[np.ndarray, np.ndarray]]:
    """Of hidden units, whose degrees go evenly from 1 to 783, and of outputs; for each order."""
    degrees = 1 + np.arange(HIDDEN_DIM) * (NUM_VARIABLES - 1) // HIDDEN_DIM
    masks = []
    for places in (np.arange(1, NUM_VARIABLES + 1), np.arange(NUM_VARIABLES, 0, -1)):
        inner, outer = places[:, None] <= degrees, degrees[:, None] < np.tile(places, 2)
        masks.append((inner.astype("float32"), outer.astype("float32")))
    return masks


def affine(values, raw):
    """Towards the noise: the values, and the logarithm of each scale."""
    import tensorflow as tf

    shift, raw_scale = tf.split(raw, 2, axis=-1)
    log_scale = MAX_LOG_SCALE * tf.tanh(raw_scale / MAX_LOG_SCALE)
    return (values - shift) * tf.exp(-log_scale), log_scale


def normal_nll(noise, log_scales: Sequence):
    """The negative log-likelihood of each row, from its noise and the scales on the way."""
    import tensorflow as tf

    each = 0.5 * tf.square(noise) + 0.5 * math.log(2.0 * math.pi)
    return tf.reduce_sum(each, axis=-1) + tf.add_n([tf.reduce_sum(scale, axis=-1) for scale in log_scales])


def maf_nll(x, weights: Sequence):
    """Affine autoregressive layers with plain operations."""
    import tensorflow as tf

    log_scales = []
    for number in range(NUM_LAYERS):
        kernel, bias, output_kernel, output_bias = weights[4 * number : 4 * number + 4]
        inner, outer = autoregressive_masks()[number % 2]
        hidden = tf.nn.relu(tf.matmul(x, kernel * inner) + bias)
        x, log_scale = affine(x, tf.matmul(hidden, output_kernel * outer) + output_bias)
        log_scales.append(log_scale)
    return normal_nll(x, log_scales)


def coupling_nll(x, weights: Sequence):
    """Affine couplings with plain operations."""
    import tensorflow as tf

    log_scales = []
    first, second = tf.split(x, 2, axis=-1)
    for number in range(NUM_COUPLINGS):
        kept, other = (second, first) if number % 2 else (first, second)
        layers = weights[6 * number : 6 * number + 6]
        hidden = tf.nn.relu(tf.matmul(kept, layers[0]) + layers[1])
        hidden = tf.nn.relu(tf.matmul(hidden, layers[2]) + layers[3])
        other, log_scale = affine(other, tf.matmul(hidden, layers[4]) + layers[5])
        log_scales.append(log_scale)
        first, second = (other, kept) if number % 2 else (kept, other)
    return normal_nll(tf.concat([first, second], axis=-1), log_scales)


# ---- zuko -----------------------------------------------------------------------------------------


def zuko_flow(name: str, num_variables: int, **options) -> tuple[list, Callable]:
    """The weights of a flow of zuko, and the function from data to losses of rows."""
    import zuko

    flow = getattr(zuko.flows, name)(num_variables, **options)
    return list(flow.parameters()), lambda x: -flow().log_prob(x)


CASES = {
    "maf": Case(
        lambda n: examples(n, NUM_VARIABLES),
        make_maf,
        lambda: zuko_flow("MAF", NUM_VARIABLES, transforms=NUM_LAYERS, hidden_features=(HIDDEN_DIM,)),
        maf_nll,
        100,
        20,
    ),
    "coupling": Case(
        lambda n: examples(n, NUM_VARIABLES),
        make_coupling,
        lambda: zuko_flow(
            "RealNVP", NUM_VARIABLES, transforms=NUM_COUPLINGS, hidden_features=(HIDDEN_DIM,) * 2
        ),
        coupling_nll,
        100,
        20,
    ),
    "spline": Case(
        lambda n: examples(n, SPLINE_VARIABLES),
        make_spline,
        lambda: zuko_flow(
            "NSF",
            SPLINE_VARIABLES,
            transforms=NUM_LAYERS,
            hidden_features=(SPLINE_HIDDEN_DIM,),
            bins=NUM_BINS,
        ),
        None,
        256,
        20,
    ),
}

if __name__ == "__main__":
    run_cases("tests.benchmarks.flow_step", __doc__, CASES, ("torch", "zuko"))
