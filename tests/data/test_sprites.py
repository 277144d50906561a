"""Sprites: areas, places and angles of what is drawn, measured in the pictures."""

import hashlib
import itertools

import numpy as np
import pytest

from keras_genmod.data import Sprites

SQUARE, ELLIPSE, HEART = range(3)
HEART_SIDE = 1 / (np.sqrt(0.5) + 2 * np.sqrt(0.5) * (np.pi / 16 + 1 / 12) / (1 + np.pi / 4))
# In the unit circle.
AREAS = [2.0, np.pi / 2, (1 + np.pi / 4) * HEART_SIDE**2]


def moments(picture):
    """Area, centre (x to the right, y down, pixels from the corner) and angle of the longer axis."""
    y, x = np.nonzero(picture[..., 0])
    centre = np.array([x.mean() + 0.5, y.mean() + 0.5])
    x, y = x + 0.5 - centre[0], centre[1] - y - 0.5
    angle = 0.5 * np.arctan2(2 * np.mean(x * y), np.mean(x * x) - np.mean(y * y))
    return len(x), centre, angle


@pytest.mark.parametrize("size", [64, 51])
def test_places_move_the_sprite_by_whole_pixels_and_leave_it_whole(size):
    sprites = Sprites(size, num_positions=5)
    room = size - 2 * int(np.ceil(0.22 * size))
    step = room // 4
    for shape, scale, orientation in itertools.product(range(3), (0, 5), (0, 3)):
        look = [shape, scale, orientation]
        grid = sprites.draw([[*look, x, y] for x in range(5) for y in range(5)])
        first = grid[0]
        assert not first[-4 * step :].any() and not first[:, -4 * step :].any()
        for number, picture in enumerate(grid):
            x, y = divmod(number, 5)
            np.testing.assert_array_equal(picture, np.roll(first, (y * step, x * step), axis=(0, 1)))
    # The places lie evenly around the middle, or half a pixel beside it.
    corners = sprites.draw([[SQUARE, 5, 0, 0, 0], [SQUARE, 5, 0, 4, 4]])
    middle = (moments(corners[0])[1] + moments(corners[1])[1]) / 2
    assert np.all(np.abs(middle - size / 2) <= 0.5)


def test_as_many_places_as_pixels_leave_room_for():
    sprites = Sprites(64, num_positions=35)
    ends = sprites.draw([[HEART, 5, 0, x, y] for x in (0, 34) for y in (0, 34)])
    assert len({int(picture.sum()) for picture in ends}) == 1
    assert moments(ends[3])[1] - moments(ends[0])[1] == pytest.approx([34, 34])


def test_areas_are_those_of_the_shapes():
    sprites = Sprites(1024, num_scales=3, num_orientations=4, num_positions=1, turn=0.3)
    for shape, scale, orientation in itertools.product(range(3), range(3), range(4)):
        area, centre, _ = moments(sprites.draw([[shape, scale, orientation, 0, 0]])[0])
        radius = 0.22 * 1024 * (0.5 + 0.25 * scale)
        # Where an edge runs along the grid, half a pixel may be missing or too much all along it, and no
        # shape has more than 6 radii of edge.
        assert area == pytest.approx(AREAS[shape] * radius**2, abs=3 * radius)
        # Squares and ellipses are symmetric about their place; the heart's place is its centre of mass.
        assert centre == pytest.approx([512, 512], abs=0.5 if shape == HEART else 1e-9)


def test_orientations_turn_counter_clockwise():
    sprites = Sprites(128, num_scales=1, num_orientations=8, num_positions=1, turn=0.5)
    for i in range(8):
        _, _, angle = moments(sprites.draw([[ELLIPSE, 0, i, 0, 0]])[0])
        difference = (angle - np.pi * i / 8 + np.pi / 2) % np.pi - np.pi / 2
        assert difference == pytest.approx(0, abs=0.01)


def test_a_quarter_of_the_circle_turns_the_picture():
    sprites = Sprites(64, num_orientations=4, num_positions=1)
    for shape, scale in itertools.product(range(3), range(6)):
        turned = sprites.draw([[shape, scale, i, 0, 0] for i in range(4)])
        for i in range(4):
            np.testing.assert_array_equal(turned[i], np.rot90(turned[0], i))
        assert len(np.unique(turned, axis=0)) == {SQUARE: 1, ELLIPSE: 2, HEART: 4}[shape]


def test_the_heart_stands_on_its_tip():
    picture = Sprites(64, num_positions=1).draw([[HEART, 5, 0, 0, 0]])[0, ..., 0]
    np.testing.assert_array_equal(picture, picture[:, ::-1])
    widths = picture.sum(axis=1, dtype=int)
    rows = np.flatnonzero(widths)
    assert widths[rows[-1]] == 2 and widths[rows[0]] > 2
    # Below the widest row it narrows by two pixels a row: its lower sides meet at a right angle.
    below = widths[rows[-1] - 8 : rows[-1] + 1]
    np.testing.assert_array_equal(np.diff(below), -2)
    # Between the discs the upper edge has a notch.
    assert picture[rows[0], 31:33].sum() == 0


def test_pictures_differ_as_the_documentation_says():
    def num_looks(turn):
        sprites = Sprites(64, num_positions=1, turn=turn)
        return len(np.unique(sprites.draw(sprites.factors(np.arange(len(sprites)))), axis=0))

    assert num_looks(0.25) == 3 * 6 * 10
    # After half a circle, five orientations on, squares and ellipses are the same.
    assert num_looks(1.0) == 6 * (5 + 5 + 10)


