"""Accuracies by group, counted by hand."""

import keras
import numpy as np
import pytest

from keras_genmod.applications import group_report

Y = np.array([0, 1, 1, 0, 1, 1, 0, 0])
GROUPS = np.array(["a", "a", "a", "a", "b", "b", "c", "c"])
PREDICTED = np.array([0, 1, 1, 1, 1, 1, 1, 0])


def test_shares_are_counted():
    report = group_report(PREDICTED, None, Y, GROUPS)
    assert report.accuracy == {"a": 0.75, "b": 1.0, "c": 0.5}
    assert report.counts == {"a": 4, "b": 2, "c": 2}
    assert report.average == 6 / 8
    assert (report.worst, report.worst_accuracy, report.spread) == ("c", 0.5, 0.5)
    assert report.variance == pytest.approx(np.mean([0.0, 0.25**2, 0.25**2]))
    assert report.standard_errors["a"] == pytest.approx(np.sqrt(0.75 * 0.25 / 4))


def test_the_table_has_a_line_for_each_group():
    lines = str(group_report(PREDICTED, None, Y, GROUPS)).splitlines()
    assert lines[0].split() == ["a", "75.0%", "±", "21.7%", "of", "4"]
    assert lines[3:] == ["average   75.0%", "worst     50.0%  c", "spread    50.0%"]


def test_a_classifier_predicts_the_classes_itself():
    x = 2.0 * np.eye(2, dtype="float32")[PREDICTED]
    report = group_report(keras.layers.Softmax(), x, Y, GROUPS)
    assert report == group_report(PREDICTED, None, Y, GROUPS)


def test_groups_of_one_and_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match="at least 2 examples.*received one example in z"):
        group_report(PREDICTED, None, Y, np.array([*"aaaabbb", "z"]))
    with pytest.raises(ValueError, match="one group for each of the 8 examples"):
        group_report(PREDICTED, None, Y, GROUPS[:7])
    with pytest.raises(ValueError, match="one prediction for each of the 8 classes"):
        group_report(np.zeros((8, 2)), None, Y, GROUPS)
