"""Lines go through the means of a report."""

import numpy as np
import pytest

from keras_genmod.applications import ProbeReport
from keras_genmod.plots import probe_accuracy

pytest.importorskip("matplotlib")


def test_lines_are_means_over_choices():
    report = ProbeReport(
        {"codes": {None: np.array([0.9]), 1: np.array([0.5, 0.7]), 10: np.array([0.8, 0.8])}}, chance=0.1
    )
    axes = probe_accuracy(report).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 60], [10, 80], [40, 90]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "all"]
    with pytest.raises(TypeError, match="what `applications.linear_probe` returned; received 3"):
        probe_accuracy(3)
