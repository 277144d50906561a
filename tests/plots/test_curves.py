"""Curves are the history's values, at the epochs in which they were measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from keras_genmod.plots import history

pytest.importorskip("matplotlib")
LOGS = {
    "active_units": [3.0, 4.0, 4.0],
    "kl": [1.0, 2.0, 3.0],
    "loss": [9.0, 8.0, 7.0],
    "val_loss": [9.5, 8.5, 8.0],
    "val_kl": [1.5, 2.5, 2.0],
}


def panels(figure):
    """Title -> the panel."""
    return {axes.get_title(): axes for axes in figure.axes}


def curves(axes):
    """Label -> the points of its curve, `[n, 2]`."""
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_curves_are_the_values_of_the_history():
    figure = history(LOGS, title="Training of a VAE")
    assert figure.get_suptitle() == "Training of a VAE"
    shown = panels(figure)
    assert list(shown) == ["loss", "kl", "active units"], "the loss first, then what else is in nats"
    assert curves(shown["loss"]) == {
        "training": [[1, 9.0], [2, 8.0], [3, 7.0]],
        "validation": [[1, 9.5], [2, 8.5], [3, 8.0]],
    }
    assert curves(shown["active units"]) == {"training": [[1, 3.0], [2, 4.0], [3, 4.0]]}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation"]


def test_axes_have_units():
    shown = panels(history(LOGS))
    assert {axes.get_xlabel() for axes in shown.values()} == {"epoch"}
    units = {title: axes.get_ylabel() for title, axes in shown.items()}
    assert units == {
        "loss": "nats per example",
        "kl": "nats per example",
        "active units": "number of latents",
    }
    # A sum of a likelihood and squared distances, or of two players' losses, is no number of nats.
    for other in ({"reconstruction": [1.0], "commitment": [2.0]}, {"generator_loss": [1.0]}):
        (loss, *_) = history({"loss": [3.0], **other}).axes
        assert loss.get_ylabel() == "value"


def test_epochs_are_those_of_the_run():
    run = SimpleNamespace(history={"loss": [1.0, 2.0]}, epoch=[5, 6])
    np.testing.assert_array_equal(history(run).axes[0].lines[0].get_xdata(), [6, 7])


def test_values_of_every_kth_epoch_stand_there():
    logs = {"loss": np.arange(150.0), "val_fid": np.arange(15.0)}
    figure = history(logs)
    np.testing.assert_array_equal(panels(figure)["fid"].lines[0].get_xdata(), np.arange(10, 160, 10))
    # Two of ten epochs may be 4 and 8, or 5 and 10.
    logs = {"loss": np.arange(10.0), "val_fid": np.arange(2.0)}
    with pytest.raises(ValueError, match=r"`val_fid` has 2 values for 10 epochs.*`epochs=\{'val_fid'"):
        history(logs)
    figure = history(logs, epochs={"val_fid": [4, 8]})
    np.testing.assert_array_equal(panels(figure)["fid"].lines[0].get_xdata(), [4, 8])
    with pytest.raises(ValueError, match="must have 2 values"):
        history(logs, epochs={"val_fid": [4]})


def test_quantities_can_be_chosen():
    assert list(panels(history(LOGS, names=["kl"]))) == ["kl"]
    with pytest.raises(ValueError, match="some of active_units, kl, loss; received .'nll'"):
        history(LOGS, names=["nll"])


def test_what_is_no_history_is_refused():
    with pytest.raises(TypeError, match=r"what `fit` returned.*received \[1, 2\]"):
        history([1, 2])
    with pytest.raises(ValueError, match="at least one epoch"):
        history({"loss": []})


def test_the_name_of_a_validation_is_that_of_its_panel():
    shown = panels(history(LOGS, names=["val_loss", "loss"]))
    assert list(shown) == ["loss"] and list(curves(shown["loss"])) == ["training", "validation"]


@pytest.mark.parametrize(
    ("logs", "options", "error", "message"),
    [
        (
            {"loss": ["low"]},
            {},
            ValueError,
            r"`history\['loss'\]` must be a list of numbers; received .'low'",
        ),
        ({"loss": [[1.0, 2.0]]}, {}, ValueError, r"`history\['loss'\]` must be a list of numbers"),
        ({"loss": [1.0, [2.0]]}, {}, ValueError, r"`history\['loss'\]` must be a list of numbers"),
        (LOGS, {"names": 3}, ValueError, "`names` must be some of active_units, kl, loss; received .3"),
        (LOGS, {"epochs": [1, 2, 3]}, TypeError, "`epochs` must be a dictionary"),
        (LOGS, {"epochs": {"los": [1, 2, 3]}}, ValueError, "`epochs` must hold names of curves.*'los'"),
    ],
    ids=["text", "matrix", "ragged", "number as name", "list of epochs", "misspelt curve"],
)
def test_values_names_and_epochs_are_checked(logs, options, error, message):
    with pytest.raises(error, match=message):
        history(logs, **options)
