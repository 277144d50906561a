"""Heads of discrete values: probabilities that sum to one, layout of the parameters, means, arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.distributions import CategoricalHead, DiscretizedLogisticMixtureHead, get_head

HEADS = {
    "categorical": lambda num_values, **kwargs: CategoricalHead(num_values, **kwargs),
    "logistics": lambda num_values, **kwargs: DiscretizedLogisticMixtureHead(3, num_values, **kwargs),
}


def random_params(head, seed=0, batch=1):
    return np.random.default_rng(seed).normal(size=(batch, *head.params_shape)).astype(np.float32)


def enumerated(head, params):
    """log p of all values of events of one dimension: `[K, B]`."""
    values = np.arange(head.num_values, dtype=np.float32)
    return np.stack([head.distribution(params).log_prob([[value]] * len(params)) for value in values])


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("num_values", [2, 5, 256])
def test_probabilities_sum_to_one_and_give_the_mean(name, num_values):
    head = HEADS[name](num_values, event_shape=(1,))
    params = random_params(head, batch=8)
    probs = np.exp(enumerated(head, params).astype(np.float64))
    np.testing.assert_allclose(probs.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(head(params)[:, 0], np.arange(num_values) @ probs, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_probabilities_of_all_events_sum_to_one(name):
    head = HEADS[name](3, event_shape=(2, 2))
    events = np.stack(np.meshgrid(*[np.arange(3.0)] * 4), axis=-1).reshape(81, 2, 2).astype(np.float32)
    log_prob = head.distribution(random_params(head)).log_prob(events)
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-5)


def test_categorical_by_hand():
    head = CategoricalHead(3, event_shape=(2,))
    # Channel 0 has the probabilities 1/8, 2/8, 5/8, channel 1 has 5/10, 4/10, 1/10; value by value.
    params = np.log(np.float32([[1, 5, 2, 4, 5, 1]]))
    distribution = head.distribution(params)
    np.testing.assert_allclose(distribution.log_prob([[2.0, 0.0]]), np.log([5 / 8 * 5 / 10]), rtol=1e-6)
    np.testing.assert_allclose(distribution.log_prob([[1.0, 2.0]]), np.log([2 / 8 * 1 / 10]), rtol=1e-6)
    np.testing.assert_allclose(distribution.mean(), [[12 / 8, 6 / 10]], rtol=1e-6)
    assert distribution.sample(seed=(0, 1)).dtype == tf.float32


def test_logistics_by_hand():
    """One logistic a channel; edges at odds of 3, see the test of the distribution."""
    head = DiscretizedLogisticMixtureHead(1, 3, event_shape=(2,))
    log_scale = np.log(1 / (2 * np.log(3)))
    params = np.float32([[0.0, 7.0, 0.0, 0.5, log_scale, log_scale]])
    distribution = head.distribution(params)
    np.testing.assert_allclose(distribution.log_prob([[1.0, 2.0]]), np.log([1 / 2 * 5 / 10]), rtol=1e-6)
    np.testing.assert_allclose(distribution.log_prob([[2.0, 0.0]]), np.log([1 / 4 * 1 / 10]), rtol=1e-6)
    np.testing.assert_allclose(distribution.mean(), [[1, 1.4]], rtol=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_parameter_k_of_channel_c_has_index_k_c(name):
    """Each channel has the distribution that its own parameters, taken out, give to a lone dimension."""
    head, lone = HEADS[name](4, event_shape=(2, 2, 3)), HEADS[name](4, event_shape=(1,))
    params = random_params(head, batch=2)
    x = np.random.default_rng(1).integers(0, 4, size=(2, 2, 2, 3)).astype(np.float32)
    each = np.zeros(x.shape)
    for b, i, j, c in np.ndindex(x.shape):
        own = params[b, i, j, [k * 3 + c for k in range(head.params_per_dim)]]
        each[b, i, j, c] = lone.distribution(own[None]).log_prob([[x[b, i, j, c]]])[0]
    np.testing.assert_allclose(head.distribution(params).log_prob(x), each.sum((1, 2, 3)), rtol=1e-5)

    # Channels of the parameters and of the data exchanged together: nothing changes; alone: much does.
    turned = params.reshape(2, 2, 2, -1, 3)[..., ::-1].reshape(params.shape)
    log_prob = head.distribution(turned).log_prob(x[..., ::-1])
    np.testing.assert_allclose(log_prob, each.sum((1, 2, 3)), rtol=1e-5)
    assert np.all(abs(head.distribution(turned).log_prob(x) - log_prob) > 0.1)


@pytest.mark.parametrize("name", HEADS)
def test_batch_of_unknown_size(name):
    head = HEADS[name](4, event_shape=(2, 3))
    params = random_params(head, batch=5)
    x = np.float32(np.random.default_rng(2).integers(0, 4, size=(5, 2, 3)))
    seen = []

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, *head.params_shape]),
            tf.TensorSpec([None, 2, 3]),
        ],
    )
    def log_prob(params, x):
        distribution = head.distribution(params)
        seen.append((distribution.batch_shape.as_list(), distribution.event_shape.as_list()))
        return distribution.log_prob(x)

    np.testing.assert_allclose(log_prob(params, x), head.distribution(params).log_prob(x), rtol=1e-6)
    assert seen == [([None], [2, 3])]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [0.0, 50.0, 1e4])
def test_finite_at_extreme_parameters(name, size):
    head = HEADS[name](256, event_shape=(64,))
    params = tf.constant(size * np.sign(random_params(head)))
    x = np.float32(np.random.default_rng(3).integers(0, 256, size=(1, 64)))
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = head.distribution(params).log_prob(x)
    assert np.isfinite(log_prob).all() and np.isfinite(tape.gradient(log_prob, params)).all()
    assert np.isfinite(head(params)).all()


def test_log_scales_end_at_minus_seven():
    head = DiscretizedLogisticMixtureHead(1, 256, event_shape=(1,))
    params = np.float32([[0.0, 0.01, log_scale] for log_scale in (-6.9, -7.0, -30.0)])
    above, at, below = head.distribution(params).log_prob(np.full([3, 1], 127.0)).numpy()
    assert below == at and abs(above - at) > 1e-4


@pytest.mark.parametrize("name", HEADS)
def test_values_become_inputs_from_minus_one_to_one(name):
    head = HEADS[name](5, event_shape=(5,))
    x = np.arange(5, dtype=np.uint8)[None]
    result = head.standardize(x)
    assert result.dtype == tf.float32
    np.testing.assert_array_equal(result, [[-1, -0.5, 0, 0.5, 1]])


@pytest.mark.parametrize("name", HEADS)
def test_values_that_heads_accept(name):
    accepted = HEADS[name](16).value_range
    assert (accepted.low, accepted.high, accepted.integer) == (0, 15, True)
    accepted.check("x", np.arange(16))
    with pytest.raises(ValueError, match=r"integers in \[0, 15\]; received values from 0 to 255. Give"):
        accepted.check("x", np.array([0, 255]))
    with pytest.raises(ValueError, match="received fractions"):
        accepted.check("x", np.array([0.0, 0.5]))


def test_configuration_keeps_all_arguments():
    head = DiscretizedLogisticMixtureHead(num_components=3, num_values=17, event_shape=(2,))
    again = get_head(keras.saving.serialize_keras_object(head), (2,))
    assert (again.num_components, again.num_values, again.event_shape) == (3, 17, (2,))
    head = CategoricalHead(num_values=17, event_shape=(2,))
    again = get_head(keras.saving.serialize_keras_object(head), (2,))
    assert (again.num_values, again.event_shape) == (17, (2,))
    assert CategoricalHead().num_values == 256
    default = DiscretizedLogisticMixtureHead()
    assert (default.num_components, default.num_values, default.params_per_dim) == (10, 256, 30)


@pytest.mark.parametrize("value", [1, 0, -3, 2.5, 256.0, True, "256", None])
def test_other_numbers_of_values_are_refused(value):
    for head in (CategoricalHead, DiscretizedLogisticMixtureHead):
        with pytest.raises(ValueError, match="`num_values` must be an integer of at least 2; received"):
            head(num_values=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_other_numbers_of_components_are_refused(value):
    with pytest.raises(ValueError, match="`num_components` must be an integer of at least 1; received"):
        DiscretizedLogisticMixtureHead(num_components=value)


@pytest.mark.parametrize("log_scale", [-100.0, -1.0, 0.0, 100.0])
def test_infinite_means_put_all_mass_into_an_edge(log_scale):
    """Unless the scale is infinite too: then the tails beyond both edges share it."""
    head = DiscretizedLogisticMixtureHead(1, num_values=4, event_shape=(1,))
    params = tf.constant([[0, -np.inf, log_scale], [0, np.inf, log_scale]], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(params)
        distribution = head.distribution(params)
        log_prob = distribution.log_prob([[0.0], [3.0]])
    expected = np.log(0.5) if log_scale == 100.0 else 0.0
    np.testing.assert_allclose(log_prob, [expected] * 2, atol=1e-6)
    np.testing.assert_array_equal(tape.gradient(log_prob, params), np.zeros([2, 3]))
    np.testing.assert_allclose(distribution.mean()[:, 0], [1.5, 1.5] if expected else [0, 3], atol=1e-5)
