"""DCGAN on MNIST: `python examples/reproduce/mnist_dcgan.py [--conditional]`.

Trains `kg.DCGAN` (with `--conditional`: on the class, by class-conditional batch normalisation and a
projection discriminator), saves it, and measures its samples in the features of a classifier that the script
trains first: Fréchet distance, coverage, the digits that appear, and with classes how often the classifier
recognises the requested digit. For comparison it prints the distances between halves of the real test set.
An epoch takes about one minute on two CPU cores. `--evaluate` measures a model that was saved earlier.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg
from keras_genmod.metrics import count_classes, density_coverage, frechet_distance

BATCH_SIZE = 64


def main():
    arguments = parse()
    name = "mnist_conditional_dcgan" if arguments.conditional else "mnist_dcgan"
    output = Path(arguments.output) / name
    mnist = kg.data.load("mnist")
    train, valid, test = (scaled(mnist[split]) for split in ("train", "valid", "test"))
    labels = {split: mnist[f"{split}_labels"] for split in ("train", "valid", "test")}
    if not arguments.evaluate:
        fit(train, labels["train"], output, arguments)
    model = keras.saving.load_model(output / "model.keras")

    extractor = kg.applications.classifier_extractor(
        train, labels["train"], validation_data=(valid, labels["valid"]), epochs=4, seed=0
    )
    print(f"Features: {extractor.name}")
    size = 10_000
    digits = np.arange(size) % 10
    samples = np.asarray(model.sample(size, seed=0, condition=digits if arguments.conditional else None))
    probs = extractor.classifier.predict(samples, batch_size=500, verbose=0)
    seen = count_classes(probs, 10)
    report("test set / samples", extractor, test, samples)
    report("test set, one half / the other", extractor, test[::2], test[1::2])
    report("test set, one half / samples", extractor, test[::2], samples[: size // 2])
    report("training set / test set", extractor, train[:size], test)
    print(f"  digits that appear: {seen.num_modes} of 10, shares {np.round(seen.counts / size, 3)}")
    if arguments.conditional:
        accuracy = np.mean(probs.argmax(-1) == digits)
        on_test = np.mean(extractor.classifier.predict(test, verbose=0).argmax(-1) == labels["test"])
        print(f"  accuracy on the asked-for digit: {accuracy:.4f} (test digits: {on_test:.4f})")


def fit(train, labels, output, arguments):
    model = build(arguments)
    steps = arguments.epochs * -(-len(train) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(arguments.learning_rate, steps)
    model.compile(*(keras.optimizers.Adam(rate, beta_1=0.5) for _ in range(2)), steps_per_execution=10)
    data = (train, labels) if arguments.conditional else (train,)
    started = time.perf_counter()
    model.fit(
        *data,
        batch_size=BATCH_SIZE,
        epochs=arguments.epochs,
        verbose=2,
        callbacks=[
            kg.callbacks.ImageGrid(
                output,
                100,
                columns=10,
                condition=np.arange(100) % 10 if arguments.conditional else None,
                every_n_epochs=1,
            ),
            keras.callbacks.ModelCheckpoint(output / "model.keras"),
            keras.callbacks.CSVLogger(output / "log.csv"),
        ],
    )
    print(f"{arguments.epochs} epochs in {(time.perf_counter() - started) / 60:.0f} min")


def build(arguments):
    """A `DCGAN` with narrower or wider networks than the default ones, by the same guidelines."""
    width, latent_dim = arguments.filters, 64
    condition = {"num_classes": 10} if arguments.conditional else {}
    generator = kg.networks.conv_generator(
        (latent_dim,),
        (28, 28, 1),
        filters=(2 * width, width),
        initial_stddev=0.02,
        conditioning="batch_norm" if arguments.conditional else "concatenate",
        seed=1,
        **condition,
    )
    discriminator = kg.networks.conv_discriminator(
        (28, 28, 1),
        filters=(width, 2 * width),
        batch_norm=True,
        initial_stddev=0.02,
        conditioning="projection" if arguments.conditional else "concatenate",
        seed=2,
        **condition,
    )
    options = {"generator": generator, "discriminator": discriminator, **condition}
    if not arguments.conditional:
        # Without classes the discriminator becomes nearly perfect, and the generator stops learning.
        options["label_smoothing"] = 0.1
        options["instance_noise"] = kg.training.LinearSchedule(0.0, arguments.epochs * 700, start=0.3)
    return kg.DCGAN((28, 28, 1), latent_dim=latent_dim, seed=0, **options)


def report(what, extractor, real, generated):
    distance = frechet_distance(real, generated, extractor=extractor)
    share = density_coverage(real, generated, extractor=extractor)
    print(
        f"  {what:<32} Frechet distance {distance:7.3f}  density {share['density']:.3f}  "
        f"coverage {share['coverage']:.3f}  ({len(real):,} / {len(generated):,})"
    )


def scaled(images):
    """Bytes as floats in [-1, 1], with a channel."""
    return images.reshape(-1, 28, 28, 1).astype("float32") / 127.5 - 1.0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--conditional", action="store_true")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--filters", type=int, default=32, help="at full image size; twice as many at each smaller size"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=1e-3, help="initial learning rate; it falls to 0"
    )
    parser.add_argument("--evaluate", action="store_true", help="measure the model saved before")
    parser.add_argument("--output", default="reproduce_output")
    return parser.parse_args()


if __name__ == "__main__":
    main()
