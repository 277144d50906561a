"""What the benchmarks of a density's training step share: the sides, and the processes that take turns.

A benchmark states its cases. A case is one model: of this package, written by hand with TensorFlow, and with
PyTorch; all three train on the same examples with Adam. `hand` is one `tf.function` that a Python loop calls
once a step: plain TensorFlow operations, batches from the same pipeline, Adam of Keras, a running mean of the
loss. A process of its own first shows that `fit`, from the same weights with the same batches, logs the same
losses step by step. PyTorch is eager, with its two quick forms of Adam.

Each side has processes of its own, which take turns; each trains for a few epochs and reports the median.
Memory is the most that a process had, libraries included; `loss` is the mean of the last epoch, which all
sides must have brought to about the same. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from tests.benchmarks.common import (
    hardware,
    median,
    peak_memory_mb,
    print_steps,
    run_python,
    take_turns,
    write_report,
)

__all__ = ["Case", "fit_seconds", "run_cases"]

SEED = 1
NUM_THREADS = len(os.sched_getaffinity(0))
NUM_EPOCHS = 6
CHECKED_STEPS = 10
SIDES = {
    "hand": "hand",
    "fit": "fit",
    "fit, 10 steps per execution": "fit_10",
    "PyTorch, Adam(foreach=True)": "torch_foreach",
    "PyTorch, Adam(fused=True)": "torch_fused",
}


@dataclass(frozen=True)
class Case:
    """One model, and how it is trained.

    Args:
        make_examples: from a number of examples to an array of them, float32.
        make_model: the model of this package.
        make_torch: the weights of PyTorch's, and the function from data to the negative log-likelihood of
            each example.
        hand_nll: from data and the weights in the order of the model's to the negative log-likelihood of
            each example; None: no side `hand`.
        batch_size: examples a step.
        steps_per_epoch: steps of an epoch.
    """

    make_examples: Callable[[int], np.ndarray]
    make_model: Callable[[], Any]
    make_torch: Callable[[], tuple[list, Callable]]
    hand_nll: Callable | None
    batch_size: int
    steps_per_epoch: int

    def examples(self) -> np.ndarray:
        """Those of one epoch."""
        return self.make_examples(self.batch_size * self.steps_per_epoch)


# ---- this package ---------------------------------------------------------------------------------


def compiled(case: Case, **options: Any):
    """The model of a case, with the optimizer of all sides."""
    import keras

    model = case.make_model()
    model.compile(keras.optimizers.Adam(1e-3), **options)
    return model


def fit_seconds(model: Any, x: np.ndarray, batch_size: int, num_epochs: int) -> tuple[list[float], float]:
    """Seconds of each epoch of a compiled model's `fit`, and the loss of the last."""
    from tests.benchmarks.vae_step import EpochClock

    watch = EpochClock(steps=1)
    history = model.fit(x, batch_size=batch_size, epochs=num_epochs, callbacks=[watch], verbose=0)
    return [epoch.wall / 1e3 for epoch in watch.clock.epochs], history.history["loss"][-1]


# ---- hand-written with TensorFlow -----------------------------------------------------------------


class HandWritten:
    """The training step of a case, with plain TensorFlow operations."""

    def __init__(self, case: Case) -> None:
        import keras
        import tensorflow as tf

        self.nll = case.hand_nll
        self.weights = [keras.Variable(weight.numpy()) for weight in case.make_model().trainable_weights]
        self.optimizer = keras.optimizers.Adam(1e-3)
        self.optimizer.build(self.weights)
        # Number of examples, and the sum of their losses.
        self.sums = tf.Variable(tf.zeros([2], tf.float64))
        self.step = tf.function(self._step, autograph=False)

    def _step(self, x):
        import tensorflow as tf

        num_examples = tf.cast(tf.shape(x)[0], tf.float32)
        weights = [weight.value for weight in self.weights]
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(self.nll(x, weights))
            loss = total / num_examples
        self.optimizer.apply(tape.gradient(loss, weights), self.weights)
        self.sums.assign_add(tf.cast(tf.stack([num_examples, total]), tf.float64))
        count, total = tf.unstack(self.sums.read_value())
        return tf.cast(total / count, tf.float32)

    def reset(self) -> None:
        """Begins an epoch's mean."""
        self.sums.assign([0.0, 0.0])


def hand_epoch(case: Case, x: np.ndarray) -> Callable[[], float]:
    """A function that trains for one epoch by hand and returns the mean loss."""
    from keras_genmod.core.batches import Batch
    from keras_genmod.data.pipeline import endless_batches

    hand = HandWritten(case)
    batches = iter(endless_batches(Batch(x), case.batch_size, seed=SEED))

    def epoch() -> float:
        hand.reset()
        for _ in range(case.steps_per_epoch):
            (rows,) = next(batches)
            loss = hand.step(rows)
        return float(loss)

    return epoch


