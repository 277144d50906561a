"""A training step of a GAN through `fit` beside the usual tutorial form and beside PyTorch, on the CPU.

    pip install torch==2.13.0    # the build for CPUs
    python -m tests.benchmarks.gan_step [--network dense] [--rounds 5] [--without-torch]

The tutorial form is Keras' own: one `tf.function` in which the generator runs twice, with new noise for each
player, networks of Keras' layers, two running means. PyTorch runs it once and hands the discriminator a
detached copy, as its DCGAN tutorial does. `fit` makes one pass for both players. Same layers, widths, batch
(64), Adam, and loss (non-saturating; no penalty, no averaged generator; a row says what the average costs).

Each side has processes of its own, which take turns; each trains for a few epochs and reports the median.
Memory is the most that a process had, libraries included. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from tests.benchmarks.common import (
    EVENT_SHAPES,
    hardware,
    median,
    peak_memory_mb,
    print_table,
    run_python,
    write_report,
)

BATCH_SIZE = 64
LATENT_DIM = 64
WIDTHS = (256, 256, 256)
NUM_THREADS = len(os.sched_getaffinity(0))
STEPS_PER_EPOCH = {"dense": 200, "convolutional": 25}
NUM_EPOCHS = 5
SIDES = {
    "tutorial form": "tutorial",
    "PyTorch": "torch",
    "PyTorch, Adam(fused=True)": "torch_fused",
    "keras_genmod, fit": "fit",
    "keras_genmod, fit, 10 steps per execution": "fit_10",
    "keras_genmod, fit, with averaged generator": "fit_average",
}


def tutorial_networks(network: str):
    """Generator and discriminator of Keras' layers, like the default networks of `GAN` and `DCGAN`."""
    import keras
    from keras import layers

    if network == "dense":
        generator = [*(layers.Dense(width, activation="relu") for width in WIDTHS), layers.Dense(784)]
        discriminator = [layer for width in WIDTHS for layer in (layers.Dense(width), layers.LeakyReLU(0.2))]
    else:
        normal = keras.initializers.RandomNormal(stddev=0.02)
        options = {"strides": 2, "padding": "same", "kernel_initializer": normal}
        generator = [
            layers.Dense(7 * 7 * 128, use_bias=False, kernel_initializer=normal),
            *(layers.Reshape((7, 7, 128)), layers.BatchNormalization(), layers.ReLU()),
            layers.Conv2DTranspose(64, 4, use_bias=False, **options),
            *(layers.BatchNormalization(), layers.ReLU()),
            layers.Conv2DTranspose(1, 4, activation="tanh", **options),
        ]
        discriminator = [
            *(layers.Conv2D(64, 4, **options), layers.LeakyReLU(0.2)),
            layers.Conv2D(128, 4, use_bias=False, **options),
            *(layers.BatchNormalization(), layers.LeakyReLU(0.2), layers.Flatten()),
        ]
    return (
        keras.Sequential([keras.Input((LATENT_DIM,)), *generator]),
        keras.Sequential([keras.Input(EVENT_SHAPES[network]), *discriminator, layers.Dense(1)]),
    )


def tutorial_epochs(network: str, images: np.ndarray) -> Callable[[], None]:
    """A function that trains for one epoch by the usual step."""
    import keras
    import tensorflow as tf

    generator, discriminator = tutorial_networks(network)
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    means = [keras.metrics.Mean(), keras.metrics.Mean()]
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(real):
        noise = tf.random.normal([tf.shape(real)[0], LATENT_DIM])
        fake = generator(noise, training=True)
        with tf.GradientTape() as tape:
            on_real, on_fake = discriminator(real, training=True), discriminator(fake, training=True)
            loss = cross_entropy(tf.ones_like(on_real), on_real)
            loss += cross_entropy(tf.zeros_like(on_fake), on_fake)
        weights = discriminator.trainable_weights
        optimizers[0].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        means[0].update_state(loss)
        noise = tf.random.normal([tf.shape(real)[0], LATENT_DIM])
        with tf.GradientTape() as tape:
            on_fake = discriminator(generator(noise, training=True), training=True)
            loss = cross_entropy(tf.ones_like(on_fake), on_fake)
        weights = generator.trainable_weights
        optimizers[1].apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        means[1].update_state(loss)

    data = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images)).batch(BATCH_SIZE).prefetch(2)

    def epoch() -> None:
        for batch in data:
            step(batch)
        float(means[0].result())

    return epoch


