"""A training step of CycleGAN and Pix2Pix through `fit` beside the usual tutorial form and beside PyTorch.

    pip install torch==2.13.0    # the build for CPUs
    python -m tests.benchmarks.translation_step [--model pix2pix] [--rounds 5] [--without-torch]

The tutorial form of CycleGAN is that of Keras' and TensorFlow's tutorials: the generators' four passes of
translation and cycle are made for the generators' losses and once more for the discriminators', under a tape
for each of the four networks. The PyTorch form of Pix2Pix makes the generator's pass once and hands the
discriminator a detached copy. Same layers (networks of this library; their like in PyTorch), batch, Adam and
losses; no pool, no averaged generators, and a row says what the measures of `fit` cost.

Each side has processes of its own, which take turns; each trains for a few epochs and reports the median.
Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.common import (
    hardware,
    median,
    peak_memory_mb,
    print_steps,
    take_turns,
    write_report,
)

SIDE = {"cycle_gan": 32, "pix2pix": 64}
BATCH_SIZE = 4
FILTERS = 32
NUM_BLOCKS = 6
STEPS_PER_EPOCH, NUM_EPOCHS = 10, 4
NUM_THREADS = len(os.sched_getaffinity(0))
SIDES = {
    "cycle_gan": {"tutorial form": ["tutorial"], "keras_genmod, fit": ["fit"]},
    "pix2pix": {"PyTorch": ["torch"], "keras_genmod, fit": ["fit"]},
}


def pictures(model: str, seed: int) -> np.ndarray:
    side, rows = SIDE[model], STEPS_PER_EPOCH * BATCH_SIZE
    return np.random.default_rng(seed).uniform(-1, 1, (rows, side, side, 3)).astype("float32")


def fit_epochs(model: str) -> Callable[[], float]:
    """A function that trains for one epoch through `fit`."""
    import keras_genmod as kg

    a, b = pictures(model, 0), pictures(model, 1)
    shape = a.shape[1:]
    options: dict[str, Any] = {"filters": FILTERS, "receptive_field": 34, "ema_decay": None, "seed": 0}
    if model == "cycle_gan":
        made: Any = kg.CycleGAN(shape, shape, num_blocks=NUM_BLOCKS, pool_size=0, **options)
        data: tuple = ({"a": a, "b": b},)
    else:
        made, data = kg.Pix2Pix(shape, shape, **options), (a, b)
    made.compile()
    return lambda: made.fit(*data, batch_size=BATCH_SIZE, epochs=1, verbose=0).history["loss"][0]


def tutorial_epochs(model: str) -> Callable[[], float]:
    """A function that trains a CycleGAN for one epoch by the usual step."""
    import keras
    import tensorflow as tf

    import keras_genmod as kg

    a, b = pictures(model, 0), pictures(model, 1)
    shape = a.shape[1:]
    generators = [
        kg.networks.residual_translator(shape, shape, filters=FILTERS, num_blocks=NUM_BLOCKS, seed=seed)
        for seed in (0, 1)
    ]
    critics = [
        kg.networks.patch_critic(shape, receptive_field=34, filters=FILTERS, seed=seed) for seed in (2, 3)
    ]
    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(4)]
    mean = keras.metrics.Mean()

    def square(x: Any, target: float) -> Any:
        return tf.reduce_mean(tf.square(x - target))

    def distance(x: Any, y: Any) -> Any:
        return tf.reduce_mean(tf.abs(x - y))

    def translations(real_a: Any, real_b: Any) -> tuple:
        fake_b, fake_a = generators[0](real_a, training=True), generators[1](real_b, training=True)
        cycled_a, cycled_b = generators[1](fake_b, training=True), generators[0](fake_a, training=True)
        return fake_a, fake_b, cycled_a, cycled_b

    @tf.function
    def step(real_a: Any, real_b: Any) -> None:
        with tf.GradientTape() as tape_ab, tf.GradientTape() as tape_ba:
            fake_a, fake_b, cycled_a, cycled_b = translations(real_a, real_b)
            same_a, same_b = generators[1](real_a, training=True), generators[0](real_b, training=True)
            cycle = 10.0 * (distance(real_a, cycled_a) + distance(real_b, cycled_b))
            adversarial = [
                0.5 * square(critics[i](x, training=True), 1.0) for i, x in ((1, fake_b), (0, fake_a))
            ]
            loss_ab = adversarial[0] + cycle + 5.0 * distance(real_b, same_b)
            loss_ba = adversarial[1] + cycle + 5.0 * distance(real_a, same_a)
        for tape, loss, network, optimizer in (
            (tape_ab, loss_ab, generators[0], optimizers[0]),
            (tape_ba, loss_ba, generators[1], optimizers[1]),
        ):
            weights = network.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        fake_a, fake_b, _, _ = translations(real_a, real_b)
        for critic, real, fake, optimizer in (
            (critics[0], real_a, fake_a, optimizers[2]),
            (critics[1], real_b, fake_b, optimizers[3]),
        ):
            with tf.GradientTape() as tape:
                loss = 0.25 * (
                    square(critic(real, training=True), 1.0) + square(critic(fake, training=True), 0.0)
                )
            weights = critic.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        mean.update_state(loss_ab + loss_ba)

    data = tf.data.Dataset.from_tensor_slices((a, b)).shuffle(len(a)).batch(BATCH_SIZE).prefetch(2)

    def epoch() -> float:
        for batch in data:
            step(*batch)
        return float(mean.result())

    return epoch


def torch_epochs(model: str) -> Callable[[], float]:
    """A function that trains a Pix2Pix for one epoch in PyTorch."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

    torch.set_num_threads(NUM_THREADS)

    def normalized(channels: int) -> nn.Module:
        return nn.InstanceNorm2d(channels, affine=True)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [FILTERS * min(2**level, 8) for level in range(5)]
            inputs = [3, *widths[:-1]]
            self.down = nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(one, width, 4, 2, 1, bias=level == 0),
                    *([normalized(width)] if level else []),
                    nn.LeakyReLU(0.2) if level < 4 else nn.ReLU(),
                )
                for level, (one, width) in enumerate(zip(inputs, widths, strict=True))
            )
            self.up = nn.ModuleList(
                nn.Sequential(
                    nn.ConvTranspose2d(
                        widths[level + 1] * (1 if level == 3 else 2), widths[level], 4, 2, 1, bias=False
                    ),
                    normalized(widths[level]),
                    nn.ReLU(),
                )
                for level in (3, 2, 1, 0)
            )
            self.last = nn.ConvTranspose2d(2 * widths[0], 3, 4, 2, 1)

        def forward(self, x: Any) -> Any:
            skips = []
            for layer in self.down:
                x = layer(x)
                skips.append(x)
            for layer, skip in zip(self.up, skips[-2::-1], strict=True):
                x = torch.cat([layer(x), skip], 1)
            return torch.tanh(self.last(x))

    generator = UNet()
    critic = nn.Sequential(
        *(nn.Conv2d(6, FILTERS, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(FILTERS, 2 * FILTERS, 4, 2, 1, bias=False), normalized(2 * FILTERS), nn.LeakyReLU(0.2)),
        nn.Conv2d(2 * FILTERS, 4 * FILTERS, 4, 1, "same", bias=False),
        *(normalized(4 * FILTERS), nn.LeakyReLU(0.2), nn.Conv2d(4 * FILTERS, 1, 4, 1, "same")),
    )
    optimizers = [
        torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999)) for network in (generator, critic)
    ]
    a, b = (torch.from_numpy(pictures(model, seed)).permute(0, 3, 1, 2).contiguous() for seed in (0, 1))

    def cross_entropy(logits: Any, target: float) -> Any:
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    def epoch() -> float:
        total = 0.0
        for part in torch.randperm(len(a)).split(BATCH_SIZE):
            source, target = a[part], b[part]
            fake = generator(source)
            optimizers[1].zero_grad()
            loss = cross_entropy(critic(torch.cat([target, source], 1)), 1.0)
            loss = 0.5 * (loss + cross_entropy(critic(torch.cat([fake.detach(), source], 1)), 0.0))
            loss.backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            loss = cross_entropy(critic(torch.cat([fake, source], 1)), 1.0) + 100.0 * l1_loss(fake, target)
            loss.backward()
            optimizers[0].step()
            total += float(loss)
        return total / STEPS_PER_EPOCH

    return epoch


