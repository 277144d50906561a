"""What replicas do beyond the promises of a model: different noise, one clipping, one overflow."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_genmod.core.batches import Batch
from keras_genmod.testing.arithmetic import SAME
from keras_genmod.testing.comparing import largest_difference
from tests.contract.cases import over_cases

VAE = "conditional vae with a schedule"


@over_cases(VAE)
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


@over_cases(VAE, "gan")
def test_clipping_acts_on_the_sum_over_replicas(case, strategy, float64):
    models = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        with scope:
            model = case.noiseless(7)
            model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.05))
        model.fit(*case.data(16), batch_size=8, epochs=1, verbose=0)
        models.append(model)
    assert largest_difference(*models) < SAME


@over_cases(VAE, "gan")
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
