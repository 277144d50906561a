"""Exact densities on scikit-learn's digits, and their uses: `python examples/complete_digits.py`.

Trains a PixelCNN on the 8x8 digits, conditioned on the class, and shows what an exact density is good for:
nats and bits per pixel of unseen digits, classification by Bayes' rule, a score for anomalous pictures,
samples of each class, and lower halves for given upper halves of digits. All files go to
`complete_digits_output/`.
"""

import quiet_start  # isort: skip

import shutil
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

OUTPUT = Path("complete_digits_output")


def main():
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    digits = kg.data.load("digits")
    train, valid, test = (kg.data.binarize(digits[split] / 16) for split in ("train", "valid", "test"))
    labels = {split: digits[f"{split}_labels"] for split in ("train", "valid", "test")}

    print(f"Training on {len(train):,} digits")
    model = kg.PixelCNN((8, 8, 1), filters=32, num_blocks=3, first_kernel_size=5, num_classes=10, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(
        train,
        labels["train"],
        batch_size=32,
        epochs=60,
        validation_data=(valid, labels["valid"]),
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping("val_loss", patience=10, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=3),
        ],
    )

    by_class = np.stack([model.log_prob(test, condition=digit) for digit in range(10)], axis=1)
    own = by_class[np.arange(len(test)), labels["test"]]
    print(f"\n{len(test)} unseen digits, given their class:")
    print(f"  {own.mean():.2f} nats per digit, {-own.mean() / 64 / np.log(2):.3f} bits per pixel")
    right = np.mean(by_class.argmax(axis=1) == labels["test"])
    print(f"  class of the largest p(x|class): right for {right:.1%}")

    strange = test[:, ::-1]
    density = np.logaddexp.reduce(by_class, axis=1)
    upside_down = np.stack([model.log_prob(strange, condition=digit) for digit in range(10)], axis=1)
    scores = density[:, None] > np.logaddexp.reduce(upside_down, axis=1)[None, :]
    print(f"  a digit is more probable than one upside down: {scores.mean():.1%} of all pairs")

    classes = np.repeat(np.arange(10), 10)
    samples = np.split(np.asarray(model.sample(100, condition=classes, seed=1)), 10)
    by_class = {str(digit): images for digit, images in enumerate(samples)}
    figure = kg.plots.images(by_class, title="PixelCNN: samples of each class")
    figure.savefig(OUTPUT / "samples.png")

    shown = np.concatenate([np.flatnonzero(labels["test"] == digit)[:1] for digit in range(10)])
    upper = np.zeros((8, 8, 1))
    upper[:4] = 1
    rows = {"data": test[shown], "given": test[shown] * upper + 0.5 * (1 - upper)}
    for seed in range(4):
        completed = model.inpaint(test[shown], upper, condition=labels["test"][shown], seed=seed)
        rows[f"completion {seed + 1}"] = np.asarray(completed)
    figure = kg.plots.images(rows, title="PixelCNN: lower halves drawn given the upper halves")
    figure.savefig(OUTPUT / "completions.png")
    print(f"\n  {OUTPUT / 'samples.png'}: one row per class")
    print(f"  {OUTPUT / 'completions.png'}: digits, their upper halves, four completions of each")

    model.export(OUTPUT / "serving" / "1")
    differences = kg.serving.verify(OUTPUT / "serving" / "1")
    print(f"\nExported: {', '.join(differences)}; largest difference {max(differences.values()):.1e}")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


if __name__ == "__main__":
    main()
