"""The main workflow from end to end, on scikit-learn's handwritten digits: `python examples/quickstart.py`.

Trains a variational autoencoder, evaluates it on unseen digits, draws pictures, saves and loads the model,
exports it for TensorFlow Serving and queries the export without this package. All files go to
`quickstart_output/`; `--gallery` also updates the pictures in `examples/gallery/`.

The pixels are black or white, so that the figures are log-probabilities, in nats per digit, and not
cross-entropies of grey values.
"""

import quiet_start  # isort: skip

import json
import shutil
import sys
import time
from pathlib import Path

import keras
import matplotlib
import numpy as np

import keras_genmod as kg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path("quickstart_output")
EPOCHS = 40


def main():
    shutil.rmtree(OUTPUT, ignore_errors=True)
    digits = kg.data.load("digits")  # 8x8 pixels, values 0..16
    train, valid, test = (kg.data.binarize(digits[split] / 16) for split in ("train", "valid", "test"))

    heading(f"1. Train on {len(train):,} digits")
    model = kg.VAE((8, 8, 1), latent_dim=8, seed=1)
    model.compile(keras.optimizers.Adam(2e-3))
    history = model.fit(
        train,
        batch_size=16,
        epochs=EPOCHS,
        validation_data=valid,
        callbacks=[
            kg.callbacks.ImageGrid(OUTPUT, every_n_epochs=EPOCHS),
            kg.callbacks.ReconstructionGrid(test[:40], OUTPUT, every_n_epochs=EPOCHS, columns=8),
            kg.callbacks.TraversalGrid(OUTPUT, test[0], every_n_epochs=EPOCHS),
            kg.callbacks.StopOnNonFinite(),
        ],
    )
    plot_curves(history.history, OUTPUT / "curves.png")

    heading(f"2. Measure on {len(test)} digits that were never seen: log p(x) in nats, higher is better")
    bound = -model.evaluate(test, verbose=0, return_dict=True)["loss"]
    figures = {
        "each pixel by its own frequency": independent_pixels(train, test),
        "VAE, lower bound (ELBO)": bound,
        "VAE, importance-weighted, 500 draws": np.mean(model.log_prob(test, num_samples=500)),
    }
    for name, nats in figures.items():
        print(f"  {name:<36}{nats:7.2f}")

    heading("3. Look")
    for path in sorted(OUTPUT.glob("*.png")):
        print(f"  {path}")

    heading("4. Save and load")
    model.save(OUTPUT / "vae.keras")
    loaded = keras.saving.load_model(OUTPUT / "vae.keras")
    again = -loaded.evaluate(test, verbose=0, return_dict=True)["loss"]
    print(f"  {OUTPUT / 'vae.keras'}: bound {again:.6f} nats, before {bound:.6f}; equal: {again == bound}")

    heading("5. Export, and ask the export in a process without keras_genmod and without Python TensorFlow")
    served = OUTPUT / "serving" / "digits"
    model.export(served / "1")
    answers = kg.serving.run(
        served / "1",
        [("encode", {"x": test[:3]}), ("sample", {"num_samples": 2, "seed": [0, 7]})],
    )
    expected = [model.encode(test[:3]), model.sample(2, seed=7)]
    for signature, answer, numbers in zip(("encode", "sample"), answers, expected, strict=True):
        (received,) = answer.values()
        print(
            f"  {signature}: largest difference from the model in memory "
            f"{np.abs(received - numbers).max():.1e}"
        )

    heading("6. Serve it")
    body = json.dumps({"signature_name": "sample", "inputs": {"num_samples": 2, "seed": [0, 7]}})
    print(
        f"  tensorflow_model_server --rest_api_port=8501 --model_name=digits "
        f"--model_base_path={served.resolve()}\n"
        f"  curl http://localhost:8501/v1/models/digits:predict -d '{body}'"
    )
    if "--gallery" in sys.argv:
        for kind in ("samples", "reconstructions", "traversals"):
            picture = OUTPUT / f"epoch_{EPOCHS:04d}_{kind}.png"
            shutil.copy(picture, Path(__file__).parent / "gallery" / f"quickstart_{kind}.png")
        shutil.copy(OUTPUT / "curves.png", Path(__file__).parent / "gallery" / "quickstart_curves.png")
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def heading(text):
    print(f"\n{text}")


def independent_pixels(train, test):
    """Mean log-probability of the test digits if pixels were independent: the baseline to beat."""
    probs = (train.sum(0) + 1) / (len(train) + 2)
    return np.mean(np.sum(np.where(test == 1, np.log(probs), np.log1p(-probs)), axis=(1, 2, 3)))


def plot_curves(history, path):
    epochs = range(1, len(history["loss"]) + 1)
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for axis, name in zip(axes, ("loss", "reconstruction", "kl"), strict=True):
        axis.plot(epochs, history[name], label="training")
        axis.plot(epochs, history[f"val_{name}"], label="validation")
        axis.set(title=name, xlabel="epoch")
    axes[0].set_ylabel("nats per digit")
    axes[0].legend()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
