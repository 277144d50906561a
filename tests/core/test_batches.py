"""Batches: every form that `fit` hands to a step is read as documented, and cut without loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.batches import Batch, batch_size, micro_batch, unpack

X, CONDITION, WEIGHT = tf.zeros([5, 2]), tf.range(5), tf.ones([5])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (X, (X, None, None)),
        ((X,), (X, None, None)),
        ((X, CONDITION), (X, CONDITION, None)),
        ([X, CONDITION], (X, CONDITION, None)),
        ((X, CONDITION, WEIGHT), (X, CONDITION, WEIGHT)),
        ((X, None, WEIGHT), (X, None, WEIGHT)),
        ((X, (), WEIGHT), (X, None, WEIGHT)),
        (((X, CONDITION),), (X, CONDITION, None)),
        ({"a": X, "b": X}, ({"a": X, "b": X}, None, None)),
        (({"a": X, "b": X}, None, WEIGHT), ({"a": X, "b": X}, None, WEIGHT)),
        (Batch(X, None, WEIGHT), (X, None, WEIGHT)),
    ],
)
def test_every_form_is_taken_apart(data, expected):
    batch = unpack(data)
    assert isinstance(batch, Batch)
    for part, wanted in zip(batch, expected, strict=True):
        if isinstance(wanted, dict):
            assert part.keys() == wanted.keys() and all(part[key] is wanted[key] for key in wanted)
        else:
            assert part is wanted


@pytest.mark.parametrize("data", [(), (X, X, X, X)])
def test_other_tuples_are_refused(data):
    with pytest.raises(ValueError, match=rf"\(x, condition, sample_weight\).*tuple of {len(data)} entries"):
        unpack(data)


def test_size_is_that_of_the_largest_part():
    assert batch_size(unpack(X)) == 5
    assert batch_size(unpack({"a": tf.zeros([3, 2]), "b": tf.zeros([7])})) == 7
    assert batch_size(unpack(X)).dtype == tf.int32


@pytest.mark.parametrize("size", [1, 3, 8, 11, 12])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_micro_batches_make_up_the_batch(size, count):
    def rows(n):
        return tf.reshape(tf.range(2 * n), [n, 2])

    batch = Batch({"a": rows(size), "b": rows(size + 2)}, None, tf.range(size))
    parts = [micro_batch(batch, index, count) for index in range(count)]
    assert all(part.condition is None for part in parts)
    whole = keras.tree.map_structure(lambda *leaves: tf.concat(leaves, 0), *[(p.x, p.weight) for p in parts])
    keras.tree.map_structure(np.testing.assert_array_equal, whole, (batch.x, batch.weight))
    for leaf in ("a", "b"):
        sizes = [len(part.x[leaf]) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_micro_batches_of_a_size_that_only_the_graph_knows():
    cut = tf.function(
        lambda x: tf.concat([micro_batch(Batch(x), i, 3).x for i in range(3)], 0),
        input_signature=[tf.TensorSpec([None])],
    )
    for size in (2, 7):
        np.testing.assert_array_equal(cut(tf.range(float(size))), np.arange(size))


def test_the_parts_of_a_row_stay_together():
    batch = Batch(tf.range(11), tf.range(11) * 10, tf.range(11) * 100)
    for index in range(4):
        part = micro_batch(batch, index, 4)
        np.testing.assert_array_equal(part.condition, part.x * 10)
        np.testing.assert_array_equal(part.weight, part.x * 100)
