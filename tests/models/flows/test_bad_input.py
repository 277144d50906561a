"""Errors that say what was expected, what was received and what to do."""

import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod import bijectors as B


@pytest.mark.parametrize(
    "build,message",
    [
        (lambda: kg.Glow((5, 4, 1)), "multiples of 2.*received.*5, 4, 1.*Pad"),
        (lambda: kg.NormalizingFlow((2,), B.Coupling()), "must be a list.*Coupling"),
        (lambda: kg.NormalizingFlow((2,), ["coupling"]), "holds 'coupling'"),
        (lambda: kg.NormalizingFlow((2,), [B.Coupling()] * 2), "same Coupling twice"),
        (lambda: kg.NormalizingFlow((1,), [B.Coupling()]), "two variables or channels.*checkerboard"),
        (
            lambda: kg.NormalizingFlow((2,), [B.Coupling(), B.UniformDequantization()]),
            "dequantisation must be the first",
        ),
        (lambda: kg.NormalizingFlow((2,), [], base="vamp"), "must not depend on an encoder.*VampPrior"),
        (lambda: kg.NormalizingFlow((2,), [], base="gauss"), "`base` must be one of"),
        (lambda: kg.MAF((2,), dequantization="yes"), "None, 'uniform' or 'variational'; received 'yes'"),
        (lambda: kg.MAF((2,), num_layers=0), "`num_layers` must be an integer of at least 1"),
        (lambda: kg.RealNVP((2, 2)), "default networks for vectors.*and images"),
        (lambda: B.Coupling("stripes"), "'half', 'channel', 'checkerboard'.*received 'stripes'"),
        (lambda: B.Coupling("checkerboard").set_shapes((4,)), "is for images.*received events of shape .4,."),
        (lambda: B.Coupling([1, 1, 1]).set_shapes((3,)), "keeps 3 of 3"),
        (lambda: B.Coupling([1, 0]).set_shapes((3,)), r"zeros and ones of shape \(3,\)"),
        (lambda: B.Coupling(transform="quadratic"), "`transform` must be one of 'additive'"),
        (lambda: B.Split([]).set_shapes((2, 2, 1)), "two channels.*Squeeze"),
        (lambda: B.Permutation("shuffle"), "'reverse', 'random'"),
        (lambda: B.Permutation([0, 0]).set_shapes((2,)), "numbers 0 to 1, each once"),
        (lambda: B.MaskedAutoregressive(ordering=[0, 0]).set_shapes((2,)), "'natural', 'reverse', 'random'"),
        (lambda: B.Logit(0.0), "`alpha` must be a finite number above 0"),
        (lambda: B.Logit(low=1.0, high=1.0), "`high` must be a finite number above 1"),
        (lambda: B.SplineTransform(num_bins=1), "`num_bins` must be an integer of at least 2"),
        (lambda: B.UniformDequantization(1), "`num_levels` must be an integer of at least 2"),
    ],
)
def test_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_network_of_another_shape():
    network = kg.networks.dense_network((2,), (3,), hidden_dims=())
    with pytest.raises(ValueError, match="4 raw outputs.*2 parameters of 2 channels"):
        kg.NormalizingFlow((4,), [B.Coupling(network=network)])


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "build,x,message",
    [
        (lambda: kg.MAF((2,), logit_alpha=0.01), [[0.5, 1.5]], r"values in \[0, 1\].*Scale the data"),
        (lambda: kg.MAF((2,), dequantization="uniform"), [[0.5, 3.0]], "fractions"),
        (lambda: kg.MAF((2,), dequantization="uniform", num_levels=4), [[1.0, 4.0]], r"\[0, 3\]"),
        (lambda: kg.MAF((2,)), [[np.nan, 0.0]], "finite values"),
        (lambda: kg.MAF((2,)), [[1.0, 0.0, 0.0]], r"shape \[batch, 2\]"),
    ],
)
def test_data(build, x, message):
    flow = build()
    flow.compile()
    x = np.array(x, "float32")
    before = flow.get_weights()
    for ask in (lambda: flow.fit(x, verbose=0), lambda: flow.log_prob(x), lambda: flow.initialize(x)):
        with pytest.raises(ValueError, match=message):
            ask()
    for old, new in zip(before, flow.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_temperature_and_conditions():
    flow = kg.MAF((2,))
    for temperature in (0.0, -1.0):
        with pytest.raises(ValueError, match="`temperature` must be a finite number above 0"):
            flow.sample(1, temperature=temperature)
    with pytest.raises(ValueError, match="unconditional"):
        flow.log_prob(np.zeros((1, 2)), condition=1)
    with pytest.raises(ValueError, match="needs a `condition`"):
        kg.MAF((2,), num_classes=3).sample(1)
