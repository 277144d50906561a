"""Every autoregressive density is one: it sums to 1 over all of its events, for each condition."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from tests.models.autoregressive.tiny import IMAGES, MODELS, VECTORS, condition_of, with_random_weights


def all_binary(event_shape):
    events = itertools.product([0.0, 1.0], repeat=math.prod(event_shape))
    return np.array(list(events), "float32").reshape(-1, *event_shape)


@pytest.mark.parametrize("name", MODELS)
def test_the_density_sums_to_one(name):
    model = with_random_weights(MODELS[name]())
    x = all_binary(model.event_shape)
    for number in range(2 if condition_of(model) is not None else 1):
        total = np.exp(np.asarray(model.log_prob(x, condition=condition_of(model, number)), "float64")).sum()
        assert total == pytest.approx(1.0, abs=2e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if "conditional" in name])
def test_conditions_matter_in_every_layer(name):
    """With the condition's weights of all layers but one at zero, the density still follows it."""
    model = with_random_weights(MODELS[name]())
    x = all_binary(model.event_shape)[::7]
    projections = [
        weight for weight in model.trainable_weights if "condition" in weight.path and weight.shape.rank == 2
    ]
    assert len(projections) >= 2
    values = [weight.numpy() for weight in projections]
    for kept in range(len(projections)):
        for number, weight in enumerate(projections):
            weight.assign(values[number] if number == kept else tf.zeros_like(weight))
        first, second = (
            np.asarray(model.log_prob(x, condition=condition_of(model, number))) for number in range(2)
        )
        assert np.max(np.abs(first - second)) > 1e-4, projections[kept].path


def test_integer_and_real_factors_are_densities():
    categorical = with_random_weights(
        kg.MADE((3,), hidden_dims=(8,), likelihood=kg.distributions.CategoricalHead(4), seed=0)
    )
    x = np.array(list(itertools.product(range(4), repeat=3)), "float32")
    assert np.exp(np.asarray(categorical.log_prob(x), "float64")).sum() == pytest.approx(1.0, abs=1e-6)
    mixture = kg.distributions.DiscretizedLogisticMixtureHead(2, num_values=5)
    colours = with_random_weights(
        kg.PixelCNN((1, 1, 3), filters=6, num_blocks=1, first_kernel_size=3, likelihood=mixture, seed=0)
    )
    x = np.array(list(itertools.product(range(5), repeat=3)), "float32").reshape(-1, 1, 1, 3)
    assert np.exp(np.asarray(colours.log_prob(x), "float64")).sum() == pytest.approx(1.0, abs=1e-6)
    real = with_random_weights(kg.NADE((2,), hidden_dim=4, likelihood="gaussian", seed=0), 0.2)
    grid = np.linspace(-12.0, 12.0, 121)
    points = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2).astype("float32")
    mass = np.exp(np.asarray(real.log_prob(points), "float64")).sum() * 0.2**2
    assert mass == pytest.approx(1.0, abs=1e-3)


def test_fvsbn_is_logistic_regressions_down_the_order():
    model = with_random_weights(kg.FVSBN((5,), ordering=[3, 0, 4, 1, 2], seed=0))
    kernel, bias = (weight.numpy() for weight in model.trainable_weights)
    x = all_binary((5,))
    logits = np.tile(bias, (len(x), 1))
    for place, variable in enumerate([3, 0, 4, 1, 2]):
        for earlier in [3, 0, 4, 1, 2][:place]:
            logits[:, variable] += x[:, earlier] * kernel[earlier, variable]
    expected = np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)
    np.testing.assert_allclose(model.log_prob(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda n: kg.MADE((6,), hidden_dims=(8, 8), num_masks=n, ordering="random", seed=3),
        lambda n: kg.NADE((6,), hidden_dim=5, order_agnostic=True, num_orderings=n, seed=3),
    ],
)
def test_several_orders_average_likelihoods_not_their_logarithms(build):
    model = with_random_weights(build(3))
    x = all_binary((6,))
    orders = np.stack([model._log_prob_of_order(x, None, tf.constant(i)) for i in range(3)])
    assert np.max(np.ptp(orders, axis=0)) > 0.5
    np.testing.assert_allclose(
        model.log_prob(x), np.log(np.mean(np.exp(orders.astype("float64")), axis=0)), rtol=1e-5, atol=1e-5
    )


def test_training_takes_the_masks_in_turn():
    model = kg.MADE((6,), hidden_dims=(8,), num_masks=3, ordering="random", seed=3)
    model.compile()
    seen = []
    for _ in range(4):
        seen.append(int(model._training_order(None)))
        model.fit(all_binary((6,))[:8], batch_size=8, verbose=0)
    assert seen == [0, 1, 2, 0]


def test_random_orders_of_training_are_permutations_that_change():
    model = kg.NADE((6,), hidden_dim=5, order_agnostic=True, seed=3)
    orders = [tuple(model._training_order(tf.constant([0, seed])).numpy()) for seed in range(20)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len(set(orders)) > 15


@pytest.mark.parametrize("name", [*VECTORS[:2], IMAGES[0]])
def test_bits_scores_and_call_are_the_density(name):
    model = with_random_weights(MODELS[name]())
    x = all_binary(model.event_shape)[::5]
    condition = condition_of(model)
    nats = np.asarray(model.log_prob(x, condition=condition))
    size = math.prod(model.event_shape)
    np.testing.assert_allclose(
        model.bits_per_dim(x, condition=condition), -nats / size / math.log(2), rtol=1e-6
    )
    np.testing.assert_allclose(model.anomaly_score(x, condition=condition), -nats, rtol=1e-6)
    model.compile()
    rows = None if condition is None else np.broadcast_to(condition, (len(x), *np.shape(condition)))
    data = (x,) if rows is None else (x, rows)
    result = model.evaluate(*data, return_dict=True, verbose=0)
    assert result["loss"] == result["nll"] == pytest.approx(-nats.mean(), rel=1e-5)
    if rows is None:
        np.testing.assert_allclose(model.predict(x, verbose=0), nats, rtol=1e-5)
