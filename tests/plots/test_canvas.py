"""Figures need no screen, leave nothing open, and show each pixel of a grid as one pixel of the file."""

import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import plots
from keras_genmod.core.images import image_grid

pytest.importorskip("matplotlib")
IMAGES = np.random.default_rng(0).random((6, 4, 4, 1))


def saved(figure):
    """The pixels of the figure's PNG file, `[height, width, 3]`."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return tf.io.decode_png(file.getvalue(), channels=3).numpy()


def contains(picture, part):
    """Whether the pixels of `part` stand somewhere in the picture."""
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], part.shape)
    first = np.argwhere(
        windows[:, :, 0, : part.shape[1]].reshape(*windows.shape[:2], -1)[..., 0] == part[0, 0]
    )
    return any(np.array_equal(windows[row, column], part) for row, column in first)


def test_pixels_of_images_are_pixels_of_the_file():
    figure = plots.images(IMAGES, columns=3, title="Noise", names=["a", "b", "c"], below="kinds")
    expected = image_grid(IMAGES, 3, scale=12, padding=6, line=150)[..., 0]
    assert contains(saved(figure), expected)


def test_rows_have_the_names_of_their_groups():
    figure = plots.images({"long": IMAGES[:5], "short": IMAGES[5:]}, columns=3, title="Groups")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["long", "", "short"]
    expected = image_grid([IMAGES[:5], IMAGES[5:]], 3, scale=12, padding=6, line=150)[..., 0]
    np.testing.assert_array_equal(axes.images[0].get_array()[..., 0], expected)
    # The name of a row stands at the row's middle.
    heights = axes.get_yticks() / expected.shape[0]
    np.testing.assert_allclose(heights, [1 / 6, 3 / 6, 5 / 6], atol=0.01)


def test_nothing_of_a_figure_lies_outside_the_file():
    figure = plots.images(
        {"a name of many words": IMAGES[:2]},
        title="A title that is far wider than two small images",
        below="x",
    )
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [figure.axes[0].get_tightbbox(), figure.texts[0].get_window_extent()]
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    assert boxes[1].y0 >= boxes[0].y1, "the title is above the images"


def test_pyplot_knows_of_no_figure():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plots.images(IMAGES)
    plots.score_histogram({"a": [1.0, 2.0]})
    assert pyplot.get_fignums() == before


def test_errors_of_images():
    with pytest.raises(ValueError, match="one name for each of the `columns`, 3; received 2"):
        plots.images(IMAGES, columns=3, names=["a", "b"])
    with pytest.raises(ValueError, match="empty dictionary"):
        plots.images({})
    with pytest.raises(ValueError, match=r"\[N, height, width, 1 or 3\].*received \(6, 4, 4\)"):
        plots.images(IMAGES[..., 0])
    with pytest.raises(ValueError, match="one name for each column, beside `columns=`; received 2"):
        plots.images(IMAGES, names=["a", "b"])
    with pytest.raises(ValueError, match="`names` must be a list.*received 'abc'"):
        plots.images(IMAGES, columns=3, names="abc")
    with pytest.raises(TypeError, match=r"`images\['a'\]` must be one array"):
        plots.images({"a": [[1.0, 2.0], [3.0]]})


def test_bytes_that_would_be_white_are_told():
    with pytest.warns(
        UserWarning, match=r"`images\['raw'\]` has values .* to 255, .*`value_range=\(0, 255\)`"
    ):
        plots.images({"raw": np.full((2, 4, 4, 1), 255, np.uint8)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.images(1.5 * IMAGES)
        plots.images(np.full((2, 4, 4, 1), 255, np.uint8), value_range=(0, 255))
        plots.images(np.full((1, 4, 4, 1), np.nan))


def test_without_matplotlib_the_package_works_and_plots_say_what_to_install():
    script = """
import sys
import tensorflow
for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
    del sys.modules[name]
sys.modules["matplotlib"] = None
import keras_genmod as kg
try:
    kg.plots.score_histogram({"a": [1.0, 2.0]})
except ImportError as error:
    print(error)
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "`kg.plots` needs matplotlib: `pip install matplotlib`" in run.stdout
