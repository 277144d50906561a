"""Warnings are shown at the line of the program that uses the library."""

import inspect
import warnings

import keras
import numpy as np
import pytest

from keras_genmod import VAE, GaussianMixture, KernelDensity, metrics
from keras_genmod.core.user_warnings import warn_user


def warned_at(function):
    """The lines, in this file, of all warnings in a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        function()
    caught = [each for each in caught if each.category is UserWarning]
    assert [each.filename for each in caught] == [__file__] * len(caught)
    return [each.lineno for each in caught]


def line_of(function):
    """The number of a lambda's line."""
    return inspect.getsourcelines(function)[1]


def kernel_density():
    model = KernelDensity((2,))
    model.compile()
    return model


CONSTANT = np.repeat(np.arange(5.0)[:, None], 2, axis=1) * [1.0, 0.0]
GREY = np.full((4, 3), 0.5, "float32")
FEW = np.random.default_rng(0).normal(size=(2, 9, 2))


def grey_vae():
    model = VAE((3,), latent_dim=1)
    model.compile()
    return model


def mixture():
    model = GaussianMixture((2,), num_components=1)
    model.compile()
    return model


@pytest.mark.parametrize(
    ("build", "call"),
    [
        (lambda: None, lambda _: warn_user("from this file itself")),
        # Through one wrapper of Keras and two classes of the library, or none.
        (kernel_density, lambda model: model.fit(CONSTANT, verbose=0)),
        (mixture, lambda model: model.fit(CONSTANT, verbose=0)),
        (grey_vae, lambda model: model.fit(GREY, verbose=0)),
        (grey_vae, lambda model: model.evaluate(GREY, verbose=0)),
        (lambda: None, lambda _: metrics.frechet_distance(*FEW)),
        (lambda: None, lambda _: metrics.precision_recall(*FEW)),
    ],
)
def test_a_warning_points_at_the_line_that_called_the_library(build, call):
    built = build()
    assert warned_at(lambda: call(built)) == [line_of(call)]


def test_callbacks_of_a_user_are_the_users_lines():
    class Mine(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            warn_user("from a callback")

    model = kernel_density()
    (line,) = warned_at(lambda: model.fit(FEW[0], callbacks=[Mine()], verbose=0))
    assert line == line_of(Mine.on_epoch_end) + 1


def test_crowded_bins_are_one_warning():
    codes = np.random.default_rng(0).normal(size=(100, 3))
    codes[0, [0, 2]] = 1e6
    factors = np.random.default_rng(1).integers(3, size=(100, 1))
    with pytest.warns(UserWarning, match=r"Dimension 0 of `codes` has 99 .* same holds for 2\.") as caught:
        metrics.mutual_information_gap(codes, factors)
    assert len(caught) == 1
