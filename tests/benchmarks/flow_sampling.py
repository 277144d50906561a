"""How fast flows give samples: the way back through autoregressive layers beside whole passes, and others.

    python -m tests.benchmarks.flow_sampling [--layers 5] [--hidden 1024] [--rounds 5] [--batch 16]

All flows are over 784 variables with the same number of layers and hidden units, their weights moved from the
start. From the same noise:

* `MAF, whole passes`: a pass through the whole layer for each of its variables, as one graph; measured for
  one layer and multiplied by their number;
* `MAF`: `decode`, each unit of a layer being computed once; and the same compiled by XLA;
* `IAF`, `Real NVP`: `decode`, one pass a layer.

`differs` is the largest difference of the layer's two ways. By turns in one process, medians.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.rows import as_graph
from tests.benchmarks.common import hardware, median, print_table

SIZE = 784


def moved(flow: kg.NormalizingFlow) -> kg.NormalizingFlow:
    """The flow with small random weights in the layers that start at zero."""
    generator = np.random.default_rng(0)
    for weight in flow.trainable_weights:
        weight.assign_add(0.01 * generator.normal(size=weight.shape).astype("float32"))
    return flow


def seconds(function: Callable, noise: tf.Tensor) -> float:
    """Of one call, its result taken out."""
    start = time.perf_counter()
    np.asarray(function(noise))
    return time.perf_counter() - start


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()
    options = {"num_layers": arguments.layers, "seed": 0}
    maf = moved(kg.MAF((SIZE,), hidden_dims=(arguments.hidden,), **options))
    iaf = moved(kg.IAF((SIZE,), hidden_dims=(arguments.hidden,), **options))
    network = {"hidden_dims": (arguments.hidden,)}
    real_nvp = moved(kg.RealNVP((SIZE,), network_options=network, **options))
    noise = tf.random.stateless_normal([arguments.batch, SIZE], [0, 1])

    layer = next(b for b in maf.bijections if isinstance(b, kg.bijectors.MaskedAutoregressive))
    quick, naive = (
        as_graph(lambda z: layer.bijector().forward(z)),
        as_graph(lambda z: layer.bijector().generated(z)),
    )
    ways = {
        "MAF, whole passes": (naive, arguments.layers),
        "MAF": (as_graph(maf._decode), 1),
        "MAF, XLA": (as_graph(maf._decode, jit_compile=True), 1),
        "IAF": (as_graph(iaf._decode), 1),
        "Real NVP": (as_graph(real_nvp._decode), 1),
    }
    first = {name: seconds(function, noise) for name, (function, _) in ways.items()}
    times = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, (function, factor) in ways.items():
            times[name].append(factor * seconds(function, noise))
    middle = {name: median(values) for name, values in times.items()}
    rows = [
        [name, f"{value:.4f}", f"{middle['MAF, whole passes'] / value:.0f}", f"{first[name]:.1f}"]
        for name, value in middle.items()
    ]
    print(hardware("tensorflow", "keras"))
    difference = float(np.max(np.abs(quick(noise) - naive(noise))))
    title = f"{arguments.batch} samples of {SIZE} variables, {arguments.layers} layers of {arguments.hidden}"
    print_table(title, ["", "s", "times faster", "first call, s"], rows)
    print(f"differs: {difference:.1e}")


if __name__ == "__main__":
    main()
