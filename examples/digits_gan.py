"""A generative adversarial network from end to end, on real digits: `python examples/digits_gan.py`.

The digits are scikit-learn's, 8x8 pixels. The script trains a DCGAN and measures it during training: a
callback compares the samples with held-out digits, in the features of a small classifier, and the checkpoint
with the smallest Fréchet distance is kept. Then come a picture, a path through the latent space, latent
arithmetic, the discriminator's features, and an export that answers without this package. All files go to
`digits_gan_output/`.
"""

import quiet_start  # isort: skip

import shutil
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

import keras_genmod as kg

OUTPUT = Path("digits_gan_output")
EPOCHS = 150


def main():
    # Both warnings are expected: 500 digits are few for a Fréchet distance, and the checkpoint waits for it.
    warnings.filterwarnings("ignore", message="Fréchet distance|Density and coverage|Can save best")
    shutil.rmtree(OUTPUT, ignore_errors=True)
    digits = kg.data.load("digits")
    splits = ("train", "valid", "test")
    x = {split: digits[split].astype("float32") / 8 - 1 for split in splits}  # in [-1, 1], as tanh gives
    labels = {split: digits[f"{split}_labels"] for split in splits}

    heading(f"1. Train a classifier for its features, then the networks, on {len(x['train']):,} digits")
    extractor = kg.applications.classifier_extractor(
        x["train"], labels["train"], validation_data=(x["valid"], labels["valid"]), epochs=20
    )
    print(f"  {extractor.name}")
    held_out = np.concatenate([x["valid"], x["test"]])
    quality = kg.callbacks.DistributionMetrics(
        held_out, extractor, metrics=("fid", "coverage", "diversity"), every_n_epochs=10
    )
    best = OUTPUT / "best.keras"
    model = kg.DCGAN((8, 8, 1), latent_dim=16, seed=0)
    model.compile()
    history = model.fit(
        x["train"],
        batch_size=32,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[
            quality,
            keras.callbacks.ModelCheckpoint(best, monitor="val_fid", mode="min", save_best_only=True),
            kg.callbacks.ImageGrid(OUTPUT, every_n_epochs=EPOCHS),
            kg.callbacks.StopOnNonFinite(),
        ],
    ).history

    heading("2. Look at the curves: the losses say little, the distance says when to stop")
    curves = ["generator_loss", "discriminator_loss", "discriminator_accuracy", "fid"]
    kg.plots.history(history, names=curves, title="DCGAN").savefig(OUTPUT / "curves.png")
    for epoch, figures in list(quality.measurements.items())[::5]:
        print(
            f"  epoch {epoch:>3}: Frechet distance {figures['fid']:6.2f}, coverage {figures['coverage']:.2f}"
        )
    model = keras.saving.load_model(best)
    samples = np.asarray(model.sample(1_000, seed=1))
    seen = kg.metrics.count_classes(kg.applications.predict_classes(extractor, samples), 10)
    print(f"  the best checkpoint makes {seen.num_modes} of 10 digits: {seen.counts.tolist()} of 1,000")

    heading("3. Walk and calculate in the latent space")
    z = np.asarray(model.prior().sample(200, seed=[0, 2]))
    made = np.asarray(model(z))
    kinds = kg.applications.predict_classes(extractor, made)
    path = kg.applications.interpolate(model, z[0], z[1], num_steps=10, method="spherical", latent=True)
    groups = [z[kinds == digit][:3] for digit in (8, 3, 1)]
    result, _ = kg.applications.latent_arithmetic(model, plus=[groups[0], groups[2]], minus=[groups[1]])
    print(f"  a mean 8, less a mean 3, plus a mean 1, is classified as a {kinds_of(extractor, result)}")
    rows = {"samples": samples[:50], "path": path}
    figure = kg.plots.images(
        rows, title="DCGAN: samples, and a path through the latent space", columns=10, value_range=(-1, 1)
    )
    figure.savefig(OUTPUT / "samples.png")

    heading("4. Features of the discriminator for a classifier, beside raw pixels")
    for name, features in (
        ("raw pixels", {split: images.reshape(len(images), -1) for split, images in x.items()}),
        ("discriminator", {split: np.asarray(model.features(images)) for split, images in x.items()}),
    ):
        classifier = LogisticRegression(max_iter=2_000).fit(features["train"][:200], labels["train"][:200])
        accuracy = classifier.score(features["test"], labels["test"])
        print(
            f"  {name:<14} 200 labels, {features['train'].shape[1]} features: {accuracy:.1%} on test digits"
        )

    heading("5. Export, and ask the export in a process without keras_genmod and without Python TensorFlow")
    model.export(OUTPUT / "serving" / "1")
    (answer,) = kg.serving.run(OUTPUT / "serving" / "1", [("sample", {"num_samples": 4, "seed": [0, 7]})])
    difference = np.abs(answer["x"] - model.sample(4, seed=7)).max()
    print(f"  sample: largest difference from the model in memory {difference:.1e}")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def heading(text):
    print(f"\n{text}", flush=True)


def kinds_of(extractor, image):
    return kg.applications.predict_classes(extractor, image[None])[0]


if __name__ == "__main__":
    main()
