"""How long training pauses between two epochs of `fit` on arrays.

    python -m tests.benchmarks.epoch_boundary [--epochs 12]

A dense VAE on 60,000 images of 784 floats. The pause lasts from the end of an epoch's last step to the
beginning of the next epoch's second: the first step of an epoch waits for its data, so what it takes longer
than the other steps belongs to the pause. Beside it stands Keras' own `fit` on the same arrays, through the
same model. Aim: under 2% of an epoch of a second or longer.
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


def main() -> None:
    """Measures both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    print(hardware("tensorflow", "keras"))
    images = binary_images(NUM_IMAGES, (784,))
    rows = []
    for name, family in (("fit", kg.VAE), ("Keras' own fit", KerasFit)):
        model = family((784,), latent_dim=32, seed=1)
        model.compile()
        watch = Watch()
        # Two epochs more: the first is slower, and the last has no pause behind it.
        model.fit(images, batch_size=256, epochs=options.epochs + 2, verbose=0, callbacks=[watch])
        pauses, epochs = watch.pauses[1:], watch.epochs[1:]
        shares = [pause / epoch for pause, epoch in zip(pauses, epochs, strict=True)]
        rows.append(
            [
                name,
                f"{median(epochs):.2f}",
                f"{median(pauses) * 1e3:.1f}",
                f"{max(pauses) * 1e3:.1f}",
                f"{median(shares):.2%}",
            ]
        )
    print_table(
        f"{NUM_IMAGES:,} images, {options.epochs} epochs",
        ["", "epoch, s", "pause, ms", "longest, ms", "share"],
        rows,
    )


if __name__ == "__main__":
    main()
