"""PSNR and SSIM against TensorFlow's, scikit-image's, and values by hand."""

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.metrics import absolute_error, psnr, ssim


def pair(shape=(3, 20, 17, 2), noise=0.2):
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, shape)
    return x, np.clip(x + noise * generator.normal(size=shape), -1, 1)


def test_psnr_by_hand():
    """An error of 0.02 on a range of length 2: 20 log10(2 / 0.02) = 40 dB."""
    x = np.zeros((1, 4, 4, 1))
    np.testing.assert_allclose(psnr(x, x + 0.02, (-1, 1)), 40.0, rtol=1e-6)
    assert float(psnr(x, x, (-1, 1))[0]) == pytest.approx(100.0)


def test_psnr_is_tensorflows_of_each_picture():
    x, y = pair()
    wanted = tf.image.psnr(tf.constant(x, tf.float32), tf.constant(y, tf.float32), 2.0)
    np.testing.assert_allclose(psnr(x, y, (-1, 1)), wanted, rtol=1e-5)


def test_ssim_is_tensorflows_of_each_picture():
    x, y = pair()
    wanted = tf.image.ssim(tf.constant(x + 1, tf.float32), tf.constant(y + 1, tf.float32), 2.0)
    # Variances are differences of numbers of size 1, with terms c of 4e-4 beside them.
    np.testing.assert_allclose(ssim(x, y, (-1, 1)), wanted, atol=1e-4)


def windows(x, size):
    """All windows within pictures `[B, h, w]`, with normal weights."""
    parts = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    distance = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (distance / 1.5) ** 2)
    return parts, np.outer(weights, weights) / weights.sum() ** 2


@pytest.mark.parametrize(("side", "size"), [(20, 11), (8, 7), (7, 7)])
def test_ssim_by_its_formula(side, size):
    x, y = (part[..., 0] + 1 for part in pair((2, side, side + 3, 1)))
    (a, weights), (b, _) = windows(x, size), windows(y, size)

    def mean(values):
        return (values * weights).sum(axis=(-1, -2))

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    wanted = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    wanted /= (mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)
    for low in (0, -1, 5):
        x_moved, y_moved = (tf.constant(part[..., None] + low) for part in (x, y))
        found = ssim(x_moved, y_moved, (low, low + 2))
        np.testing.assert_allclose(found, wanted.mean(axis=(1, 2)), rtol=1e-11)


def test_ssim_is_scikit_images_within_the_picture():
    metrics = pytest.importorskip("skimage.metrics")
    x, y = pair((1, 30, 30, 1))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pair_of_planes = (part[0, ..., 0] + 1 for part in (x, y))
    _, whole = metrics.structural_similarity(*pair_of_planes, data_range=2, full=True, **options)
    found = ssim(tf.constant(x), tf.constant(y), (-1, 1))
    np.testing.assert_allclose(found[0], whole[5:-5, 5:-5].mean(), rtol=1e-9)


def test_absolute_error_is_the_mean_of_each_picture():
    x = np.stack([np.zeros((2, 2, 1)), np.ones((2, 2, 1))])
    np.testing.assert_allclose(absolute_error(x, np.zeros_like(x)), [0.0, 1.0])


def test_bad_pictures_and_ranges_are_refused():
    x = np.zeros((1, 8, 8, 1))
    with pytest.raises(ValueError, match="must have one shape"):
        psnr(x, x[:, :4], (0, 1))
    with pytest.raises(ValueError, match="lowest and the highest"):
        ssim(x, x, (1, 0))
