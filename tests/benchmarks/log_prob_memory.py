"""`log_prob` with many importance samples over many images: time and peak memory.

    python -m tests.benchmarks.log_prob_memory [--images 10000] [--num-samples 5000] [--network dense]

Also shows that the result does not depend on `batch_size`, on the first images. Aim: under 2 GB. Time grows
with images times samples: a hundredth of the images first tells what all will take.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import keras_genmod as kg
from tests.benchmarks.common import (
    EVENT_SHAPES,
    binary_images,
    hardware,
    peak_memory_mb,
    print_table,
)


def largest_difference(model: kg.VAE, images: np.ndarray, expected: np.ndarray, num_samples: int) -> float:
    """How far, relatively, `log_prob` with other batch sizes is from `expected`."""
    received = [model.log_prob(images, num_samples=num_samples, batch_size=size) for size in (100, 999, 5000)]
    return max(float(np.max(np.abs(values / expected - 1))) for values in received)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--num-samples", type=int, default=5_000)
    parser.add_argument("--network", choices=EVENT_SHAPES, default="dense")
    options = parser.parse_args()
    print(hardware("tensorflow", "keras", "tensorflow-probability"))
    images = binary_images(options.images, EVENT_SHAPES[options.network])
    model = kg.VAE(EVENT_SHAPES[options.network], latent_dim=32, seed=1)
    before = peak_memory_mb()
    start = time.perf_counter()
    whole = model.log_prob(images, num_samples=options.num_samples).numpy()
    seconds = time.perf_counter() - start
    memory = peak_memory_mb()
    difference = largest_difference(model, images[:20], whole[:20], options.num_samples)
    print_table(
        f"{options.network} VAE, {options.images:,} images, {options.num_samples:,} importance samples",
        ["", "seconds", "decoded/s", "memory before, MB", "peak, MB", "largest difference"],
        [
            [
                "log_prob",
                f"{seconds:.1f}",
                f"{options.images * options.num_samples / seconds:,.0f}",
                f"{before:.0f}",
                f"{memory:.0f}",
                f"{difference:.0e}",
            ]
        ],
    )


if __name__ == "__main__":
    main()
