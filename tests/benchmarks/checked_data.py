"""Time of training steps on a data set whose batches are checked as they come, beside unchecked ones.

The same VAE on the same `tf.data.Dataset` of images, through our `fit` and through Keras' own, which hands
the batches to the same step unchecked; alternately in one run. Each `fit` traces its check, about 0.1 s,
which is counted here over its 400 steps.

    python tests/benchmarks/checked_data.py
"""

from __future__ import annotations

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.training.fitting import Fittable

BATCH, STEPS, ROUNDS = 128, 400, 7


def main() -> None:
    x = (np.random.default_rng(0).random((BATCH * STEPS, 784)) < 0.5).astype("float32")
    data = tf.data.Dataset.from_tensor_slices(x).batch(BATCH).prefetch(2)
    model = kg.VAE((784,), seed=0)
    model.compile()
    # What comes after `Fittable` among the bases: Keras' own `fit`, and our step.
    fits = {"checked": model.fit, "unchecked": super(Fittable, model).fit}
    times = {name: [] for name in fits}
    for _ in range(ROUNDS + 1):
        for name, fit in fits.items():
            start = time.perf_counter()
            fit(data, verbose=0)
            times[name].append((time.perf_counter() - start) / STEPS)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:10s} {1e3 * median:.3f} ms a step, {median / medians['unchecked']:.3f}")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
