"""A denoising autoencoder restores digits and finds outliers: `python examples/denoising_autoencoder.py`.

It learns to restore digits with erased pixels, and never sees a 7 in training. The script answers two
questions:

* How much closer to the original is a restored digit than the damaged one? The picture
  `denoising_autoencoder_output/restored.png` shows originals, damaged and restored digits.
* Does its `anomaly_score`, the reconstruction error, detect pictures that are not digits, and digits of an
  unknown class? The figure is the area under the ROC curve: 0.5 by chance, 1 at best. `scores.png` shows
  the distributions of the score.
"""

import quiet_start  # isort: skip

import time
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import keras_genmod as kg

OUTPUT = Path("denoising_autoencoder_output")
UNKNOWN = 7
ERASED = 0.3


def main():
    digits = kg.data.load("digits")
    train, test = ((digits[split] / 16).astype("float32") for split in ("train", "test"))
    train = train[digits["train_labels"] != UNKNOWN]
    known, unknown = (test[(digits["test_labels"] == UNKNOWN) == flag] for flag in (False, True))

    model = kg.Autoencoder((8, 8, 1), latent_dim=16, likelihood="gaussian", denoising=ERASED, seed=0)
    model.compile(keras.optimizers.Adam(2e-3))
    print(f"Training on {len(train):,} digits, none of them a {UNKNOWN}", flush=True)
    model.fit(train, epochs=60, verbose=0)

    generator = np.random.default_rng(0)
    damaged = known * (generator.random(known.shape) >= ERASED)
    restored = model.reconstruct(damaged).numpy()
    print(f"\nRoot mean square difference from the original, pixels from 0 to 1, {ERASED:.0%} erased:")
    for name, images in (("damaged", damaged), ("restored", restored)):
        print(f"  {name:<10}{np.sqrt(np.mean((images - known) ** 2)):.3f}")
    OUTPUT.mkdir(exist_ok=True)
    title = f"Denoising autoencoder: unseen digits, {ERASED:.0%} of the pixels erased"
    figure = kg.plots.reconstructions(model, damaged[:24], originals=known[:24], title=title)
    figure.savefig(OUTPUT / "restored.png")

    shuffled = generator.permuted(known.reshape(-1, 64), axis=1).reshape(known.shape)
    strange = {
        "pixels in random order": shuffled,
        "digits upside down": known[:, ::-1],
        f"the digit {UNKNOWN}, never seen": unknown,
    }
    print("\nArea under the ROC curve of the anomaly score, against the known digits:")
    usual = model.anomaly_score(known).numpy()
    groups = {"known digits": usual}
    for name, images in strange.items():
        groups[name] = model.anomaly_score(images).numpy()
        scores = np.concatenate([usual, groups[name]])
        area = roc_auc_score(np.repeat([0, 1], [len(usual), len(images)]), scores)
        print(f"  {name:<26}{area:.3f}")
    title = f"Denoising autoencoder that saw no {UNKNOWN}: scores of unseen pictures"
    kg.plots.score_histogram(groups, title=title).savefig(OUTPUT / "scores.png")
    print(f"\nWrote {OUTPUT / 'restored.png'} and {OUTPUT / 'scores.png'}")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


if __name__ == "__main__":
    main()
