"""Pairs that are moved alike, anew in every pass."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.data import augment_pairs


def pairs(batch_size=4):
    labels = np.random.default_rng(0).integers(0, 50, (10, 8, 8)).astype("int32")
    pictures = np.stack([labels, -labels], axis=-1).astype("float32")
    return labels, tf.data.Dataset.from_tensor_slices((labels, pictures)).batch(batch_size)


def one_pass(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


def test_sources_and_targets_move_alike_and_anew_in_each_pass():
    labels, dataset = pairs()
    moved = augment_pairs(dataset, seed=1, translation=0.25)
    assert int(moved.cardinality()) == 3
    first, second = one_pass(moved), one_pass(moved)
    for sources, targets in (first, second):
        np.testing.assert_array_equal(targets[..., 0], sources)
        np.testing.assert_array_equal(targets[..., 1], -sources)
    assert np.any(first[0] != second[0]) and np.any(first[0] != labels)


def test_passes_are_repeatable_and_resumed():
    _, dataset = pairs()
    moved = augment_pairs(dataset, seed=1, translation=0.25)
    passes = [one_pass(moved)[0] for _ in range(2)]
    again = augment_pairs(dataset, seed=1, translation=0.25)
    np.testing.assert_array_equal(one_pass(again)[0], passes[0])
    resumed = augment_pairs(dataset, seed=1, translation=0.25, initial_epoch=1)
    np.testing.assert_array_equal(one_pass(resumed)[0], passes[1])


def test_without_a_shift_rows_are_mirrored_or_left_alone():
    labels, dataset = pairs()
    sources, _ = one_pass(augment_pairs(dataset, seed=3))
    mirrored = [np.array_equal(one, other[:, ::-1]) for one, other in zip(sources, labels, strict=True)]
    alone = [np.array_equal(one, other) for one, other in zip(sources, labels, strict=True)]
    assert np.all(np.logical_xor(mirrored, alone)) and any(mirrored) and any(alone)


def test_weights_stay_with_their_pairs():
    labels, dataset = pairs(10)
    weighted = dataset.map(lambda x, y: (x, y, tf.reduce_sum(tf.cast(x, tf.float32), [1, 2])))
    sources, _, weights = one_pass(augment_pairs(weighted, seed=1))
    np.testing.assert_array_equal(weights, sources.sum(axis=(1, 2)))


@pytest.mark.parametrize(
    "dataset",
    [
        tf.data.Dataset.from_tensors(np.zeros((2, 8, 8, 1))),
        tf.data.Dataset.from_tensors((np.zeros((2, 8, 8, 1)), np.zeros((2, 4, 4, 1)))),
        tf.data.Dataset.from_tensors((np.zeros((8, 8)), np.zeros((8, 8)))),
    ],
)
def test_what_holds_no_pairs_is_refused(dataset):
    with pytest.raises(ValueError, match="batches of pairs"):
        augment_pairs(dataset, seed=0)
