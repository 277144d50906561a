"""Row-wise evaluation: pieces give what the whole gives, through few graphs."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.rows import GraphCache, log_mean_exp, map_rows


@pytest.mark.parametrize("num_rows", [1, 3, 4, 8, 10])
def test_pieces_give_what_the_whole_gives(num_rows):
    sizes = []

    def function(rows):
        x, absent, more = rows
        assert absent is None
        sizes.append(len(x))
        return {"sum": x + more["y"], "square": x**2}

    x, y = np.arange(num_rows * 2.0).reshape(num_rows, 2), np.arange(num_rows)[:, None] * 100.0
    result = map_rows(function, (tf.constant(x), None, {"y": y}), batch_size=4)
    np.testing.assert_array_equal(result["sum"], x + y)
    np.testing.assert_array_equal(result["square"], x**2)
    assert sizes == [4] * (num_rows // 4) + [num_rows % 4] * (num_rows % 4 > 0)


def test_a_number_of_rows_that_only_the_graph_knows_is_one_call():
    mapped = tf.function(
        lambda x: map_rows(lambda rows: rows[0] * 2, (x,), batch_size=2),
        input_signature=[tf.TensorSpec([None])],
    )
    np.testing.assert_array_equal(mapped(tf.range(5.0)), [0, 2, 4, 6, 8])


def test_graphs_are_made_once_per_key():
    traces = []

    def traced(name):
        def function(x):
            traces.append(name)
            return x + len(name)

        return function

    cache = GraphCache()
    for _ in range(3):
        for name in ("a", "bb"):
            np.testing.assert_array_equal(cache.get(name, traced(name))(tf.zeros([4])), [len(name)] * 4)
    assert traces == ["a", "bb"]
    # A key stands for its first function.
    np.testing.assert_array_equal(cache.get("a", traced("ccc"))(tf.zeros([4])), [1] * 4)


def test_all_sizes_share_two_graphs():
    """One for the first size, and one for every other."""
    traces = []

    def function(rows):
        traces.append(rows[0].shape)
        return rows[0] * 2.0

    cache = GraphCache()
    for num_rows in (10, 7, 3, 25, 4):
        x = np.arange(num_rows, dtype=np.float32)
        result = map_rows(cache.get("double", function), (x, None), batch_size=4)
        np.testing.assert_array_equal(result, 2 * x)
    assert len(traces) == 2


def test_log_mean_exp_is_the_mean_of_the_exponentials():
    """Also where they are far below the smallest float, and where one of them is 0."""
    values = np.array([[-1.0, -1000.0, -np.inf], [0.5, -1001.0, 2.0], [2.0, -1002.0, 1.0]], "float32")
    result = log_mean_exp(lambda number: tf.constant(values)[number], 3, 3)
    shifted = values.astype("float64") - values.max(axis=0)
    expected = values.max(axis=0) + np.log(np.mean(np.exp(shifted), axis=0))
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    np.testing.assert_array_equal(log_mean_exp(lambda number: values[number], 1, 3), values[0])
