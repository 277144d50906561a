"""Promises of training and evaluation on one device."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np

from keras_genmod.testing.arithmetic import UNIT, term_sizes, terms_of
from keras_genmod.testing.comparing import evaluated, largest_difference, unlike, weights_by_name
from keras_genmod.testing.keeping import promise
from keras_genmod.testing.row import BATCH, RAGGED, SEED, Row
from keras_genmod.training.objective import MEASURE

__all__ = [
    "callbacks_of_keras_work",
    "evaluation_and_sampling_do_not_change_training",
    "evaluation_is_repeatable_and_named",
    "few_examples_are_learnt",
    "the_loss_is_the_weighted_sum_of_the_terms",
    "the_same_seed_trains_to_the_same_weights",
    "training_reaches_every_trainable_weight",
    "weights_have_names_of_their_own",
]


@promise("float32")
def weights_have_names_of_their_own(row: Row) -> None:
    """No two weights have one name, by which a file would confuse them."""
    model = row.full.model
    assert len(weights_by_name(model)) == len(model.weights), "Two weights must not have one name."


@promise("float32")
def the_same_seed_trains_to_the_same_weights(row: Row) -> None:
    """Two models of one seed train alike to the last bit, and a model of another seed does not."""
    given = row.full.model.seed
    assert given == SEED, (
        f"`build({SEED})` must return a model of seed {SEED}; received one of seed {given}. Pass the seed on,"
        " `lambda seed: MyModel((6,), seed=seed)`, and in the constructor to `super()`."
    )
    data = row.case.data(RAGGED)
    first, second = row.full.trained(data), row.twin.trained(data)
    difference = largest_difference(first, second)
    assert difference == 0.0, f"Two models of one seed must train to equal weights; {difference} apart."
    if not unlike(row.case.build(7), row.case.build(8)):
        # The seed decides on no initial weight where the networks are given, but on the noise and the order.
        row.twin.restart()._noise_state.assign([8, 0])
        other = row.twin.trained_further(data)
        assert unlike(first, other), "Two models of different seeds must train differently."


@promise("float32")
def training_reaches_every_trainable_weight(row: Row) -> None:
    """Three epochs change every trainable weight but those that the case excepts."""
    before = [weight.numpy() for weight in row.full.restart().trainable_weights]
    model = row.full.trained(row.case.data(RAGGED), epochs=3)
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(weight.numpy(), old)
    ]
    excepted = list(row.case.without_gradient)
    assert sorted(still) == sorted(excepted), (
        f"Training must change all trainable weights but {excepted}; these stayed: {still}. Name those whose "
        "gradient is 0 by the mathematics in `without_gradient`."
    )


class _Look(keras.callbacks.Callback):
    """Samples after every step."""

    def __init__(self, condition: Any) -> None:
        super().__init__()
        self._condition = condition

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if hasattr(self.model, "sample"):
            self.model.sample(2, condition=self._condition)


@promise("float32")
def evaluation_and_sampling_do_not_change_training(row: Row) -> None:
    """A run that is validated and sampled from gives the weights of a run that is left alone."""
    data = row.case.data(RAGGED)
    plain = row.full.trained(data, epochs=2)
    watched = row.twin.trained(
        data,
        epochs=2,
        validation_data=row.case.data(RAGGED, seed=1),
        callbacks=[_Look(row.case.condition())],
    )
    difference = largest_difference(plain, watched)
    assert difference == 0.0, f"Looking at a run must not change it; its weights are {difference} apart."


@promise("float32")
def evaluation_is_repeatable_and_named(row: Row) -> None:
    """Two evaluations give equal figures, which `metrics_names` names, the loss first."""
    model = row.full.trained(row.case.data(RAGGED))
    data = row.case.data(RAGGED, seed=1)
    first = evaluated(model, data)
    second = evaluated(model, data)
    assert first == second, f"Two evaluations must give equal figures; received {first} and {second}."
    assert any(first.values()), f"Figures must not all be 0; received {first}."
    as_list = model.evaluate(*data, verbose=0)
    as_list = as_list if isinstance(as_list, list) else [as_list]
    assert as_list == [first[name] for name in model.metrics_names]
    assert model.metrics_names[0] == "loss"


@promise("float32")
def the_loss_is_the_weighted_sum_of_the_terms(row: Row) -> None:
    """The logged loss is the sum over players and terms of weight times logged term."""
    data = row.case.data(RAGGED)
    model = row.full.trained(data)
    result = evaluated(model, data)
    total = 0.0
    for player, prefix, terms in terms_of(model, row.case.data(2)):
        weights = player.term_weights()
        named = {name: float(weights.get(name, 1.0)) for name in terms if weights.get(name) is not MEASURE}
        total += sum(weight * result[prefix + name] for name, weight in named.items())
    # Ten terms, each a sum over the rows in float32.
    tolerance = 10 * RAGGED * UNIT["float32"] * term_sizes(model, data)["loss"]
    np.testing.assert_allclose(result["loss"], total, rtol=0.0, atol=tolerance)


@promise("float32")
def few_examples_are_learnt(row: Row) -> None:
    """Training on 8 examples leaves no more of the case's figure than it says."""
    rate, steps, share = row.case.overfit
    term, data = row.case.overfit_term, row.case.data(8)
    model = row.full.restart()
    figures = evaluated(model, data)
    assert term in figures, f"`overfit_term` must be one of {list(figures)}; received {term!r}."
    start = figures[term]
    for optimizer in model._optimizers():
        with contextlib.suppress(TypeError):  # It has a schedule.
            optimizer.learning_rate = rate
    row.full.trained_further(data, steps_per_epoch=steps)
    end = evaluated(model, data)[term]
    assert end < share * start, (
        f"`{term}` must fall from {start} to {share} of it in {steps} steps; received {end}."
    )


@promise("float32")
def callbacks_of_keras_work(row: Row) -> None:
    """Early stopping, checkpoints, learning rates and logs see the figures that they look at."""
    training, validation = row.case.data(RAGGED), row.case.data(RAGGED, seed=1)
    monitor = "val_loss"
    with row.folder() as folder:
        model = row.full.trained(
            training,
            validation_data=validation,
            epochs=3,
            callbacks=[
                keras.callbacks.EarlyStopping(monitor, patience=5, restore_best_weights=True),
                keras.callbacks.ModelCheckpoint(folder / "best.keras", monitor, save_best_only=True),
                keras.callbacks.ReduceLROnPlateau(monitor, factor=0.5, patience=0, min_delta=1e9),
                keras.callbacks.CSVLogger(folder / "log.csv"),
                keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
            ],
        )
        logs = row.full.history
        defaults = model.default_optimizers()
        start = float(defaults[next(iter(model._optimizer_arguments))].learning_rate)
        np.testing.assert_allclose(logs["learning_rate"], [start, start, start / 2], rtol=1e-6)
        best = keras.saving.load_model(folder / "best.keras")
    best.run_eagerly = True
    loss = evaluated(best, validation, batch_size=BATCH)["loss"]
    np.testing.assert_allclose(loss, min(logs["val_loss"]), rtol=1e-5)
