"""Pictures translated, with pairs and without: `python examples/translate_digits.py`.

Trains three small models on scikit-learn's 8x8 digits: a Pix2Pix from outlines to digits, from pairs; a
CycleGAN between digits and the negatives of other digits; and a SuperResolution from 4x4 to 8x8 pixels,
beside bicubic enlargement. All files go to `translate_digits_output/`.
"""

import quiet_start  # isort: skip

import shutil
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

OUTPUT = Path("translate_digits_output")


def main():
    shutil.rmtree(OUTPUT, ignore_errors=True)
    OUTPUT.mkdir()
    digits = kg.data.load("digits")
    train, test = (digits[part].astype("float32") / 8.0 - 1.0 for part in ("train", "test"))
    pairs(train, test)
    unpaired(train, test)
    enlarged(train, test)
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def pairs(train, test):
    """From the outline of a digit to the digit."""
    print(f"Pix2Pix: {len(train):,} outlines and their digits")
    model = kg.Pix2Pix((8, 8, 1), (8, 8, 1), filters=16, ema_decay=0.99, seed=0)
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    model.fit(outlines(train), train, batch_size=64, epochs=15, verbose=0)
    figures = model.evaluate(outlines(test), test, return_dict=True, verbose=0)
    print(f"  unseen outlines: L1 {figures['generator_l1']:.3f}, PSNR {figures['generator_psnr']:.1f} dB")
    figure = kg.plots.translations(model, outlines(test[:10]), targets=test[:10], columns=10)
    save(figure, "pairs.png", "outlines, their translations, the digits")
    model.export(OUTPUT / "serving" / "1")
    differences = kg.serving.verify(OUTPUT / "serving" / "1")
    print(f"  exported: {', '.join(differences)}; largest difference {max(differences.values()):.1e}")


def unpaired(train, test):
    """Between digits and the negatives of other digits."""
    half = len(train) // 2
    a, b = train[:half], -train[half:]
    print(f"\nCycleGAN: {len(a):,} digits, and the negatives of {len(b):,} others")
    # Small kernels and few blocks see few pixels at once, so that strokes stay where they are.
    network = {"filters": 16, "num_blocks": 1, "halvings": 0}
    model = kg.CycleGAN(
        (8, 8, 1),
        (8, 8, 1),
        identity=0.0,
        filters=16,
        generator_ab=kg.networks.residual_translator((8, 8, 1), (8, 8, 1), seed=1, **network),
        generator_ba=kg.networks.residual_translator((8, 8, 1), (8, 8, 1), seed=2, **network),
        ema_decay=0.99,
        seed=0,
    )
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5))
    model.fit({"a": a, "b": b}, batch_size=32, epochs=15, verbose=0)
    error = np.abs(np.asarray(model.translate(test, "ab")) + test).mean()
    nothing = 2 * np.abs(test).mean()
    print(f"  unseen digits: L1 to their own negatives {error:.3f}, without translation {nothing:.3f}")
    figure = kg.plots.translations(model, test[:10], direction="ab", columns=10)
    save(figure, "unpaired.png", "digits, their translations, and back")


def enlarged(train, test):
    """From 4x4 to 8x8 pixels."""
    train, test = (train + 1) / 2, (test + 1) / 2
    print(f"\nSuperResolution: {len(train):,} digits, reduced to 4x4 pixels")
    model = kg.SuperResolution((4, 4, 1), 2, filters=32, num_blocks=3, ema_decay=0.99, seed=0)
    model.compile(keras.optimizers.Adam(2e-3))
    start = model.evaluate(test, return_dict=True, verbose=0)["psnr"]
    model.fit(train, batch_size=64, epochs=20, verbose=0)
    end = model.evaluate(test, return_dict=True, verbose=0)["psnr"]
    print(f"  unseen digits: PSNR {end:.1f} dB, of bicubic enlargement {start:.1f} dB")
    low = np.clip(model.degrade(test[:10]), 0.0, 1.0)
    figure = kg.plots.translations(model, low, targets=test[:10], columns=10)
    save(figure, "enlarged.png", "small digits, enlarged, and as they were")


def outlines(x):
    """Where brightness changes, in [-1, 1]."""
    padded = np.pad(x, [(0, 0), (1, 0), (1, 0), (0, 0)], mode="edge")
    down, right = np.diff(padded[:, :, 1:], axis=1), np.diff(padded[:, 1:], axis=2)
    return 2.0 * (np.maximum(np.abs(down), np.abs(right)) > 0.6).astype("float32") - 1.0


def save(figure, name, what):
    figure.savefig(OUTPUT / name)
    print(f"  {OUTPUT / name}: {what}")


if __name__ == "__main__":
    main()
