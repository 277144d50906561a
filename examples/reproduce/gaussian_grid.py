"""How many of 25 modes does a GAN find? `python examples/reproduce/gaussian_grid.py`.

The data are points of 25 Gaussians with centres -4, -2, 0, 2, 4 in both directions and standard deviation
0.05. A mode is found if a sample is within three standard deviations of its centre; a good sample is within
three standard deviations of any centre (the protocol of PacGAN, Lin et al., 2018: 2,500 samples). The first
row is `kg.GAN((2,), latent_dim=2)` with `compile()`; the second row is the plain non-saturating GAN, without
R1 and without averaged generator.

Writes a picture of the data and of each row's samples.
"""

import argparse
import itertools
import time
from pathlib import Path

import matplotlib
import numpy as np

import keras_genmod as kg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CENTERS = np.array(list(itertools.product((-4, -2, 0, 2, 4), repeat=2)), "float32")
STDDEV = 0.05
ROWS = {
    "kg.GAN((2,), latent_dim=2), compile()": {},
    "without R1 and average": {"r1": 0.0, "ema_decay": None},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=50, help="passes over 100,000 points in batches of 256")
    parser.add_argument("--output", default="reproduce_output/gaussian_grid")
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    show(axes[0], points(2_500, seed=-1), "data")
    for axis, (name, options) in zip(axes[1:], ROWS.items(), strict=True):
        results, started = [], time.perf_counter()
        for seed in range(arguments.seeds):
            model = kg.GAN((2,), latent_dim=2, seed=seed, **options)
            model.compile()
            model.fit(points(100_000, seed), batch_size=256, epochs=arguments.epochs, verbose=0)
            samples = np.asarray(model.sample(2_500, seed=0))
            found = kg.metrics.count_modes(samples, CENTERS, STDDEV)
            results.append((found.num_modes, found.good_share))
            print(f"  {name}, seed {seed}: {found.num_modes} modes, {found.good_share:.1%} good", flush=True)
            if seed == 0:
                show(axis, samples, name)
        modes, good = np.transpose(results)
        minutes = (time.perf_counter() - started) / 60
        print(
            f"{name}: modes {modes.min():.0f} to {modes.max():.0f} of 25, good samples {good.mean():.1%} "
            f"(from {good.min():.1%} to {good.max():.1%}), {minutes / arguments.seeds:.1f} min a seed",
            flush=True,
        )
    figure.savefig(output / "samples.png", dpi=80)


def points(num_points, seed):
    generator = np.random.default_rng([seed + 1])
    centers = CENTERS[generator.integers(0, 25, num_points)]
    return centers + generator.normal(scale=STDDEV, size=(num_points, 2)).astype("float32")


def show(axis, x, title):
    axis.scatter(*x.T, s=1)
    axis.set(title=title, xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
    axis.title.set_fontsize(8)


if __name__ == "__main__":
    main()
