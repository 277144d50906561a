"""Binarisation: the threshold's rule, and draws that are Bernoulli, repeatable, and new in every pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.data import binarize, dynamic_binarization, stochastic_binarize


def test_threshold_is_exclusive():
    np.testing.assert_array_equal(binarize(np.array([0.0, 0.5, 0.501, 1.0])), [0, 0, 1, 1])
    np.testing.assert_array_equal(binarize(np.array([0.0, 0.2, 0.3]), threshold=0.2), [0, 0, 1])
    np.testing.assert_array_equal(binarize(np.array([0.0, 1e-6]), threshold=0.0), [0, 1])


def test_pixels_count_as_fractions_of_255():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(binarize(pixels), pixels >= 128)
    np.testing.assert_array_equal(binarize(pixels, threshold=0.2), pixels > 51)
    np.testing.assert_array_equal(
        stochastic_binarize(pixels, seed=3), stochastic_binarize(pixels / np.float32(255), seed=3)
    )


@pytest.mark.parametrize("function", [binarize, lambda x: stochastic_binarize(x, seed=1)])
def test_result_is_of_the_kind_of_the_argument(function):
    array = np.full((2, 3), 0.7, np.float64)
    assert isinstance(function(array), np.ndarray) and function(array).dtype == np.float32
    tensor = function(tf.constant(array))
    assert tf.is_tensor(tensor) and tensor.dtype == tf.float32
    np.testing.assert_array_equal(tensor, function(array))
    np.testing.assert_array_equal(tf.function(function)(tf.constant(array)), tensor)


@pytest.mark.parametrize("function", [binarize, lambda x: stochastic_binarize(x, seed=1)])
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.array([0.0, 255.0]), ValueError, r"values in \[0, 1\]; received .* 255(\.0)?\. Divide"),
        (np.array([-0.1, 0.5]), ValueError, "received values from -0.1"),
        (np.array([0.5, np.nan]), ValueError, "finite"),
        (np.array([0, 1, 1], np.uint8), ValueError, "binary already"),
        (np.array([0, 200]), TypeError, "floats .* or uint8 pixels"),
    ],
    ids=["unscaled floats", "negative", "nan", "binary already", "int64"],
)
def test_other_values_are_refused(function, x, error, words):
    with pytest.raises(error, match=words):
        function(x)


def test_empty_and_black_pictures_are_fine():
    assert binarize(np.zeros((0, 4), np.uint8)).shape == (0, 4)
    np.testing.assert_array_equal(binarize(np.zeros((2, 4), np.uint8)), np.zeros((2, 4)))


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 127])
def test_threshold_outside_of_its_interval_is_refused(threshold):
    with pytest.raises(ValueError, match="`threshold` must be"):
        binarize(np.array([0.5]), threshold=threshold)


def test_draws_have_the_probability_of_their_grey_value():
    probs = np.linspace(0, 1, 11, dtype=np.float32)
    count = 40_000
    draws = stochastic_binarize(np.tile(probs, (count, 1)), seed=5)
    assert set(np.unique(draws)) == {0, 1}
    deviation = np.sqrt(probs * (1 - probs) / count)
    # Four standard deviations; exactly none where the grey value leaves no choice.
    assert np.all(np.abs(draws.mean(axis=0) - probs) <= 4 * deviation)


def test_draws_of_neighbours_are_independent():
    draws = stochastic_binarize(np.full((40_000, 2), 0.5, np.float32), seed=6)
    # The correlation of n independent pairs has standard deviation 1 / sqrt(n).
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(len(draws))


def test_draws_are_a_function_of_the_seed():
    grey = np.full((1000,), 0.5, np.float32)
    np.testing.assert_array_equal(stochastic_binarize(grey, 7), stochastic_binarize(grey, 7))
    np.testing.assert_array_equal(stochastic_binarize(grey, (1, 2)), stochastic_binarize(grey, [1, 2]))
    # Independent draws agree in half of the values: 500, with standard deviation 16.
    assert abs(np.sum(stochastic_binarize(grey, 7) == stochastic_binarize(grey, 8)) - 500) < 64


def grey_batches(num_batches=4):
    return tf.data.Dataset.from_tensors(np.full([500], 0.5, np.float32)).repeat(num_batches)


def one_pass(dataset):
    return np.stack(list(dataset.as_numpy_iterator()))


def agreement(a, b):
    """The share of equal values in standard deviations from one half, which independent draws give."""
    return abs(np.mean(a == b) - 0.5) * 2 * np.sqrt(a.size)


def test_every_pass_and_every_batch_draws_anew():
    dataset = dynamic_binarization(grey_batches(), seed=1)
    first, second, third = (one_pass(dataset) for _ in range(3))
    assert agreement(first, second) < 4
    assert agreement(first, third) < 4
    assert agreement(second, third) < 4
    assert agreement(first[0], first[1]) < 4
    # Pass n of batch i is not pass i of batch n.
    assert agreement(first[1], second[0]) < 4


@pytest.mark.parametrize("global_seeds", [(1, 1), (1, 2)])
def test_equal_seeds_draw_the_same_in_the_same_pass(global_seeds):
    passes = []
    for global_seed in global_seeds:
        keras.utils.set_random_seed(global_seed)
        dataset = dynamic_binarization(grey_batches(), seed=3)
        passes.append([one_pass(dataset) for _ in range(2)])
    np.testing.assert_array_equal(passes[0], passes[1])
    other = dynamic_binarization(grey_batches(), seed=4)
    assert agreement(passes[0][0], one_pass(other)) < 4


def test_a_resumed_run_goes_on_with_the_next_pass():
    dataset = dynamic_binarization(grey_batches(), seed=1)
    passes = [one_pass(dataset) for _ in range(3)]
    resumed = dynamic_binarization(grey_batches(), seed=1, initial_epoch=2)
    np.testing.assert_array_equal(one_pass(resumed), passes[2])


def test_repeat_makes_a_new_pass_each_time():
    dataset = dynamic_binarization(grey_batches(), seed=1)
    passes = [one_pass(dataset) for _ in range(2)]
    repeated = one_pass(dynamic_binarization(grey_batches(), seed=1).repeat(2))
    np.testing.assert_array_equal(repeated, np.concatenate(passes))


def test_draws_follow_the_grey_values():
    probs = np.linspace(0, 1, 11, dtype=np.float32)
    grey = tf.data.Dataset.from_tensor_slices(np.tile(probs, (20_000, 1))).batch(1000)
    draws = np.concatenate(list(dynamic_binarization(grey, seed=2).as_numpy_iterator()))
    deviation = np.sqrt(probs * (1 - probs) / len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - probs) <= 4 * deviation)


def test_condition_and_weight_stay_with_their_rows():
    x = np.repeat(np.arange(2, dtype=np.float32), 8)
    condition, weight = np.arange(16), np.linspace(0, 1, 16, dtype=np.float32)
    whole = tf.data.Dataset.from_tensor_slices((x, condition, weight)).batch(5)
    drawn = dynamic_binarization(whole, seed=0)
    assert drawn.element_spec == whole.element_spec
    for got, given in zip(drawn, whole, strict=True):
        for part, expected in zip(got, given, strict=True):
            np.testing.assert_array_equal(part, expected)


def test_an_absent_condition_stays_absent():
    data = tf.data.Dataset.from_tensor_slices((np.ones([4, 2], np.float32), np.ones([4], np.float32)))
    data = data.batch(2).map(lambda x, weight: (x, None, weight))
    ((x, condition, weight), _) = dynamic_binarization(data, seed=0)
    assert condition is None
    assert (x.shape, weight.shape) == ((2, 2), (2,))


def test_length_is_known_and_endless_data_stay_endless():
    assert dynamic_binarization(grey_batches(3), seed=0).cardinality() == 3
    endless = dynamic_binarization(grey_batches(-1), seed=0)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    unknown = grey_batches(3).filter(lambda x: True)
    assert len(one_pass(dynamic_binarization(unknown, seed=0))) == 3


def test_replicas_share_the_draws_of_one_device(strategy):
    grey = tf.data.Dataset.from_tensors(np.full([6, 50], 0.5, np.float32)).repeat(3)
    alone = dynamic_binarization(grey, seed=1)
    with strategy.scope():
        shared = strategy.experimental_distribute_dataset(dynamic_binarization(grey, seed=1))
    for _ in range(2):
        rows = [np.concatenate(strategy.experimental_local_results(batch)) for batch in shared]
        np.testing.assert_array_equal(rows, one_pass(alone))


def test_fit_sees_new_draws_in_every_epoch():
    class Recorder(keras.Model):
        def train_step(self, data):
            tf.numpy_function(lambda x: seen.append(x), [data[0]], [])
            return {"loss": 0.0}

    seen = []
    model = Recorder()
    model.compile()
    data = tf.data.Dataset.zip(grey_batches(1).batch(1), tf.data.Dataset.range(1).batch(1))
    model.fit(dynamic_binarization(data, seed=1), epochs=3, shuffle=False, verbose=0)
    assert len(seen) == 3
    assert agreement(seen[0], seen[1]) < 4
    assert agreement(seen[1], seen[2]) < 4


def test_int_pixels_are_refused_when_the_pipeline_is_built():
    with pytest.raises(TypeError, match="uint8 pixels"):
        dynamic_binarization(tf.data.Dataset.from_tensors(np.array([3, 200])), seed=0)
