"""The last activation of a network, however it is written, and what its bounds mean."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from keras_genmod.distributions import discrete_heads, heads, multivariate_heads, real_heads
from keras_genmod.losses.adversarial import ADVERSARIAL_LOSSES
from keras_genmod.networks.activations import check_reach, output_bounds, output_range

Z = keras.Input((2,))


def functional(*parts):
    h = Z
    for part in parts:
        h = part(h)
    return keras.Model(Z, h)


def sequential(*parts):
    return keras.Sequential([keras.Input((2,)), *parts])


WAYS = {
    "argument": lambda: sequential(layers.Dense(6, activation="sigmoid")),
    "function": lambda: sequential(layers.Dense(6, activation=keras.activations.sigmoid)),
    "layer": lambda: sequential(layers.Dense(6), layers.Activation("sigmoid")),
    "layer as an argument": lambda: sequential(layers.Dense(6, activation=layers.Activation("sigmoid"))),
    "operation": lambda: functional(layers.Dense(6), keras.ops.sigmoid),
    "reshaped": lambda: functional(layers.Dense(6, activation="sigmoid"), layers.Reshape((2, 3))),
    "nested": lambda: functional(sequential(layers.Dense(6, activation="sigmoid")), layers.Flatten()),
    "mixed precision": lambda: functional(layers.Dense(6, activation="sigmoid"), layers.Activation("linear")),
    "one layer": lambda: layers.Dense(6, activation="sigmoid"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_last_sigmoid_is_found(way):
    assert output_bounds(WAYS[way]()) == ("sigmoid", 0.0, 1.0)
    accepted = output_range(WAYS[way]())
    assert (accepted.low, accepted.high) == (0.0, 1.0) and "bytes by `x / 255`" in accepted.advice


@pytest.mark.parametrize(
    "last",
    [
        layers.Dense(6),
        layers.LeakyReLU(),
        layers.ReLU(negative_slope=0.1),
        layers.PReLU(),
        layers.Rescaling(2.0, -1.0),
        layers.Dense(6, activation=lambda x: x),
    ],
)
def test_others_say_nothing(last):
    assert output_bounds(sequential(layers.Dense(6, activation="sigmoid"), last)) is None


@pytest.mark.parametrize(
    "name",
    ["sigmoid", "hard_sigmoid", "softmax", "tanh", "hard_tanh", "softsign", "relu", "relu6", "softplus"]
    + ["exponential", "elu", "celu", "selu", "gelu", "silu", "hard_silu", "mish", "squareplus", "log_sigmoid"]
    + ["log_softmax", "sparsemax", "sparse_sigmoid", "sparse_plus"],
)
def test_the_bounds_are_those_of_the_activation(name):
    x = np.linspace(-30.0, 30.0, 6001, dtype="float32")[None]
    values = np.asarray(keras.activations.get(name)(x))
    bounds = output_bounds(layers.Dense(6, activation=name))
    assert bounds.low <= values.min() + 1e-6 and values.max() - 1e-6 <= bounds.high
    if math.isfinite(bounds.low):
        assert values.min() - bounds.low < 0.05
    if math.isfinite(bounds.high):
        assert bounds.high - values.max() < 0.05 or name in ("softmax", "log_softmax", "sparsemax")


# Of a head over six values: the activations that it takes, and a word of what it says of a sigmoid.
HEADS = {
    "bernoulli": (heads.BernoulliHead(), [], "probabilities would all be from 0.50 to 0.73"),
    "continuous_bernoulli": (heads.ContinuousBernoulliHead(), [], "from 0.50 to 0.73"),
    # e / (e + 3), and differences of logits may be anything with the last two.
    "categorical": (
        discrete_heads.CategoricalHead(4),
        ["relu", "log_softmax"],
        "more probable than 0.48",
    ),
    "logistics": (
        discrete_heads.DiscretizedLogisticMixtureHead(2),
        [],
        "scales would all be from 1 to 2.7",
    ),
    "gaussian": (real_heads.GaussianHead(), ["sigmoid", "tanh", "relu", "log_softmax"], None),
    "student_t": (real_heads.StudentTHead("learned"), ["sigmoid", "tanh", "relu", "log_softmax"], None),
    # log(1 + (e - 1)) and log(1 + e (e - 1)).
    "predicted": (real_heads.GaussianHead("predicted"), [], "scales would all be from 1.00 to 1.74"),
    "full": (multivariate_heads.FullCovarianceGaussianHead(), [], "scales would all be from 1.00 to 1.74"),
    "low_rank": (multivariate_heads.LowRankGaussianHead(2), [], "scales would all be from 1.00 to 1.74"),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_judge_the_last_activation(name):
    head, taken, words = HEADS[name]
    for activation in ("sigmoid", "tanh", "relu", "log_softmax"):
        network = layers.Dense(6, activation=activation)
        if activation in taken:
            check_reach("decoder", network, head.bounds_problem)
            continue
        with pytest.raises(
            ValueError, match=rf"`decoder` ends in {activation}.*{type(head).__name__}"
        ) as error:
            check_reach("decoder", network, head.bounds_problem)
        assert "activation=None" in str(error.value)
        if activation == "sigmoid":
            assert words in str(error.value)
    check_reach("decoder", layers.Dense(6), head.bounds_problem)
    check_reach("decoder", layers.Dense(6, activation="leaky_relu"), head.bounds_problem)


@pytest.mark.parametrize(
    ("loss", "taken"),
    [
        ("minimax", []),
        ("non_saturating", []),
        ("least_squares", ["sigmoid", "tanh", "relu"]),
        ("hinge", ["tanh"]),
        ("wasserstein", []),
    ],
)
def test_losses_judge_the_last_activation(loss, taken):
    problem = ADVERSARIAL_LOSSES[loss].bounds_problem
    for activation in ("sigmoid", "tanh", "relu"):
        network = sequential(layers.Dense(1, activation=activation))
        if activation in taken:
            check_reach("discriminator", network, problem)
        else:
            with pytest.raises(ValueError, match=rf"`discriminator` ends in {activation}.*'{loss}'.*linear"):
                check_reach("discriminator", network, problem)
    with pytest.raises(ValueError, match="softmax gives the same whatever"):
        check_reach("discriminator", sequential(layers.Dense(1, activation="softmax")), problem)
    check_reach("discriminator", sequential(layers.Dense(1)), problem)
