"""Couplings that all keep the same variables: when a flow warns of them, and that it is right."""

import warnings

import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod import bijectors as B

SMALL = {"network_options": {"hidden_dims": (4,)}}
PIXELS = {"network_options": {"filters": 4}}


def built(event_shape, bijections):
    """The flow, and what its constructor warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flow = kg.NormalizingFlow(event_shape, bijections, seed=0)
    return flow, [str(one.message) for one in caught if "couplings keep" in str(one.message)]


@pytest.mark.parametrize("swap", [False, True])
def test_couplings_that_never_swap(swap):
    flow, (message,) = built(
        (5,), [B.Coupling(swap=swap, **SMALL), B.ActNorm(), B.Coupling(swap=swap, **SMALL)]
    )
    generator = np.random.default_rng(0)
    # New couplings are the identity.
    for coupling in flow.bijections[::2]:
        coupling.network.set_weights([generator.normal(size=w.shape) for w in coupling.network.get_weights()])
    x = generator.normal(size=(8, 5)).astype("float32")
    unchanged = np.all(np.asarray(flow.encode(x)) == x, axis=0)
    # The first half of five variables is two of them.
    np.testing.assert_array_equal(unchanged, (np.arange(5) < 2) ^ swap)
    np.testing.assert_array_equal(unchanged, flow.bijections[0].kept_variables())
    assert f"All 2 couplings keep {unchanged.sum()} of 5 variables" in message


def test_masks_with_one_variable_in_common():
    _, (message,) = built((3,), [B.Coupling([1, 1, 0], **SMALL), B.Coupling([0, 1, 1], **SMALL)])
    assert "keep 1 of 3 variables" in message


@pytest.mark.parametrize(
    "event_shape,bijections",
    [
        ((4,), [B.Coupling(**SMALL)]),
        ((4,), [B.Coupling(**SMALL), B.Coupling(swap=True, **SMALL)]),
        ((4,), [B.Coupling(**SMALL), B.Permutation(), B.Coupling(**SMALL)]),
        ((4,), [B.Coupling(**SMALL), B.Coupling(**SMALL), B.MaskedAutoregressive((4,))]),
        ((2, 2, 2), [B.Coupling("channel", **PIXELS), B.Coupling("channel", swap=True, **PIXELS)]),
    ],
    ids=["one", "swapped", "permuted", "another layer", "channels"],
)
def test_flows_that_transform_all_variables_or_have_one_coupling(event_shape, bijections):
    assert not built(event_shape, bijections)[1]


def test_no_ready_made_flow_keeps_variables():
    for flow in (kg.NICE, kg.RealNVP):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            flow((4,), num_layers=2, network_options={"hidden_dims": (4,)}, seed=0)
