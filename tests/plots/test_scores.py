"""The area is the Mann-Whitney count, and histograms are fractions of their groups."""

import itertools

import numpy as np
import pytest

from keras_genmod.plots import roc, score_histogram

pytest.importorskip("matplotlib")


def test_the_area_is_the_fraction_of_pairs_in_order():
    """Anomaly above normal counts 1, a tie one half; few different scores, so that there are many ties."""
    generator = np.random.default_rng(0)
    scores, flags = generator.integers(0, 6, 200) / 4, generator.integers(0, 2, 200)
    anomalies, normals = scores[flags == 1], scores[flags == 0]
    count = sum((a > n) + 0.5 * (a == n) for a, n in itertools.product(anomalies, normals))
    figure = roc(scores, flags)
    curve, chance = figure.axes[0].lines
    false, true = curve.get_xydata().T
    # The integral of a curve of straight pieces.
    area = np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)
    np.testing.assert_allclose(area, count / (len(anomalies) * len(normals)), rtol=1e-12)
    assert curve.get_label() == f"area {area:.3f}"
    assert chance.get_xydata().tolist() == [[0, 0], [1, 1]]


def test_points_of_the_curve_are_rates_at_thresholds():
    (curve, _) = roc([4.0, 3.0, 3.0, 2.0, 1.0], [True, False, True, False, False]).axes[0].lines
    np.testing.assert_allclose(
        curve.get_xydata(), [[0, 0], [0, 1 / 2], [1 / 3, 1], [2 / 3, 1], [1, 1]], rtol=1e-15
    )


def test_axes_say_what_they_count():
    axes = roc([1.0, 2.0, 3.0], [0, 0, 1], title="Upside down").axes[0]
    assert axes.get_title() == "Upside down"
    assert axes.get_xlabel() == "false positives, fraction of 2 normal examples"
    assert axes.get_ylabel() == "true positives, fraction of 1 anomalies"


@pytest.mark.parametrize(
    ("scores", "flags", "message"),
    [
        ([1.0, 2.0], [0, 0], "received 0 anomalies among 2"),
        ([1.0, 2.0], [0, 7], "labels == 7"),
        ([1.0, 2.0], [0, 1, 1], "each of the 2 scores"),
        ([1.0, np.nan], [0, 1], "`scores` must be finite numbers.*received 1 NaN or infinite ones among 2"),
        ([[1.0], [2.0]], [0, 1], r"`scores` must be a list of numbers; received \[\[1.0\], \[2.0\]\]"),
        (["low", "high"], [0, 1], "`scores` must be a list of numbers"),
        ([0, 1], [0.3, 0.4], "Pass the scores first"),
    ],
    ids=["one kind", "classes", "lengths", "nan", "matrix", "text", "flags first"],
)
def test_bad_scores_are_refused(scores, flags, message):
    with pytest.raises(ValueError, match=message):
        roc(scores, flags)


def test_histograms_are_fractions_over_shared_bins():
    groups = {"digits": [0.0, 0.1, 0.2, 1.0], "noise": np.full(7, 2.0)}
    figure = score_histogram(groups, bins=4, label="energy, nats", title="Two groups")
    axes = figure.axes[0]
    first, second = (patch.get_data() for patch in axes.patches)
    np.testing.assert_allclose(first.edges, [0.0, 0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(first.edges, second.edges)
    np.testing.assert_array_equal(first.values, [0.75, 0.0, 0.25, 0.0])
    np.testing.assert_array_equal(second.values, [0.0, 0.0, 0.0, 1.0])
    assert (axes.get_title(), axes.get_xlabel()) == ("Two groups", "energy, nats")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["digits (4)", "noise (7)"]


def test_groups_need_names():
    with pytest.raises(TypeError, match="name of a group -> its scores"):
        score_histogram([1.0, 2.0])
    with pytest.raises(ValueError, match=r"`scores\['empty'\]`"):
        score_histogram({"empty": []})


def test_scores_that_are_all_alike_have_a_histogram():
    """Also where 40 bins between neighbouring numbers could not be told apart."""
    for score in (0.0, 3.0, 1e30):
        (patch,) = score_histogram({"same": [score, score]}).axes[0].patches
        assert patch.get_data().values.sum() == 1.0
