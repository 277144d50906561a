"""What the scripts for published likelihoods share: training for a given time, and printing a row.

A script defines settings by name. `run` trains one of them, selects the epoch on the validation set, uses the
test set once, and writes the curve, the model, samples and the row.
"""

import argparse
import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import keras_genmod as kg


@dataclass(frozen=True)
class Setting:
    """A model and how it is trained.

    Args:
        build: Function from the training examples to the model.
        batch_size: Number of examples per step.
        learning_rate: Initial learning rate.
        weight_decay: Decoupled weight decay, as in AdamW.
        images: Whether examples are [28, 28, 1] and not flat.
        momentum: Nesterov momentum of stochastic gradient descent, which then replaces Adam.
        clip_norm: Largest norm of the gradient.
        first: Function to a cheaper model with the same weights, which is trained instead for the first third
            of the time; None for none.
        undecayed: Parts of the names of weights without weight decay.
    """

    build: Callable
    batch_size: int
    learning_rate: float = 1e-3
    weight_decay: float | None = None
    images: bool = False
    momentum: float | None = None
    clip_norm: float | None = None
    first: Callable | None = None
    undecayed: tuple[str, ...] = ()

    def optimizer(self, learning_rate: float | None, weight_decay: float | None):
        """The optimizer, with the given learning rate and weight decay if any are given."""
        options = {
            "learning_rate": self.learning_rate if learning_rate is None else learning_rate,
            "weight_decay": self.weight_decay if weight_decay is None else weight_decay,
            "global_clipnorm": self.clip_norm,
        }
        if self.momentum is None:
            optimizer = keras.optimizers.Adam(**options)
        else:
            optimizer = keras.optimizers.SGD(momentum=self.momentum, nesterov=True, **options)
        optimizer.exclude_from_weight_decay(var_names=list(self.undecayed))
        return optimizer


class CosineOverTime(keras.callbacks.Callback):
    """The learning rate falls along a half cosine to 0 at the end of the given time, and training stops.

    A training that is part of a longer one covers the fractions `begin` to `end` of the total time.
    """

    def __init__(self, minutes, *, begin=0.0, end=1.0):
        super().__init__()
        self.seconds, self.begin, self.end = 60 * minutes, begin, end

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter() - self.begin * self.seconds
        self.rate = float(self.model.optimizer.learning_rate)

    def elapsed(self):
        return min(self.end, (time.perf_counter() - self.start) / self.seconds)

    def on_train_batch_end(self, batch, logs=None):
        share = self.elapsed()
        self.model.optimizer.learning_rate.assign(0.5 * self.rate * (1 + math.cos(math.pi * share)))
        if share == self.end:
            self.model.stop_training = True


class NegativeBound(keras.callbacks.Callback):
    """Logs `val_nll`: the validation loss with the divergence's full weight, whatever its schedule says."""

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" in logs:
            terms = ("val_reconstruction", "val_kl")
            logs["val_nll"] = sum(logs[term] for term in terms) if terms[0] in logs else logs["val_loss"]


class BestEpoch(keras.callbacks.ModelCheckpoint):
    """Keeps the weights of the validated epoch with the lowest `val_nll`."""

    def __init__(self, path):
        super().__init__(path, "val_nll", mode="min", save_best_only=True, save_weights_only=True)

    def on_epoch_end(self, epoch, logs=None):
        if "val_nll" in logs:
            super().on_epoch_end(epoch, logs)


def parser(description, models, *, output):
    """The command-line arguments that all these scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", choices=models)
    parser.add_argument("--minutes", type=float, default=55)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--weight-decay", type=float, help="decoupled (AdamW)")
    parser.add_argument("--validation-every", type=int, default=1, help="epochs")
    parser.add_argument("--output", default=output)
    return parser


def run(arguments, setting, sets, *, measure, train=None):
    """Trains a setting on `sets` and prints its row.

    Args:
        arguments: Command-line arguments; `arguments.data` names the data.
        setting: The model and how it is trained.
        sets: Arrays "train", "valid" and "test".
        measure: Function from the trained model and the test examples to the name of the figure and its
            value per example in nats.
        train: Function from the training examples to the data to train on, such as newly binarised examples;
            None trains on the examples themselves.
    """
    output = Path(arguments.output) / f"{arguments.data}_{arguments.model}"
    output.mkdir(parents=True, exist_ok=True)
    shape = (28, 28, 1) if setting.images else (-1,)
    x = {name: values.astype("float32").reshape(len(values), *shape) for name, values in sets.items()}
    best, curve = output / "best.weights.h5", output / "curve.csv"
    curve.unlink(missing_ok=True)
    start = time.perf_counter()

    def trained(model, begin=0.0, end=1.0):
        """The checkpoint of a training, and its number of epochs."""
        optimizer = setting.optimizer(arguments.learning_rate, arguments.weight_decay)
        model.compile(optimizer)
        selected = BestEpoch(best)
        history = model.fit(
            x["train"] if train is None else train(x["train"], setting.batch_size),
            validation_data=x["valid"],
            validation_freq=arguments.validation_every,
            batch_size=setting.batch_size if train is None else None,
            epochs=10_000,
            verbose=2,
            callbacks=[
                CosineOverTime(arguments.minutes, begin=begin, end=end),
                NegativeBound(),
                selected,
                keras.callbacks.CSVLogger(curve, append=True),
            ],
        ).history
        epochs = len(history["loss"])
        if epochs % arguments.validation_every:
            # The last epoch has not been validated yet.
            logs = model.evaluate(x["valid"], batch_size=setting.batch_size, verbose=0, return_dict=True)
            logs = {f"val_{name}": value for name, value in logs.items()}
            for callback in (NegativeBound(), selected):
                callback.on_epoch_end(epochs - 1, logs)
        return selected, epochs

    model, epochs = setting.build(x["train"]), ""
    if setting.first is not None:
        cheaper = setting.first(x["train"])
        epochs = f"{trained(cheaper, end=1 / 3)[1]} + "
        model.set_weights(cheaper.get_weights())
    selected, count = trained(model, begin=0.0 if setting.first is None else 1 / 3)
    minutes = (time.perf_counter() - start) / 60
    model.load_weights(best)
    model.save(output / "model.keras")
    if x["train"][0].size == 784:
        samples = np.asarray(model.sample(64, seed=0)).reshape(-1, 28, 28, 1)
        kg.write_png(output / "samples.png", kg.image_grid(samples / max(1.0, x["train"].max()), 8, scale=2))
    figure, nats = measure(model, x["test"])
    nats = np.asarray(nats, "float64")
    row = {
        "data": arguments.data,
        "model": arguments.model,
        figure: f"{nats.mean():.2f} +- {nats.std() / math.sqrt(len(nats)):.2f}",
        "valid nll": f"{selected.best:.2f}",
        "weights": f"{sum(math.prod(w.shape) for w in model.trainable_weights):,}",
        "epochs": f"{epochs}{count}",
        "minutes": f"{minutes:.0f}",
    }
    write_rows(output / "result.csv", [row])
    print(", ".join(f"{name}: {value}" for name, value in row.items()), flush=True)


def write_rows(path, rows):
    """Writes a table whose header comes from the first row."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
