"""A Boltzmann machine on scikit-learn's digits, from end to end: `python examples/boltzmann_digits.py`.

Trains a restricted Boltzmann machine of 16 hidden units, whose likelihood is a sum over 65,536 states, and
sets annealed importance sampling beside it. A second one of 64 units, too many to enumerate, draws digits,
completes lower halves and is exported. All files go to `boltzmann_digits_output/`.
"""

import quiet_start  # isort: skip

import shutil
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

OUTPUT = Path("boltzmann_digits_output")


def train(hidden_dim, x, valid, epochs):
    """A machine trained by persistent chains, with a rate that falls to 0."""
    model = kg.RBM((8, 8, 1), hidden_dim=hidden_dim, num_gibbs_steps=2, sampling_steps=500, seed=0)
    steps = epochs * -(-len(x) // 32)
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.1, steps, 0.0)))
    model.fit(x, validation_data=valid, batch_size=32, epochs=epochs, verbose=0)
    return model


def main():
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    digits = kg.data.load("digits")
    x, valid, test = (kg.data.binarize(digits[split] / 16) for split in ("train", "valid", "test"))

    print(f"Training 16 hidden units on {len(x):,} digits")
    small = train(16, x, valid, epochs=100)
    exact = small.log_partition(method="exact")
    print(f"  exact:  log Z = {exact.value:.3f}, {-np.mean(small.log_prob(test)):.2f} nats per unseen digit")
    print(f"  {'':<8}{'log Z':>7}  error  effective sample size of 100")
    for number in (100, 1_000):
        forward = small.log_partition(method="estimate", num_temperatures=number)
        start = small.sample(100, seed=1)
        reverse = small.log_partition(method="reverse", start=start, num_temperatures=number)
        for name, (value, error, size) in ((f"{number:,}", forward), ("reverse", reverse)):
            print(f"  {name:<8}{value:>7.3f}  {error:.3f}  {size:.0f}")

    print("\nTraining 64 hidden units")
    model = train(64, x, valid, epochs=100)
    value, error, size = model.log_partition(num_temperatures=5_000)
    print(f"  log Z = {value:.2f} +- {error:.2f}, effective sample size {size:.0f} of 100")
    print(f"  {-np.mean(model.log_prob(x)):.2f} nats per training digit")
    print(f"  {-np.mean(model.log_prob(test)):.2f} nats per unseen digit")
    gap = float(np.mean(model.energy(test)) - np.mean(model.energy(x)))
    print(f"  gap of free energies, test - training: {gap:.2f} nats")

    filters = np.asarray(model.filters())
    strongest = np.argsort(-np.square(filters).sum(axis=(1, 2, 3)))[:30]
    shown = 0.5 + 0.5 * filters[strongest] / np.abs(filters[strongest]).max(axis=(1, 2, 3), keepdims=True)
    kg.write_png(OUTPUT / "filters.png", kg.image_grid(shown, 10, scale=4))

    upper = np.zeros((8, 8, 1))
    upper[:4] = 1
    labels = digits["test_labels"]
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:1] for digit in range(10)])
    rows = {
        "samples": model.sample(10, seed=1),
        "data": test[chosen],
        "given": test[chosen] * upper + 0.5 * (1 - upper),
        "completed": model.inpaint(test[chosen], upper, seed=1),
        "again": model.inpaint(test[chosen], upper, seed=2),
    }
    rows = {name: np.asarray(row) for name, row in rows.items()}
    figure = kg.plots.images(rows, title="RBM of 64 hidden units")
    figure.savefig(OUTPUT / "completions.png")
    print(f"\n  {OUTPUT / 'filters.png'}: weights of the 30 strongest hidden units")
    print(f"  {OUTPUT / 'completions.png'}: samples, digits, their upper halves, two completions")

    model.export(OUTPUT / "serving" / "1", verbose=False)
    differences = kg.serving.verify(OUTPUT / "serving" / "1")
    print(f"\nExported: {', '.join(differences)}; largest difference {max(differences.values()):.1e}")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


if __name__ == "__main__":
    main()