def torch_networks(network: str):
    """The same networks in PyTorch."""
    from torch import nn

    if network == "dense":
        sizes = (LATENT_DIM, *WIDTHS)
        pairs = list(zip(sizes, sizes[1:], strict=False))
        generator = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())]
        pairs[0] = (784, WIDTHS[0])
        discriminator = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.LeakyReLU(0.2))]
        generator.append(nn.Linear(WIDTHS[-1], 784))
        discriminator.append(nn.Linear(WIDTHS[-1], 1))
    else:
        generator = [
            *(nn.Linear(LATENT_DIM, 7 * 7 * 128, bias=False), nn.Unflatten(1, (128, 7, 7))),
            *(nn.BatchNorm2d(128), nn.ReLU(), nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False)),
            *(nn.BatchNorm2d(64), nn.ReLU(), nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh()),
        ]
        discriminator = [
            *(nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1, bias=False)),
            *(nn.BatchNorm2d(128), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(7 * 7 * 128, 1)),
        ]
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


def torch_epochs(network: str, images: np.ndarray, fused: bool) -> Callable[[], None]:
    """A function that trains for one epoch in PyTorch."""
    import torch
    from torch.nn.functional import softplus

    torch.set_num_threads(NUM_THREADS)
    generator, discriminator = torch_networks(network)
    optimizers = [
        torch.optim.Adam(part.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=fused)
        for part in (discriminator, generator)
    ]
    data = torch.from_numpy(images.reshape(-1, *((784,) if network == "dense" else (1, 28, 28))))
    sums = torch.zeros(2, dtype=torch.float64)

    def epoch() -> None:
        for rows in torch.randperm(len(data)).split(BATCH_SIZE):
            real = data[rows]
            fake = generator(torch.randn(len(real), LATENT_DIM))
            loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            generator_loss = softplus(-discriminator(fake)).mean()
            optimizers[1].zero_grad()
            generator_loss.backward()
            optimizers[1].step()
            with torch.no_grad():
                sums.add_(torch.stack([loss, generator_loss]))

    return epoch


def fit_seconds(network: str, images: np.ndarray, steps_per_execution: int, average: bool) -> list[float]:
    """Seconds of each epoch of `fit`."""
    import keras

    import keras_genmod as kg

    seconds = []

    class EpochClock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.start)

    options = {"latent_dim": LATENT_DIM, "ema_decay": 0.999 if average else None, "seed": 0, "r1": 0.0}
    model = (kg.GAN if network == "dense" else kg.DCGAN)(images.shape[1:], **options)
    optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
    model.compile(optimizer, steps_per_execution=steps_per_execution)
    model.fit(images, batch_size=BATCH_SIZE, epochs=NUM_EPOCHS, callbacks=[EpochClock()], verbose=0)
    return seconds


def work(side: str, network: str) -> None:
    """One process: trains, and reports."""
    steps = STEPS_PER_EPOCH[network]
    shape = (steps * BATCH_SIZE, *EVENT_SHAPES[network])
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
    if side.startswith("fit"):
        seconds = fit_seconds(network, images, 10 if side == "fit_10" else 1, side == "fit_average")
    else:
        epoch = (
            tutorial_epochs(network, images)
            if side == "tutorial"
            else torch_epochs(network, images, side == "torch_fused")
        )
        seconds = []
        for _ in range(NUM_EPOCHS):
            start = time.perf_counter()
            epoch()
            seconds.append(time.perf_counter() - start)
    # The first epoch traces and warms up.
    step = [second / steps * 1e3 for second in seconds[1:]]
    write_report({"step": median(step), "best": min(step), "memory": peak_memory_mb()})


def compare(network: str, rounds: int, sides: dict[str, str]) -> None:
    """Lets the processes take turns and prints the table."""
    reports = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            arguments = [f"--side={side}", f"--network={network}"]
            reports[name].append(run_python("-m", "tests.benchmarks.gan_step", *arguments))
    yardstick = median([report["step"] for report in reports["tutorial form"]])
    rows = []
    for name, own in reports.items():
        step = median([report["step"] for report in own])
        rows.append(
            [
                name,
                f"{step:.2f}",
                f"{step / yardstick:.3f}",
                f"{min(report['best'] for report in own):.2f}",
                f"{median([report['memory'] for report in own]):.0f}",
            ]
        )
    print_table(
        f"{network} GAN, batch {BATCH_SIZE}, {NUM_THREADS} threads, {rounds} processes each, "
        f"{NUM_EPOCHS - 1} epochs of {STEPS_PER_EPOCH[network]} steps a process",
        ["", "ms/step", "/ tutorial", "best", "peak memory, MB"],
        rows,
    )


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=[*EVENT_SHAPES, "both"], default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--side", choices=SIDES.values(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        work(options.side, options.network)
        return
    sides = {k: v for k, v in SIDES.items() if not (options.without_torch and v.startswith("torch"))}
    print(hardware("tensorflow", "keras", *([] if options.without_torch else ["torch"])))
    for network in EVENT_SHAPES if options.network == "both" else [options.network]:
        compare(network, options.rounds, sides)


if __name__ == "__main__":
    main()
