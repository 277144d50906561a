"""Exact test likelihoods of the autoregressive family, beside the published ones.

    python examples/reproduce/autoregressive_densities.py pixel_cnn [--minutes 55] [--data binarized_mnist]

Trains one model on a set that published density tables use, for a given time, and prints its row: model,
exact negative log-likelihood of the test set in nats, weights, epochs, minutes. The weights are those of the
best epoch on the validation set; the test set is looked at once. The learning rate falls along a half cosine
over the given time, so that the training ends where the time does. The folder `--output` gets the curve of
training and validation, the model, and samples.

Published (nats): fixed-binarised MNIST: FVSBN 97.45, NADE 88.33 (NADE paper, Larochelle and Murray, 2011);
MADE with one hidden layer of 8000 and one mask 88.40, with two and 32 masks 86.64 (MADE paper, Germain et
al., 2015), with one of 500 about 94.5 (read off the paper's figure 2 by karpathy/pytorch-made); PixelCNN
81.30, PixelRNN with one Diagonal BiLSTM 80.75 (van den Oord et al., 2016). DNA: NADE 84.81, MADE 83.63;
Mushrooms: NADE 9.81, MADE 9.68 (MADE paper).
"""

import argparse
import csv
import math
import time
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg

# By name: the model for an event shape, batch size, learning rate at the start.
MODELS = {
    "fvsbn": (lambda shape: kg.FVSBN(shape, seed=0), 100, 1e-3),
    "nade": (lambda shape: kg.NADE(shape, hidden_dim=500, ordering="random", seed=0), 25, 1e-3),
    "made_500": (lambda shape: kg.MADE(shape, hidden_dims=(500,), ordering="random", seed=0), 50, 1e-3),
    "made_8000": (lambda shape: kg.MADE(shape, hidden_dims=(8000,), ordering="random", seed=0), 200, 1e-3),
    "made_8000_8000": (
        lambda shape: kg.MADE(shape, hidden_dims=(8000, 8000), num_masks=32, ordering="random", seed=0),
        200,
        3e-4,
    ),
    "pixel_cnn": (
        lambda shape: kg.PixelCNN(shape, filters=64, num_blocks=6, kernel_size=5, seed=0),
        32,
        3e-3,
    ),
    "gated_pixel_cnn": (
        lambda shape: kg.PixelCNN(shape, filters=32, num_blocks=5, gated=True, seed=0),
        32,
        3e-3,
    ),
    "pixel_rnn": (lambda shape: kg.PixelRNN(shape, units=16, seed=0), 20, 3e-3),
}


class CosineOverTime(keras.callbacks.Callback):
    """The learning rate falls along a half cosine to 0 at the end of the given time, and training stops."""

    def __init__(self, minutes):
        super().__init__()
        self.seconds = 60 * minutes

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()
        self.rate = float(self.model.optimizer.learning_rate)

    def elapsed(self):
        return min(1.0, (time.perf_counter() - self.start) / self.seconds)

    def on_train_batch_end(self, batch, logs=None):
        share = self.elapsed()
        self.model.optimizer.learning_rate.assign(0.5 * self.rate * (1 + math.cos(math.pi * share)))
        if share == 1.0:
            self.model.stop_training = True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--data", default="binarized_mnist", choices=["binarized_mnist", "dna", "mushrooms"])
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--validation-every", type=int, default=1, help="epochs")
    parser.add_argument("--output", default="reproduce_output/autoregressive")
    arguments = parser.parse_args()
    output = Path(arguments.output) / f"{arguments.data}_{arguments.model}"
    output.mkdir(parents=True, exist_ok=True)

    sets = kg.data.load(arguments.data)
    build, batch_size, rate = MODELS[arguments.model]
    images = arguments.model.startswith("pixel") or arguments.model.startswith("gated")
    train, valid, test = (
        sets[split].astype("float32").reshape(len(sets[split]), *((28, 28, 1) if images else (-1,)))
        for split in ("train", "valid", "test")
    )
    if len(train) < 10_000:
        batch_size = 20
    model = build(train.shape[1:])
    model.compile(keras.optimizers.Adam(arguments.learning_rate or rate))
    best = output / "best.weights.h5"
    start = time.perf_counter()
    history = model.fit(
        train,
        validation_data=valid,
        validation_freq=arguments.validation_every,
        batch_size=batch_size,
        epochs=10_000,
        verbose=2,
        callbacks=[
            CosineOverTime(arguments.minutes),
            keras.callbacks.ModelCheckpoint(
                best, "val_loss", mode="min", save_best_only=True, save_weights_only=True
            ),
            keras.callbacks.CSVLogger(output / "curve.csv"),
        ],
    ).history
    minutes = (time.perf_counter() - start) / 60
    model.load_weights(best)
    model.save(output / "model.keras")
    nats = np.asarray(model.log_prob(test), "float64")
    error = nats.std() / math.sqrt(len(nats))
    if "mnist" in arguments.data:
        samples = np.asarray(model.sample(64, seed=0)).reshape(-1, 28, 28, 1)
        kg.write_png(output / "samples.png", kg.image_grid(samples, 8, scale=2))
    row = {
        "data": arguments.data,
        "model": arguments.model,
        "test nll (exact)": f"{-nats.mean():.2f} +- {error:.2f}",
        "valid nll": f"{min(history['val_loss']):.2f}",
        "weights": f"{sum(math.prod(w.shape) for w in model.trainable_weights):,}",
        "epochs": len(history["loss"]),
        "minutes": f"{minutes:.0f}",
    }
    with open(output / "result.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    print(", ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


if __name__ == "__main__":
    main()
