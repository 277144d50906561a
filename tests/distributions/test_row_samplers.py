"""Draws with one seed a row follow each distribution, and need no loop where a sampler is known."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from keras_genmod.core.noise import as_seed, row_seeds, sample_rows
from keras_genmod.distributions import (
    BernoulliHead,
    CategoricalHead,
    ContinuousBernoulliHead,
    DiagonalGaussianMixture,
    DiscretizedLogisticMixture,
    DiscretizedLogisticMixtureHead,
    GaussianHead,
    LowRankGaussian,
    LowRankGaussianHead,
    StudentTHead,
)

tfd, tfb = tfp.distributions, tfp.bijectors
ROWS, DRAWS = 3, 4000


def noise(*shape):
    return tf.constant(np.random.default_rng(len(shape)).normal(size=shape), tf.float32)


def tril(*batch):
    return tfb.FillScaleTriL()(noise(*batch, 3))


def continuous_bernoulli():
    head = ContinuousBernoulliHead(event_shape=(2,))
    return head.distribution(3.0 * noise(ROWS, 2))


# Each with one distribution a row, or one that the rows share.
VECTORISED = {
    "normal": lambda: tfd.Normal(noise(ROWS), 0.7),
    "normal of float64": lambda: tfd.Normal(tf.cast(noise(ROWS), tf.float64), np.float64(2.0)),
    "one scale for all rows": lambda: tfd.Independent(tfd.Normal(noise(ROWS, 2), tf.exp(noise(2))), 1),
    "half normal": lambda: tfd.HalfNormal(tf.exp(noise(ROWS))),
    "uniform": lambda: tfd.Uniform(-1.0, tf.exp(noise(ROWS))),
    "laplace": lambda: tfd.Laplace(noise(ROWS), 2.0),
    "logistic": lambda: tfd.Logistic(noise(ROWS), 0.5),
    "exponential": lambda: tfd.Exponential(tf.exp(noise(ROWS))),
    "gumbel": lambda: tfd.Gumbel(noise(ROWS), 2.0),
    "student": lambda: tfd.StudentT(tf.constant([1.0, 3.0, 1e4]), noise(ROWS), 2.0),
    "cauchy": lambda: tfd.Cauchy(noise(ROWS), 2.0),
    "half cauchy": lambda: tfd.HalfCauchy(noise(ROWS), 2.0),
    "bernoulli": lambda: tfd.Independent(tfd.Bernoulli(logits=2.0 * noise(ROWS, 2)), 1),
    "continuous bernoulli": continuous_bernoulli,
    "categorical": lambda: tfd.Independent(tfd.Categorical(logits=noise(ROWS, 2, 4)), 1),
    "one-hot categorical": lambda: tfd.OneHotCategorical(logits=noise(ROWS, 4)),
    "quantized": lambda: tfd.QuantizedDistribution(tfd.Logistic(2.0 * noise(ROWS), 1.0), -2.0, 3.0),
    "quantized without ends": lambda: tfd.QuantizedDistribution(tfd.Normal(noise(ROWS), 2.0)),
    "discretized logistic": lambda: tfd.Independent(
        DiscretizedLogisticMixture(noise(ROWS, 2, 3), noise(ROWS, 2, 3), noise(ROWS, 2, 3), 8), 1
    ),
    "log-normal": lambda: tfd.Independent(tfd.LogNormal(noise(ROWS, 2), 0.5), 1),
    "diagonal vector": lambda: tfd.MultivariateNormalDiag(noise(ROWS, 2), tf.exp(noise(2))),
    "vector": lambda: tfd.MultivariateNormalTriL(noise(ROWS, 2), tril(ROWS)),
    "shared vector": lambda: tfd.MultivariateNormalTriL(noise(2), tril()),
    "low rank": lambda: LowRankGaussian(noise(ROWS, 3), tf.exp(noise(ROWS, 3)), noise(ROWS, 3, 2)),
    "diagonal and low rank": lambda: tfd.MultivariateNormalDiagPlusLowRank(
        noise(3), tf.exp(noise(ROWS, 3)), noise(ROWS, 3, 2)
    ),
    "low-rank image": lambda: tfd.TransformedDistribution(
        LowRankGaussian(noise(ROWS, 4), tf.exp(noise(ROWS, 4)), noise(ROWS, 4, 1)), tfb.Reshape([2, 2], [4])
    ),
    "sample": lambda: tfd.Sample(tfd.Uniform(0.0, 2.0), [2, 2]),
    "flow": lambda: tfd.TransformedDistribution(
        tfd.Sample(tfd.Normal(0.0, 1.0), [2]), tfb.Chain([tfb.Exp(), tfb.Shift(noise(ROWS, 2))])
    ),
    "one base for all dimensions": lambda: tfd.Independent(
        tfd.TransformedDistribution(tfd.Normal(0.0, 1.0), tfb.Shift(noise(ROWS, 2))), 1
    ),
    "repeated batch": lambda: tfd.BatchBroadcast(tfd.MultivariateNormalTriL(noise(2), tril()), [ROWS]),
    "mixture": lambda: tfd.MixtureSameFamily(
        tfd.Categorical(logits=noise(ROWS, 3)), tfd.Independent(tfd.Normal(3.0 * noise(ROWS, 3, 2), 0.3), 1)
    ),
    "shared mixture": lambda: tfd.MixtureSameFamily(
        tfd.Categorical(logits=noise(3)), tfd.MultivariateNormalTriL(3.0 * noise(3, 2), tril(3))
    ),
    "mixture of equal weights": lambda: tfd.MixtureSameFamily(
        tfd.Categorical(logits=tf.zeros([3])), tfd.Normal(3.0 * noise(ROWS, 3), 0.3)
    ),
    "independent mixtures": lambda: tfd.Independent(
        tfd.MixtureSameFamily(
            tfd.Categorical(logits=noise(ROWS, 2, 3)), tfd.Normal(3.0 * noise(ROWS, 2, 3), 0.3)
        ),
        1,
    ),
    "mixture of bits": lambda: tfd.MixtureSameFamily(
        tfd.Categorical(logits=noise(3)), tfd.Independent(tfd.Bernoulli(logits=3.0 * noise(3, 2)), 1)
    ),
    "diagonal mixture": lambda: DiagonalGaussianMixture(noise(3), 3.0 * noise(3, 2), tf.exp(noise(3, 2))),
}


class Squared(tfd.Normal):
    """A class that samples in a way of its own."""

    def _sample_n(self, n, seed=None):
        return super()._sample_n(n, seed) ** 2


# A loop over rows.
OTHERS = {
    "gamma": lambda: tfd.Gamma(tf.exp(noise(ROWS)), 2.0),
    "poisson": lambda: tfd.Poisson(tf.exp(noise(ROWS))),
    "independent beta": lambda: tfd.Independent(tfd.Beta(1.0 + tf.exp(noise(ROWS, 2)), 2.0), 1),
    "mixture of gammas": lambda: tfd.MixtureSameFamily(
        tfd.Categorical(logits=noise(ROWS, 2)), tfd.Gamma(tf.exp(noise(ROWS, 2)), 1.0)
    ),
    "a class of its own": lambda: Squared(noise(ROWS), 1.0),
    "bases that lack an axis": lambda: tfd.Independent(
        tfd.TransformedDistribution(tfd.Normal(tf.zeros([ROWS, 1]), 1.0), tfb.Shift(noise(ROWS, 2))), 1
    ),
}
ALL = {**VECTORISED, **OTHERS}


@pytest.fixture(scope="module")
def graph_of():
    """A function from a name to the graph of eight draws from seeds."""

    @functools.cache
    def trace(name):
        graph = tf.function(lambda seeds: sample_rows(ALL[name](), 8, seeds), autograph=False)
        return graph.get_concrete_function(tf.TensorSpec([ROWS, 2], tf.int32))

    return trace


@pytest.mark.parametrize("name", ALL)
def test_draws_follow_the_distribution(name):
    """As often as those of TensorFlow Probability's own sampler, whose numbers are others."""
    distribution = ALL[name]()
    draws = tf.transpose(
        sample_rows(distribution, DRAWS, row_seeds(as_seed(1), 0, ROWS)),
        [1, 0, *range(2, 2 + distribution.event_shape.rank)],
    )
    own = distribution.sample(DRAWS, seed=(3, 4))
    if distribution.batch_shape.rank == 0:
        own = distribution.sample([DRAWS, ROWS], seed=(3, 4))
    assert draws.dtype == own.dtype and draws.shape == own.shape and np.isfinite(draws).all()
    figures = []
    for sample in (draws, own):
        flat = np.reshape(tf.cast(sample, tf.float64), (DRAWS, ROWS, -1))
        bounded = np.arctan(flat)
        parts = [bounded, bounded**2]
        # Whether the dimensions of an event depend on each other as they should.
        parts.append(np.stack([bounded[..., 0] * part for part in np.moveaxis(bounded, -1, 0)], axis=-1))
        if name != "a class of its own":
            parts.append(np.reshape(tf.cast(distribution.log_prob(sample), tf.float64), (DRAWS, ROWS, 1)))
        figures.append(np.concatenate(parts, axis=-1))
    means, errors = zip(*[(f.mean(axis=0), f.std(axis=0) / np.sqrt(DRAWS)) for f in figures], strict=True)
    # 1e-9 for what is constant.
    assert np.all(abs(means[0] - means[1]) < 4.5 * np.hypot(*errors) + 1e-9)


