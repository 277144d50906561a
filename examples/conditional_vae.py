"""Samples of chosen digits from a VAE conditioned on the class: `python examples/conditional_vae.py`.

The picture, `conditional_vae_output/samples.png`, has one row per digit and one latent vector per column, so
that a column shows one style of handwriting. A classifier trained on the same digits measures how many
samples show the chosen digit.
"""

import quiet_start  # isort: skip

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

import keras_genmod as kg

OUTPUT = Path("conditional_vae_output")


def main():
    digits = kg.data.load("digits")
    x = {split: kg.data.binarize(digits[split] / 16) for split in ("train", "valid", "test")}
    y = {split: digits[f"{split}_labels"] for split in x}

    model = kg.VAE((8, 8, 1), latent_dim=8, num_classes=10, seed=1)
    model.compile(keras.optimizers.Adam(2e-3))
    print("Training", flush=True)
    model.fit(x["train"], y["train"], batch_size=16, epochs=40, verbose=0)
    given = np.mean(model.log_prob(x["test"], condition=y["test"], num_samples=500))
    print(f"log p(x | digit) of 300 test digits, importance-weighted bound, 500 draws: {given:.2f} nats")

    # One latent vector per column, decoded once for each digit.
    styles = np.random.default_rng(0).normal(size=(12, model.latent_dim))
    rows = {f"digit {digit}": model.decode(styles, condition=digit) for digit in range(10)}
    figure = kg.plots.images(
        rows, title="Conditional VAE: means of p(x|z, digit)", below="one latent vector z per column"
    )
    OUTPUT.mkdir(exist_ok=True)
    figure.savefig(OUTPUT / "samples.png")
    print(f"Wrote {OUTPUT / 'samples.png'}")

    judge = LogisticRegression(max_iter=2000).fit(x["train"].reshape(-1, 64), y["train"])
    ordered = np.repeat(np.arange(10), 100)
    samples = model.sample(1000, condition=ordered, seed=0, from_likelihood=True).numpy().reshape(-1, 64)
    print(
        f"A classifier recognises {judge.score(x['test'].reshape(-1, 64), y['test']):.1%} of the test digits"
    )
    print(f"and {judge.score(samples, ordered):.1%} of 1,000 samples drawn from the model.")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


if __name__ == "__main__":
    main()
