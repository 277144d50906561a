"""Time of `fit`, `evaluate` and `predict` of a few rows, as in notebooks and tuners, beside Keras' own.

The same dense autoencoder as a `keras.Model` with Keras' loops and as ours, alternately in one run: the
first call of each and the medians of many later ones.

    python tests/benchmarks/small_fits.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np

import keras_genmod as kg

ROWS, SIDE = 64, 16


def networks() -> tuple[keras.Model, keras.Model]:
    encoder = keras.Sequential([keras.Input((SIDE,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4)])
    decoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(SIDE)])
    return encoder, decoder


def plain() -> keras.Model:
    encoder, decoder = networks()
    x = keras.Input((SIDE,))
    model = keras.Model(x, decoder(encoder(x)))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def ours() -> keras.Model:
    encoder, decoder = networks()
    model = kg.Autoencoder((SIDE,), latent_dim=4, encoder=encoder, decoder=decoder)
    model.compile("adam")
    return model


def seconds(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    x = (np.random.default_rng(0).random((ROWS, SIDE)) < 0.5).astype("float32")
    models = {"keras": plain(), "keras_genmod": ours()}
    calls = {
        "fit": {
            name: lambda m=m, n=name: m.fit(x, x if n == "keras" else None, verbose=0)
            for name, m in models.items()
        },
        "evaluate": {
            name: lambda m=m, n=name: m.evaluate(x, x if n == "keras" else None, verbose=0)
            for name, m in models.items()
        },
        "predict": {name: lambda m=m: m.predict(x[:40], verbose=0) for name, m in models.items()},
    }
    print(f"{ROWS} rows; seconds: first call, median of 21 later ones, ratio of medians")
    for what, by_name in calls.items():
        first = {name: seconds(call) for name, call in by_name.items()}
        later = {name: [] for name in by_name}
        for _ in range(21):
            for name, call in by_name.items():
                later[name].append(seconds(call))
        medians = {name: statistics.median(times) for name, times in later.items()}
        for name in by_name:
            ratio = medians[name] / medians["keras"]
            print(f"{what:9s} {name:13s} {first[name]:.3f} {medians[name]:.4f} {ratio:.2f}")


if __name__ == "__main__":
    main()
