"""How a VAE trades rate for distortion as beta changes, on fixed-binarised MNIST.

    python examples/reproduce/rate_distortion.py [--minutes 2]

Trains one dense VAE per beta, a few minutes each, and draws `rate_distortion.png`: the rate, which is the
mean divergence of posterior and prior (nats), against the distortion, which is the mean reconstruction error
(nats), both on the test set. Points on a line of slope -1 have the same bound on log p(x). The optimum for a
beta is the point where the curve has slope -1/beta: a large beta spends few nats on the code, a small beta
many.

Reference: Fixing a Broken ELBO, Alemi et al., 2018.
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

BETAS = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2, help="time of each training")
    parser.add_argument("--output", default="reproduce_output/rate_distortion")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    sets = kg.data.load("binarized_mnist")
    train, test = (sets[name].reshape(-1, 784).astype("float32") for name in ("train", "test"))
    rows = []
    for beta in BETAS:
        model = kg.VAE((784,), latent_dim=16, beta=beta, seed=0)
        model.compile(keras.optimizers.Adam(1e-3))
        clock = CosineOverTime(arguments.minutes)
        model.fit(train, batch_size=100, epochs=10_000, verbose=0, callbacks=[clock])
        logs = model.evaluate(test, batch_size=1_000, verbose=0, return_dict=True)
        rows.append({"beta": beta, "rate": logs["kl"], "distortion": logs["reconstruction"]})
        rows[-1] = {name: round(float(value), 2) for name, value in rows[-1].items()}
        print(rows[-1], f"active latents: {logs['active_units']:.0f}", flush=True)
    write_rows(output / "rate_distortion.csv", rows)
    plot(rows, output / "rate_distortion.png")


def plot(rows, path):
    """Draws the curve, over lines of equal bounds."""
    figure, axes = plt.subplots(figsize=(5.5, 4), constrained_layout=True)
    rate, distortion = ([row[name] for row in rows] for name in ("rate", "distortion"))
    limits = 0, 1.1 * max(rate)
    for bound in np.arange(80, 260, 20):
        axes.plot(limits, [bound - limit for limit in limits], color="0.85", linewidth=0.8, zorder=0)
    axes.plot(rate, distortion, "o-")
    for row in rows:
        axes.annotate(
            f" $\\beta$ = {row['beta']:g}", (row["rate"], row["distortion"]), fontsize=8, va="bottom"
        )
    axes.set(
        xlabel="rate: divergence, nats",
        ylabel="distortion: reconstruction error, nats",
        xlim=limits,
        ylim=(0.9 * min(distortion), 1.05 * max(distortion)),
        title="VAE on fixed-binarised MNIST, test set",
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
