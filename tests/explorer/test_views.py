"""How examples are shown."""

import numpy as np
import pytest

from keras_genmod.explorer.views import Lines, Pictures, Points, choose_view


def test_a_pixel_becomes_a_square_of_its_brightness():
    view = Pictures((2, 2, 1), (-1.0, 1.0))
    drawn = view.draw(np.array([[[-1.0, 1.0], [0.0, 1.0]]]), size=64)
    # Lines of 2 pixels around squares of 32.
    assert drawn.shape == (68, 68, 3)
    squares = drawn[2:-2, 2:-2].reshape(2, 32, 2, 32, 3)
    expected = np.array([[0, 255], [128, 255]])[:, None, :, None, None]
    np.testing.assert_array_equal(squares, np.broadcast_to(expected, squares.shape))


@pytest.mark.parametrize(
    ("event_shape", "image_shape"),
    [
        ((8, 6, 1), (8, 6, 1)),
        ((8, 6, 3), (8, 6, 3)),
        ((8, 6), (8, 6, 1)),
        ((16,), (4, 4, 1)),
        ((784,), (28, 28, 1)),
    ],
)
def test_what_looks_like_a_picture_is_shown_as_one(event_shape, image_shape):
    view = choose_view(event_shape, "auto", (0.0, 1.0), None, "")
    assert isinstance(view, Pictures) and view.image_shape == image_shape


def test_vectors_are_points_or_lines():
    for event_shape, kind in {(2,): Points, (1,): Lines, (9,): Lines, (15,): Lines}.items():
        assert type(choose_view(event_shape, "auto", (0.0, 1.0), None, "")) is kind
    assert type(choose_view((64,), None, (0.0, 1.0), None, "")) is Lines
    view = choose_view((12,), (2, 2, 3), (0.0, 1.0), None, "")
    assert isinstance(view, Pictures) and view.image_shape == (2, 2, 3)


@pytest.mark.parametrize("image_shape", [(3, 5), (4, 2, 2), (16,), 16])
def test_a_shape_that_does_not_fit_is_refused(image_shape):
    with pytest.raises(ValueError, match="image_shape"):
        choose_view((16,), image_shape, (0.0, 1.0), None, "")


def test_events_that_can_be_shown_in_no_way_are_refused_with_a_shape_that_can():
    with pytest.raises(ValueError, match=r"image_shape=\(64, 4\)"):
        choose_view((8, 8, 4), "auto", (0.0, 1.0), None, "")
    assert choose_view((8, 8, 4), (64, 4), (0.0, 1.0), None, "").image_shape == (64, 4, 1)


def test_a_figure_of_points_has_the_data_and_the_points():
    data, shown = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[4.0, 5.0]])
    (axes,) = Points(data, "given data").draw(shown).axes
    grey, dots = axes.collections
    np.testing.assert_array_equal(grey.get_offsets(), data)
    np.testing.assert_array_equal(dots.get_offsets(), shown)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["given data", "model"]


def test_a_figure_of_lines_names_each_example():
    (axes,) = Lines(None, "").draw(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), names=["one", "other"]).axes
    values = {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}
    assert values == {"one": [1.0, 2.0, 3.0], "other": [4.0, 5.0, 6.0]}


def test_a_map_of_a_density_stands_at_its_place():
    density = np.array([[1.0, 2.0], [3.0, 4.0]])
    figure = Points(None, "").draw_density(density, (-1.0, 1.0, 0.0, 4.0), np.zeros((1, 2)))
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), density)
    assert image.get_extent() == [-1.0, 1.0, 0.0, 4.0] and image.origin == "lower"
