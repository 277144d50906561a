"""How long training pauses between two epochs of `fit` on arrays.

    python -m tests.benchmarks.epoch_boundary [--epochs 12] [--rounds 5]

A dense VAE on 60,000 images of 784 floats. The pause lasts from the end of an epoch's last step to the
beginning of the next epoch's second: the first step of an epoch waits for its data, so what it takes longer
than the other steps belongs to the pause. Beside it stands Keras' own `fit` on the same arrays, through the
same model. The last row has no callback to read the clock: as many steps are run in several epochs and in one
long epoch, by turns, and the difference is divided among the pauses; it is as sharp as the machine is quiet.
Aim: under 2% of an epoch of a second or longer.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_genmod as kg
from tests.benchmarks.common import binary_images, hardware, median, print_table

NUM_IMAGES = 60_000
BATCH_SIZE = 128


class Watch(keras.callbacks.Callback):
    """Measures epochs, steps, and the pause between two epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[float] = []
        self.pauses: list[float] = []
        self._last_step: float | None = None
        self._steps: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        self._steps = []

    def on_train_batch_end(self, batch, logs=None):
        self._steps.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        steps = np.diff(self._steps)
        if self._last_step is not None:
            self.pauses.append(self._steps[0] - self._last_step - float(np.median(steps)))
            self.epochs.append(self._steps[-1] - self._last_step)
        self._last_step = self._steps[-1]


class KerasFit(kg.VAE):
    """The same model with Keras' own `fit`."""

    def fit(self, *args, **kwargs):
        return keras.Model.fit(self, *args, **kwargs)


def watched(family: type, images: np.ndarray, num_epochs: int) -> list[str]:
    """Epoch, median and longest pause, and the pause's share, read by a callback."""
    model = make_model(family)
    watch = Watch()
    # Two epochs more: the first is slower, and the last has no pause behind it.
    model.fit(images, batch_size=BATCH_SIZE, epochs=num_epochs + 2, verbose=0, callbacks=[watch])
    pauses, epochs = watch.pauses[1:], watch.epochs[1:]
    shares = [pause / epoch for pause, epoch in zip(pauses, epochs, strict=True)]
    return [
        f"{median(epochs):.2f}",
        f"{median(pauses) * 1e3:.1f}",
        f"{max(pauses) * 1e3:.1f}",
        f"{median(shares):.2%}",
    ]


def unwatched(images: np.ndarray, num_epochs: int, rounds: int) -> list[str]:
    """The same without a callback: several epochs beside one as long as all."""
    model = make_model(kg.VAE)
    steps = -(-NUM_IMAGES // BATCH_SIZE)

    def seconds(epochs: int) -> float:
        start = time.perf_counter()
        model.fit(
            images,
            batch_size=BATCH_SIZE,
            epochs=epochs,
            steps_per_epoch=steps * num_epochs // epochs,
            verbose=0,
        )
        return time.perf_counter() - start

    seconds(num_epochs)
    pairs = [(seconds(num_epochs), seconds(1)) for _ in range(rounds)]
    epoch = median([several for several, _ in pairs]) / num_epochs
    pauses = [(several - one) / (num_epochs - 1) for several, one in pairs]
    pause = median(pauses)
    return [f"{epoch:.2f}", f"{pause * 1e3:.1f}", f"{max(pauses) * 1e3:.1f}", f"{pause / epoch:.2%}"]


def make_model(family: type) -> kg.VAE:
    """A compiled dense VAE."""
    model = family((784,), latent_dim=32, seed=1)
    model.compile()
    return model


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5, help="of the row without a callback")
    options = parser.parse_args()
    print(hardware("tensorflow", "keras"))
    images = binary_images(NUM_IMAGES, (784,))
    rows = [
        ["fit", *watched(kg.VAE, images, options.epochs)],
        ["Keras' own fit", *watched(KerasFit, images, options.epochs)],
        ["fit without callbacks", *unwatched(images, options.epochs, options.rounds)],
    ]
    print_table(
        f"{NUM_IMAGES:,} images, batch {BATCH_SIZE}, {options.epochs} epochs",
        ["", "epoch, s", "pause, ms", "longest, ms", "share"],
        rows,
    )


if __name__ == "__main__":
    main()
