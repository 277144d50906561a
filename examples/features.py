"""Do codes learned without labels help a classifier with few labels? `python examples/features.py`.

An autoencoder and a VAE are trained on all training digits without labels. Then logistic regression is
trained on a few labelled digits: on their codes, their pixels, their principal components, and on what the
autoencoder gives with random weights. The table shows the accuracy on 300 test digits, which are by other
writers: mean and standard deviation over five choices of the labelled digits, the same for each row. Settings
were chosen on the validation digits. `features_output/probe.png` shows the same.

The gain is small, because the pixels of such small pictures are already good features.
"""

import quiet_start  # isort: skip

import time
from pathlib import Path

import keras

import keras_genmod as kg

OUTPUT = Path("features_output")


def main():
    digits = kg.data.load("digits")
    x = {split: (digits[split] / 16).astype("float32") for split in ("train", "test")}
    likelihood = kg.distributions.GaussianHead(scale=0.15)
    models = {
        "denoising autoencoder": kg.Autoencoder(
            (8, 8, 1), latent_dim=128, likelihood="gaussian", denoising=0.5, seed=0
        ),
        "VAE": kg.VAE((8, 8, 1), latent_dim=16, likelihood=likelihood, seed=0),
    }
    for name, model in models.items():
        print(f"Training without labels: {name}", flush=True)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(x["train"], epochs=60, verbose=0)
    report = kg.applications.linear_probe(
        models,
        x["train"],
        digits["train_labels"],
        test=(x["test"], digits["test_labels"]),
        labels_per_class=(1, 5, 20, None),
        repeats=5,
    )
    print(f"\n{report}")
    OUTPUT.mkdir(exist_ok=True)
    figure = kg.plots.probe_accuracy(report, title="Digits: what a linear classifier reads from features")
    figure.savefig(OUTPUT / "probe.png")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s; see {OUTPUT}/probe.png.")


if __name__ == "__main__":
    main()
