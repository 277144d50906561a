"""Samplers, proved on chains and densities that can be computed by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bases import normal_rows, row_seeds, uniform_rows
from keras_genmod.core.partition_functions import log_mean_weight
from keras_genmod.samplers import (
    annealed_importance_sampling,
    bernoulli_rows,
    categorical_rows,
    effective_sample_size,
    gibbs,
    langevin,
    run_chain,
    swap_neighbours,
)


def seeds(number, start=0):
    return row_seeds(tf.constant([0, 7]), start, number)


def test_draws_have_their_probabilities():
    number = 20_000
    logits = tf.tile(tf.constant([[-2.0, 0.0, 1.5]]), [number, 1])
    rates = np.mean(bernoulli_rows(logits, seeds(number)), axis=0)
    expected = 1 / (1 + np.exp([2.0, 0.0, -1.5]))
    assert np.all(np.abs(rates - expected) < 4.5 * np.sqrt(expected * (1 - expected) / number))
    probs = np.array([0.1, 0.6, 0.3])
    drawn = categorical_rows(
        tf.tile(tf.math.log(tf.constant([probs], tf.float32)), [number, 1]), seeds(number)
    )
    counts = np.bincount(drawn, minlength=3) / number
    assert np.all(np.abs(counts - probs) < 4.5 * np.sqrt(probs * (1 - probs) / number))


def test_a_row_depends_on_its_seed_alone():
    logits = tf.random.stateless_normal([6, 4], (1, 2))
    whole = bernoulli_rows(logits, seeds(6), 3)
    np.testing.assert_array_equal(whole[2:4], bernoulli_rows(logits[2:4], seeds(2, start=2), 3))


def test_a_chain_in_parts_is_the_chain_at_once():
    def walk(x, seeds, step):
        return x + normal_rows(seeds, [2], stream=step)

    start = tf.zeros([3, 2])
    whole = run_chain(walk, start, seeds(3), 7)
    half = run_chain(walk, start, seeds(3), 3)
    np.testing.assert_array_equal(whole, run_chain(walk, half, seeds(3), 4, first_step=3))
    np.testing.assert_array_equal(run_chain(walk, start, seeds(3), 0), start)
    one = tf.function(lambda steps: run_chain(walk, start, seeds(3), steps), autograph=False)
    np.testing.assert_allclose(one(tf.constant(7)), whole, rtol=1e-6)


def test_gibbs_sampling_of_two_bits():
    # p(a, b) = exp(a b - a / 2) / Z.
    number = 20_000

    def draw_a(state, seeds, stream):
        return bernoulli_rows(state[1] - 0.5, seeds, stream)

    def draw_b(state, seeds, stream):
        return bernoulli_rows(state[0], seeds, stream)

    start = (tf.zeros([number, 1]), tf.zeros([number, 1]))
    a, b = gibbs([draw_a, draw_b], start, seeds(number), 12)
    weights = np.array([[1.0, 1.0], [math.exp(-0.5), math.exp(0.5)]])
    expected = weights / weights.sum()
    found = np.histogram2d(a[:, 0], b[:, 0], bins=2)[0] / number
    assert np.all(np.abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / number))


def test_langevin_has_the_variance_of_its_step_size():
    number, scale, step = 20_000, 1.5, 1.2
    x = langevin(
        lambda x: x[:, 0] ** 2 / (2 * scale**2), tf.zeros([number, 1]), seeds(number), 60, step_size=step
    )
    variance = scale**2 / (1 - step / (4 * scale**2))
    # The variance of a normal sample has the relative standard error sqrt(2 / n).
    assert abs(np.var(x) / variance - 1) < 4.5 * math.sqrt(2 / number)
    assert abs(variance / scale**2 - 1) > 9 * math.sqrt(2 / number)
    assert abs(np.mean(x)) < 4.5 * math.sqrt(variance / number)


def test_another_noise_is_another_temperature():
    number, step, noise = 20_000, 0.1, 0.1
    x = langevin(
        lambda x: x[:, 0] ** 2 / 2,
        tf.zeros([number, 1]),
        seeds(number),
        200,
        step_size=step,
        noise_scale=noise,
    )
    # x <- (1 - step / 2) x + noise: an autoregression.
    variance = noise**2 / (1 - (1 - step / 2) ** 2)
    assert abs(np.var(x) / variance - 1) < 4.5 * math.sqrt(2 / number)
    clipped = langevin(lambda x: -x[:, 0], tf.zeros([5, 1]), seeds(5), 9, step_size=4.0, clip=(-1.0, 1.0))
    assert np.max(np.abs(clipped)) == 1.0


ENERGIES = tf.constant([0.0, 1.0, 2.5])
BETAS = tf.constant([0.2, 0.6, 1.0])


def log_density(x, betas):
    return -betas[:, None] * tf.gather(ENERGIES, x)


@pytest.mark.parametrize("step", [0, 1])
def test_exchanges_keep_the_product_of_the_densities(step):
    number = 60_000
    logits = -BETAS[:, None] * ENERGIES
    uniform = tf.transpose(uniform_rows(seeds(number, start=1), [3], stream=9))
    bounds = tf.cumsum(tf.nn.softmax(logits), axis=1)
    x = tf.reduce_sum(tf.cast(uniform[..., None] >= bounds[:, None, :2], tf.int32), axis=-1)
    moved, swapped = swap_neighbours(log_density, x, BETAS, seeds(number), step)
    assert np.mean(swapped[step]) > 0.5 and not np.any(swapped[1 - step])
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.einsum("a,b,c->abc", *probs)
    found = np.histogramdd(np.transpose(moved), bins=3, range=[(0, 3)] * 3)[0] / number
    assert np.all(np.abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / number))
    # Detailed balance, pair by pair: as many go from one state of the pair to another as come back.
    pair, after = np.asarray(x)[step : step + 2], np.asarray(moved)[step : step + 2]
    flow = np.zeros((9, 9))
    np.add.at(flow, (pair[0] * 3 + pair[1], after[0] * 3 + after[1]), 1)
    assert np.all(np.abs(flow - flow.T) <= 4.5 * np.sqrt(flow + flow.T))
    # States are exchanged, not changed.
    np.testing.assert_array_equal(np.sort(x, axis=0), np.sort(moved, axis=0))


def test_exchanges_move_all_parts_of_a_state_together():
    x = tf.constant([[0, 1], [1, 0], [2, 2]])
    state = {"number": x, "vector": tf.cast(tf.stack([x, 10 * x], axis=-1), tf.float32)}
    moved, _ = swap_neighbours(lambda s, b: log_density(s["number"], b), state, BETAS, seeds(2), 0)
    np.testing.assert_array_equal(moved["vector"][..., 1], 10 * moved["number"])


def anneal(number, betas, start=None):
    """From N(0, 1) to weight exp(-(x - 1)^2 / (2 0.5^2)), with exact draws as transitions."""

    def moments(beta):
        precision = (1 - beta) + beta * 4.0
        return beta * 4.0 / precision, tf.math.rsqrt(precision)

    def log_ratio(x, old, new):
        return (new - old) * (x**2 / 2 - 2.0 * (x - 1) ** 2)

    def transition(x, beta, seeds, step):
        mean, scale = moments(beta)
        return mean + scale * normal_rows(seeds, [], stream=step)

    if start is None:
        start = normal_rows(seeds(number), [])
    return annealed_importance_sampling(log_ratio, transition, start, seeds(number), betas).log_weights


def test_annealed_weights_are_unbiased_in_both_directions():
    number, log_z, log_z0 = 20_000, math.log(0.5), 0.0
    betas = tf.linspace(0.0, 1.0, 9)
    value, error = log_mean_weight(anneal(number, betas))
    assert abs(float(value) - (log_z - log_z0)) < 4.5 * float(error) < 0.05
    start = 1.0 + 0.5 * normal_rows(seeds(number, start=5), [])
    value, error = log_mean_weight(anneal(number, betas[::-1], start))
    assert abs(float(value) + (log_z - log_z0)) < 4.5 * float(error) < 0.05
    assert anneal(2, betas).dtype == tf.float64


def test_effective_sample_size_by_hand():
    assert abs(float(effective_sample_size(tf.math.log([1.0, 3.0]))) - 16 / 10) < 1e-6
    assert abs(float(effective_sample_size(tf.fill([50], 700.0))) - 50) < 1e-2


def test_samplers_are_public():
    assert kg.samplers.langevin is langevin