def measure(model: str, side: str) -> None:
    """Trains in this process and writes the report."""
    epochs = {"fit": fit_epochs, "tutorial": tutorial_epochs, "torch": torch_epochs}[side](model)
    loss = epochs()
    times = []
    for _ in range(NUM_EPOCHS):
        started = time.perf_counter()
        loss = epochs()
        times.append((time.perf_counter() - started) / STEPS_PER_EPOCH * 1e3)
    write_report({"step": median(times), "best": min(times), "memory": peak_memory_mb(), "loss": loss})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("side", nargs="?", choices=["fit", "tutorial", "torch"], help=argparse.SUPPRESS)
    parser.add_argument("--model", choices=SIDES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true")
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.model, arguments.side)
        return
    print(hardware("keras", "tensorflow", *([] if arguments.without_torch else ["torch"])))
    for model in [arguments.model] if arguments.model else list(SIDES):
        sides = {
            name: own
            for name, own in SIDES[model].items()
            if not (arguments.without_torch and own == ["torch"])
        }
        reports = take_turns("tests.benchmarks.translation_step", sides, arguments.rounds, "--model", model)
        side = SIDE[model]
        title = f"{model}, {side}x{side} pictures, batch {BATCH_SIZE}, {FILTERS} filters"
        print_steps(title, reports, next(reversed(sides)))


if __name__ == "__main__":
    main()
