"""The published data sets that `load` knows: their files, where they are downloaded, and their splits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_genmod.core.optional import optional_module

__all__ = ["PUBLISHED_SETS", "Arrays", "DownloadError", "PublishedSet", "digits"]

Arrays = dict[str, np.ndarray]

# The file of `keras.datasets.mnist`; it has the same place in the cache.
_KERAS_MNIST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_KERAS_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
# The commit of the density estimation benchmarks that papers use.
_DEBD = "https://raw.githubusercontent.com/arranger1044/DEBD/80a4906dcf3b3463370f904efa42c21e8295e85c"


@dataclass(frozen=True)
class PublishedSet:
    """A data set in one `.npz` file.

    Args:
        file: Path of the file inside a data folder.
        shapes: Names and shapes of the uint8 arrays in the file.
        home: Where its owners publish it, for error messages.
        arrange: Converts the arrays of the file to what `load` returns.
        fetch: Downloads the file into an empty folder and returns its path. None if it cannot be downloaded.
    """

    file: str
    shapes: dict[str, tuple[int, ...]]
    home: str
    arrange: Callable[[Arrays], Arrays]
    fetch: Callable[[Path], Path] | None = None


class DownloadError(Exception):
    """A download failed."""


def _download(url: str, folder: Path) -> Path:
    """Downloads one file; Keras shows the progress."""
    try:
        return Path(keras.utils.get_file(origin=url, cache_dir=str(folder), cache_subdir=""))
    except Exception as error:  # Keras raises a plain `Exception` if a download fails.
        raise DownloadError(f"The download failed: {error}.") from error


def _check_sha256(what: str, data: bytes, expected: str) -> None:
    received = hashlib.sha256(data).hexdigest()
    if received != expected:
        raise ValueError(
            f"{what} must have the SHA-256 {expected}; received {received}. The download is damaged, or the "
            "published file has changed; it was removed. Try again, or get the file from another place."
        )


# --- digits ---


def digits() -> Arrays:
    """The digits that come with scikit-learn, with our split."""
    bunch = optional_module("sklearn.datasets", what="This data set").load_digits()
    images = bunch.images.astype(np.uint8)[..., None]
    rows = {"train": slice(0, 1297), "valid": slice(1297, 1497), "test": slice(1497, None)}
    return _split(images, bunch.target, rows)


def _split(images: np.ndarray, labels: np.ndarray, rows: dict[str, slice]) -> Arrays:
    """Copies of the rows of images and labels that belong to each split."""
    parts = {split: images[chosen].copy() for split, chosen in rows.items()}
    return parts | {f"{split}_labels": labels[chosen].astype(np.int32) for split, chosen in rows.items()}


# --- mnist ---


def _arrange_mnist(file: Arrays) -> Arrays:
    images, labels = file["x_train"][..., None], file["y_train"]
    test = _split(file["x_test"][..., None], file["y_test"], {"test": slice(None)})
    return _split(images, labels, {"train": slice(0, 50_000), "valid": slice(50_000, None)}) | test


def _fetch_mnist(folder: Path) -> Path:
    path = _download(_KERAS_MNIST, folder)
    _check_sha256(_KERAS_MNIST, path.read_bytes(), _KERAS_MNIST_SHA256)
    return path


# --- binary sets: published as text, stored in our files as packed bits ---


def _binary_set(
    file: str, event_shape: tuple[int, ...], rows: dict[str, int], home: str, url: str, sha256: dict[str, str]
) -> PublishedSet:
    """A data set of binary rows.

    Args:
        file, home: As in `PublishedSet`.
        event_shape: Shape of a row.
        rows: Number of rows in each split.
        url: Address of a split's text file, with `{split}` for the split's name.
        sha256: SHA-256 of each split's values as one byte each; separators in the text do not count.
    """
    dim = math.prod(event_shape)

    def arrange(packed: Arrays) -> Arrays:
        bits = {split: np.unpackbits(packed[split], axis=1, count=dim) for split in rows}
        return {split: values.reshape(-1, *event_shape) for split, values in bits.items()}

    def fetch(folder: Path) -> Path:
        packed: dict[str, Any] = {}
        for split in rows:
            values = _parse_bits(_download(url.format(split=split), folder).read_bytes())
            _check_sha256(url.format(split=split), values.tobytes(), sha256[split])
            packed[split] = np.packbits(values.reshape(rows[split], dim), axis=1)
        path = folder / Path(file).name
        np.savez_compressed(path, **packed)
        return path

    shapes: dict[str, tuple[int, ...]] = {split: (count, -(-dim // 8)) for split, count in rows.items()}
    return PublishedSet(file, shapes, home, arrange, fetch)


def _parse_bits(text: bytes) -> np.ndarray:
    """The zeros and ones in a text, without any separators: uint8 `[number of values]`."""
    characters = np.frombuffer(text, np.uint8)
    return characters[(characters == ord("0")) | (characters == ord("1"))] - ord("0")


def _debd(name: str, dim: int, rows: dict[str, int], sha256: dict[str, str]) -> PublishedSet:
    """One of the density estimation benchmarks."""
    url = f"{_DEBD}/datasets/{name}/{name}.{{split}}.data"
    return _binary_set(f"debd/{name}.npz", (dim,), rows, "https://github.com/arranger1044/DEBD", url, sha256)


# --- olivetti_faces ---


def _arrange_faces(file: Arrays) -> Arrays:
    images = file["images"].reshape(40, 10, 64, 64, 1)
    labels = file["person"].reshape(40, 10)
    splits = {"train": slice(0, 8), "valid": slice(8, 9), "test": slice(9, 10)}
    parts = {}
    for split, chosen in splits.items():
        parts[split] = images[:, chosen].reshape(-1, 64, 64, 1).copy()
        parts[f"{split}_labels"] = labels[:, chosen].reshape(-1).astype(np.int32)
    return parts


def _fetch_faces(folder: Path) -> Path:
    fetch_olivetti_faces = optional_module("sklearn.datasets", what="This data set").fetch_olivetti_faces
    try:
        faces = fetch_olivetti_faces(data_home=str(folder))
    except OSError as error:
        raise DownloadError(f"The download failed: {error}.") from error
    # scikit-learn checks the file, and divides its values, integers 0..242, by their maximum.
    images = np.rint(faces.images * 242).astype(np.uint8)
    path = folder / "olivetti_faces.npz"
    np.savez_compressed(path, images=images, person=faces.target.astype(np.uint8))
    return path


# --- facades ---


def _arrange_facades(file: Arrays) -> Arrays:
    return {
        "train": file["photo_train"],
        "train_labels": file["labels_train"],
        "test": file["photo_test"],
        "test_labels": file["labels_test"],
    }


PUBLISHED_SETS = {
    "mnist": PublishedSet(
        file="mnist.npz",
        shapes={
            "x_train": (60_000, 28, 28),
            "y_train": (60_000,),
            "x_test": (10_000, 28, 28),
            "y_test": (10_000,),
        },
        home=_KERAS_MNIST,
        arrange=_arrange_mnist,
        fetch=_fetch_mnist,
    ),
    "binarized_mnist": _binary_set(
        file="binarized_mnist.npz",
        event_shape=(28, 28, 1),
        rows={"train": 50_000, "valid": 10_000, "test": 10_000},
        home=_LAROCHELLE,
        url=f"{_LAROCHELLE}/binarized_mnist_{{split}}.amat",
        sha256={
            "train": "43490d4d6ac9002727af4426d8748609fdb7e4094fa65ad8d681ea60082a7a5a",
            "valid": "069b4f0beb389b776478c3e872b4df71c95ac4be64d7cbe6d32e24ebac8e6d5e",
            "test": "ca0294c3b8d984c7a1dc891015a8eea6f37bae59a34e35ea0fc8c47110a8dd86",
        },
    ),
    "olivetti_faces": PublishedSet(
        file="olivetti_faces.npz",
        shapes={"images": (400, 64, 64), "person": (400,)},
        home="`sklearn.datasets.fetch_olivetti_faces`",
        arrange=_arrange_faces,
        fetch=_fetch_faces,
    ),
    "facades": PublishedSet(
        file="facades64.npz",
        shapes={
            "photo_train": (400, 64, 64, 3),
            "labels_train": (400, 64, 64, 3),
            "photo_test": (100, 64, 64, 3),
            "labels_test": (100, 64, 64, 3),
        },
        home="https://cmp.felk.cvut.cz/~tylecr1/facade",
        arrange=_arrange_facades,
    ),
    "dna": _debd(
        "dna",
        180,
        {"train": 1_600, "valid": 400, "test": 1_186},
        {
            "train": "922e56f8c6c678f5f5cf3199ac80782855dc0121db2afcb247af12e0e29f2a0f",
            "valid": "4793c5edd798f7c884a969820f1a9c65888d2d0205200384fce23b9ff8f1568f",
            "test": "183aa2a8acb410c9d950e26030da5b30e3176da04b2ed2566c03565a5c3479a1",
        },
    ),
    "mushrooms": _debd(
        "mushrooms",
        112,
        {"train": 2_000, "valid": 500, "test": 5_624},
        {
            "train": "bdc96ef5b74d908aa8f0665aad1a060c95c29e3f0140e0c004f538785e7f37f4",
            "valid": "a02bb4bbe086e12738e27dca9436d43823ee5c6c6a2f684eb4eff51ebf924ecc",
            "test": "02d2b76d77c88d8f7e9c4e5b6be68e16d242c5e9db55b16bea81a953c3823d3c",
        },
    ),
    "nltcs": _debd(
        "nltcs",
        16,
        {"train": 16_181, "valid": 2_157, "test": 3_236},
        {
            "train": "73385b66808848c9fb7380fbe1581f56108da45a2c07c3d6fa4049d84e573243",
            "valid": "41bb0f2f25694dbc5f9d29a1a01df5a0832b7dfaf113fc52726c691130798391",
            "test": "72c1a049d0fa72c165ca12d830a7523f9e8365f25e4adb01f170c480dcded06a",
        },
    ),
}
