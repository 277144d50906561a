"""A tour of what a trained model can do, on scikit-learn's handwritten digits: `python examples/tour.py`.

Trains the variational autoencoder of `quickstart.py` with callbacks that watch it, measures it, finds
anomalies, walks through the latent space, saves and loads the model, exports it for TensorFlow Serving and
asks the export without this package. All files go to `tour_output/`.
"""

import quiet_start  # isort: skip

import json
import shutil
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

OUTPUT = Path("tour_output")
EPOCHS = 40


def main():
    shutil.rmtree(OUTPUT, ignore_errors=True)
    digits = kg.data.load("digits")  # 8x8 pixels, values 0..16
    train, valid, test = (kg.data.binarize(digits[split] / 16) for split in ("train", "valid", "test"))

    heading(f"1. Train on {len(train):,} digits, with a picture of samples every 10 epochs")
    model = kg.VAE((8, 8, 1), latent_dim=8, seed=1)
    model.compile(keras.optimizers.Adam(2e-3))
    model.fit(
        train,
        batch_size=16,
        epochs=EPOCHS,
        validation_data=valid,
        verbose=0,
        callbacks=[
            kg.callbacks.ImageGrid(OUTPUT / "during_training", every_n_epochs=10),
            kg.callbacks.StopOnNonFinite(),
        ],
    )
    for path in sorted((OUTPUT / "during_training").glob("*.png")):
        print(f"  {path}")

    heading(f"2. Measure on {len(test)} digits that were never seen: log p(x) in nats, higher is better")
    terms = model.evaluate(test, verbose=0, return_dict=True)
    figures = {
        "each pixel by its own frequency": independent_pixels(train, test),
        "VAE, lower bound (ELBO)": -terms["loss"],
        "VAE, importance-weighted, 500 draws": np.mean(model.log_prob(test, num_samples=500)),
    }
    for name, nats in figures.items():
        print(f"  {name:<36}{nats:7.2f}")
    print(f"  {terms['active_units']:.0f} of {model.latent_dim} latent dimensions are in use")

    heading("3. Find digits that are upside down by the anomaly score, -log p(x)")
    scores = {"digits": model.anomaly_score(test), "upside down": model.anomaly_score(test[:, ::-1])}
    is_anomaly = np.repeat([False, True], len(test))
    save(kg.plots.score_histogram(scores), "scores.png")
    save(kg.plots.roc(np.concatenate(list(scores.values())), is_anomaly), "roc.png")

    heading("4. Walk through the latent space, from the first ten test digits to the next ten")
    paths = kg.applications.interpolate(model, test[:10], test[10:20], num_steps=12)
    kg.write_png(OUTPUT / "interpolations.png", kg.image_grid(paths, padding=3, scale=6, line=150))
    print(f"  {OUTPUT / 'interpolations.png'}: one path per row")

    heading("5. Save and load")
    model.save(OUTPUT / "vae.keras")
    loaded = keras.saving.load_model(OUTPUT / "vae.keras")
    bound, again = (-one.evaluate(test, verbose=0, return_dict=True)["loss"] for one in (model, loaded))
    print(f"  {OUTPUT / 'vae.keras'}: bound {again:.6f} nats, before {bound:.6f}; equal: {again == bound}")

    heading("6. Export, and ask the export in a process without keras_genmod and without Python TensorFlow")
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

    heading("7. Serve it")
    body = json.dumps({"signature_name": "sample", "inputs": {"num_samples": 2, "seed": [0, 7]}})
    print(
        f"  tensorflow_model_server --rest_api_port=8501 --model_name=digits "
        f"--model_base_path={served.resolve()}\n"
        f"  curl http://localhost:8501/v1/models/digits:predict -d '{body}'"
    )
    print(f"\nDone in {time.perf_counter() - quiet_start.STARTED:.0f} s.")


def heading(text):
    print(f"\n{text}", flush=True)


def save(figure, name):
    figure.savefig(OUTPUT / name)
    print(f"  {OUTPUT / name}")


def independent_pixels(train, test):
    """Mean log-probability of the test digits if pixels were independent: the baseline to beat."""
    probs = (train.sum(0) + 1) / (len(train) + 2)
    return np.mean(np.sum(np.where(test == 1, np.log(probs), np.log1p(-probs)), axis=(1, 2, 3)))


if __name__ == "__main__":
    main()