@pytest.mark.parametrize(
    "name", ["normal", "half normal", "uniform", "laplace", "logistic", "exponential", "gumbel", "student",
             "cauchy", "half cauchy", "mixture of equal weights", "gamma"]
)  # fmt: skip
def test_draws_of_each_row_have_its_distribution_function(name):
    distribution = ALL[name]()
    draws = sample_rows(distribution, DRAWS, row_seeds(as_seed(2), 0, ROWS))
    levels = distribution.cdf(tf.transpose(draws)).numpy()
    assert min(stats.kstest(levels[:, row], "uniform").pvalue for row in range(ROWS)) > 1e-3
    # Rows of one seed each, and the draws of a row, are independent of each other.
    assert np.all(abs(np.corrcoef(levels.T) - np.eye(ROWS)) < 4.5 / np.sqrt(DRAWS))
    assert abs(np.corrcoef(levels[1:, 0], levels[:-1, 0])[0, 1]) < 4.5 / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", VECTORISED)
def test_known_samplers_need_no_loop_and_no_other_generator(name, graph_of):
    operations = {operation.type for operation in graph_of(name).graph.get_operations()}
    assert not [each for each in operations if "While" in each or "Random" in each]


@pytest.mark.parametrize(
    "head",
    [
        BernoulliHead(),
        ContinuousBernoulliHead(),
        CategoricalHead(5),
        DiscretizedLogisticMixtureHead(2, num_values=8),
        GaussianHead("predicted"),
        StudentTHead("learned"),
        LowRankGaussianHead(2),
    ],
    ids=lambda head: type(head).__name__,
)
def test_heads_need_no_loop_for_any_number_of_rows(head):
    head.set_event_shape((4, 3, 2))

    def draw(params, seeds):
        return sample_rows(head.distribution(params), 1, seeds)

    signature = [tf.TensorSpec([None, *head.params_shape]), tf.TensorSpec([None, 2], tf.int32)]
    graph = tf.function(draw, autograph=False, input_signature=signature).get_concrete_function()
    assert graph.output_shapes == [None, 1, 4, 3, 2]
    assert not [operation for operation in graph.graph.get_operations() if "While" in operation.type]


