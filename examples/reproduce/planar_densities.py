"""Spline flows on eight densities in the plane, compared with a kernel density estimate and a mixture.

    python examples/reproduce/planar_densities.py [--minutes 1.5]

Trains an autoregressive spline flow on 20,000 points of each density for the given time, and prints the mean
log-likelihood of 10,000 test points in nats, together with those of a kernel density estimate (bandwidth
chosen on 2,000 validation points) and of a mixture of 50 normal distributions with full covariances. The
picture has one column per density: data, the flow's density, its samples.

Reference: Neural Spline Flows, Durkan, Bekasov, Murray and Papamakarios, 2019.
"""

import argparse
from pathlib import Path

import keras
import matplotlib
import numpy as np
from density_training import CosineOverTime, write_rows

import keras_genmod as kg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BANDWIDTHS = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28)


def flow_of(train, valid, minutes):
    """The trained flow."""
    model = kg.NeuralSplineFlow(
        (2,), num_layers=4, autoregressive=True, num_bins=16, hidden_dims=(128, 128), seed=0
    )
    model.compile(keras.optimizers.Adam(2e-3, global_clipnorm=5.0), steps_per_execution=10)
    model.fit(train, batch_size=512, epochs=10_000, verbose=0, callbacks=[CosineOverTime(minutes)])
    return model


def kernels_of(train, valid):
    """The kernel density estimate with the bandwidth that is best on the validation points."""
    best = None
    for bandwidth in BANDWIDTHS:
        model = kg.KernelDensity((2,), bandwidth=bandwidth)
        model.compile()
        model.fit(train, verbose=0)
        score = float(np.mean(model.log_prob(valid)))
        if best is None or score > best[0]:
            best = score, model
    return best[1]


def mixture_of(train, valid):
    """The mixture after 100 iterations of expectation maximisation."""
    model = kg.GaussianMixture((2,), num_components=50, seed=0)
    model.compile()
    model.fit(train, epochs=100, verbose=0)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.5, help="training time of each flow")
    parser.add_argument("--output", default="reproduce_output/planar")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    rows, columns = [], []
    for name in kg.data.PLANAR_SETS:
        train, valid, test = (
            kg.data.planar(name, count, seed=seed) for seed, count in enumerate((20_000, 2_000, 10_000))
        )
        models = {
            "spline flow": flow_of(train, valid, arguments.minutes),
            "kernel density": kernels_of(train, valid),
            "mixture of 50": mixture_of(train, valid),
        }
        scores = {key: round(float(np.mean(model.log_prob(test))), 3) for key, model in models.items()}
        rows.append({"density": name, **scores})
        print(rows[-1], flush=True)
        columns.append((name, test, *pictured(models["spline flow"])))
    write_rows(output / "result.csv", rows)
    plot(columns, output / "planar_densities.png")


def pictured(model, points=160):
    """The density on a grid, and samples."""
    side = np.linspace(-4.5, 4.5, points, dtype="float32")
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = np.exp(model.log_prob(grid).numpy()).reshape(points, points)
    return density, model.sample(10_000, seed=0).numpy()


def plot(columns, path):
    """Draws one column per density: data, the model's density, samples."""
    figure, axes = plt.subplots(3, len(columns), figsize=(1.4 * len(columns), 4.3), constrained_layout=True)
    extent = (-4.5, 4.5, -4.5, 4.5)
    for (name, data, density, samples), (top, middle, bottom) in zip(columns, axes.T, strict=True):
        top.set_title(name.replace("_", " "), fontsize=8)
        for panel, points in ((top, data), (bottom, samples)):
            panel.hist2d(*points.T, bins=110, range=(extent[:2], extent[2:]), cmap="viridis")
        middle.imshow(density, origin="lower", extent=extent, cmap="viridis")
        for panel in (top, middle, bottom):
            panel.set(xticks=[], yticks=[], aspect="equal")
    for panel, label in zip(axes[:, 0], ("data", "density", "samples"), strict=True):
        panel.set_ylabel(label, fontsize=8)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
