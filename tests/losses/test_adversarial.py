"""Each pair of losses: hand-computed values and gradients, and what theory says of their optimum."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.losses import get_adversarial_loss

LN3 = np.log(3.0)  # sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4

# name: loss on real at logit a, on fake at b, generator at b, and their slopes.
BY_HAND = {
    # -ln(3/4); -ln(1 - 1/4); ln(1 - 1/4). Slopes: sigmoid - 1; sigmoid; -sigmoid.
    "minimax": ((np.log(4 / 3), np.log(4 / 3), -np.log(4 / 3)), (-0.25, 0.25, -0.25)),
    # The generator's: -ln(1/4), slope 1/4 - 1.
    "non_saturating": ((np.log(4 / 3), np.log(4 / 3), np.log(4.0)), (-0.25, 0.25, -0.75)),
    "least_squares": (
        ((LN3 - 1) ** 2 / 2, LN3**2 / 2, (LN3 + 1) ** 2 / 2),
        (LN3 - 1, -LN3, -LN3 - 1),
    ),
    # 1 - ln 3 < 0 costs nothing, and so does 1 + b = 1 - ln 3.
    "hinge": ((0.0, 0.0, LN3), (0.0, 0.0, -1.0)),
    "wasserstein": ((-LN3, -LN3, LN3), (-1.0, 1.0, -1.0)),
}


def losses_and_slopes(name, real, fake):
    loss = get_adversarial_loss(name)
    results, slopes = [], []
    for function, logit in (
        (lambda r: loss.real(r, 0.0), real),
        (loss.fake, fake),
        (loss.generator, fake),
    ):
        x = tf.constant([logit], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        results.append(float(y[0]))
        slopes.append(float(tape.gradient(y, x)[0]))
    return results, slopes


@pytest.mark.parametrize("name", BY_HAND)
def test_values_and_slopes_by_hand(name):
    values, slopes = losses_and_slopes(name, LN3, -LN3)
    np.testing.assert_allclose(values, BY_HAND[name][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slopes, BY_HAND[name][1], rtol=1e-5, atol=1e-6)


def test_the_hinge_where_it_costs():
    values, slopes = losses_and_slopes("hinge", 0.25, -0.5)
    np.testing.assert_allclose(values, [0.75, 0.5, 0.5])
    np.testing.assert_allclose(slopes, [-1.0, 1.0, -1.0])


@pytest.mark.parametrize("name", BY_HAND)
def test_far_logits_stay_finite(name):
    values, slopes = losses_and_slopes(name, -1e4, 1e4)
    assert np.all(np.isfinite(values + slopes))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_one_sided_smoothing_moves_the_optimum_of_real_examples(smoothing):
    """With the target 1 - s, cross-entropy is least where the probability is 1 - s."""
    x = tf.constant([0.7])
    for name in ("minimax", "non_saturating"):
        target = 1.0 - smoothing
        p = tf.sigmoid(x)
        expected = -target * tf.math.log(p) - (1 - target) * tf.math.log(1 - p)
        np.testing.assert_allclose(get_adversarial_loss(name).real(x, smoothing), expected, rtol=1e-5)
    expected = (0.7 - (1 - smoothing)) ** 2 / 2
    loss = get_adversarial_loss("least_squares")
    np.testing.assert_allclose(loss.real(x, smoothing), [expected], rtol=1e-4)


def optimum(name, p, q, rate=1.0, steps=4000):
    """The best logits for data p and samples q on a finite set, and the discriminator's loss there."""
    loss = get_adversarial_loss(name)
    logits = tf.Variable(tf.zeros(len(p), tf.float64))

    @tf.function
    def descend():
        for _ in tf.range(steps):
            with tf.GradientTape() as tape:
                value = tf.reduce_sum(p * loss.real(logits, 0.0) + q * loss.fake(logits))
            logits.assign_sub(rate * tape.gradient(value, logits))
        return tf.reduce_sum(p * loss.real(logits, 0.0) + q * loss.fake(logits))

    value = float(descend())
    return logits.numpy(), value


P = np.array([0.5, 0.3, 0.15, 0.05])
Q = np.array([0.1, 0.2, 0.3, 0.4])


def test_the_optimal_discriminator_is_the_share_of_real_and_its_loss_the_jensen_shannon_divergence():
    logits, value = optimum("minimax", P, Q)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), P / (P + Q), atol=1e-4)
    middle = (P + Q) / 2
    divergence = 0.5 * np.sum(P * np.log(P / middle)) + 0.5 * np.sum(Q * np.log(Q / middle))
    # The discriminator's loss is log 4 less twice the divergence.
    assert value == pytest.approx(np.log(4.0) - 2.0 * divergence, abs=1e-5)


def test_least_squares_has_the_share_of_real_as_its_logit():
    """Mao et al., equation 5: the optimum is (b p + a q) / (p + q) with a = 0, b = 1."""
    logits, value = optimum("least_squares", P, Q)
    np.testing.assert_allclose(logits, P / (P + Q), atol=1e-5)
    assert value == pytest.approx(0.5 * np.sum(P * Q / (P + Q)), abs=1e-6)


def test_the_optimal_hinge_gives_the_total_variation():
    logits, value = optimum("hinge", P, Q, rate=0.01)
    assert np.all(np.sign(logits) == np.sign(P - Q))
    # 2 sum min(p, q) = 2 - 2 TV.
    assert value == pytest.approx(2.0 * np.sum(np.minimum(P, Q)), abs=0.02)


def test_the_wasserstein_losses_are_a_difference_of_means():
    critic = np.array([1.0, -2.0, 0.5, 3.0])
    loss = get_adversarial_loss("wasserstein")
    value = np.sum(P * loss.real(tf.constant(critic), 0.0)) + np.sum(Q * loss.fake(tf.constant(critic)))
    assert value == pytest.approx(np.sum((Q - P) * critic))


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="`loss` must be one of 'minimax'.*'wasserstein'; received 'wgan'"):
        get_adversarial_loss("wgan")
