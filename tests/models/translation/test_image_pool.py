"""The pool of earlier translations: how it fills, how long pictures stay, and what it hands out."""

import numpy as np
import tensorflow as tf

from keras_genmod.models.translation.image_pool import ImagePool


def numbered(first, count):
    """Pictures of one pixel that hold their number."""
    return tf.reshape(tf.range(first, first + count, dtype=tf.float32), [count, 1, 1, 1])


def seed(number):
    return tf.constant([7, number])


def test_the_first_pictures_fill_it():
    pool = ImagePool(5, (1, 1, 1))
    for step in range(3):
        new = numbered(2 * step, 2)
        np.testing.assert_array_equal(pool.mixed(new, seed(step)), new)
        pool.advance(new, seed(step))
    # Of the last two pictures one took the free place; the other may have replaced an earlier one.
    kept = set(pool.pictures.numpy().ravel())
    assert int(pool.filled) == 5 and len(kept) == 5 and kept & {4, 5}


def test_ages_are_distributed_as_stated():
    """A picture of a full pool of N stays another step with probability 1 - 1 / 2N."""
    size, steps = 10, 4000
    pool = ImagePool(size, (1, 1, 1))
    pool.advance(numbered(0, size), seed(0))
    advance = tf.function(lambda new, seed: pool.advance(new, seed))
    ages = []
    for step in range(1, steps):
        advance(numbered(size + step, 1), seed(step))
        if step > 200 and step % 20 == 0:
            ages.append(size + step - pool.pictures.numpy().ravel())
    ages = np.concatenate(ages)
    # Geometric: P(age >= a) = q^a for pictures that entered at age 0, with q = 1 - 1 / 20.
    stay = 1 - 1 / (2 * size)
    # Pools 20 steps apart share 0.36 of their pictures: count a fifth of the ages as independent.
    deviation = 1.0 / np.sqrt(len(ages) / 5)
    for age in (1, 10, 20, 40):
        assert abs(np.mean(ages >= age) - stay**age) < 4 * 0.5 * deviation, age


def test_half_of_what_it_hands_out_is_old():
    size, rows = 10, 4000
    pool = ImagePool(size, (1, 1, 1))
    pool.advance(numbered(0, size), seed(0))
    mixed = pool.mixed(numbered(100, rows), seed(1)).numpy().ravel()
    old = mixed < size
    assert abs(np.mean(old) - 0.5) < 5 * 0.5 / np.sqrt(rows)
    np.testing.assert_array_equal(mixed[~old], np.arange(100, 100 + rows)[~old])
    shares = np.bincount(mixed[old].astype(int), minlength=size) / old.sum()
    assert np.max(np.abs(shares - 1 / size)) < 5 * np.sqrt(0.1 * 0.9 / old.sum())
    np.testing.assert_array_equal(pool.pictures.numpy().ravel(), np.arange(size))


def test_a_batch_larger_than_the_pool_and_a_pool_of_none():
    pool = ImagePool(3, (1, 1, 1))
    pool.advance(numbered(0, 8), seed(0))
    assert sorted(pool.pictures.numpy().ravel()) == [5, 6, 7]
    nothing, new = ImagePool(0, (1, 1, 1)), numbered(0, 2)
    nothing.advance(new, seed(0))
    np.testing.assert_array_equal(nothing.mixed(new, seed(0)), new)


def test_replicas_keep_one_pool(strategy):
    """Two replicas let in the rows of both, and hold the same afterwards, as one device does."""
    with strategy.scope():
        pool = ImagePool(8, (1, 1, 1))
    single = ImagePool(8, (1, 1, 1))

    @tf.function
    def step(number):
        def advance():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            new = tf.reshape(10.0 * number + 3.0 * tf.cast(replica, tf.float32) + tf.range(3.0), [3, 1, 1, 1])
            pool.advance(new, tf.stack([7, tf.cast(number, tf.int32)]))

        strategy.run(advance)

    for number in range(4):
        step(tf.constant(float(number)))
        single.advance(numbered(10 * number, 6), seed(number))
    for value in strategy.experimental_local_results(pool.pictures.value):
        np.testing.assert_array_equal(value, single.pictures)
