"""Priors: what they are at the start, their densities at any weights, arguments, files, and divergences."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_genmod.core.checks import ValueRange
from keras_genmod.distributions import (
    GaussianMixturePrior,
    Prior,
    StandardNormalPrior,
    VampPrior,
    get_prior,
    kl_divergence,
)

tfd = tfp.distributions

UNIT, REAL = ValueRange(0.0, 1.0), ValueRange()
A = np.float32([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.1]])


def shaped(prior, latent_dim=2, event_shape=(3,), value_range=UNIT, seed=0):
    prior.set_shapes(latent_dim, event_shape, value_range, seed=seed)
    return prior


def diagonal_posterior(x):
    """N(x A, (1/2 + x_d)^2): a posterior with scales of its own for each example."""
    return tfd.Independent(tfd.Normal(x @ A, 0.5 + x[:, :2]), 1)


def full_posterior(x):
    scale = 0.5 + x[:, :2]
    tril = tf.linalg.set_diag(tf.tile([[[0.0, 0.0], [0.8, 0.0]]], [len(x), 1, 1]), scale)
    return tfd.MultivariateNormalTriL(x @ A, tril)


def assign_random(prior, rng):
    for weight in prior.weights:
        weight.assign(rng.normal(size=weight.shape))


def log_mean_of(posterior, u, logits, z):
    """log sum_k w_k q(z | u_k), component by component."""
    log_weights = logits - np.logaddexp.reduce(logits)
    terms = [w + posterior(u[k : k + 1]).log_prob(z) for k, w in enumerate(log_weights)]
    return np.logaddexp.reduce(np.float64(terms), axis=0)


Z = np.random.default_rng(9).normal(size=(30, 2), scale=2.0).astype(np.float32)


# ---- densities --------------------------------------------------------------------------------------


def test_standard_normal():
    distribution = shaped(StandardNormalPrior()).distribution()
    expected = -0.5 * np.sum(Z**2, axis=1) - np.log(2 * np.pi)
    np.testing.assert_allclose(distribution.log_prob(Z), expected, rtol=1e-5)
    assert not shaped(StandardNormalPrior()).weights


def test_gaussian_mixture_at_any_weights():
    prior = shaped(GaussianMixturePrior(4))
    assert len(prior.trainable_weights) == 3
    assign_random(prior, np.random.default_rng(0))
    logits, loc, raw = (np.float64(w) for w in (prior.logits, prior.loc, prior.raw_scale))
    scale = np.logaddexp(0, raw + np.log(np.e - 1)) + 1e-5
    log_normal = -0.5 * ((Z[:, None] - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    terms = logits - np.logaddexp.reduce(logits) + log_normal.sum(axis=-1)
    expected = np.logaddexp.reduce(terms, axis=1)
    np.testing.assert_allclose(prior.distribution().log_prob(Z), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("posterior", [diagonal_posterior, full_posterior])
@pytest.mark.parametrize("value_range", [UNIT, ValueRange(0, 3, integer=True)], ids=["unit", "integers"])
def test_vamp_prior_is_the_mixture_of_the_posteriors_of_its_pseudo_inputs(posterior, value_range):
    prior = shaped(VampPrior(5), value_range=value_range)
    assert len(prior.trainable_weights) == 2 and prior.needs_posterior
    assign_random(prior, np.random.default_rng(1))
    distribution = prior.distribution(posterior)
    expected = log_mean_of(posterior, prior.pseudo_inputs(), np.float64(prior.logits), Z)
    np.testing.assert_allclose(distribution.log_prob(Z), expected, rtol=1e-4, atol=1e-4)
    assert distribution.batch_shape == [] and distribution.event_shape == [2]


@pytest.mark.parametrize("posterior", [diagonal_posterior, full_posterior])
def test_pseudo_inputs_and_weights_are_trained(posterior):
    """The gradients are difference quotients of the log-density."""
    prior = shaped(VampPrior(3))
    assign_random(prior, np.random.default_rng(2))
    z = Z[:5] / 2

    def total():
        return tf.reduce_sum(prior.distribution(posterior).log_prob(z))

    with tf.GradientTape() as tape:
        value = total()
    gradients = tape.gradient(value, [weight.value for weight in prior.trainable_weights])
    for weight, gradient in zip(prior.trainable_weights, gradients, strict=True):
        start, direction = weight.numpy(), np.sign(gradient)
        values = []
        for step in (1e-2, -1e-2):
            weight.assign(start + step * direction)
            values.append(float(total()))
        weight.assign(start)
        slope = np.sum(gradient * direction)
        assert slope > 0.1
        assert (values[0] - values[1]) / 2e-2 == pytest.approx(slope, rel=1e-2)


def test_the_divergence_from_a_vamp_prior_is_estimated_without_bias():
    """In one dimension, against the integral over a fine grid."""

    def posterior(x):
        return tfd.Independent(tfd.Normal(4 * x[:, :1] - 2, 0.2 + x[:, 1:2]), 1)

    prior = shaped(VampPrior(4), latent_dim=1)
    assign_random(prior, np.random.default_rng(3))
    p = prior.distribution(posterior)
    row = posterior(tf.constant([[0.6, 0.5, 0.0]]))
    x = np.linspace(-9, 11, 4001, dtype=np.float32)[:, None]
    log_q, log_p = (np.float64(np.ravel(d.log_prob(x))) for d in (row, p))
    exact = np.sum(np.exp(log_q) * (log_q - log_p)) * 0.005
    count = 20_000
    estimates = kl_divergence(posterior(tf.tile([[0.6, 0.5, 0.0]], [count, 1])), p, seed=(1, 2)).numpy()
    error = estimates.std() / np.sqrt(count)
    assert abs(estimates.mean() - exact) < 5 * error and exact > 10 * error


# ---- the start --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GaussianMixturePrior, VampPrior])
def test_weights_of_the_components_are_equal_at_the_start(kind):
    np.testing.assert_array_equal(shaped(kind(4)).logits.numpy(), np.zeros(4))


def test_means_start_from_the_standard_normal_and_scales_at_one():
    prior = shaped(GaussianMixturePrior(1000), latent_dim=5)
    loc = prior.loc.numpy().ravel()
    assert abs(loc.mean()) < 5 / np.sqrt(5000) and abs(loc.var() - 1) < 5 * np.sqrt(2 / 5000)
    np.testing.assert_allclose(
        prior.distribution().components_distribution.stddev(), np.full((1000, 5), 1.00001), rtol=1e-6
    )


@pytest.mark.parametrize("low,high", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_random_pseudo_inputs_lie_about_the_middle_of_the_range(low, high):
    """Logistic functions of standard normal numbers, so that 15.9 % lie below logistic(-1) = 0.269."""
    prior = shaped(VampPrior(1000), value_range=ValueRange(low, high))
    share = (prior.pseudo_inputs().numpy().ravel() - low) / (high - low)
    assert np.all((share > 0) & (share < 1))
    assert abs(np.mean(share < 0.5) - 0.5) < 5 * np.sqrt(0.25 / 3000)
    for tail in (np.mean(share < 1 / (1 + np.e)), np.mean(share > np.e / (1 + np.e))):
        assert abs(tail - 0.1587) < 5 * np.sqrt(0.1587 * 0.8413 / 3000)


def test_random_pseudo_inputs_of_real_values_are_standard_normal():
    u = shaped(VampPrior(1000), value_range=REAL).pseudo_inputs().numpy()
    assert abs(u.mean()) < 5 / np.sqrt(3000) and abs(u.var() - 1) < 5 * np.sqrt(2 / 3000)


@pytest.mark.parametrize("kind", [GaussianMixturePrior, VampPrior])
def test_initial_weights_follow_the_seed(kind):
    first, again, other = (shaped(kind(4), seed=seed).get_weights()[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.intersect1d(first, other).size


@pytest.mark.parametrize("low,high", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_given_pseudo_inputs_are_the_start_but_for_the_ends_of_the_range(low, high):
    """A fiftieth of the range is kept from the ends, where the logistic function has no slope."""
    share = np.array([[0.0, 0.01, 0.02], [0.3, 0.5, 1.0]])
    given = low + (high - low) * share
    prior = shaped(VampPrior(2, pseudo_inputs=given), value_range=ValueRange(low, high))
    expected = low + (high - low) * np.array([[0.02, 0.02, 0.02], [0.3, 0.5, 0.98]])
    np.testing.assert_allclose(prior.pseudo_inputs(), expected, atol=1e-6 * (high - low))


@pytest.mark.parametrize("value_range", [REAL, ValueRange(low=0.0)], ids=["real", "half_bounded"])
def test_given_pseudo_inputs_of_an_unbounded_range_are_kept_exactly(value_range):
    given = np.float32([[0.0, 100.0, 0.5], [1.0, 7.25, 3.0]])
    prior = shaped(VampPrior(2, pseudo_inputs=given), value_range=value_range)
    np.testing.assert_array_equal(prior.pseudo_inputs(), given)


def test_images_may_be_pseudo_inputs():
    given = np.linspace(0.1, 0.9, 24).reshape(2, 3, 4, 1)
    prior = shaped(VampPrior(2, pseudo_inputs=given), event_shape=(3, 4, 1))
    np.testing.assert_allclose(prior.pseudo_inputs(), given, rtol=1e-5)


@pytest.mark.parametrize("raw", [-1e4, -1.0, 0.0, 1e4])
def test_pseudo_inputs_never_leave_the_range(raw):
    prior = shaped(VampPrior(3), value_range=ValueRange(-2.0, 5.0))
    prior.raw_inputs.assign(np.full((3, 3), raw))
    expected = -2 + 7 / (1 + np.exp(-np.clip(raw, -500, 500)))
    np.testing.assert_allclose(prior.pseudo_inputs(), np.full((3, 3), expected), rtol=1e-5)
    prior.value_range.check("pseudo_inputs", prior.pseudo_inputs().numpy())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.full((2, 4), 0.5), r"`pseudo_inputs` must have shape \[batch, 3\]; received \(2, 4\)"),
        (np.full((3,), 0.5), r"`pseudo_inputs` must have shape \[batch, 3\]; received \(3,\)"),
        (np.full((2, 3), 1.5), r"`pseudo_inputs` must hold values in \[0, 1\]; received values from 1.5"),
        (np.full((2, 3), np.nan), "`pseudo_inputs` must hold finite values"),
        (np.full((3, 3), 0.5), "`pseudo_inputs` must hold 2 examples, one a component; received 3"),
        (np.full((1, 3), 0.5), "`pseudo_inputs` must hold 2 examples, one a component; received 1"),
    ],
    ids=["shape", "one_example", "range", "nan", "too_many", "too_few"],
)
def test_pseudo_inputs_that_do_not_fit_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        shaped(VampPrior(2, pseudo_inputs=given))


# ---- arguments and files ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [GaussianMixturePrior, VampPrior])
@pytest.mark.parametrize("count", [0, -1, 2.0, True, None])
def test_other_numbers_of_components_are_refused(kind, count):
    with pytest.raises(ValueError, match="`num_components` must be an integer of at least 1; received"):
        kind(count)


def test_a_prior_belongs_to_models_of_one_shape():
    prior = shaped(GaussianMixturePrior(3))
    before = prior.loc
    assert shaped(prior).loc is before  # Of the same shape: the weights stay.
    for changed in ({"latent_dim": 4}, {"event_shape": (7,)}):
        with pytest.raises(ValueError, match="for 2 latent dimensions of events of shape .*Make a new one"):
            shaped(prior, **changed)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("standard_normal", StandardNormalPrior),
        ("gaussian_mixture", GaussianMixturePrior),
        ("vamp", VampPrior),
    ],
)
def test_names_and_configurations_of_priors(name, kind):
    prior = get_prior(name)
    assert type(prior) is kind and get_prior(prior) is prior and get_prior(name) is not prior
    own = shaped(kind(name="own") if name == "standard_normal" else kind(3, name="own"))
    again = get_prior(keras.saving.serialize_keras_object(own))
    assert type(again) is kind and again.name == "own" and again.get_config() == own.get_config()
    # Without shapes until the model gives them, and then with as many weights.
    assert not again.weights
    assert [w.shape for w in shaped(again).weights] == [w.shape for w in own.weights]


def test_pseudo_inputs_are_no_part_of_the_configuration():
    prior = VampPrior(2, pseudo_inputs=np.full((2, 3), 0.5))
    assert "pseudo_inputs" not in prior.get_config()
    again = get_prior(keras.saving.serialize_keras_object(shaped(prior)))
    assert len(np.unique(shaped(again).raw_inputs)) == 6


def test_other_priors_are_refused():
    dense = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    for value in ("normal", None, 10, VampPrior, dense, tfd.Normal(0.0, 1.0)):
        with pytest.raises(ValueError, match="`prior` must be one of 'standard_normal', .*received"):
            get_prior(value)


def test_prior_without_a_distribution_says_what_is_missing():
    class Nothing(Prior):
        pass

    with pytest.raises(TypeError, match=r"Nothing must define `distribution\(posterior\)`"):
        shaped(Nothing()).distribution(diagonal_posterior)


@keras.saving.register_keras_serializable(package="tests")
class WithPrior(keras.Model):
    """The least model with a prior."""

    def __init__(self, prior, **kwargs):
        super().__init__(**kwargs)
        self.prior = shaped(get_prior(prior))
        self.built = True

    def call(self, z):
        return self.prior.distribution(diagonal_posterior).log_prob(z)

    def get_config(self):
        return {"prior": keras.saving.serialize_keras_object(self.prior), "name": self.name}


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianMixturePrior(3),
        lambda: VampPrior(3),
        lambda: VampPrior(2, pseudo_inputs=np.full((2, 3), 0.25)),
    ],
    ids=["gaussian_mixture", "vamp", "vamp_of_examples"],
)
def test_files_keep_the_weights(make, tmp_path):
    model = WithPrior(make())
    model.prior.logits.assign(np.arange(model.prior.num_components))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights) >= 2
    np.testing.assert_array_equal(loaded(Z), model(Z))


def test_precision_of_a_prior_is_that_of_float32_under_any_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    for kind in (GaussianMixturePrior, VampPrior):
        prior = shaped(kind(3))
        assert {weight.dtype for weight in prior.weights} == {"float32"}
        assert prior.distribution(diagonal_posterior).log_prob(Z).dtype == tf.float32
