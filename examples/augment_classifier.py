"""Do samples of a conditional GAN help a classifier with few labels? `python examples/augment_classifier.py`.

The classifier is trained on 20 real images per class of scikit-learn's digits (200 in total), alone or with
samples of a conditional GAN as extra training data. The GAN was trained on the same 200 images, or on all
1,297 training digits, like a GAN that somebody with more data shares. In the last row the classifier is
trained on all training digits. The table shows the accuracy on 300 test digits by other writers: mean and
standard deviation over three seeds, which determine the 200 images and all initial weights. The fraction of
samples was chosen on the validation digits.
"""

import quiet_start  # isort: skip

import time

import keras
import numpy as np

import keras_genmod as kg

LABELS_PER_CLASS = 20
SEEDS = (0, 1, 2)
NUM_SAMPLES = 2_000


def main():
    digits = kg.data.load("digits")
    x = {split: digits[split].astype("float32") / 8 - 1 for split in ("train", "valid", "test")}
    labels = {split: digits[f"{split}_labels"] for split in x}
    rows = {}
    for seed in SEEDS:
        chosen = choose(labels["train"], seed)
        few = x["train"][chosen], labels["train"][chosen]
        everything = x["train"], labels["train"]
        sources = {
            "200 real images": few,
            "and samples of a GAN of the 200": joined(few, samples_of(train_gan(*few, 4_000, seed), seed)),
            "and samples of a GAN of all 1,297": joined(
                few, samples_of(train_gan(*everything, 4_000, seed), seed)
            ),
            "all 1,297 real images": everything,
        }
        for name, data in sources.items():
            accuracy = {
                split: accuracy_of(data, (x[split], labels[split]), seed) for split in ("valid", "test")
            }
            rows.setdefault(name, []).append(accuracy)
            print(
                f"  seed {seed}: {name:<36} {accuracy['test']:.1%} (validation {accuracy['valid']:.1%})",
                flush=True,
            )
    print(f"\nAccuracy on {len(x['test'])} test digits, {len(SEEDS)} seeds")
    for name, accuracies in rows.items():
        test = [accuracy["test"] for accuracy in accuracies]
        print(f"  {name:<36} {np.mean(test):.1%} +- {np.std(test, ddof=1):.1%}")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def choose(labels, seed):
    """Indices of 20 images of each class."""
    generator = np.random.default_rng(seed)
    rows = [
        generator.choice(np.flatnonzero(labels == digit), LABELS_PER_CLASS, replace=False)
        for digit in range(10)
    ]
    return np.concatenate(rows)


def train_gan(x, labels, steps, seed):
    """A conditional GAN."""
    model = kg.DCGAN(
        (8, 8, 1),
        latent_dim=16,
        num_classes=10,
        generator_conditioning="batch_norm",
        discriminator_conditioning="projection",
        seed=seed,
    )
    model.compile(steps_per_execution=10)
    epochs = steps // -(-len(x) // 32)
    model.fit(x, labels, batch_size=32, epochs=epochs, verbose=0)
    return model


def samples_of(model, seed):
    """Samples and the classes that they were conditioned on."""
    labels = np.arange(NUM_SAMPLES) % 10
    return np.asarray(model.sample(NUM_SAMPLES, condition=labels, seed=seed)), labels


def joined(first, second):
    return tuple(np.concatenate(pair) for pair in zip(first, second, strict=True))


def accuracy_of(train, test, seed, steps=2_000):
    """Accuracy of a small convolutional classifier after a number of steps that is the same for all data."""
    keras.utils.set_random_seed(seed)
    classifier = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(1e-3), loss)
    classifier.fit(*train, batch_size=32, epochs=max(1, steps * 32 // len(train[0])), verbose=0)
    return float(np.mean(kg.applications.predict_classes(classifier, test[0]) == test[1]))


if __name__ == "__main__":
    main()
