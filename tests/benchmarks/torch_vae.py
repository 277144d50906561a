"""A training step of the VAE through `fit` beside the same step in PyTorch, eager, on the CPU.

    pip install torch==2.13.0    # the build for CPUs
    python -m tests.benchmarks.torch_vae [--network dense] [--data mnist] [--rounds 5]

Both libraries want all cores, so each side has processes of its own, which take turns; every process trains
for a few epochs and reports its median. Same layers and widths, batch, optimizer (Adam), objective, sums for
the same means, and number of threads. PyTorch pads strided convolutions on both sides where TensorFlow pads
one; the work is the same. `loss` is the mean of the last epoch: all sides must have learnt the same. Memory
is the most that a process had, libraries included. Run it on an idle machine: beside other
work, PyTorch's steps were measured many times slower, which says nothing about either library.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable

import numpy as np

from tests.benchmarks.common import (
    EVENT_SHAPES,
    binary_images,
    hardware,
    median,
    peak_memory_mb,
    print_table,
    run_python,
    write_report,
)

BATCH_SIZE = 128
LATENT_DIM = 32
NUM_THREADS = len(os.sched_getaffinity(0))
STEPS_PER_EPOCH = {"dense": 200, "convolutional": 50}
NUM_EPOCHS = 6
SIDES = {
    "PyTorch": ("torch", "--fused=no"),
    "PyTorch, Adam(fused=True)": ("torch", "--fused=yes"),
    "keras_genmod, fit": ("tensorflow", "--steps-per-execution=1"),
    "keras_genmod, fit, 10 steps per execution": ("tensorflow", "--steps-per-execution=10"),
}


def torch_networks(network: str):
    """Encoder and decoder like the default networks, ending in flat outputs."""
    from torch import nn

    if network == "dense":
        sizes = (784, 512, 256, 2 * LATENT_DIM)
        encoder, decoder = (
            [
                layer
                for pair in zip(widths, widths[1:], strict=False)
                for layer in (nn.Linear(*pair), nn.ReLU())
            ][:-1]
            for widths in (sizes, (LATENT_DIM, *sizes[-2::-1]))
        )
        return nn.Sequential(*encoder), nn.Sequential(*decoder)
    encoder = nn.Sequential(
        *(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(7 * 7 * 64, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT_DIM)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(LATENT_DIM, 256), nn.ReLU(), nn.Linear(256, 7 * 7 * 64), nn.ReLU()),
        *(nn.Unflatten(1, (64, 7, 7)), nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1)),
        *(nn.ReLU(), nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1)),
    )
    return encoder, decoder


def torch_epoch(network: str, images: np.ndarray, fused: bool) -> Callable[[], float]:
    """A function that trains for one epoch in PyTorch and returns the mean loss."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, softplus

    torch.set_num_threads(NUM_THREADS)
    torch.manual_seed(0)
    encoder, decoder = torch_networks(network)
    optimizer = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], lr=1e-3, eps=1e-7, fused=fused
    )
    shape = (784,) if network == "dense" else (1, 28, 28)
    data = torch.from_numpy(images.reshape(-1, *shape))
    shift = math.log(math.e - 1)

    def step(x, sums, latent_sums) -> None:
        mean, raw_scale = encoder(x).chunk(2, dim=-1)
        scale = softplus(raw_scale + shift) + 1e-5
        logits = decoder(mean + scale * torch.randn_like(scale))
        reconstruction = binary_cross_entropy_with_logits(logits, x, reduction="sum")
        divergence = 0.5 * (mean.square() + scale.square() - 1) - scale.log()
        kl = divergence.sum()
        total = reconstruction + kl
        optimizer.zero_grad()
        (total / len(x)).backward()
        optimizer.step()
        with torch.no_grad():
            sums += torch.stack([total, reconstruction, kl])
            latent_sums += torch.stack([mean.sum(0), mean.square().sum(0), divergence.sum(0)])

    def epoch() -> float:
        sums, latent_sums = (torch.zeros(shape, dtype=torch.float64) for shape in (3, (3, LATENT_DIM)))
        for rows in torch.randperm(len(data)).split(BATCH_SIZE):
            step(data[rows], sums, latent_sums)
        return float(sums[0]) / len(data)

    return epoch


