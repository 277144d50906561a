"""The promises notice models that break them, and the example of a family keeps them all."""

import importlib
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import testing
from keras_genmod.bases import GenerativeModel
from keras_genmod.networks import dense_network

EXAMPLES = str(Path(__file__).parents[2] / "examples")


@pytest.fixture(scope="module")
def case():
    """The case of docs/write_a_family.md, whose code is run."""
    page = (Path(__file__).parents[2] / "docs" / "write_a_family.md").read_text()
    code = next(block for block in page.split("```python\n")[1:] if "CASE = " in block).split("```")[0]
    sys.path.insert(0, EXAMPLES)
    try:
        names = {"keras": keras, "kg": importlib.import_module("keras_genmod")}
        names["HierarchicalVAE"] = importlib.import_module("hierarchical_vae").HierarchicalVAE
        exec(code, names)
    finally:
        sys.path.remove(EXAMPLES)
    return names["CASE"]


# Those that rest on what the family writes; the others are its own for any objective.
DEFAULT = ("a_configuration_rebuilds_the_model", "bad_data_are_refused_before_the_first_step")


@pytest.mark.parametrize("name", DEFAULT)
def test_the_example_keeps_a_promise(case, name):
    testing.promises(case)[name](testing.Row(case))


@pytest.mark.slow
def test_the_example_keeps_all_promises(case, strategy):
    assert testing.check_model(case, strategy=strategy) == list(testing.promises())


class Faulty(GenerativeModel):
    """Squared errors of a network, with one fault at a time."""

    def __init__(self, event_shape, *, fault=None, scale=1.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.fault, self.scale = fault, scale
        self.network = dense_network(self.event_shape, self.event_shape, hidden_dims=(3,), seed=self.seed)
        self.unused = dense_network((1,), (1,), hidden_dims=(), seed=1) if fault == "unused" else None

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        if self.fault == "global noise":
            x = x + 0.1 * tf.random.normal(tf.shape(x))
        error = tf.reduce_sum(tf.square(self.network(x) - x), axis=-1) * self.scale
        return {"error": error - tf.reduce_mean(error) + error[0] if self.fault == "coupled" else error}

    def check_data(self, x, condition=None):
        if self.fault != "unchecked":
            super().check_data(x, condition)

    def get_config(self):
        config = {**super().get_config(), "fault": self.fault, "scale": self.scale}
        return {name: value for name, value in config.items() if self.fault != "config" or name != "scale"}


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ("global noise", "the_same_seed_trains_to_the_same_weights", "equal weights"),
        ("unused", "training_reaches_every_trainable_weight", "these stayed"),
        ("coupled", "a_weight_of_two_counts_like_the_example_twice", "Not equal"),
        ("unchecked", "bad_data_are_refused_before_the_first_step", "must refuse data with"),
        ("config", "a_configuration_rebuilds_the_model", "`error`"),
    ],
)
def test_a_broken_promise_is_noticed(fault, name, words):
    keras.saving.get_custom_objects()["Faulty"] = Faulty
    try:
        # Without the fault the promise is kept, so it is the fault that breaks it.
        for own in (None, fault):
            build = lambda seed, own=own: Faulty((3,), fault=own, scale=0.5, seed=seed)  # noqa: E731
            case = testing.Case("faulty", build, (3,))
            skip = [other for other in testing.promises() if other != name]
            if own is None:
                assert testing.check_model(case, skip=skip) == [name]
            else:
                with pytest.raises(AssertionError, match=f"faulty breaks the promise `{name}`") as raised:
                    testing.check_model(case, skip=skip)
                assert words in str(raised.value)
    finally:
        del keras.saving.get_custom_objects()["Faulty"]


def test_unknown_promises_are_refused():
    case = testing.Case("unknown", Faulty, (3,), exempt=frozenset({"overfit"}))
    with pytest.raises(ValueError, match="`exempt` must hold names of promises; received .'overfit'"):
        testing.promises(case)
    with pytest.raises(ValueError, match="`skip` must hold names of promises; received .'overfit'"):
        testing.check_model(case, skip=["overfit"])
    with pytest.raises(ValueError, match="`skip` must hold names of promises; received 'overfit'. .*a list"):
        testing.check_model(case, skip="overfit")


def build(seed):
    return Faulty((3,), seed=seed)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((None, (3,)), {}, TypeError, r"`build` must be a function \(seed\) -> model; received None"),
        ((build, 3), {}, ValueError, "`event_shape` must be a tuple"),
        ((build, (3,)), {"overfit": (1e-2, 100)}, ValueError, "Give all three"),
        ((build, (3,)), {"exempt": "overfit"}, ValueError, "`exempt` must be a collection.*'overfit'"),
        (
            (build, (3,)),
            {"draw": np.zeros((8, 3))},
            TypeError,
            r"`draw` must be a function \(num_rows, seed\)",
        ),
    ],
)
def test_a_case_checks_its_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        testing.Case("wrong", *arguments, **options)


def test_a_model_is_no_function_that_builds_one():
    model = build(0)
    with pytest.raises(TypeError, match="`build` must be a function.*received <Faulty"):
        testing.Case("wrong", model, (3,))
    with pytest.raises(TypeError, match="`case` must be a `Case`; received <Faulty"):
        testing.check_model(model)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"build": lambda seed: Faulty((3,), seed=0)},
            r"`build\(7\)` must return a model of seed 7; .* seed 0",
        ),
        ({"build": lambda seed: keras.Sequential()}, "must return a `kg.GenerativeModel`"),
        ({"draw": lambda number, seed: np.zeros((number, 3))}, r"must return a tuple, \(x,\)"),
        ({"draw": lambda number, seed: (np.zeros((2, 3)),)}, "of 19 rows each"),
        ({"overfit_term": "nll"}, "`overfit_term` must be one of .*'error'.*received 'nll'"),
    ],
    ids=["seed", "plain model", "array", "rows", "term"],
)
def test_what_a_case_returns_is_checked_when_it_is_used(wrong, message):
    case = testing.Case("wrong", **{"build": build, "event_shape": (3,), **wrong})
    names = {"overfit_term": "few_examples_are_learnt", "build": "the_same_seed_trains_to_the_same_weights"}
    name = names.get(next(iter(wrong)), "evaluation_is_repeatable_and_named")
    with pytest.raises((AssertionError, TypeError, ValueError), match=message):
        testing.promises(case)[name](testing.Row(case))


def test_weights_without_gradient_may_come_in_any_order():
    """Those of a layer that the loss does not reach, in a list."""
    case = testing.Case("idle", lambda seed: Faulty((3,), fault="unused", seed=seed), (3,))
    idle = [weight.path for weight in case.build(0).unused.trainable_weights]
    case = testing.Case("idle", case.build, (3,), without_gradient=idle[::-1])
    testing.promises(case)["training_reaches_every_trainable_weight"](testing.Row(case))
