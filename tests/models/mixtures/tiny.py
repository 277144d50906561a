"""Small mixtures and data that the tests of the family share."""

import numpy as np

COVARIANCES = ("full", "tied", "diagonal", "spherical")


def blobs(num_rows=60, size=2, seed=0):
    """Points about three places, not alike in their spread."""
    generator = np.random.default_rng(seed)
    places = generator.normal(size=(3, size)) * 4.0
    labels = generator.integers(3, size=num_rows)
    noise = generator.normal(size=(num_rows, size)) * np.array([0.4, 0.8, 1.2])[labels][:, None]
    return (places[labels] + noise + 10.0).astype("float32")


def bits(num_rows=60, size=6, seed=0):
    """Binary rows of three patterns with flips."""
    generator = np.random.default_rng(seed)
    patterns = generator.random((3, size)) < 0.5
    flips = generator.random((num_rows, size)) < 0.1
    return (patterns[generator.integers(3, size=num_rows)] ^ flips).astype("float32")


def covariances_of(covariance, num_components, size, seed=0):
    """Random covariances of a kind."""
    generator = np.random.default_rng(seed)
    shapes = {"full": (num_components, size, size), "tied": (size, size)}
    if covariance in shapes:
        root = generator.normal(size=shapes[covariance])
        return root @ np.swapaxes(root, -1, -2) + 0.5 * np.eye(size)
    return generator.uniform(0.3, 2.0, (num_components, size)[: 2 if covariance == "diagonal" else 1])


def full_covariances(covariance, covariances, num_components, size):
    """Covariances of a kind as matrices `[K, D, D]`."""
    if covariance == "full":
        return covariances
    if covariance == "tied":
        return np.tile(covariances, (num_components, 1, 1))
    variances = covariances if covariance == "diagonal" else np.repeat(covariances[:, None], size, axis=1)
    return np.stack([np.diag(row) for row in variances])
