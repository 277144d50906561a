"""Mixtures and kernel densities of points in the plane: `python examples/mixture_models.py`.

Chooses the number of normal distributions by the Bayesian information criterion on the training points, and
the width of a kernel density by the log-density of validation points. Compares both with a mixture of two and
with Scott's rule on test points, and draws the four densities in `mixture_models_output/densities.png`.
`--gallery` also updates the picture in `examples/gallery/`.
"""

import quiet_start  # isort: skip

import sys
import time
from pathlib import Path

import matplotlib
import numpy as np

import keras_genmod as kg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path("mixture_models_output")
GALLERY = Path(__file__).parent / "gallery" / "mixture_models.png"
COMPONENTS = (2, 4, 8, 16, 32)
BANDWIDTHS = (0.05, 0.1, 0.15, 0.2, 0.3)
SIDE = 3.5


def main():
    train, valid, test = (kg.data.planar("moons", 2_000, seed=seed) for seed in range(3))

    mixtures = {
        count: fitted(kg.GaussianMixture((2,), num_components=count, seed=0), train) for count in COMPONENTS
    }
    print("normal distributions: " + ", ".join(f"{k}: BIC {m.bic(train):.0f}" for k, m in mixtures.items()))
    best_count = min(mixtures, key=lambda count: mixtures[count].bic(train))

    kernels = {
        width: fitted(kg.KernelDensity((2,), bandwidth=width), train) for width in (*BANDWIDTHS, "scott")
    }
    print("widths: " + ", ".join(f"{w}: {mean_nats(m, valid):.2f} nats" for w, m in kernels.items()))
    best_width = max(BANDWIDTHS, key=lambda width: mean_nats(kernels[width], valid))

    chosen = {
        "2 normals": mixtures[2],
        f"{best_count} normals": mixtures[best_count],
        "kernels, Scott's rule": kernels["scott"],
        f"kernels, width {best_width}": kernels[best_width],
    }
    print("\nmean log-density of test points, nats")
    for name, model in chosen.items():
        print(f"  {name:<24}{mean_nats(model, test):6.2f}")
    draw(train, chosen)
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def fitted(model, x):
    """Trains a model and returns it; a kernel density needs one epoch, which stores the points."""
    model.compile()
    model.fit(x, epochs=1 if isinstance(model, kg.KernelDensity) else 50, verbose=0)
    return model


def mean_nats(model, x):
    return float(np.mean(model.log_prob(x)))


def draw(points, models):
    """One panel with the points, and one for each model's density."""
    side = np.linspace(-SIDE, SIDE, 100, dtype="float32")
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    figure, axes = plt.subplots(
        1, len(models) + 1, figsize=(2.2 * (len(models) + 1), 2.4), layout="constrained"
    )
    axes[0].plot(*points.T, ".", markersize=1)
    axes[0].set(title="data", aspect="equal")
    for axis, (name, model) in zip(axes[1:], models.items(), strict=True):
        density = np.exp(model.log_prob(grid)).reshape(len(side), len(side))
        axis.imshow(density, origin="lower", extent=(-SIDE, SIDE, -SIDE, SIDE))
        axis.set(title=name)
    for axis in axes:
        axis.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE), xticks=[], yticks=[])
    OUTPUT.mkdir(exist_ok=True)
    for path in (OUTPUT / "densities.png", *[GALLERY] * ("--gallery" in sys.argv)):
        figure.savefig(path, dpi=56)
        print(f"Wrote {path}")


if __name__ == "__main__":
    main()
