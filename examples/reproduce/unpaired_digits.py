"""Digits between domains without pairs: `python examples/reproduce/unpaired_digits.py [--colour]`.

Trains `kg.CycleGAN` between MNIST, reduced to 16x16, and scikit-learn's 8x8 handwritten digits, enlarged to
16x16; with `--colour` between MNIST and inverted MNIST in random colours. A classifier of each domain,
trained on its training digits, says how many translated test digits it recognises. For comparison: no
translation, and matching the histogram of grey values (for colours: inverting). Published for MNIST to USPS,
by UNIT (Liu, Breuel and Kautz, 2017): 95.97 percent.

Takes about half an hour on two CPU cores. The folder named by KERAS_GENMOD_DATA holds MNIST.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.images import image_grid, write_png

SIDE = 16


def main():
    arguments = parse()
    output = Path(arguments.output) / ("unpaired_colours" if arguments.colour else "unpaired_digits")
    output.mkdir(parents=True, exist_ok=True)
    train, test = domains(arguments.colour)
    classifiers = {name: train_classifier(*train[name]) for name in "ab"}
    for name in "ab":
        print(f"classifier of {name} on its own test digits: {accuracy(classifiers[name], *test[name]):.4f}")
    model = build(arguments)
    steps = arguments.steps
    rate = keras.optimizers.schedules.PolynomialDecay(arguments.learning_rate, steps, 0.0)
    model.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for _ in range(2)), steps_per_execution=10)
    started = time.perf_counter()
    per_epoch = min(500, steps)
    model.fit(
        {name: train[name][0] for name in "ab"},
        batch_size=arguments.batch_size,
        steps_per_epoch=per_epoch,
        epochs=steps // per_epoch,
        verbose=2,
        callbacks=[
            Accuracy(classifiers, test),
            keras.callbacks.CSVLogger(output / "log.csv"),
            keras.callbacks.ModelCheckpoint(output / "model.keras"),
        ],
    )
    print(f"{steps} steps in {(time.perf_counter() - started) / 60:.1f} min")
    for direction in ("ab", "ba"):
        source, target = direction
        x, labels = test[source]
        print(f"{direction}: accuracy of the classifier of {target} on {len(x):,} test digits of {source}")
        rows = {
            "no translation": as_domain(x, test[target][0]),
            "matched" if not arguments.colour else "inverted": plain_translation(
                x, train[source][0], train[target][0], arguments.colour
            ),
            "CycleGAN": model.translate(x, direction).numpy(),
        }
        for name, pictures in rows.items():
            print(f"  {name:<16}{accuracy(classifiers[target], pictures, labels):.4f}")
        cycled = model.cycle(x, direction).numpy()
        print(f"  L1 of the cycle, in [-1, 1]: {np.mean(np.abs(cycled - x)):.4f}")
        shown = [x[:12], model.translate(x[:12], direction).numpy(), cycled[:12]]
        shown = [np.repeat(one, 3 // one.shape[-1], axis=-1) for one in shown]
        write_png(output / f"{direction}.png", image_grid(shown, value_range=(-1, 1), scale=2))


class Accuracy(keras.callbacks.Callback):
    """Prints how many of 1,000 translated test digits are recognised."""

    def __init__(self, classifiers, test):
        super().__init__()
        self.classifiers, self.test = classifiers, test

    def on_epoch_end(self, epoch, logs=None):
        figures = []
        for source, target in ("ab", "ba"):
            x, labels = (part[:1000] for part in self.test[source])
            translated = self.model.translate(x, source + target)
            figures.append(f"{source}{target} {accuracy(self.classifiers[target], translated, labels):.3f}")
        print(f"epoch {epoch + 1}: " + ", ".join(figures), flush=True)


def build(arguments):
    shapes = ((SIDE, SIDE, 1), (SIDE, SIDE, 3 if arguments.colour else 1))
    generators = {}
    for number, (direction, (source, target)) in enumerate(
        zip(("ab", "ba"), (shapes, shapes[::-1]), strict=True)
    ):
        generators[f"generator_{direction}"] = kg.networks.residual_translator(
            source, target, filters=arguments.filters, num_blocks=2, halvings=0, seed=number
        )
    return kg.CycleGAN(*shapes, receptive_field=arguments.receptive_field, filters=32, seed=0, **generators)


def domains(colour):
    """Training and test pictures in [-1, 1] and labels of both domains."""
    mnist = kg.data.load("mnist")
    parts = {"train": mnist["train"], "test": mnist["test"]}
    small = {name: resized(images / 255.0) for name, images in parts.items()}
    labels = {name: mnist[f"{name}_labels"] for name in parts}
    train, test = {}, {}
    if colour:
        half = len(small["train"]) // 2
        generator = np.random.default_rng(0)
        train["a"] = 2 * small["train"][:half] - 1, labels["train"][:half]
        train["b"] = coloured(small["train"][half:], generator), labels["train"][half:]
        test["a"] = 2 * small["test"] - 1, labels["test"]
        test["b"] = coloured(small["test"], generator), labels["test"]
        return train, test
    digits = kg.data.load("digits")
    train["a"] = 2 * small["train"] - 1, labels["train"]
    test["a"] = 2 * small["test"] - 1, labels["test"]
    joined = [np.concatenate([digits[f"train{end}"], digits[f"valid{end}"]]) for end in ("", "_labels")]
    train["b"] = 2 * resized(joined[0] / 16.0) - 1, joined[1]
    test["b"] = 2 * resized(digits["test"] / 16.0) - 1, digits["test_labels"]
    return train, test


def resized(images):
    """Grey pictures in [0, 1] of 16x16 pixels: MNIST is cut to its middle 20x20, which its digits fill."""
    if images.shape[1] == 28:
        images = images[:, 4:24, 4:24]
    pictures = tf.image.resize(images, (SIDE, SIDE), "bicubic", antialias=True)
    return np.clip(pictures.numpy(), 0.0, 1.0)


def coloured(images, generator):
    """Inverted digits: a dark digit on a ground of a random light colour, in [-1, 1]."""
    colour = generator.uniform(0.4, 1.0, (len(images), 1, 1, 3)).astype("float32")
    return 2 * (1 - images) * colour - 1


def as_domain(x, others):
    """Pictures with as many channels as those of another domain."""
    if x.shape[-1] == others.shape[-1]:
        return x
    return np.repeat(x, 3, axis=-1) if others.shape[-1] == 3 else x.mean(-1, keepdims=True)


def plain_translation(x, source, target, colour):
    """What needs no learning: inverting, or giving grey values the other domain's histogram."""
    if colour:
        return -as_domain(x, target)
    wanted, given = np.sort(target[:1500].ravel()), np.sort(source[:1500].ravel())
    rank = np.searchsorted(given, x.ravel(), side="right") / len(given)
    return np.quantile(wanted, rank).reshape(x.shape).astype("float32")


def train_classifier(x, labels):
    """A small convolutional network; shifts and noise make it robust to small differences."""
    start = keras.Input(x.shape[1:])
    h = start
    for filters in (32, 64):
        h = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(h)
        h = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(h)
        h = keras.layers.MaxPooling2D()(h)
    h = keras.layers.Dropout(0.5)(keras.layers.Flatten()(h))
    classifier = keras.Model(start, keras.layers.Dense(10)(h))
    classifier.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    epochs = max(2, 60_000 // len(x))
    classifier.fit(x, labels, batch_size=128, epochs=min(epochs, 30), verbose=0)
    return classifier


def accuracy(classifier, x, labels):
    return float(np.mean(classifier.predict(np.asarray(x), batch_size=500, verbose=0).argmax(-1) == labels))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--colour", action="store_true", help="MNIST and inverted MNIST in colours")
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--receptive-field", type=int, default=16)
    parser.add_argument("--output", default="reproduce_output")
    return parser.parse_args()


if __name__ == "__main__":
    main()
