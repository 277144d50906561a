"""Modes: counted by hand, by centres and by classes."""

import numpy as np
import pytest

from keras_genmod.metrics import ModeCount, count_classes, count_modes

CENTERS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
# Good with a reach of 1.5: three at the first centre, one at the second; one just outside, one lost.
SAMPLES = np.array([[0.0, 0.1], [1.0, 1.0], [1.49, 0.0], [10.0, 0.3], [10.0, 8.49], [5.0, 5.0]])
KL = 0.75 * np.log(0.75 * 4) + 0.25 * np.log(0.25 * 4)


def check(counts, kl=KL):
    assert counts.num_modes == 2
    assert counts.good_share == pytest.approx(4 / 6)
    np.testing.assert_array_equal(counts.counts, [3, 1, 0, 0])
    assert counts.kl == pytest.approx(kl)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_counted_by_hand(offset):
    check(count_modes(SAMPLES + offset, CENTERS + offset, 0.5))
    wide = count_modes(SAMPLES + offset, CENTERS + offset, 0.5, num_stds=3.1)
    np.testing.assert_array_equal(wide.counts, [3, 1, 0, 1])


def test_each_mode_may_have_its_own_deviation():
    counts = count_modes(SAMPLES, CENTERS, [0.2, 0.05, 1.0, 1.0]).counts
    np.testing.assert_array_equal(counts, [1, 0, 0, 1])


def test_even_and_empty():
    even = count_modes(np.repeat(CENTERS, 3, axis=0), CENTERS, 0.1)
    assert even[:2] == (4, 1.0) and even.kl == pytest.approx(0, abs=1e-12)
    lost = count_modes(CENTERS + 5, CENTERS[:1], 0.1)
    assert lost[:2] == (0, 0.0) and np.isnan(lost.kl)
    one = count_modes(CENTERS[:1], CENTERS, 0.1)
    assert one.kl == pytest.approx(np.log(4))


def test_streamed_counts_are_the_same():
    metric = ModeCount(CENTERS, 0.5)
    for start in range(0, 6, 4):
        metric.update_state(real=CENTERS, generated=SAMPLES[start : start + 4])
    check(metric.mode_counts())
    measured = metric.measurement()
    assert measured["num_modes"] == 2.0 and measured["kl"].num_generated == 6
    assert measured["kl"].num_real is None
    assert metric.result()["good_share"] == np.float32(4 / 6)


def test_a_far_centre_changes_nothing():
    """Not for the function, and not for the metric: two centres 5 deviations apart, and one at 1e9."""
    centers = np.array([[1e9, 1e9], [0.0, 0.0], [0.0, 0.5]])
    samples = np.random.default_rng(0).normal(scale=0.1, size=(1000, 2))
    samples[0] = centers[0] + 0.2
    distances = np.linalg.norm(samples[:, None] - centers, axis=-1)
    good = distances.min(axis=1) <= 0.3
    expected = np.bincount(distances.argmin(axis=1)[good], minlength=3)
    assert expected[0] == 1 and expected[2] > 0
    np.testing.assert_array_equal(count_modes(samples, centers, 0.1).counts, expected)
    metric = ModeCount(centers, 0.1)
    metric.update_state(generated=samples)
    np.testing.assert_array_equal(metric.mode_counts().counts, expected)


def test_classes():
    labels = [0, 0, 0, 1]
    probs = np.array([[0.9, 0.1, 0, 0]] * 3 + [[0.1, 0.9, 0, 0]] + [[0.3, 0.3, 0.4, 0]] * 2)
    by_labels = count_classes(labels, 4)
    assert by_labels[:2] == (2, 1.0) and by_labels.kl == pytest.approx(KL)
    np.testing.assert_array_equal(count_classes(probs, 4).counts, [3, 1, 2, 0])
    check(count_classes(probs, 4, min_confidence=0.5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: count_modes(SAMPLES[:, :1], CENTERS, 1), r"\[num_samples, 2\] .* received \(6, 1\)"),
        (lambda: count_modes(SAMPLES, CENTERS, 0), "`std` must be a positive number, .* received 0"),
        (lambda: count_modes(SAMPLES, CENTERS, [1, 1]), r"one for each of the 4 centres; received .*\(2,\)"),
        (lambda: count_modes(SAMPLES, CENTERS[0], 1), "`centers` must be features of shape"),
        (lambda: count_modes(SAMPLES * np.nan, CENTERS, 1), "`samples` must hold finite values"),
        (lambda: count_modes(SAMPLES, CENTERS, 1, num_stds=0), "`num_stds` must be a finite number above 0"),
        (lambda: count_classes([0, 4], 4), "labels from 0 to 3; received labels from 0 to 4. Check"),
        (
            lambda: count_classes(np.ones((3, 4)), 4),
            "must hold probabilities, with rows that sum to 1; .* Apply softmax",
        ),
        (lambda: count_classes(np.ones((3, 5)) / 5, 4), r"\[num_samples, 4\]; received .*\(3, 5\)"),
        (lambda: count_classes([0.5, 1.0], 4), "must be integers .*argmax"),
        (lambda: ModeCount(CENTERS, -1.0), "`std` must be a positive number"),
        (lambda: ModeCount(CENTERS, 1.0).mode_counts(), "at least 1 sample; received 0"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
