"""Sums over all states, and mean weights with their error, against values computed by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.partition_functions import log_mean_weight, log_partition_of_bits


def test_mean_weights_and_their_errors_by_hand():
    weights = np.array([[1.0, 2.0, 3.0, 6.0], [5.0, 5.0, 5.0, 5.0]])
    value, error = log_mean_weight(tf.math.log(weights))
    np.testing.assert_allclose(value, np.log([3.0, 5.0]))
    # Variance 14 / 3 of the weights, so a standard error of sqrt(14 / 12) of their mean, over the mean.
    np.testing.assert_allclose(error, [math.sqrt(14 / 12) / 3, 0.0], atol=1e-15)
    shifted, same = log_mean_weight(tf.math.log(weights) + 1000.0)
    np.testing.assert_allclose(shifted - 1000.0, value, rtol=1e-9)
    np.testing.assert_allclose(same, error, atol=1e-9)


@pytest.mark.parametrize("states_per_pass", [1, 5, 64, 10_000])
def test_enumerations_in_pieces_are_whole(states_per_pass):
    value = log_partition_of_bits(
        lambda x: tf.linalg.matvec(x, tf.constant([1.0, -2.0, 0.5])), 3, states_per_pass=states_per_pass
    )
    # Independent bits: a product of 1 + e^-b.
    assert float(value) == pytest.approx(np.sum(np.log1p(np.exp([-1.0, 2.0, -0.5]))), rel=1e-6)


def test_too_many_bits_are_refused():
    with pytest.raises(ValueError, match="`num_bits` must be at most 30.*received 31"):
        log_partition_of_bits(lambda x: x[:, 0], 31)
