"""Corruption: rates, untouched values, repeatable draws, and every form of the argument."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import Corruption, GaussianCorruption, MaskingCorruption, SaltAndPepperCorruption

COUNT = 100_000
# Values that no corruption makes by itself.
X = tf.random.stateless_uniform([COUNT], (0, 5), 0.1, 0.9)
SEED = (1, 2)
ALL = [MaskingCorruption(0.3), SaltAndPepperCorruption(0.3), GaussianCorruption(0.3)]


def within(share, probability, count=COUNT):
    """Whether a share of `count` draws is within four standard deviations of its probability."""
    return abs(share - probability) < 4 * np.sqrt(probability * (1 - probability) / count)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_masking_clears_a_share_and_leaves_the_rest(rate):
    y = MaskingCorruption(rate).corrupt(X, SEED).numpy()
    assert within(np.mean(y == 0), rate)
    np.testing.assert_array_equal(y[y != 0], X.numpy()[y != 0])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_salt_and_pepper_in_equal_shares(rate):
    y = SaltAndPepperCorruption(rate).corrupt(X, SEED).numpy()
    assert within(np.mean(y == 0), rate / 2)
    assert within(np.mean(y == 1), rate / 2)
    touched = (y == 0) | (y == 1)
    np.testing.assert_array_equal(y[~touched], X.numpy()[~touched])


def test_gaussian_noise_has_its_moments():
    noise = (GaussianCorruption(0.3).corrupt(X, SEED) - X).numpy()
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(COUNT)
    assert abs(noise.std() - 0.3) < 4 * 0.3 / np.sqrt(2 * COUNT)
    assert abs(np.corrcoef(noise, X)[0, 1]) < 4 / np.sqrt(COUNT)


@pytest.mark.parametrize("kind", [MaskingCorruption, SaltAndPepperCorruption, GaussianCorruption])
def test_no_strength_changes_nothing(kind):
    np.testing.assert_array_equal(kind(0).corrupt(X, SEED), X)


def test_full_strength_leaves_nothing():
    assert np.all(MaskingCorruption(1).corrupt(X, SEED) == 0)
    assert set(np.unique(SaltAndPepperCorruption(1.0).corrupt(X, SEED))) == {0, 1}


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: type(c).__name__)
def test_draws_are_a_function_of_the_seed(corruption):
    y = corruption.corrupt(X, SEED)
    np.testing.assert_array_equal(tf.function(corruption.corrupt)(X, SEED), y)
    for other in ((1, 3), (2, 2)):
        assert np.any(corruption.corrupt(X, other) != y)


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_dtype_and_values_stay(corruption, dtype):
    x = tf.cast(X[:1000], dtype)
    y = corruption.corrupt(x, SEED)
    assert y.dtype == x.dtype
    changed = np.mean(y != x)
    assert changed > 0.9 if isinstance(corruption, GaussianCorruption) else within(changed, 0.3, 1000)


@pytest.mark.parametrize("corruption", ALL, ids=lambda c: type(c).__name__)
def test_configuration_gives_the_corruption_back(corruption):
    config = keras.saving.serialize_keras_object(corruption)
    again = Corruption.of(config)
    assert type(again) is type(corruption)
    np.testing.assert_array_equal(again.corrupt(X, SEED), corruption.corrupt(X, SEED))


def test_forms_of_the_argument():
    assert Corruption.of(None) is None
    assert Corruption.of(ALL[1]) is ALL[1]
    for rate in (0.25, np.float32(0.25), 1):
        masking = Corruption.of(rate)
        assert type(masking) is MaskingCorruption and masking.rate == rate


def test_other_arguments_are_refused():
    dense = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    for value in ("masking", dense, [0.1], GaussianCorruption):
        with pytest.raises(
            ValueError, match="None, the rate of a `MaskingCorruption`, or an object.*received"
        ):
            Corruption.of(value)
    for rate in (-0.1, 1.1, np.nan, True):
        with pytest.raises(ValueError, match="`rate` must be a finite number at least 0 and at most 1"):
            Corruption.of(rate)
    with pytest.raises(ValueError, match="`stddev` must be a finite number at least 0; received -1"):
        GaussianCorruption(-1)
