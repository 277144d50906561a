"""A training step of MADE and PixelCNN through `fit` beside hand-written steps, on the CPU.

    pip install torch==2.13.0    # the build for CPUs
    python -m tests.benchmarks.autoregressive_step [--model made] [--rounds 5] [--without-torch]

`hand` is the same mathematics as one `tf.function` that a Python loop calls once a step: plain TensorFlow
operations, masks that are constants, batches from the same pipeline, Adam of Keras, a running mean of the
loss. A process of its own first shows that `fit`, from the same weights with the same batches, logs the same
losses step by step. PyTorch is eager, with its two quick forms of Adam. Everywhere the masked convolutions
have the upper half of their kernels only. MADE: 784 variables, 500 hidden units, batch 100; PixelCNN: 32
filters, 5 residual blocks, no position bias, batch 64.

Each side has processes of its own, which take turns; each trains for a few epochs and reports the median.
Memory is the most that a process had, libraries included; `loss` is the mean of the last epoch, which all
sides must have brought to about the same. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from tests.benchmarks.common import (
    binary_images,
    hardware,
    median,
    peak_memory_mb,
    print_steps,
    run_python,
    take_turns,
    write_report,
)

SEED = 1
HIDDEN_DIM = 500
FILTERS, NUM_BLOCKS = 32, 5
NUM_THREADS = len(os.sched_getaffinity(0))
EVENT_SHAPES = {"made": (784,), "pixel_cnn": (28, 28, 1)}
BATCH_SIZES = {"made": 100, "pixel_cnn": 64}
STEPS_PER_EPOCH = {"made": 100, "pixel_cnn": 10}
NUM_EPOCHS = 6
CHECKED_STEPS = 10
SIDES = {
    "hand": "hand",
    "fit": "fit",
    "fit, 10 steps per execution": "fit_10",
    "PyTorch, Adam(foreach=True)": "torch_foreach",
    "PyTorch, Adam(fused=True)": "torch_fused",
}


# ---- what all sides share: the masks, and the order of the layers ----------------------------------


def made_masks() -> list[np.ndarray]:
    """Of the hidden units, whose degrees go evenly from 1 to 783, and of the outputs."""
    places = np.arange(1, 785)
    degrees = 1 + np.arange(HIDDEN_DIM) * 783 // HIDDEN_DIM
    masks = [places[:, None] <= degrees, degrees[:, None] < places]
    return [mask.astype("float32") for mask in masks]


def pixel_cnn_masks() -> list[np.ndarray]:
    """Of all convolutions in their order, `[rows, width, C, F]`: rows up to the pixel's own."""
    half = FILTERS // 2
    block = [(1, FILTERS, half), (3, half, half), (1, half, FILTERS)]
    heads = [(1, FILTERS, FILTERS), (1, FILTERS, FILTERS), (1, FILTERS, 1)]
    masks = []
    for number, (size, inputs, outputs) in enumerate([(7, 1, FILTERS), *block * NUM_BLOCKS, *heads]):
        mask = np.ones((size // 2 + 1, size, inputs, outputs), "float32")
        # To the right of the pixel; the first layer does not see the pixel itself either.
        mask[-1, size // 2 + (number > 0) :] = 0.0
        masks.append(mask)
    return masks


def apply_convolutions(x, convolutions: list[Callable], relu: Callable):
    """The network of PixelCNN, given its convolutions as functions: logits."""
    first, *blocks = convolutions[: 1 + 3 * NUM_BLOCKS]
    h = first(x)
    for start in range(0, len(blocks), 3):
        inner = h
        for convolution in blocks[start : start + 3]:
            inner = convolution(relu(inner))
        h = h + inner
    for convolution in convolutions[1 + 3 * NUM_BLOCKS :]:
        h = convolution(relu(h))
    return h


# ---- this package ---------------------------------------------------------------------------------


def make_model(name: str):
    """The model of one comparison."""
    import keras_genmod as kg

    if name == "made":
        return kg.MADE(EVENT_SHAPES[name], hidden_dims=(HIDDEN_DIM,), seed=SEED)
    options = {"filters": FILTERS, "num_blocks": NUM_BLOCKS, "position_bias": False}
    return kg.PixelCNN(EVENT_SHAPES[name], seed=SEED, **options)


def initial_weights(name: str) -> list[np.ndarray]:
    """Kernel and bias of each layer in its order, as the model starts."""
    return [weight.numpy() for weight in make_model(name).trainable_weights]


def fit_seconds(name: str, images: np.ndarray, steps_per_execution: int) -> tuple[list[float], float]:
    """Seconds of each epoch of `fit`, and the loss of the last."""
    from tests.benchmarks.vae_step import EpochClock

    watch = EpochClock(steps=1)
    model = make_model(name)
    model.compile(steps_per_execution=steps_per_execution)
    history = model.fit(images, batch_size=BATCH_SIZES[name], epochs=NUM_EPOCHS, callbacks=[watch], verbose=0)
    return [epoch.wall / 1e3 for epoch in watch.clock.epochs], history.history["loss"][-1]


# ---- hand-written with TensorFlow -----------------------------------------------------------------


class HandWritten:
    """The training step of one of the two models, with plain TensorFlow operations."""

    def __init__(self, name: str) -> None:
        import keras
        import tensorflow as tf

        self.logits = {"made": self._made_logits, "pixel_cnn": self._pixel_cnn_logits}[name]
        self.masks = [
            None if mask.all() else tf.constant(mask)
            for mask in {"made": made_masks, "pixel_cnn": pixel_cnn_masks}[name]()
        ]
        self.weights = [keras.Variable(value) for value in initial_weights(name)]
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.optimizer.build(self.weights)
        # Number of examples, and the sum of their losses.
        self.sums = tf.Variable(tf.zeros([2], tf.float64))
        self.step = tf.function(self._step, autograph=False)

    def _layers(self) -> Iterable[tuple]:
        """Masked kernel and bias of each layer."""
        for mask, kernel, bias in zip(self.masks, self.weights[::2], self.weights[1::2], strict=True):
            yield (kernel.value if mask is None else kernel.value * mask), bias.value

    def _made_logits(self, x):
        import tensorflow as tf

        (kernel, bias), (output_kernel, output_bias) = self._layers()
        hidden = tf.nn.relu(tf.matmul(x, kernel) + bias)
        return tf.matmul(hidden, output_kernel) + output_bias

    def _pixel_cnn_logits(self, x):
        import tensorflow as tf

        def convolution(kernel, bias) -> Callable:
            up, side = kernel.shape[0] - 1, kernel.shape[1] // 2
            padding = [[0, 0], [up, 0], [side, side], [0, 0]] if side else "VALID"
            return lambda h: tf.nn.bias_add(tf.nn.conv2d(h, kernel, 1, padding), bias)

        return apply_convolutions(x, [convolution(*layer) for layer in self._layers()], tf.nn.relu)

    def _step(self, x):
        import tensorflow as tf

        num_examples = tf.cast(tf.shape(x)[0], tf.float32)
        with tf.GradientTape() as tape:
            logits = self.logits(x)
            total = tf.reduce_sum(tf.nn.softplus(logits) - x * logits)
            loss = total / num_examples
        gradients = tape.gradient(loss, [weight.value for weight in self.weights])
        self.optimizer.apply(gradients, self.weights)
        self.sums.assign_add(tf.cast(tf.stack([num_examples, total]), tf.float64))
        count, total = tf.unstack(self.sums.read_value())
        return tf.cast(total / count, tf.float32)

    def reset(self) -> None:
        """Begins an epoch's mean."""
        self.sums.assign([0.0, 0.0])


def hand_epoch(name: str, images: np.ndarray) -> Callable[[], float]:
    """A function that trains for one epoch by hand and returns the mean loss."""
    from keras_genmod.core.batches import Batch
    from keras_genmod.data.pipeline import endless_batches

    hand = HandWritten(name)
    batches = iter(endless_batches(Batch(images), BATCH_SIZES[name], seed=SEED))

    def epoch() -> float:
        hand.reset()
        for _ in range(STEPS_PER_EPOCH[name]):
            (x,) = next(batches)
            loss = hand.step(x)
        return float(loss)

    return epoch


def check_same_losses(name: str, images: np.ndarray) -> float:
    """Raises unless both log the same running means; returns the largest relative difference.

    Floats are added in another order, and training amplifies rounding from step to step: hence the
    tolerance.
    """
    from keras_genmod.core.batches import Batch
    from keras_genmod.data.pipeline import endless_batches
    from tests.benchmarks.vae_step import LogRecorder

    hand, recorder = HandWritten(name), LogRecorder()
    batches = endless_batches(Batch(images), BATCH_SIZES[name], seed=SEED).take(CHECKED_STEPS)
    expected = np.array([float(hand.step(x)) for (x,) in batches])
    model = make_model(name)
    model.compile()
    options = {"steps_per_epoch": CHECKED_STEPS, "callbacks": [recorder], "verbose": 0}
    model.fit(images, batch_size=BATCH_SIZES[name], **options)
    received = np.array([logs["loss"] for logs in recorder.logs])
    np.testing.assert_allclose(received, expected, rtol=1e-3)
    return float(np.max(np.abs(received / expected - 1)))


# ---- PyTorch --------------------------------------------------------------------------------------


def torch_logits(name: str) -> tuple[list, Callable]:
    """The weights, and the function from data to logits."""
    import torch
    from torch.nn import functional

    if name == "made":
        masks = [torch.from_numpy(mask.T.copy()) for mask in made_masks()]
    else:
        masks = [torch.from_numpy(mask.transpose(3, 2, 0, 1).copy()) for mask in pixel_cnn_masks()]
    kernels = [torch.nn.init.xavier_uniform_(torch.empty_like(mask)).requires_grad_() for mask in masks]
    biases = [torch.zeros(len(mask), requires_grad=True) for mask in masks]
    masks = [None if mask.all() else mask for mask in masks]

    def layers() -> Iterable[tuple]:
        for mask, kernel, bias in zip(masks, kernels, biases, strict=True):
            yield (kernel if mask is None else kernel * mask), bias

    def made(x):
        hidden, output = layers()
        return functional.linear(functional.relu(functional.linear(x, *hidden)), *output)

    def convolution(kernel, bias) -> Callable:
        up, side = kernel.shape[2] - 1, kernel.shape[3] // 2
        return lambda h: functional.conv2d(
            functional.pad(h, (side, side, up, 0)) if side else h, kernel, bias
        )

    def pixel_cnn(x):
        return apply_convolutions(x, [convolution(*layer) for layer in layers()], functional.relu)

    return [*kernels, *biases], made if name == "made" else pixel_cnn


def torch_epoch(name: str, images: np.ndarray, side: str) -> Callable[[], float]:
    """A function that trains for one epoch in PyTorch and returns the mean loss."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.set_num_threads(NUM_THREADS)
    torch.manual_seed(SEED)
    weights, logits = torch_logits(name)
    variant = {"fused": True} if side == "torch_fused" else {"foreach": True}
    optimizer = torch.optim.Adam(weights, lr=1e-3, eps=1e-7, **variant)
    # One channel: both layouts are the same numbers.
    data = torch.from_numpy(images.reshape(-1, *((784,) if name == "made" else (1, 28, 28))))

    def epoch() -> float:
        total = torch.zeros((), dtype=torch.float64)
        for rows in torch.randperm(len(data)).split(BATCH_SIZES[name]):
            x = data[rows]
            loss = binary_cross_entropy_with_logits(logits(x), x, reduction="sum")
            optimizer.zero_grad()
            (loss / len(x)).backward()
            optimizer.step()
            total += loss.detach()
        return float(total) / len(data)

    return epoch


# ---- processes ------------------------------------------------------------------------------------


def work(side: str, name: str) -> None:
    """One process: trains, and reports."""
    steps = STEPS_PER_EPOCH[name]
    images = binary_images(steps * BATCH_SIZES[name], EVENT_SHAPES[name])
    if side == "check":
        write_report({"difference": check_same_losses(name, images)})
        return
    if side.startswith("fit"):
        seconds, loss = fit_seconds(name, images, 10 if side == "fit_10" else 1)
    else:
        epoch = hand_epoch(name, images) if side == "hand" else torch_epoch(name, images, side)
        seconds = []
        for _ in range(NUM_EPOCHS):
            start = time.perf_counter()
            loss = epoch()
            seconds.append(time.perf_counter() - start)
    # The first epoch traces and warms up.
    step = [second / steps * 1e3 for second in seconds[1:]]
    write_report({"step": median(step), "best": min(step), "loss": loss, "memory": peak_memory_mb()})


def compare(name: str, rounds: int, sides: dict[str, str]) -> None:
    """Checks the mathematics, lets the processes take turns, and prints the table."""
    module = "tests.benchmarks.autoregressive_step"
    difference = run_python("-m", module, "--side=check", f"--model={name}")["difference"]
    options = {title: (f"--side={side}",) for title, side in sides.items()}
    reports = take_turns(module, options, rounds, f"--model={name}")
    print_steps(
        f"{name}, batch {BATCH_SIZES[name]}, {NUM_THREADS} threads, {rounds} processes each, "
        f"{NUM_EPOCHS - 1} epochs of {STEPS_PER_EPOCH[name]} steps a process; "
        f"losses of {CHECKED_STEPS} steps agree to {difference:.0e}",
        reports,
        "hand",
    )


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=[*EVENT_SHAPES, "both"], default="both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--side", choices=[*SIDES.values(), "check"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        work(options.side, options.model)
        return
    sides = {k: v for k, v in SIDES.items() if not (options.without_torch and v.startswith("torch"))}
    print(hardware("tensorflow", "keras", *([] if options.without_torch else ["torch"])))
    for name in EVENT_SHAPES if options.model == "both" else [options.model]:
        compare(name, options.rounds, sides)


if __name__ == "__main__":
    main()
