"""Do the codes of a model that saw no labels help a classifier that sees few? `python examples/features.py`.

An autoencoder and a VAE learn from all training digits without labels. Then logistic regression learns
from a few labelled digits: from their raw pixels, or from their codes. The table shows the accuracy on
300 test digits, by other writers than the training digits: mean and standard deviation over ten choices of
the labelled digits, the same choices for each row. Settings were chosen on the validation digits.

Expect little: pixels of such small pictures are good features already.
"""

import quiet_start  # isort: skip

import time

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

import keras_genmod as kg

NUM_LABELS = (50, 100, 200)


def main():
    digits = kg.data.load("digits")
    x = {split: (digits[split] / 16).astype("float32") for split in ("train", "test")}
    features = {"raw pixels (64)": {split: images.reshape(len(images), -1) for split, images in x.items()}}
    likelihood = kg.distributions.GaussianHead(scale=0.15)
    models = {
        "denoising autoencoder codes (128)": kg.Autoencoder(
            (8, 8, 1), latent_dim=128, likelihood="gaussian", denoising=0.5, seed=0
        ),
        "VAE codes (16)": kg.VAE((8, 8, 1), latent_dim=16, likelihood=likelihood, seed=0),
    }
    for name, model in models.items():
        print(f"Training without labels for the {name}", flush=True)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(x["train"], epochs=60, verbose=0)
        features[name] = {split: model.encode(images).numpy() for split, images in x.items()}

    print(f"\n{'accuracy in %, labelled digits:':<36}" + "".join(f"{count:>14}" for count in NUM_LABELS))
    for name, arrays in features.items():
        cells = [accuracies(arrays, digits, count) for count in NUM_LABELS]
        print(f"{name:<36}" + "".join(f"{np.mean(cell):>8.1f} ± {np.std(cell):.1f}" for cell in cells))
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def accuracies(features, digits, count):
    """Test accuracies in percent of classifiers that learned from `count` labelled digits each."""
    # One scale for all features: scaled one by one, the noise of unused codes would count in full.
    train, test = (features[split] / np.std(features["train"]) for split in ("train", "test"))
    results = []
    for seed in range(10):
        labelled = np.random.default_rng(seed).permutation(len(train))[:count]
        classifier = LogisticRegression(max_iter=2000).fit(train[labelled], digits["train_labels"][labelled])
        results.append(100 * classifier.score(test, digits["test_labels"]))
    return results


if __name__ == "__main__":
    main()
