"""From a model's constructor to the end of its first `fit` of 64 rows, and what it leaves in memory.

Default models beside a plain `keras.Model`, alternately in one process; the first round, in which libraries
are loaded, is left out. Memory is what the process has more after a model was deleted, given back to the
system before it is read.

    python tests/benchmarks/first_fit.py [rounds]
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg
from tests.benchmarks.common import hardware, median, print_table

ROWS, SIZES = 64, (2, 6, 64)


def plain(size: int) -> keras.Model:
    model = keras.Sequential([keras.Input((size,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(size)])
    model.compile("adam", "mse")
    return model


def ours(make: Callable) -> Callable[[int], keras.Model]:
    def made(size: int) -> keras.Model:
        model = make((size,))
        model.compile()
        return model

    return made


MODELS = {
    "Keras": plain,
    "VAE": ours(lambda shape: kg.VAE(shape, latent_dim=2, likelihood="gaussian")),
    "RealNVP": ours(kg.RealNVP),
    "MAF": ours(kg.MAF),
    "NeuralSplineFlow": ours(kg.NeuralSplineFlow),
}


def resident_mb() -> float:
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def measured(make: Callable[[int], keras.Model], size: int, x: np.ndarray) -> tuple[float, float, float]:
    """Seconds, seconds of the processors, and MB left."""
    before = resident_mb()
    start, work = time.perf_counter(), time.process_time()
    model = make(size)
    model.fit(x, x if type(model) is keras.Sequential else None, verbose=0)
    seconds = time.perf_counter() - start, time.process_time() - work
    del model
    return *seconds, resident_mb() - before


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(hardware("keras", "tensorflow"))
    for size in SIZES:
        x = np.random.default_rng(0).normal(size=(ROWS, size)).astype("float32")
        reports = {name: [] for name in MODELS}
        for number in range(rounds + 1):
            for name, make in MODELS.items():
                report = measured(make, size, x)
                if number:
                    reports[name].append(report)
        middle = {name: [median(each) for each in zip(*own, strict=True)] for name, own in reports.items()}
        rows = [
            [name, f"{s:.2f}", f"{s / middle['Keras'][0]:.2f}", f"{work:.2f}", f"{left:.1f}"]
            for name, (s, work, left) in middle.items()
        ]
        header = ["", "seconds", "/ Keras", "CPU seconds", "MB left"]
        print_table(f"events of ({size},)", header, rows)


if __name__ == "__main__":
    main()
