"""Perplexity of discrete codes: the exponential of their entropy, over all batches."""

import math

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.metrics import CodeUsage


def perplexity(*batches, num_codes=4):
    usage = CodeUsage(num_codes)
    for batch in batches:
        usage.update_state(tf.constant(batch, tf.int32))
    return float(usage.result())


def test_perplexity_by_hand():
    # Shares 1/2, 1/4, 1/4: an entropy of 3/2 bits.
    assert perplexity([0, 0, 1, 2]) == pytest.approx(2.0**1.5)


def test_codes_used_alike_count_each():
    assert perplexity(range(4)) == pytest.approx(4.0)
    assert perplexity([2, 3, 3, 2]) == pytest.approx(2.0)
    assert perplexity([3, 3, 3]) == pytest.approx(1.0)


def test_nothing_used_is_one():
    assert perplexity() == 1.0
    np.testing.assert_array_equal(CodeUsage(3).shares(), np.zeros(3))


def test_batches_of_any_shape_add_up():
    codes = np.random.default_rng(0).choice(4, size=24, p=[0.7, 0.1, 0.1, 0.1])
    whole = perplexity(codes)
    shares = np.bincount(codes, minlength=4) / 24
    assert whole == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))
    # The mean of the batches' own perplexities would be less.
    assert perplexity(codes[:5], codes[5:6], codes[6:].reshape(3, 3, 2)) == pytest.approx(whole)
    usage = CodeUsage(4)
    usage.update_state(codes[:20].reshape(5, 2, 2))
    usage.update_state(codes[20:])
    np.testing.assert_allclose(usage.shares(), shares)


def test_a_reset_forgets_all_uses():
    usage = CodeUsage(4)
    usage.update_state(tf.constant([0, 1, 2]))
    usage.reset_state()
    usage.update_state(tf.constant([3]))
    assert float(usage.result()) == pytest.approx(1.0)
    np.testing.assert_array_equal(usage.shares(), [0, 0, 0, 1])


def test_no_use_is_lost_among_many():
    """Float32 stops counting at 2**24."""
    usage = CodeUsage(2)
    usage.counts.assign([2.0**24, 0.0])
    for _ in range(3):
        usage.update_state(tf.constant([0]))
    assert usage.counts.numpy().tolist() == [2.0**24 + 3, 0.0]


def test_replicas_add_up(strategy):
    with strategy.scope():
        usage = CodeUsage(4)

    @tf.function
    def step():
        def one():
            usage.update_state(2 * tf.distribute.get_replica_context().replica_id_in_sync_group + [0, 1])

        strategy.run(one)

    step()
    assert float(usage.result()) == pytest.approx(4.0)


def test_a_configuration_gives_it_back():
    usage = CodeUsage.from_config(CodeUsage(7, name="codes").get_config())
    assert (usage.num_codes, usage.name, usage.shares().shape) == (7, "codes", (7,))


@pytest.mark.parametrize("wrong", [0, 2.5, None])
def test_the_number_of_codes_is_checked(wrong):
    with pytest.raises(ValueError, match=rf"`num_codes` must be an integer of at least 1; received {wrong}"):
        CodeUsage(wrong)