def check_same_losses(case: Case, x: np.ndarray) -> float:
    """Raises unless both log the same running means; returns the largest relative difference.

    Floats are added in another order, and training amplifies rounding from step to step: hence the
    tolerance.
    """
    from keras_genmod.core.batches import Batch
    from keras_genmod.data.pipeline import endless_batches
    from tests.benchmarks.vae_step import LogRecorder

    hand, recorder = HandWritten(case), LogRecorder()
    batches = endless_batches(Batch(x), case.batch_size, seed=SEED).take(CHECKED_STEPS)
    expected = np.array([float(hand.step(rows)) for (rows,) in batches])
    model = compiled(case)
    options = {"steps_per_epoch": CHECKED_STEPS, "callbacks": [recorder], "verbose": 0}
    model.fit(x, batch_size=case.batch_size, **options)
    received = np.array([logs["loss"] for logs in recorder.logs])
    np.testing.assert_allclose(received, expected, rtol=1e-3)
    return float(np.max(np.abs(received / expected - 1)))


# ---- PyTorch --------------------------------------------------------------------------------------


def torch_epoch(case: Case, x: np.ndarray, side: str) -> Callable[[], float]:
    """A function that trains for one epoch in PyTorch and returns the mean loss."""
    import torch

    torch.set_num_threads(NUM_THREADS)
    torch.manual_seed(SEED)
    weights, nll = case.make_torch()
    variant = {"fused": True} if side == "torch_fused" else {"foreach": True}
    optimizer = torch.optim.Adam(weights, lr=1e-3, eps=1e-7, **variant)
    data = torch.from_numpy(x)

    def epoch() -> float:
        total = torch.zeros((), dtype=torch.float64)
        for places in torch.randperm(len(data)).split(case.batch_size):
            loss = nll(data[places]).sum()
            optimizer.zero_grad()
            (loss / len(places)).backward()
            optimizer.step()
            total += loss.detach()
        return float(total) / len(data)

    return epoch


# ---- processes ------------------------------------------------------------------------------------


def work(side: str, case: Case) -> None:
    """One process: trains, and reports."""
    x = case.examples()
    if side == "check":
        write_report({"difference": check_same_losses(case, x)})
        return
    if side.startswith("fit"):
        model = compiled(case, steps_per_execution=10 if side == "fit_10" else 1)
        seconds, loss = fit_seconds(model, x, case.batch_size, NUM_EPOCHS)
    else:
        epoch = hand_epoch(case, x) if side == "hand" else torch_epoch(case, x, side)
        seconds = []
        for _ in range(NUM_EPOCHS):
            start = time.perf_counter()
            loss = epoch()
            seconds.append(time.perf_counter() - start)
    # The first epoch traces and warms up.
    step = [second / case.steps_per_epoch * 1e3 for second in seconds[1:]]
    write_report({"step": median(step), "best": min(step), "loss": loss, "memory": peak_memory_mb()})


def compare(module: str, name: str, case: Case, rounds: int, sides: Mapping[str, str]) -> None:
    """Checks the mathematics, lets the processes take turns, and prints the table."""
    agreement = ""
    if case.hand_nll is None:
        sides = {title: side for title, side in sides.items() if side != "hand"}
    else:
        difference = run_python("-m", module, "--side=check", f"--model={name}")["difference"]
        agreement = f"; losses of {CHECKED_STEPS} steps agree to {difference:.0e}"
    options = {title: (f"--side={side}",) for title, side in sides.items()}
    print_steps(
        f"{name}, batch {case.batch_size}, {NUM_THREADS} threads, {rounds} processes each, "
        f"{NUM_EPOCHS - 1} epochs of {case.steps_per_epoch} steps a process{agreement}",
        take_turns(module, options, rounds, f"--model={name}"),
        "hand" if "hand" in sides else "fit",
    )


def run_cases(
    module: str, description: str, cases: Mapping[str, Case], torch_packages: tuple[str, ...] = ("torch",)
) -> None:
    """The command line of such a benchmark.

    Args:
        module: its name, under which its processes are started.
        description: its docstring.
        cases: by name.
        torch_packages: what its side of PyTorch is made with.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", choices=[*cases, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--side", choices=[*SIDES.values(), "check"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        work(options.side, cases[options.model])
        return
    sides, packages = SIDES, torch_packages
    if options.without_torch:
        sides = {title: side for title, side in SIDES.items() if not side.startswith("torch")}
        packages = ()
    print(hardware("tensorflow", "keras", *packages))
    for name in cases if options.model == "all" else [options.model]:
        compare(module, name, cases[name], options.rounds, sides)
