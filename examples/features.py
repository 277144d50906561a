"""Do codes learned without labels help a classifier with few labels? `python examples/features.py`.

An autoencoder and a VAE are trained on all training digits without labels. Then logistic regression is
trained on a few labelled digits: on their raw pixels, or on their codes. The table shows the accuracy on 300
test digits, which are by other writers: mean and standard deviation over ten choices of the labelled digits,
the same for each row. Settings were chosen on the validation digits.

The gain is small, because the pixels of such small pictures are already good features.
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
    """Test accuracies in percent of classifiers trained on `count` labelled digits each."""
    # All features share one scale; scaling each separately would amplify the noise of unused codes.
    train, test = (features[split] / np.std(features["train"]) for split in ("train", "test"))
    results = []
    for seed in range(10):
        labelled = np.random.default_rng(seed).permutation(len(train))[:count]
        classifier = LogisticRegression(max_iter=2000).fit(train[labelled], digits["train_labels"][labelled])
        results.append(100 * classifier.score(test, digits["test_labels"]))
    return results


if __name__ == "__main__":
    main()
