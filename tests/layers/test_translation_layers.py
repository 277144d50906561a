"""Layers between pictures: padding by reflection, dropout by row, resampling, and pairs that move alike."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.layers import (
    NO_NOISE,
    BicubicDownsampling,
    BicubicUpsampling,
    PairedAugmentation,
    ReflectionPadding2D,
    RowDropout,
    SubpixelUpsampling,
)


def pictures(shape, seed=0, dtype=tf.float32):
    return tf.random.stateless_uniform(shape, [seed, 1], dtype=dtype)


SEEDS = tf.constant([[0, 1], [0, 2], [3, 4], [5, 6], [7, 8], [9, 10]])


def test_reflection_mirrors_without_the_border():
    x = pictures([2, 4, 5, 3])
    padded = ReflectionPadding2D(((1, 0), (2, 3)))(x)
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), (1, 0), (2, 3), (0, 0)], mode="reflect"))


def test_reflection_needs_pixels_to_mirror():
    with pytest.raises(ValueError, match="sides of at least 4"):
        ReflectionPadding2D(3).compute_output_shape((None, 3, 8, 1))
    with pytest.raises(ValueError, match="number of pixels or"):
        ReflectionPadding2D("same")


# ---- dropout by row -----------------------------------------------------------------------------------


def test_the_mask_of_a_row_depends_on_its_seed_alone():
    layer, x = RowDropout(0.5), pictures([6, 10])
    whole = layer([x, SEEDS])
    for row in range(6):
        alone = layer([x[row : row + 1], SEEDS[row : row + 1]])
        np.testing.assert_array_equal(alone[0], whole[row])
    order = [5, 0, 3, 1, 2, 4]
    moved = layer([tf.gather(x, order), tf.gather(SEEDS, order)])
    np.testing.assert_array_equal(moved, tf.gather(whole, order))


def test_dropout_drops_its_share_and_keeps_the_mean():
    rate, count = 0.3, 20_000
    dropped = RowDropout(rate)([tf.ones([1, count]), SEEDS[:1]]).numpy()
    share = np.mean(dropped == 0.0)
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / count)
    np.testing.assert_allclose(dropped[dropped > 0], 1 / (1 - rate), rtol=1e-6)


def test_streams_of_one_seed_are_independent():
    count = 20_000
    masks = [RowDropout(0.5, stream=stream)([tf.ones([1, count]), SEEDS[:1]]) > 0 for stream in (0, 1)]
    assert abs(np.mean(masks[0] == masks[1]) - 0.5) < 5 * 0.5 / np.sqrt(count)


def test_a_row_without_noise_stays_as_it_is():
    x = pictures([2, 100])
    seeds = tf.constant([[NO_NOISE, NO_NOISE], [NO_NOISE, 3]])
    result = RowDropout(0.5)([x, seeds])
    np.testing.assert_array_equal(result[0], x[0])
    assert np.any(result[1] == 0)


# ---- resampling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_resampling_is_tensorflows_bicubic_filter(scale):
    x = pictures([2, 6 * scale, 4 * scale, 3])
    smaller = BicubicDownsampling(scale)(x)
    larger = BicubicUpsampling(scale)(x)
    # Sums of at most 16 * 16 products of numbers of size 1, whose weights are rounded too.
    wanted = tf.image.resize(x, [6, 4], "bicubic", antialias=True)
    np.testing.assert_allclose(smaller, wanted, atol=1e-5)
    wanted = tf.image.resize(x, [6 * scale**2, 4 * scale**2], "bicubic", antialias=True)
    np.testing.assert_allclose(larger, wanted, atol=1e-5)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_ramp_stays_a_ramp_with_half_pixel_centres(scale):
    """Pixel i of the small picture lies at i + 1/2, pixel j of the large one at (j + 1/2) / scale."""
    small, large = np.arange(12) + 0.5, (np.arange(12 * scale) + 0.5) / scale
    ramp = np.broadcast_to(small[None, :, None, None], [1, 12, 8, 1])
    inside = slice(2 * scale, -2 * scale)
    enlarged = BicubicUpsampling(scale)(tf.constant(ramp))[0, :, 4 * scale, 0]
    np.testing.assert_allclose(enlarged[inside], large[inside], atol=1e-12)
    ramp = np.broadcast_to(large[None, :, None, None], [1, 12 * scale, 8 * scale, 1])
    reduced = BicubicDownsampling(scale)(tf.constant(ramp))[0, :, 4, 0]
    np.testing.assert_allclose(reduced[2:-2], small[2:-2], atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_resampling_keeps_a_constant_to_the_border():
    x = tf.fill([1, 4, 8, 2], tf.constant(0.7, tf.float64))
    for layer in (BicubicDownsampling(2), BicubicUpsampling(4)):
        np.testing.assert_allclose(layer(x), 0.7, rtol=1e-12)


def test_sides_that_the_factor_does_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"multiples of scale=4.*\(8, 12\)"):
        BicubicDownsampling(4).compute_output_shape((None, 10, 12, 1))


def test_channels_become_a_square_of_pixels():
    x = pictures([2, 3, 4, 8])
    result = SubpixelUpsampling(2)(x).numpy()
    for row in range(2):
        for column in range(2):
            part = result[:, row::2, column::2]
            np.testing.assert_array_equal(part, x[..., 4 * row + 2 * column : 4 * row + 2 * column + 2])
    with pytest.raises(ValueError, match="multiple of scale"):
        SubpixelUpsampling(2).compute_output_shape((None, 3, 4, 6))


# ---- pairs --------------------------------------------------------------------------------------------


def test_both_members_move_alike():
    augmentation = PairedAugmentation(translation=0.25, cutout=0.3)
    picture = pictures([6, 8, 8, 2])
    labels = tf.cast(picture[..., 0] * 1000, tf.int32)
    moved, moved_labels = augmentation([picture, labels], SEEDS)
    np.testing.assert_array_equal(tf.cast(moved[..., 0] * 1000, tf.int32), moved_labels)
    assert np.any(moved != picture)
    # A member twice as large moves twice as many pixels.
    large = tf.repeat(tf.repeat(picture, 2, 1), 2, 2)
    moved_large = augmentation([picture, large], SEEDS)[1]
    np.testing.assert_array_equal(moved_large[:, ::2, ::2], moved)
    np.testing.assert_array_equal(moved_large[:, 1::2, 1::2], moved)


def test_rows_are_flipped_and_shifted_by_whole_pixels_each_as_likely():
    count, reach = 3000, 2
    x = tf.broadcast_to(tf.range(8.0)[None, None, :, None], [count, 8, 8, 1])
    seeds = tf.stack([tf.zeros([count], tf.int32), tf.range(count)], axis=1)
    (moved,) = PairedAugmentation(translation=reach / 8)([x], seeds)
    row = moved[:, 0, :, 0].numpy()
    flipped = row[:, 3] > row[:, 4]
    assert abs(np.mean(flipped) - 0.5) < 5 * 0.5 / np.sqrt(count)
    # The pixel in the middle tells the shift, in what was to the left of it or to the right.
    shift = np.where(flipped, row[:, 4] - 3, 4 - row[:, 4])
    values, counts = np.unique(shift, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-reach, reach + 1))
    assert np.max(np.abs(counts / count - 0.2)) < 5 * np.sqrt(0.2 * 0.8 / count)
    # The border is repeated.
    assert set(np.unique(np.diff(row, axis=1))) == {-1.0, 0.0, 1.0}


def test_the_augmentation_of_a_row_depends_on_its_seed_alone():
    augmentation, x = PairedAugmentation(cutout=0.5), pictures([6, 8, 8, 1])
    (whole,) = augmentation([x], SEEDS)
    (part,) = augmentation([x[3:4]], SEEDS[3:4])
    np.testing.assert_array_equal(part[0], whole[3])


def test_the_square_is_blank_and_gradients_pass_beside_it():
    x = 1.0 + pictures([6, 16, 16, 1])
    augmentation = PairedAugmentation(flip=False, translation=0.0, cutout=0.25)
    with tf.GradientTape() as tape:
        tape.watch(x)
        (moved,) = augmentation([x], SEEDS)
    blank = moved.numpy() == 0
    # A square of 4x4, cut off where its centre is near the border.
    assert np.all(blank.sum(axis=(1, 2, 3)) >= 4) and np.all(blank.sum(axis=(1, 2, 3)) <= 16)
    np.testing.assert_array_equal(moved.numpy()[~blank], x.numpy()[~blank])
    np.testing.assert_array_equal(tape.gradient(moved, x), np.where(blank, 0.0, 1.0))
