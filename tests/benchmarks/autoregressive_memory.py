"""What autoregressive models take of memory at most, each case in a process of its own.

    python -m tests.benchmarks.autoregressive_memory [--cases nade_train nade_sample] [--rows 10000]

784 binary variables: NADE (500 hidden units) trains for some steps of 100 rows, samples, and gives densities;
MADE (500 and 8000 hidden units) samples. `before` is the most that the process had when the model was built,
libraries included. Aim: under 2 GB.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import keras_genmod as kg
from tests.benchmarks.common import (
    binary_images,
    hardware,
    peak_memory_mb,
    print_table,
    run_python,
    write_report,
)

EVENT_SHAPE = (784,)
BATCH_SIZE = 100
TRAINING_STEPS = 20


def nade() -> kg.NADE:
    """NADE with 500 hidden units."""
    return kg.NADE(EVENT_SHAPE, hidden_dim=500, seed=1)


def made(units: int) -> kg.MADE:
    """MADE with one hidden layer."""
    return kg.MADE(EVENT_SHAPE, hidden_dims=(units,), seed=1)


def train(model: kg.NADE, num_rows: int) -> None:
    """Some steps of `fit`, however many rows are asked for elsewhere."""
    model.compile()
    images = binary_images(TRAINING_STEPS * BATCH_SIZE, EVENT_SHAPE)
    model.fit(images, batch_size=BATCH_SIZE, verbose=0)


def sample(model: kg.NADE | kg.MADE, num_rows: int) -> None:
    """Samples; the last row is looked at, so that all are there."""
    model.sample(num_rows, seed=1)[-1].numpy()


def log_prob(model: kg.NADE, num_rows: int) -> None:
    """Densities of so many rows."""
    values = model.log_prob(binary_images(num_rows, EVENT_SHAPE)).numpy()
    if not np.isfinite(values).all():
        raise RuntimeError("All log-densities must be finite; some are not.")


CASES = {
    "nade_train": (nade, train, "NADE (500), {steps} training steps of {batch} rows"),
    "nade_sample": (nade, sample, "NADE (500), sample {rows:,} rows"),
    "made_sample": (lambda: made(500), sample, "MADE (500), sample {rows:,} rows"),
    "made_8000_sample": (lambda: made(8000), sample, "MADE (8000), sample {rows:,} rows"),
    "nade_log_prob": (nade, log_prob, "NADE (500), log_prob of {rows:,} rows"),
}


def work(case: str, num_rows: int) -> None:
    """One process: builds, does its case, and reports."""
    build, act, _ = CASES[case]
    model = build()
    before = peak_memory_mb()
    start = time.perf_counter()
    act(model, num_rows)
    write_report({"seconds": time.perf_counter() - start, "before": before, "peak": peak_memory_mb()})


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        work(options.case, options.rows)
        return
    print(hardware("tensorflow", "keras"))
    rows = []
    for case in options.cases:
        arguments = (f"--case={case}", f"--rows={options.rows}")
        report = run_python("-m", "tests.benchmarks.autoregressive_memory", *arguments)
        title = CASES[case][-1].format(rows=options.rows, steps=TRAINING_STEPS, batch=BATCH_SIZE)
        rows.append(
            [title, *(f"{report[key]:.0f}" for key in ("before", "peak")), f"{report['seconds']:.1f}"]
        )
    print_table(f"Peak memory, {EVENT_SHAPE[0]} variables", ["", "MB before", "MB at peak", "seconds"], rows)


if __name__ == "__main__":
    main()
