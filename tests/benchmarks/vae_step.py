"""A training step through `fit` beside the same mathematics as one hand-written `tf.function`.

    python -m tests.benchmarks.vae_step [--network dense] [--data mnist] [--rounds 20]

Both sides have the same networks with the same weights, batches from the same pipeline in the same order,
Adam of Keras, the same noise and the same running means (loss, reconstruction, divergence, active units).
The script first shows that: both give the same figures, step by step. Then sides take turns, a few short
epochs each:

* `hand`: a Python loop that calls the hand-written `tf.function` once a step, the yardstick of every row;
* `fit`: `VAE.fit` without callbacks but one that reads the clock when an epoch begins and ends;
* `fit, 10 steps per execution`: the same with `compile(steps_per_execution=10)`.

each without and with XLA. An epoch's time divided by its steps is one measurement. `ms/step` is the median;
`best tenth` is the tenth percentile, for a machine with other work; `CPU ms/step` counts all threads. The
column `around` is the whole call of `fit`, with its checks of the data and the start of its pipeline;
`first, s` is the first call, with tracing and compilation. Aims: `fit` at most 1.06, with 10 steps per
execution at most 1.0 times the hand-written step.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.batches import Batch
from keras_genmod.core.noise import Purpose, stream_seed
from keras_genmod.data.pipeline import endless_batches
from tests.benchmarks.common import EVENT_SHAPES, binary_images, hardware, median, print_table

BATCH_SIZE = 128
LATENT_DIM = 32
SEED = 1
STEPS_PER_EPOCH = {"dense": 40, "convolutional": 10}
EPOCHS_PER_TURN = 4


class Epoch(NamedTuple):
    """Milliseconds a step: by the clock, and of all threads together."""

    wall: float
    cpu: float


class Clock:
    """Measures epochs of a known number of steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.epochs: list[Epoch] = []

    def start(self) -> None:
        """An epoch begins."""
        self._start = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """It ends."""
        wall, cpu = time.perf_counter() - self._start[0], time.process_time() - self._start[1]
        self.epochs.append(Epoch(wall / self.steps * 1e3, cpu / self.steps * 1e3))


class HandWritten:
    """The training step of a VAE written for this one model, with plain TensorFlow operations."""

    def __init__(self, event_shape: tuple[int, ...], *, jit_compile: bool = False) -> None:
        self.encoder = kg.networks.default_encoder(event_shape, (2 * LATENT_DIM,), seed=SEED)
        self.decoder = kg.networks.default_decoder((LATENT_DIM,), event_shape, seed=SEED + 1)
        self.weights = self.encoder.trainable_weights + self.decoder.trainable_weights
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.optimizer.build(self.weights)
        self.noise_key = int(stream_seed(SEED, Purpose.TRAINING, 0)[0])
        # Number of examples, sums of loss, reconstruction and divergence.
        self.sums = tf.Variable(tf.zeros([4], tf.float64))
        # Rows: sums of the posterior's means, of their squares, and of the divergences.
        self.latent_sums = tf.Variable(tf.zeros([3, LATENT_DIM], tf.float64))
        self.step = tf.function(self._step, jit_compile=jit_compile, autograph=False)

    def _terms(self, x: tf.Tensor, seed: tf.Tensor):
        mean, raw_scale = tf.split(self.encoder(x, training=True), 2, axis=-1)
        scale = tf.nn.softplus(raw_scale + np.log(np.e - 1.0).astype("float32")) + 1e-5
        z = mean + scale * tf.random.stateless_normal(tf.shape(mean), seed)
        logits = self.decoder(z, training=True)
        axes = list(range(1, len(x.shape)))
        reconstruction = tf.reduce_sum(tf.nn.softplus(logits) - x * logits, axis=axes)
        kl = 0.5 * (tf.square(mean) + tf.square(scale) - 1.0) - tf.math.log(scale)
        return mean, kl, tf.reduce_sum(reconstruction), tf.reduce_sum(kl)

    def _step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        num_examples = tf.cast(tf.shape(x)[0], tf.float32)
        seed = tf.stack([self.noise_key, tf.cast(self.optimizer.iterations.value, tf.int32)])
        with tf.GradientTape() as tape:
            mean, kl, *terms = self._terms(x, seed)
            total = terms[0] + terms[1]
            loss = total / num_examples
        gradients = tape.gradient(loss, [weight.value for weight in self.weights])
        self.optimizer.apply(gradients, self.weights)
        sums = tf.cast(tf.stack([num_examples, total, *terms]), tf.float64)
        rows = [tf.reduce_sum(value, axis=0) for value in (mean, tf.square(mean), kl)]
        self.sums.assign_add(sums)
        self.latent_sums.assign_add(tf.cast(tf.stack(rows), tf.float64))
        return self._means()

    def _means(self) -> dict[str, tf.Tensor]:
        count, loss, reconstruction, kl = tf.unstack(self.sums.read_value())
        mean, square, _ = tf.unstack(self.latent_sums.read_value() / count)
        active = tf.reduce_sum(tf.cast(square - tf.square(mean) > 0.01, tf.float32))
        means = {"loss": loss, "reconstruction": reconstruction, "kl": kl}
        return {"active_units": active, **{k: tf.cast(v / count, tf.float32) for k, v in means.items()}}

    def reset(self) -> None:
        """Begins an epoch's means."""
        self.sums.assign(tf.zeros_like(self.sums))
        self.latent_sums.assign(tf.zeros_like(self.latent_sums))


