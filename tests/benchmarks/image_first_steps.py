"""From the constructor to the end of a first step over images of 64 x 64 x 3, and where the time goes.

Seconds of the processors for each part: the constructor, `compile`, the data-dependent initialisation, the
trace of the step in Python, its first execution, in which TensorFlow prunes and compiles the graph, and a
later step, for 16 images.

    python -m tests.benchmarks.image_first_steps
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

import keras_genmod as kg
from tests.benchmarks.common import hardware, median, print_table

SHAPE, ROWS = (64, 64, 3), 16
HEADER = ["", "constructor", "compile", "initialisation", "trace", "first execution", "later step"]


def seconds(function: Callable) -> tuple[float, object]:
    """What a call takes of the processors, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def parts(make: Callable[[], keras.Model], x: np.ndarray) -> Iterator[float]:
    """Seconds of each part, as in `HEADER`."""
    taken, model = seconds(make)
    yield taken
    yield seconds(model.compile)[0]
    initialize = getattr(model, "initialize", None)
    yield 0.0 if initialize is None else seconds(lambda: initialize(x))[0]
    batch = (tf.constant(x),)
    step = tf.function(model.train_step, autograph=False)
    taken, traced = seconds(lambda: step.get_concrete_function(batch))
    yield taken
    yield seconds(lambda: traced(*batch))[0]
    yield median([seconds(lambda: traced(*batch))[0] for _ in range(5)])


def main() -> None:
    print(hardware("keras", "tensorflow"))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (ROWS, *SHAPE)).astype("float32")
    glow = {"dequantization": "uniform", "num_levels": 256, "logit_alpha": 0.05}
    models = {
        "Glow": (lambda: kg.Glow(SHAPE, seed=0, **glow), pixels),
        "DCGAN": (lambda: kg.DCGAN(SHAPE, seed=0), pixels / 127.5 - 1.0),
    }
    rows = [[name, *(f"{part:.1f}" for part in parts(*model))] for name, model in models.items()]
    print_table(f"CPU seconds; {ROWS} images of {SHAPE}", HEADER, rows)


if __name__ == "__main__":
    main()
