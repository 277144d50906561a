"""N replicas equal one device, and draw different noise."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.bases import generative_model
from keras_genmod.core.batches import Batch
from tests.arithmetic import SAME
from tests.contract.cases import check_export, every_mechanism, largest_difference

ROWS = 19  # the last batch of an epoch has three rows: two for one replica, one for the other


def train(build, data, *, scope=None, batch_size=8, **compile_options):
    with scope or contextlib.nullcontext():
        model = build(7)
        model.compile(keras.optimizers.SGD(0.005), **compile_options)
    model.fit(*data, batch_size=batch_size, epochs=2, verbose=0)
    return model


def doubled(data):
    """Every batch of 4 as a batch of 8 whose two halves are the same."""

    def twice(x):
        return np.concatenate([np.concatenate([x[i : i + 4]] * 2) for i in range(0, len(x), 4)])

    return keras.tree.map_structure(twice, data)


@every_mechanism
def test_the_full_objective_on_identical_shards_with_identical_seeds(case, strategy, monkeypatch, float64):
    if "identical_shards" in case.exempt:
        return
    monkeypatch.setattr(generative_model, "replica_seed", lambda seed: seed)
    data = case.data(16)
    one = train(lambda seed: unshuffled(case, seed), data, batch_size=4)
    two = train(lambda seed: unshuffled(case, seed), doubled(data), scope=strategy.scope(), batch_size=8)
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
def test_saved_and_exported_from_replicas(case, strategy, verify, tmp_path):
    model = train(case.build, case.data(ROWS), scope=strategy.scope(), steps_per_execution=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert largest_difference(model, loaded) == 0.0
    model.export(tmp_path / "1")
    assert max(verify(tmp_path / "1").values()) < 1e-4
    check_export(tmp_path / "1", loaded)


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
    # A weight so large that the scaled gradient of one shard alone overflows: the second, for Keras asks the
    # first replica alone.
    weight = np.array([1.0] * 7 + [1e30], "float32")
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
