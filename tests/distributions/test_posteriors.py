"""The choice of a posterior: by name, as a head, or from a configuration."""

import keras
import numpy as np
import pytest

from keras_genmod.distributions import (
    BernoulliHead,
    CategoricalHead,
    FullCovarianceGaussianHead,
    GaussianHead,
    LowRankGaussianHead,
)
from keras_genmod.distributions.posteriors import get_posterior_head


@pytest.mark.parametrize(
    ("name", "kind", "size"),
    # Two numbers a latent; or three means and the six entries of a triangle.
    [("diagonal", GaussianHead, 6), ("full_covariance", FullCovarianceGaussianHead, 9)],
)
def test_names_of_posteriors(name, kind, size):
    head = get_posterior_head(name, 3)
    assert type(head) is kind and head.event_shape == (3,) and head.params_size == size
    # Zeros of the encoder are the standard normal: log N(0; 0, I).
    log_prob = head.distribution(np.zeros((1, size), np.float32)).log_prob(np.zeros((1, 3), np.float32))
    np.testing.assert_allclose(log_prob, [-1.5 * np.log(2 * np.pi)], rtol=1e-4)


def test_the_scale_of_a_diagonal_posterior_is_the_examples_own():
    distribution = get_posterior_head("diagonal", 2).distribution(np.float32([[1, 2, 0, 5], [3, 4, 5, 0]]))
    np.testing.assert_array_equal(distribution.mean(), [[1, 2], [3, 4]])
    large = np.log1p(np.exp(5.0) * (np.e - 1)) + 1e-5
    np.testing.assert_allclose(distribution.stddev(), [[1.00001, large], [large, 1.00001]], rtol=1e-6)


def test_a_head_of_ones_own_and_its_configuration():
    own = LowRankGaussianHead(rank=2)
    assert get_posterior_head(own, 5) is own and own.event_shape == (5,)
    again = get_posterior_head(keras.saving.serialize_keras_object(own), 5)
    assert type(again) is LowRankGaussianHead and again is not own
    assert again.rank == 2 and again.event_shape == (5,)


def test_each_model_gets_a_head_of_its_own():
    assert get_posterior_head("diagonal", 2) is not get_posterior_head("diagonal", 2)


def test_heads_of_bounded_or_discrete_values_are_no_posteriors():
    for head in (BernoulliHead(), CategoricalHead(4)):
        with pytest.raises(ValueError, match=r"head of real values.*received a \w+Head, of .* in \[0"):
            get_posterior_head(head, 4)


def test_other_posteriors_are_refused():
    dense = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    for value in ("Diagonal", "gaussian", None, 2, GaussianHead, dense):
        with pytest.raises(
            ValueError, match="`posterior` must be one of 'diagonal', 'full_covariance' .*received"
        ):
            get_posterior_head(value, 4)
    with pytest.raises(ValueError, match=r"events of shape \(4,\); received \(5,\). Make a new head"):
        get_posterior_head(GaussianHead("predicted", event_shape=(4,)), 5)
