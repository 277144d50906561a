"""A probe finds what is there, finds nothing where there is nothing, and compares like with like."""

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.applications import ProbeReport, linear_probe
from keras_genmod.applications.probes import _choices, _principal_components, _rows

pytest.importorskip("sklearn")


def blobs(rows, num_classes=4, dims=5, seed=0):
    """Classes far apart in the first two numbers, and noise in the others."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, num_classes, rows)
    angles = 2 * np.pi * y / num_classes
    x = 0.3 * generator.normal(size=(rows, dims))
    x[:, 0] += 5 * np.cos(angles)
    x[:, 1] += 5 * np.sin(angles)
    return x.astype("float32"), y


def test_classes_that_lie_apart_are_read_from_one_label():
    x, y = blobs(400)
    report = linear_probe(
        {"both": lambda x: x[:, :2], "noise": lambda x: x[:, 2:]},
        x,
        y,
        test=blobs(1000, seed=1),
        repeats=2,
        labels_per_class=(1, 20, None),
        baselines=("pixels",),
    )
    for count in (1, 20, None):
        assert report.mean("both", count) == 1.0
        assert report.mean("pixels", count) > 0.99
    # Noise: each of 1000 is right with probability 1/4.
    for values in report.accuracy["noise"].values():
        assert np.all(np.abs(values - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1000))
    assert report.dims == {"both": 2, "noise": 3, "pixels": 5}
    assert report.num_test == 1000


def test_shuffled_labels_are_at_chance():
    digits = kg.data.load("digits")
    x, y = digits["train"].reshape(-1, 64) / 16, digits["train_labels"]
    report = linear_probe(
        {"pixels": lambda x: x}, x, y, labels_per_class=(30,), baselines=("shuffled labels",), repeats=2
    )
    assert report.mean("pixels", 30) > 0.85
    # The classifier has learnt some rule, equally good or bad for whole groups of alike digits: the error
    # is that of about 25 of these rather than of all examples.
    assert abs(report.mean("pixels, shuffled labels", 30) - 0.1) < 4 * np.sqrt(0.1 * 0.9 / (2 * 25))


def test_labelled_examples_are_of_each_class_and_few_are_part_of_many():
    y = blobs(200)[1]
    few, many = _choices(y, 2, 3, 0), _choices(y, 7, 3, 0)
    for one, other in zip(few, many, strict=True):
        assert np.bincount(y[one]).tolist() == [2] * 4
        assert set(one) < set(other)
    assert len({tuple(rows) for rows in few}) == 3
    np.testing.assert_array_equal(_choices(y, None, 3, 0)[0], np.arange(200))


def test_principal_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = blobs(300)[0] @ np.random.default_rng(5).normal(size=(5, 5)).astype("float32")
    mine = _principal_components(x, 3)(x)
    theirs = decomposition.PCA(3).fit_transform(x)
    np.testing.assert_allclose(np.abs(mine), np.abs(theirs), rtol=1e-3, atol=1e-3)


def test_the_random_encoder_is_the_model_before_training():
    x, y = blobs(120)
    x = 1 / (1 + np.exp(-x))
    model = kg.VAE((5,), latent_dim=2, seed=0)
    before = model.encode(x[:5]).numpy()
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(x, epochs=1, verbose=0)
    trained = model.encode(x[:5]).numpy()
    rows = _rows(model, ("random encoder",), x, None)
    seen = {name: function(x[:5]) for name, function, _ in rows}
    np.testing.assert_allclose(seen["VAE"], trained, rtol=1e-5)
    np.testing.assert_allclose(seen["VAE, random weights"], before, rtol=1e-5)


def test_any_classifier_of_scikit_learn_will_do():
    neighbors = pytest.importorskip("sklearn.neighbors")
    x, y = blobs(300)
    nearest = neighbors.KNeighborsClassifier(1)
    report = linear_probe(
        {"noise": lambda x: x[:, 2:]}, x, y, labels_per_class=(None,), baselines=(), classifier=nearest
    )
    # 60 test examples, each right with probability 1/4.
    assert abs(report.mean("noise") - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 60)
    assert not hasattr(nearest, "classes_"), "copies are trained"


def test_the_report_by_hand():
    report = ProbeReport({"codes": {1: np.array([0.5, 0.7]), None: np.array([0.9])}}, {"codes": 3}, 0.25, 40)
    assert report.mean("codes", 1) == pytest.approx(0.6)
    assert report.deviation("codes", 1) == pytest.approx(np.sqrt(0.02))
    assert report.deviation("codes") == 0.0
    assert str(report).splitlines() == [
        "labels per class             1           all",
        "codes (3)          60.0 ± 14.1          90.0",
        "accuracy in % of 40 test examples; chance 25.0%",
    ]


def test_bad_data_are_refused():
    x, y = blobs(40)
    row = {"x": lambda x: x}
    for arguments, options, message in [
        ((x, y[:9]), {}, "`y` must hold one class for each of the 40 examples"),
        (
            (x, y),
            {"labels_per_class": (100,)},
            r"asks for 100 examples of each class; there are \d+ of class 0",
        ),
        ((x, y), {"test": (x, y + 1)}, r"classes \[4\] have none"),
        ((x, np.zeros(40, int)), {}, "at least two classes; received class 0 only"),
        ((x, y), {"baselines": ("noise",)}, "`baselines` must be one of 'pixels', 'pca'"),
        ((x, y), {"labels_per_class": ()}, "`labels_per_class` must hold a number"),
        ((x[:4], np.arange(4)), {"labels_per_class": (1,)}, "too few for that. Pass test examples"),
    ]:
        with pytest.raises(ValueError, match=message):
            linear_probe(row, *arguments, **{"labels_per_class": (1,), **options})
    with pytest.raises(TypeError, match="The model must have features"):
        linear_probe(kg.MADE((5,), hidden_dims=(8,), seed=0), x, y, labels_per_class=(1,), baselines=())
