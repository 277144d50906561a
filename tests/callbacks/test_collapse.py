"""Collapse is reported when it begins, not while it lasts, and again when it comes back."""

import numpy as np

from keras_genmod.callbacks.collapse import CollapseWatch


def complaints(diversities, accuracies=None):
    """The first word of what is said at each measurement."""
    watch = CollapseWatch(adversarial=True)
    pairs = zip(diversities, accuracies or [None] * len(diversities), strict=True)
    return [[message.split()[0] for message in watch.complaints(*pair)] for pair in pairs]


def test_low_diversity_is_reported_unless_it_rises():
    assert complaints([0.1, 0.2, 0.4, 0.9]) == [[]] * 4, "low but rising"
    assert complaints([0.9, 0.6, 0.51]) == [[]] * 3, "falling but not low"
    assert complaints([0.9, 0.4, 0.45, 0.3]) == [[], ["Samples"], [], []]
    assert complaints([0.9, 0.4, 0.7, 0.4]) == [[], ["Samples"], [], ["Samples"]], "over, and again"
    assert complaints([0.0, 0.0]) == [[], ["Samples"]], "never rose"


def test_a_saturated_discriminator_is_reported_at_the_second_measurement():
    accuracies = [0.99, 0.9, 1.0, 1.0, 1.0, 0.5, 1.0, 0.99]
    assert complaints([1.0] * 8, accuracies) == [[], [], [], ["The"], [], [], [], ["The"]]


def test_samples_that_are_not_finite_are_reported_and_are_no_diversity():
    assert complaints([np.nan, np.nan, 0.9, np.nan]) == [["Samples"], [], [], ["Samples"]]
    assert complaints([np.nan, 0.1, 0.2]) == [["Samples"], [], []]


def test_the_remedies_are_those_that_the_model_has():
    for adversarial in (True, False):
        watch = CollapseWatch(adversarial)
        (message,) = watch.complaints(0.9) + watch.complaints(0.1)
        assert ("`r1=`" in message) == adversarial
        assert ("`ImageGrid`" in message) == (not adversarial)