class HandSide:
    """Epochs of the hand-written step."""

    def __init__(self, images: np.ndarray, steps: int, *, jit_compile: bool) -> None:
        self.hand = HandWritten(images.shape[1:], jit_compile=jit_compile)
        self.batches = iter(endless_batches(Batch(images), BATCH_SIZE, seed=SEED))
        self.steps = steps

    def turn(self) -> list[Epoch]:
        """A few epochs."""
        clock = Clock(self.steps)
        for _ in range(EPOCHS_PER_TURN):
            self.hand.reset()
            clock.start()
            for _ in range(self.steps):
                (x,) = next(self.batches)
                logs = self.hand.step(x)
            float(logs["loss"])
            clock.stop()
        return clock.epochs


class EpochClock(keras.callbacks.Callback):
    """Measures the epochs of a `fit`."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.clock = Clock(steps)

    def on_epoch_begin(self, epoch, logs=None):
        self.clock.start()

    def on_epoch_end(self, epoch, logs=None):
        self.clock.stop()


class FitSide:
    """Epochs of `VAE.fit`."""

    def __init__(
        self, images: np.ndarray, steps: int, *, jit_compile: bool, steps_per_execution: int
    ) -> None:
        self.model = make_vae(images.shape[1:])
        self.model.compile(jit_compile=jit_compile, steps_per_execution=steps_per_execution)
        self.images, self.steps = images, steps

    def turn(self) -> list[Epoch]:
        """A few epochs of one `fit`; its first, in which the pipeline starts, is not among them."""
        watch = EpochClock(self.steps)
        self.model.fit(
            self.images,
            batch_size=BATCH_SIZE,
            steps_per_epoch=self.steps,
            epochs=1 + EPOCHS_PER_TURN,
            callbacks=[watch],
            verbose=0,
        )
        return watch.clock.epochs[1:]


def make_vae(event_shape: tuple[int, ...]) -> kg.VAE:
    """The model, with the networks, weights and noise of `HandWritten`."""
    return kg.VAE(event_shape, latent_dim=LATENT_DIM, seed=SEED)


class LogRecorder(keras.callbacks.Callback):
    """The running means after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[dict[str, float]] = []

    def on_train_batch_end(self, batch, logs=None):
        self.logs.append(dict(logs))