@pytest.mark.parametrize("name", OTHERS)
def test_other_distributions_are_drawn_in_a_loop(name, graph_of):
    operations = {operation.type for operation in graph_of(name).graph.get_operations()}
    assert "While" in operations or "StatelessWhile" in operations


@pytest.mark.parametrize("name", ALL)
def test_a_row_is_drawn_alike_beside_other_rows(name, graph_of):
    graph = graph_of(name)
    seeds, others = row_seeds(as_seed(3), 0, ROWS).numpy(), row_seeds(as_seed(4), 0, ROWS).numpy()
    whole = graph(tf.constant(seeds)).numpy()
    for row in range(ROWS):
        changed = np.where(np.arange(ROWS)[:, None] == row, seeds, others)
        received = graph(tf.constant(changed)).numpy()
        np.testing.assert_array_equal(received[row], whole[row])
        # Eight discrete draws of another seed may be equal by chance, but not in both other rows.
        assert np.any(np.delete(received, row, axis=0) != np.delete(whole, row, axis=0))


@pytest.mark.parametrize(
    "name",
    [
        "student",
        "discretized logistic",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("laplace", "categorical", "low rank")),
        "mixture",
    ],
)
def test_xla_draws_alike(name):
    seeds = row_seeds(as_seed(4), 0, ROWS)
    compiled, plain = (
        tf.function(
            lambda seeds: sample_rows(VECTORISED[name](), 3, seeds), autograph=False, jit_compile=jit_compile
        )(seeds)
        for jit_compile in (True, None)
    )
    np.testing.assert_allclose(compiled, plain, rtol=2e-5, atol=2e-6)


def test_gradients_reach_the_parameters():
    loc, scale = tf.Variable(noise(ROWS)), tf.Variable(tf.exp(noise(ROWS)))
    with tf.GradientTape() as tape:
        draws = sample_rows(tfd.Normal(loc, scale), 1, row_seeds(as_seed(5), 0, ROWS))[:, 0]
    by_loc, by_scale = tape.gradient(draws, [loc, scale])
    np.testing.assert_array_equal(by_loc, np.ones(ROWS))
    np.testing.assert_allclose(by_scale, (draws - loc) / scale, rtol=1e-4)
