"""N replicas equal one device, and draw different noise."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bases import generative_model
from keras_genmod.core.batches import Batch
from tests.arithmetic import SAME
from tests.contract.cases import CASES, every_mechanism, largest_difference

every_row = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

ROWS = 19  # the last batch of an epoch has three rows: two for one replica, one for the other


def train(build, data, *, scope=None, batch_size=8, epochs=2, rate=0.005, **compile_options):
    with scope or contextlib.nullcontext():
        model = build(7)
        model.compile(keras.optimizers.SGD(rate), **compile_options)
    history = model.fit(*data, batch_size=batch_size, epochs=epochs, verbose=0).history
    return model, history


def doubled(data):
    """Every batch of 4 as a batch of 8 whose two halves are the same."""

    def twice(x):
        return np.concatenate([np.concatenate([x[i : i + 4]] * 2) for i in range(0, len(x), 4)])

    return keras.tree.map_structure(twice, data)


@every_row
def test_a_deterministic_objective_on_different_shards(case, strategy, float64):
    one, one_history = train(case.noiseless, case.data(ROWS))
    two, two_history = train(case.noiseless, case.data(ROWS), scope=strategy.scope())
    assert largest_difference(one, two) < SAME
    assert np.all(np.isfinite(one_history["loss"]))
    # Logs are float32.
    for name, values in one_history.items():
        np.testing.assert_allclose(two_history[name], values, rtol=1e-6, atol=SAME)
    first = one.evaluate(*case.data(ROWS), batch_size=8, return_dict=True, verbose=0)
    second = two.evaluate(*case.data(ROWS), batch_size=8, return_dict=True, verbose=0)
    assert second == pytest.approx(first, rel=1e-6, abs=SAME)


@every_row
def test_the_full_objective_on_identical_shards_with_identical_seeds(case, strategy, monkeypatch, float64):
    if "identical_shards" in case.exempt:
        return
    monkeypatch.setattr(generative_model, "replica_seed", lambda seed: seed)
    data = case.data(16)
    one, _ = train(lambda seed: unshuffled(case, seed), data, batch_size=4)
    two, _ = train(lambda seed: unshuffled(case, seed), doubled(data), scope=strategy.scope(), batch_size=8)
    assert largest_difference(one, two) < SAME


def unshuffled(case, seed):
    model = case.build(seed)
    fit = model.fit
    model.fit = lambda *args, **kwargs: fit(*args, shuffle=False, **kwargs)
    return model


@every_mechanism
def test_replicas_draw_different_noise(case, strategy):
    with strategy.scope():
        model = case.build(7)

    @tf.function
    def seeds():
        def step():
            drawn = model._training_seed(), model._evaluation_seed()
            model._noise_state.assign_add([0, 1])
            return drawn

        return sum(map(strategy.experimental_local_results, strategy.run(step)), ())

    drawn = [tuple(seed.numpy()) for _ in range(3) for seed in seeds()]
    # Evaluation repeats its two seeds until examples are counted; training never repeats one.
    assert len(set(drawn)) == 3 * 2 + 2


@every_mechanism
def test_clipping_acts_on_the_sum_over_replicas(case, strategy, float64):
    models = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        with scope:
            model = case.noiseless(7)
            model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.05))
        model.fit(*case.data(16), batch_size=8, epochs=1, verbose=0)
        models.append(model)
    assert largest_difference(*models) < SAME


@every_mechanism
def test_saved_and_exported_from_replicas(case, strategy, tmp_path):
    model, _ = train(case.build, case.data(ROWS), scope=strategy.scope(), steps_per_execution=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert largest_difference(model, loaded) == 0.0
    model.export(tmp_path / "1")
    assert max(kg.serving.verify(tmp_path / "1").values()) < 1e-4


@every_mechanism
def test_float16_replicas_agree_on_overflow(case, strategy):
    """One replica's infinite gradient leaves a step out on both, and nothing is poisoned."""
    keras.config.set_dtype_policy("mixed_float16")
    with strategy.scope():
        model = case.noiseless(7)
        model.compile(keras.optimizers.SGD(1e-3))
    x, *condition = case.data(8)
    # Weights that start from data have done so before.
    model._initialize_from_data(lambda rows: Batch(x, *condition))
    # Weights so large that the scaled gradient of the first shard alone overflows.
    weight = np.array([1e30] + [1.0] * 7, "float32")
    before = model.get_weights()
    model.fit(
        x, condition[0] if condition else None, sample_weight=weight, batch_size=8, shuffle=False, verbose=0
    )
    after = model.get_weights()
    trainable = {id(w) for w in model.trainable_weights}
    for variable, old, new in zip(model.weights, before, after, strict=True):
        if id(variable) in trainable:
            np.testing.assert_array_equal(new, old)
    for player in model.players():
        optimizer = model._optimizer_of(player)
        copies = [v.numpy() for v in strategy.experimental_local_results(optimizer.dynamic_scale.value)]
        assert copies == [2.0**14, 2.0**14]
    model.fit(*case.data(8), batch_size=8, epochs=20, verbose=0)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())
    assert any(not np.array_equal(new, old) for new, old in zip(model.get_weights(), after, strict=True))