def check_same_mathematics(images: np.ndarray, *, jit_compile: bool, num_steps: int = 20) -> float:
    """Raises unless both sides log the same figures at every step; returns the largest difference.

    Floats are added in another order, and training amplifies rounding from step to step: hence the
    tolerance.
    """
    hand = HandWritten(images.shape[1:], jit_compile=jit_compile)
    batches = endless_batches(Batch(images), BATCH_SIZE, seed=SEED).take(num_steps)
    expected = [{name: float(value) for name, value in hand.step(x).items()} for (x,) in batches]
    model = make_vae(images.shape[1:])
    model.compile(jit_compile=jit_compile)
    recorder = LogRecorder()
    model.fit(images, batch_size=BATCH_SIZE, steps_per_epoch=num_steps, callbacks=[recorder], verbose=0)
    names = ("loss", "reconstruction", "kl", "active_units")
    expected, received = (
        np.array([[logs[name] for name in names] for logs in steps]) for steps in (expected, recorder.logs)
    )
    np.testing.assert_allclose(received[:, :3], expected[:, :3], rtol=1e-3)
    np.testing.assert_allclose(received[:, 3], expected[:, 3], atol=1)
    return float(np.max(np.abs(received[:, :3] / expected[:, :3] - 1)))


def make_sides(images: np.ndarray, steps: int, *, jit_compile: bool) -> dict[str, HandSide | FitSide]:
    """The sides by name, in the order in which they take turns."""
    options = {"jit_compile": jit_compile}
    suffix = ", XLA" if jit_compile else ""
    return {
        f"hand{suffix}": HandSide(images, steps, **options),
        f"fit{suffix}": FitSide(images, steps, steps_per_execution=1, **options),
        f"fit, 10 steps per execution{suffix}": FitSide(images, steps, steps_per_execution=10, **options),
    }


def compare(network: str, source: str, rounds: int) -> None:
    """Measures one kind of network and prints its table."""
    steps = STEPS_PER_EPOCH[network]
    images = binary_images(steps * BATCH_SIZE, EVENT_SHAPES[network], source)
    differences = [check_same_mathematics(images, jit_compile=jit) for jit in (False, True)]
    sides = {**make_sides(images, steps, jit_compile=False), **make_sides(images, steps, jit_compile=True)}
    first, around = {}, {name: [] for name in sides}
    epochs = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            measured = side.turn()
            seconds = time.perf_counter() - start
            if turn == 0:
                first[name] = seconds
            else:
                epochs[name] += measured
                around[name].append(seconds)
    hand = summary(epochs["hand"])
    rows = []
    for name in sides:
        own = summary(epochs[name])
        epochs_around = EPOCHS_PER_TURN + isinstance(sides[name], FitSide)
        rows.append(
            [
                name,
                *[
                    text
                    for mine, yardstick in zip(own, hand, strict=True)
                    for text in (f"{mine:.3f}", f"{mine / yardstick:.3f}")
                ],
                f"{median(around[name]) / epochs_around / steps * 1e3:.3f}",
                f"{first[name]:.1f}",
            ]
        )
    print_table(
        f"{network} VAE, batch {BATCH_SIZE}, {rounds * EPOCHS_PER_TURN} epochs of {steps} steps each; "
        f"logs of 20 steps agree to {differences[0]:.0e} (XLA {differences[1]:.0e})",
        ["", "ms/step", "/ hand", "best tenth", "/ hand", "CPU ms/step", "/ hand", "around", "first, s"],
        rows,
    )


def summary(epochs: list[Epoch]) -> tuple[float, float, float]:
    """Median and tenth percentile by the clock, and the median of all threads' time."""
    wall = [epoch.wall for epoch in epochs]
    return median(wall), float(np.percentile(wall, 10)), median([epoch.cpu for epoch in epochs])


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=[*EVENT_SHAPES, "both"], default="both")
    parser.add_argument("--data", choices=["random", "mnist"], default="random")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    print(hardware("tensorflow", "keras", "tensorflow-probability"))
    for network in EVENT_SHAPES if options.network == "both" else [options.network]:
        compare(network, options.data, options.rounds)


if __name__ == "__main__":
    main()
