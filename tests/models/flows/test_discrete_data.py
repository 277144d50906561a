"""Data that have no density: when a flow warns at `fit`, and what its advice is worth."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod import bijectors

RNG = np.random.default_rng(0)
ROWS = 64
SMALL = {"num_layers": 2, "network_options": {"hidden_dims": (4,)}}


def pixels(num_rows=ROWS, levels=256):
    """Integers over dark pixels, of which three stay dark at first."""
    x = RNG.integers(0, levels, size=(num_rows, 8)) * (RNG.random((num_rows, 8)) < 0.3)
    x[:, :3] = 0
    return x.astype("float32")


def messages(x, model=None, as_data_set=False):
    """What the first `fit` warns of, and the second."""
    model = model or kg.RealNVP(x.shape[1:], **SMALL)
    model.compile(run_eagerly=False)
    data = tf.data.Dataset.from_tensor_slices(x).batch(32) if as_data_set else x
    found = []
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(data, verbose=0)
        found.append(
            [
                str(one.message)
                for one in caught
                if "variables are" in str(one.message) or "values of the data" in str(one.message)
            ]
        )
    return found


CONTINUOUS = RNG.normal(size=(ROWS, 4)).astype("float32")


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    ("x", "parts"),
    [
        (pixels() / 255.0, ["multiples of 1/255", "3 of 8", "UniformDequantization(256)", "Multiply"]),
        (pixels(levels=17), ["are integers", "num_levels=17", "logit_alpha"]),
        # Bytes, the largest of which is not among the rows.
        (np.minimum(pixels(levels=256), 250), ["are integers", "num_levels=256", "logit_alpha"]),
        (RNG.integers(-3, 4, size=(ROWS, 4)).astype("float32"), ["are integers", "Add uniform noise"]),
        (CONTINUOUS * [1, 1, 0, 1] + [0, 0, 0.3, 0], ["1 of 4", "standardise"]),
        (
            RNG.random((ROWS, 4)).astype("float32") * [1, 0, 1, 1],
            ["1 of 4", "UniformDequantization", "Logit"],
        ),
    ],
)
def test_it_warns_once_and_says_what_to_do(x, parts):
    first, second = messages(np.asarray(x, "float32"))
    assert len(first) == 1 and not second
    for part in parts:
        assert part in first[0]


@pytest.mark.usefixtures("untraced")
def test_batches_are_looked_at_too():
    first, second = messages(pixels() / 255.0, as_data_set=True)
    assert len(first) == 1 and not second


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "x",
    [
        CONTINUOUS,
        RNG.random((ROWS, 4)).astype("float32"),
        # Some columns are discrete, one of them nearly always 0.
        np.concatenate([CONTINUOUS, RNG.integers(0, 3, (ROWS, 2)), np.eye(ROWS)[:, :1]], axis=1),
        # Too few rows to tell.
        CONTINUOUS[:4] * 0,
    ],
)
def test_there_are_no_false_alarms(x):
    assert messages(np.asarray(x, "float32")) == [[], []]


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "make",
    [
        lambda: kg.RealNVP((8,), dequantization="uniform", logit_alpha=1e-6, **SMALL),
        lambda: kg.NormalizingFlow(
            (8,), [bijectors.UniformDequantization(), bijectors.Logit(), bijectors.ActNorm()]
        ),
    ],
)
def test_a_flow_with_the_preprocessing_says_nothing(make):
    assert messages(pixels(), make()) == [[], []]


@pytest.mark.usefixtures("untraced")
def test_the_remedy_makes_the_first_loss_moderate():
    """Pixels that are lit faintly in one row of those that a flow starts from, and brightly later."""
    x = pixels(num_rows=2048)
    x[0, :3] = 3.0
    x[1024:, :3] = 128.0 * (RNG.random((1024, 3)) < 0.2)
    raw = kg.RealNVP((8,), **SMALL)
    raw.initialize(x[:1024] / 255.0)
    remedy = kg.RealNVP((8,), dequantization="uniform", num_levels=256, logit_alpha=1e-6, **SMALL)
    remedy.initialize(x[:1024])
    assert float(np.mean(-raw.log_prob(x[1024:] / 255.0))) > 1000
    # Eight uniform pixels have 8 log 256 = 44 nats, and dark ones fewer.
    assert float(np.mean(-remedy.log_prob(x[1024:]))) < 8 * np.log(256)