def test_the_pictures_are_the_same_everywhere():
    """Figures on two machines compare only if these bits never change."""
    sprites = Sprites()
    every_look = sprites.draw([[*look, 3, 7] for look in itertools.product(range(3), range(6), range(10))])
    assert set(np.unique(every_look)) == {0, 1}
    digest = hashlib.sha256(np.packbits(every_look)).hexdigest()
    assert digest == "920deb0138e9d978d61fdc6398bb66aeae770267c13cbb6c2ad4bf7a32f041f8"


def test_all_pictures_in_their_order():
    sprites = Sprites(16, num_scales=2, num_orientations=3, num_positions=4)
    assert sprites.factor_sizes == (3, 2, 3, 4, 4) and len(sprites) == 288
    parts = list(sprites.batches(100))
    assert [len(images) for images, _ in parts] == [100, 100, 88]
    images, factors = (np.concatenate(column) for column in zip(*parts, strict=True))
    np.testing.assert_array_equal(np.ravel_multi_index(factors.T, sprites.factor_sizes), np.arange(288))
    np.testing.assert_array_equal(sprites.factors([287, 0, 5]), factors[[287, 0, 5]])
    np.testing.assert_array_equal(sprites.draw(factors[::-1]), images[::-1])
    assert (images.dtype, factors.dtype) == (np.uint8, np.int32)


def test_batches_are_drawn_when_asked_for():
    """All pictures at once would need 3 GB."""
    batches = Sprites(64, num_orientations=40, num_positions=32).batches(3)
    images, factors = next(batches)
    assert images.shape == (3, 64, 64, 1)
    np.testing.assert_array_equal(factors[:, -1], [0, 1, 2])


def test_samples_are_even_and_repeatable():
    sprites = Sprites(16, num_positions=4)
    images, factors = sprites.sample(6_000, seed=1)
    np.testing.assert_array_equal(images, sprites.draw(factors))
    for column, size in zip(factors.T, sprites.factor_sizes, strict=True):
        share = 1 / size
        shares = np.bincount(column, minlength=size) / 6_000
        assert np.all(np.abs(shares - share) < 5 * np.sqrt(share * (1 - share) / 6_000))
    # Independent: squared correlations of N draws are about 1/N.
    correlations = np.corrcoef(factors.T) - np.eye(5)
    assert np.max(np.abs(correlations)) < 5 / np.sqrt(6_000)
    np.testing.assert_array_equal(sprites.sample(6_000, seed=1)[1], factors)
    assert np.any(sprites.sample(6_000, seed=2)[1] != factors)


def test_parts_share_no_picture():
    sprites = Sprites(16, num_scales=2, num_orientations=3, num_positions=4)
    parts = sprites.split(200, 50, 38, seed=3)
    counts = {"train": 200, "valid": 50, "test": 38}
    assert parts.keys() == {*counts, *(f"{name}_labels" for name in counts)}
    for name, count in counts.items():
        assert parts[name].shape == (count, 16, 16, 1)
        np.testing.assert_array_equal(parts[name], sprites.draw(parts[f"{name}_labels"]))
    labels = np.concatenate([parts[f"{name}_labels"] for name in counts])
    numbers = np.ravel_multi_index(labels.T, sprites.factor_sizes)
    np.testing.assert_array_equal(np.sort(numbers), np.arange(288))
    assert np.any(numbers[:200] != np.sort(numbers[:200]))
    again, other = sprites.split(200, seed=3), sprites.split(200, seed=4)
    assert again.keys() == {"train", "train_labels"}
    np.testing.assert_array_equal(again["train_labels"], parts["train_labels"])
    assert np.any(other["train_labels"] != parts["train_labels"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: Sprites(8), "`size` must be an integer of at least 16; received 8"),
        (
            lambda s: Sprites(64, num_positions=36),
            "at most 35 for images of 64.* received 36. Lower it",
        ),
        (lambda s: Sprites(num_scales=0), "`num_scales` must be an integer of at least 1"),
        (lambda s: Sprites(turn=0.0), "`turn` must be a finite number above 0 and at most 1; received 0.0"),
        (lambda s: s.draw([[0, 0, 0, 0]]), r"`factors` must have shape \[batch, 5\]; received \(1, 4\)"),
        (lambda s: s.draw([[0, 6, 0, 0, 0]]), r"in \[0, 5\]; received values from 6 to 6. .* of `scale`"),
        (lambda s: s.draw([[0, 0, -1, 0, 0]]), r"`factors\[:, 2\]` must hold integers in \[0, 9\]"),
        (lambda s: s.draw([[0.5, 0, 0, 0, 0]]), "received fractions. This column numbers the 3 values"),
        (lambda s: s.sample(0), "`num_samples` must be an integer of at least 1; received 0"),
        (lambda s: s.sample(1, seed=-1), "`seed` must be an integer of at least 0; received -1"),
        (lambda s: s.factors([1620]), r"in \[0, 1619\]; received values from 1620 .* `len` gives the number"),
        (lambda s: next(s.batches(0)), "`batch_size` must be an integer of at least 1"),
        (lambda s: s.split(1_600, 21), "at most 1,620 images in total.* received 1,621. Ask for fewer"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Sprites(16, num_positions=3))
