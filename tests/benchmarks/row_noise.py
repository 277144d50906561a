"""A sampler's loop with one seed a row, beside the same loop with one seed for the whole batch.

Run from the repository's root: ``python -m tests.benchmarks.row_noise``.

A small network is applied 200 times to 64 rows, and each step adds normal noise. The sides differ only in
where the noise comes from: nowhere, one seed for the batch, Threefry with one seed a row (`normal_rows`), and
a loop over the rows inside each step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_genmod.core.noise import as_seed, row_seeds
from keras_genmod.core.row_noise import normal_rows
from tests.benchmarks.common import hardware, median, print_table

NUM_ROWS, NUM_STEPS = 64, 200
# Widths of the data and of the network's two hidden layers.
SIZES = ((2, 64), (64, 128), (784, 256))
# The most that the second of these may cost, as a part of the first, for the smallest network.
YARDSTICK, MEASURED, LIMIT = "one seed a batch", "one seed a row", 1.5


def noise_of(dim: int) -> dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """From the seeds `[B, 2]` and the step to noise `[B, dim]`, by the name of the side."""

    def batch(seeds: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        seed = tf.random.experimental.stateless_fold_in(seeds[0], step)
        return tf.random.stateless_normal([NUM_ROWS, dim], seed)

    def loop(seeds: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        def one(seed: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_normal([dim], tf.random.experimental.stateless_fold_in(seed, step))

        return tf.map_fn(one, seeds, fn_output_signature=tf.float32)

    return {
        "no noise": lambda seeds, step: tf.zeros([NUM_ROWS, dim]),
        YARDSTICK: batch,
        MEASURED: lambda seeds, step: normal_rows(seeds, [dim], stream=step),
        "a loop over rows": loop,
    }


def sampler(network: keras.Model, dim: int, noise: Callable) -> Callable[[tf.Tensor], tf.Tensor]:
    """A graph that takes all steps."""

    def run(seeds: tf.Tensor) -> tf.Tensor:
        def body(step: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            time_of_step = tf.fill([NUM_ROWS, 1], tf.cast(step, tf.float32) / NUM_STEPS)
            x = x - 0.01 * network(tf.concat([x, time_of_step], axis=1)) + 0.1 * noise(seeds, step)
            return step + 1, x

        start = (tf.constant(0), tf.zeros([NUM_ROWS, dim]))
        return tf.while_loop(lambda step, _: step < NUM_STEPS, body, start, parallel_iterations=1)[1]

    return tf.function(run, autograph=False)


def compare(dim: int, width: int, rounds: int) -> float:
    """Prints one table and returns what one seed a row costs, as a part of one seed a batch."""
    network = keras.Sequential(
        [
            keras.Input((dim + 1,)),
            keras.layers.Dense(width, "silu"),
            keras.layers.Dense(width, "silu"),
            keras.layers.Dense(dim),
        ]
    )
    seeds = row_seeds(as_seed(1), 0, NUM_ROWS)
    sides = {name: sampler(network, dim, noise) for name, noise in noise_of(dim).items()}
    for side in sides.values():
        side(seeds)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            start = time.perf_counter()
            side(seeds).numpy()
            seconds[name].append(time.perf_counter() - start)
    middle = {name: median(values) for name, values in seconds.items()}
    print_table(
        f"{NUM_STEPS} steps of {NUM_ROWS} rows [{dim}], two hidden layers of {width}; medians of {rounds}",
        ["", "µs/step", f"/ {YARDSTICK}"],
        [
            [name, f"{value / NUM_STEPS * 1e6:.0f}", f"{value / middle[YARDSTICK]:.2f}"]
            for name, value in middle.items()
        ],
    )
    return middle[MEASURED] / middle[YARDSTICK]


def main() -> None:
    """Reads the command line.

    Raises:
        RuntimeError: If one seed a row costs more than the limit with the smallest network.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(hardware("tensorflow", "keras"))
    ratios = [compare(dim, width, options.rounds) for dim, width in SIZES]
    if ratios[0] > LIMIT:
        raise RuntimeError(f"One seed a row costs {ratios[0]:.2f} times one seed a batch; at most {LIMIT}.")


if __name__ == "__main__":
    main()
