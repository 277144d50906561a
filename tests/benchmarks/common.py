"""What the benchmarks share: data of MNIST's shape, tables, and the line that names the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "EVENT_SHAPES",
    "binary_images",
    "hardware",
    "median",
    "peak_memory_mb",
    "print_steps",
    "print_table",
    "run_python",
    "run_text",
    "take_turns",
    "write_report",
]

# The two kinds of default networks.
EVENT_SHAPES = {"dense": (784,), "convolutional": (28, 28, 1)}

_ROOT = Path(__file__).resolve().parents[2]


def hardware(*packages: str) -> str:
    """The number of cores and the versions of the packages compared."""
    cores = len(os.sched_getaffinity(0))
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return ", ".join(
        [f"{cores} cores ({platform.machine()})", f"Python {platform.python_version()}", *versions]
    )


def binary_images(num_images: int, event_shape: Sequence[int], source: str = "random") -> np.ndarray:
    """Images of zeros and ones, float32 `[num_images, *event_shape]`: random, or binarised MNIST."""
    if source == "mnist":
        from keras_genmod.data import load

        images = load("binarized_mnist")["train"][:num_images]
    else:
        images = np.random.default_rng(0).random((num_images, 784)) < 0.13
    return images.reshape(-1, *event_shape).astype("float32")


def median(values: Sequence[float]) -> float:
    """The middle value: one disturbed measurement does not move it."""
    return statistics.median(values)


def peak_memory_mb() -> float:
    """The most memory that this process has had, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A plain table; numbers stand to the right."""
    cells = [list(map(str, header)), *[list(map(str, row)) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        first, *rest = [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join([first, *rest]))
        if number == 0:
            print("  ".join("-" * width for width in widths))
    sys.stdout.flush()


def run_text(*arguments: str, errors: bool = False) -> str:
    """Runs Python in a process of its own and returns its output, or what it wrote to the error stream."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Or the package would be compiled anew at each import, which no installed one is.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process = subprocess.run(
        [sys.executable, *arguments], cwd=_ROOT, env=environment, capture_output=True, text=True
    )
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{process.stderr}")
    return process.stderr if errors else process.stdout


def run_python(*arguments: str) -> Any:
    """Runs Python in a process of its own and returns what it wrote last, as JSON."""
    return json.loads(run_text(*arguments).splitlines()[-1])


def write_report(report: dict) -> None:
    """Hands figures to the process that called `run_python`, as one line of JSON."""
    print(json.dumps(report), flush=True)


def take_turns(
    module: str, sides: Mapping[str, Sequence[str]], rounds: int, *arguments: str
) -> dict[str, list]:
    """Reports of each side by its name: in every round each side has a process of its own, in turn."""
    reports = {name: [] for name in sides}
    for _ in range(rounds):
        for name, own in sides.items():
            reports[name].append(run_python("-m", module, *own, *arguments))
    return reports


def print_steps(title: str, reports: Mapping[str, Sequence[dict]], yardstick: str) -> None:
    """A table of the sides' `step` and `best` (ms), `memory` (MB) and `loss`, medians over processes."""

    def middle(name: str, figure: str) -> float:
        return median([report[figure] for report in reports[name]])

    rows = [
        [
            name,
            f"{middle(name, 'step'):.2f}",
            f"{middle(name, 'step') / middle(yardstick, 'step'):.3f}",
            f"{min(report['best'] for report in own):.2f}",
            f"{middle(name, 'memory'):.0f}",
            f"{middle(name, 'loss'):.2f}",
        ]
        for name, own in reports.items()
    ]
    print_table(title, ["", "ms/step", f"/ {yardstick}", "best", "peak memory, MB", "loss"], rows)
