"""Dequantisation and the logit: densities are those of the data as they are."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_genmod as kg
from keras_genmod import bijectors as B
from tests.models.flows.test_densities import DENSE, moved


def normal_cdf(x):
    return tfp.distributions.Normal(np.float64(0.0), 1.0).cdf(x).numpy()


def exact(levels, alpha):
    """P(x) of integer-valued x when logit(alpha + (1 - 2 alpha) y), y = (x + u) / n, is standard normal."""
    ends = alpha + (1 - 2 * alpha) * np.arange(levels + 1) / levels
    return np.diff(normal_cdf(np.log(ends) - np.log(1 - ends)))


def one_pixel(dequantization, levels=4, alpha=0.05, seed=0):
    flow = kg.NormalizingFlow((1,), [dequantization, B.Logit(alpha)], seed=seed)
    return flow, np.arange(levels, dtype="float32")[:, None], exact(levels, alpha)


@pytest.mark.parametrize("kind", ["uniform", "variational"])
def test_one_pixel_by_enumeration(kind):
    """The mean of one-draw densities is P(x); the mean of their logarithms lies under log P(x)."""
    dequantization = {
        "uniform": lambda: B.UniformDequantization(4),
        "variational": lambda: B.VariationalDequantization(4, bijections=[B.ActNorm()]),
    }[kind]()
    flow, x, probabilities = one_pixel(dequantization)
    draws = np.stack([flow.log_prob(x, seed=seed).numpy() for seed in range(400)]).astype("float64")
    error = np.exp(draws).std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(np.exp(draws).mean(axis=0) - probabilities) < 5 * error)
    slack = np.log(probabilities) - draws.mean(axis=0)
    assert np.all(slack > -5 * draws.std(axis=0) / np.sqrt(len(draws))) and slack.sum() > 0.01
    many = flow.log_prob(x, num_samples=4000).numpy()
    np.testing.assert_allclose(many, np.log(probabilities), atol=0.1)


def test_training_tightens_the_variational_bound():
    """With noise that learns, the bound comes close to log P(x), which uniform noise leaves."""
    x = np.repeat(np.arange(4), [1, 1, 1, 5])[:, None].astype("float32")
    gaps = []
    for dequantization in (B.UniformDequantization(4), B.VariationalDequantization(4)):
        flow = kg.NormalizingFlow((2,), [dequantization, B.Logit(0.05)], seed=0)
        pairs = np.repeat(x, 2, axis=1)
        flow.compile("adam", steps_per_execution=50)
        flow.optimizer.learning_rate = 1e-2
        flow.fit(pairs, batch_size=8, epochs=8, steps_per_epoch=50, verbose=0)
        bound = np.mean([flow.log_prob(pairs, seed=s).numpy() for s in range(200)], axis=0)
        truth = np.log(exact(4, 0.05))[pairs.astype(int)].sum(axis=1)
        gaps.append(np.mean(truth - bound))
    assert gaps[0] > 0.05
    assert -0.01 < gaps[1] < 0.5 * gaps[0]


@pytest.mark.usefixtures("untraced")
def test_bits_per_dim_by_hand():
    """x = 3 of 0..255 with u: the logit's slope, the 256 levels and the normal density."""
    flow = kg.NormalizingFlow((2,), [B.UniformDequantization(256), B.Logit(1e-3)], seed=0)
    x = np.array([[3.0, 250.0]], "float32")
    noise = flow._dequantization.noise(flow._fixed_seed(), 1, shared=True).numpy()
    share = 1e-3 + (1 - 2e-3) * (x + noise) / 256
    z = np.log(share) - np.log(1 - share)
    log_prob = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log((1 - 2e-3) / 256) - np.log(share * (1 - share))
    score = flow.anomaly_score(x).numpy()
    np.testing.assert_allclose(score, -log_prob.sum(axis=1), rtol=1e-5)
    bits = flow.bits_per_dim(x, seed=4).numpy()
    np.testing.assert_allclose(bits, -flow.log_prob(x, seed=4).numpy() / (2 * np.log(2.0)), rtol=1e-6)


@pytest.mark.usefixtures("untraced")
def test_codes_are_of_the_middle_of_the_interval():
    flow, x, _ = one_pixel(B.UniformDequantization(4))
    share = 0.05 + 0.9 * (x + 0.5) / 4
    z = flow.encode(x)
    np.testing.assert_allclose(z, np.log(share) - np.log(1 - share), rtol=1e-5)
    np.testing.assert_array_equal(flow.decode(z), x)


@pytest.mark.usefixtures("untraced")
def test_the_fixed_noise_of_a_score_does_not_depend_on_the_place():
    flow = moved(kg.RealNVP((3,), num_layers=1, dequantization="uniform", num_levels=8, **DENSE, seed=0))
    x = np.array([[1, 2, 3], [4, 5, 6], [1, 2, 3]], "float32")
    score = flow.anomaly_score(x).numpy()
    assert score[0] == score[2]
    np.testing.assert_allclose(score[1], flow.anomaly_score(x[1:2]).numpy()[0], rtol=1e-6)
    # Draws of a density estimate do: each row has noise of its own.
    log_prob = flow.log_prob(x).numpy()
    assert log_prob[0] != log_prob[2]
    np.testing.assert_array_equal(log_prob, flow.log_prob(x))


@pytest.mark.usefixtures("untraced")
def test_samples_are_integers_from_the_model():
    flow, x, probabilities = one_pixel(B.UniformDequantization(4))
    samples = flow.sample(20_000, seed=0).numpy()
    counts = np.array([(samples == value).sum() for value in range(4)])
    assert counts.sum() == 20_000
    expected = 20_000 * probabilities
    # Chi-square of 3 degrees of freedom: above 16.3 once in a thousand. The logit leaves a little beyond the
    # ends, which is rounded to them.
    low, high = normal_cdf([np.log(0.05 / 0.95), np.log(0.95 / 0.05)])
    expected[0] += 20_000 * low
    expected[3] += 20_000 * (1 - high)
    assert np.sum((counts - expected) ** 2 / expected) < 16.3


@pytest.mark.usefixtures("untraced")
def test_a_sample_stays_in_the_range_of_the_logit():
    flow = kg.NormalizingFlow((50,), [B.Logit(0.2, low=-1.0, high=2.0)], seed=0)
    samples = flow.sample(50, seed=0).numpy()
    assert samples.min() == -1.0 and samples.max() == 2.0
    assert flow.value_range().low == -1.0


@pytest.mark.parametrize(
    "density,build",
    [
        ("exact", lambda: kg.MAF((4,))),
        ("lower_bound", lambda: kg.MAF((4,), dequantization="uniform")),
    ],
)
def test_what_the_density_is(density, build):
    assert build().density == density


@pytest.mark.usefixtures("untraced")
def test_whole_images_under_the_ends_of_the_logit_are_finite():
    flow = kg.RealNVP(
        (8, 8, 1),
        num_scales=2,
        dequantization="uniform",
        logit_alpha=1e-6,
        network_options={"filters": 4},
        seed=0,
    )
    x = tf.concat([tf.zeros([2, 8, 8, 1]), tf.fill([2, 8, 8, 1], 255.0)], axis=0)
    assert np.all(np.isfinite(flow.log_prob(x)))