def torch_worker(network: str, images: np.ndarray, fused: bool) -> tuple[list[float], float]:
    """Seconds of each epoch in PyTorch, and the loss of the last."""
    epoch = torch_epoch(network, images, fused)
    seconds = []
    for _ in range(NUM_EPOCHS):
        start = time.perf_counter()
        loss = epoch()
        seconds.append(time.perf_counter() - start)
    return seconds, loss


def tensorflow_worker(images: np.ndarray, steps_per_execution: int) -> tuple[list[float], float]:
    """Seconds of each epoch of `fit`, and the loss of the last."""
    import keras
    import tensorflow as tf

    import keras_genmod as kg

    tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
    seconds = []

    class EpochClock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.start)

    model = kg.VAE(images.shape[1:], latent_dim=LATENT_DIM, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=steps_per_execution)
    history = model.fit(images, batch_size=BATCH_SIZE, epochs=NUM_EPOCHS, callbacks=[EpochClock()], verbose=0)
    return seconds, history.history["loss"][-1]


def work(options: argparse.Namespace) -> None:
    """One process: trains, and reports."""
    steps = STEPS_PER_EPOCH[options.network]
    images = binary_images(steps * BATCH_SIZE, EVENT_SHAPES[options.network], options.data)
    if options.worker == "torch":
        seconds, loss = torch_worker(options.network, images, options.fused == "yes")
    else:
        seconds, loss = tensorflow_worker(images, options.steps_per_execution)
    # The first epoch traces and warms up.
    step = [second / steps * 1e3 for second in seconds[1:]]
    write_report({"step": median(step), "best": min(step), "loss": loss, "memory": peak_memory_mb()})


def compare(network: str, source: str, rounds: int) -> None:
    """Lets the processes take turns and prints the table."""
    reports = {name: [] for name in SIDES}
    for _ in range(rounds):
        for name, (worker, option) in SIDES.items():
            arguments = [f"--worker={worker}", option, f"--network={network}", f"--data={source}"]
            reports[name].append(run_python("-m", "tests.benchmarks.torch_vae", *arguments))
    yardstick = median([report["step"] for report in reports["PyTorch"]])
    rows = []
    for name, own in reports.items():
        step = median([report["step"] for report in own])
        rows.append(
            [
                name,
                f"{step:.3f}",
                f"{step / yardstick:.3f}",
                f"{min(report['best'] for report in own):.3f}",
                f"{median([report['memory'] for report in own]):.0f}",
                f"{median([report['loss'] for report in own]):.1f}",
            ]
        )
    print_table(
        f"{network} VAE, batch {BATCH_SIZE}, {NUM_THREADS} threads, {rounds} processes each, "
        f"{NUM_EPOCHS - 1} epochs of {STEPS_PER_EPOCH[network]} steps a process",
        ["", "ms/step", "/ PyTorch", "best", "peak memory, MB", "loss"],
        rows,
    )


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=[*EVENT_SHAPES, "both"], default="both")
    parser.add_argument("--data", choices=["random", "mnist"], default="random")
    parser.add_argument("--rounds", type=int, default=5)
    for argument in ("--worker", "--fused", "--steps-per-execution"):
        kind = int if argument == "--steps-per-execution" else str
        parser.add_argument(argument, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options)
        return
    print(hardware("torch", "tensorflow", "keras", "tensorflow-probability"))
    for network in EVENT_SHAPES if options.network == "both" else [options.network]:
        compare(network, options.data, options.rounds)


if __name__ == "__main__":
    main()
