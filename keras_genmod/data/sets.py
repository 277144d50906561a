"""The data sets that published figures of generative models refer to, by name.

`load` finds a set in the folder named by the environment variable `KERAS_GENMOD_DATA`, then in Keras'
cache (`~/.keras/datasets`, or `datasets` in the folder named by `KERAS_HOME`), and else downloads it from
its public home into that cache. What a download brings must have the SHA-256 recorded here.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_genmod.core.checks import check_choice
from keras_genmod.core.files import is_remote, replacing_file, working_directory
from keras_genmod.core.optional import optional_module

__all__ = ["load"]

Arrays = dict[str, np.ndarray]

# The file of `keras.datasets.mnist`, whose place in the cache this shares.
_KERAS_MNIST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_KERAS_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
# The commit of the density estimation benchmarks that papers use.
_DEBD = "https://raw.githubusercontent.com/arranger1044/DEBD/80a4906dcf3b3463370f904efa42c21e8295e85c"


def load(name: str) -> Arrays:
    """Loads a data set as a dictionary of NumPy arrays.

    Keys are `train`, `valid` and `test`, and `train_labels`, ... where rows have labels. Values are uint8
    `[N, *event]` as published, unscaled; class labels are int32 `[N]`. Images carry a channel axis.

    | name | event | values | train / valid / test | labels |
    |---|---|---|---|---|
    | `digits` | (8, 8, 1) | 0..16 | 1,297 / 200 / 300 | digit |
    | `mnist` | (28, 28, 1) | 0..255 | 50,000 / 10,000 / 10,000 | digit |
    | `binarized_mnist` | (28, 28, 1) | 0, 1 | 50,000 / 10,000 / 10,000 | none |
    | `olivetti_faces` | (64, 64, 1) | 0..242 | 320 / 40 / 40 | person, 0..39 |
    | `facades` | (64, 64, 3) | 0..255 | 400 / none / 100 | label map, uint8 (64, 64, 3) |
    | `dna` | (180,) | 0, 1 | 1,600 / 400 / 1,186 | none |
    | `mushrooms` | (112,) | 0, 1 | 2,000 / 500 / 5,624 | none |
    | `nltcs` | (16,) | 0, 1 | 16,181 / 2,157 / 3,236 | none |

    * `digits`: handwritten digits inside scikit-learn, in its order, which groups by writer. The split
      is ours. Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI), 1998.
    * `mnist`: the validation set is the customary last 10,000 rows of the published training set.
      Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
      Recognition", 1998.
    * `binarized_mnist`: the fixed binarisation of published density tables. Sources: Salakhutdinov and
      Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008; Larochelle and Murray, "The
      Neural Autoregressive Distribution Estimator", 2011.
    * `olivetti_faces`: ten pictures of each of 40 people; eight train, the ninth validates, the tenth
      tests. The split is ours. Source: AT&T Laboratories Cambridge, 1992 to 1994; Samaria and Harter,
      "Parameterisation of a Stochastic Model for Human Face Identification", 1994.
    * `facades`: photographs, with label maps of their parts as labels, reduced to 64x64, in the split of
      Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017. Source:
      Tylecek and Sara, "Spatial Pattern Templates for Recognition of Objects with Regular Structure", 2013.
    * `dna`, `mushrooms`, `nltcs`: density estimation benchmarks. Sources: Larochelle, Bengio and Turian,
      "Tractable Multivariate Binary Density Estimation and the Restricted Boltzmann Forest", 2010 (the
      first two use UCI data); Lowd and Davis, "Learning Markov Network Structure with Decision Trees",
      2010.

    Args:
        name: a name from the table.

    Returns:
        A dictionary of new arrays.

    Raises:
        ValueError: The name is unknown; a file is damaged or holds something else; a download has
            another checksum, or its place cannot be written to.
        FileNotFoundError: The set is in none of the folders and cannot be downloaded. The message says
            which file belongs where.
        ImportError: scikit-learn is needed and not installed.

    Example:
        >>> digits = load("digits")
        >>> digits["train"].shape, int(digits["train"].max()), digits["train_labels"][:4]
        ((1297, 8, 8, 1), 16, array([0, 1, 2, 3], dtype=int32))
    """
    check_choice("name", name, ["digits", *_SETS])
    if name == "digits":
        return _digits()
    entry = _SETS[name]
    for folder in _folders():
        if (folder / entry.file).is_file():
            return entry.arrange(_read(folder / entry.file, name))
    target = _folders()[-1] / entry.file
    if entry.fetch is None:
        raise FileNotFoundError(_not_found(name, "It has no download in this form."))
    # What arrives is checked before it gets its place; what fails the check vanishes with the folder.
    with replacing_file(target) as temporary, working_directory(target) as folder:
        try:
            downloaded = entry.fetch(folder)
        except _DownloadError as error:
            raise FileNotFoundError(_not_found(name, str(error))) from error
        arrays = _read(downloaded, name)
        os.replace(downloaded, temporary)
    return entry.arrange(arrays)


@dataclass(frozen=True)
class _Set:
    """A data set in one `.npz` file.

    Args:
        file: path of the file inside a data folder.
        shapes: the uint8 arrays of the file.
        home: where its owners publish it, for people.
        arrange: makes what `load` returns from the arrays of the file.
        fetch: downloads the file into an empty folder and returns its path.
    """

    file: str
    shapes: dict[str, tuple[int, ...]]
    home: str
    arrange: Callable[[Arrays], Arrays]
    fetch: Callable[[Path], Path] | None = None


class _DownloadError(Exception):
    """A public home could not be reached."""


def _folders() -> list[Path]:
    """Folders to search, in order; downloads go to the last."""
    own, home = (os.environ.get(variable) for variable in ("KERAS_GENMOD_DATA", "KERAS_HOME"))
    for variable, folder in {"KERAS_GENMOD_DATA": own, "KERAS_HOME": home}.items():
        if folder and is_remote(folder):
            raise ValueError(
                f"The environment variable {variable} must name a local folder; received {folder!r}. "
                "Copy the data to a local folder first."
            )
    cache = Path(home or "~/.keras").expanduser() / "datasets"
    return [Path(own).expanduser(), cache] if own else [cache]


def _not_found(name: str, reason: str) -> str:
    entry = _SETS[name]
    places = " or ".join(str(folder / entry.file) for folder in _folders())
    return (
        f"The data set `{name}` must be the file {places}; received no such file. {reason} Get the data "
        f"from {entry.home} and put them there as {_description(name)}. The environment variable "
        "KERAS_GENMOD_DATA names a folder of your own to look in first."
    )


def _description(name: str) -> str:
    shapes = _SETS[name].shapes
    return "an `.npz` file of uint8 arrays " + ", ".join(f"`{key}` {shape}" for key, shape in shapes.items())


def _read(path: Path, name: str) -> Arrays:
    """The arrays of a file, after a check that they are the expected ones."""
    problem = ""
    arrays = {}
    # A file that was cut short has lost the directory at the end of the zip archive.
    if not zipfile.is_zipfile(path):
        problem = "a damaged file, or one of another format"
    else:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in _SETS[name].shapes if key in file}
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            problem = f"a damaged file ({error})"
    for key, shape in _SETS[name].shapes.items():
        if not problem and key not in arrays:
            problem = f"no array `{key}`"
        elif not problem and (arrays[key].shape, arrays[key].dtype) != (shape, np.uint8):
            problem = f"`{key}` {arrays[key].shape} of dtype {arrays[key].dtype}"
    if problem:
        raise ValueError(
            f"{path} must be {_description(name)}; received {problem}. Delete the file and load "
            f"`{name}` again, or make it anew from {_SETS[name].home}."
        )
    return arrays


def _download(url: str, folder: Path) -> Path:
    """Downloads one file; Keras shows the progress."""
    try:
        return Path(keras.utils.get_file(origin=url, cache_dir=str(folder), cache_subdir=""))
    except Exception as error:  # Keras raises plain `Exception` for whatever hinders a download.
        raise _DownloadError(f"The download failed: {error}.") from error


def _check_sha256(what: str, data: bytes | np.ndarray, expected: str) -> None:
    received = hashlib.sha256(data).hexdigest()
    if received != expected:
        raise ValueError(
            f"{what} must have the SHA-256 {expected}; received {received}. The download was damaged, or "
            "its home changed the file; it was removed. Try again, or get the file from elsewhere."
        )


# --- digits ---


def _digits() -> Arrays:
    digits = optional_module("sklearn.datasets", what="This data set").load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    rows = {"train": slice(0, 1297), "valid": slice(1297, 1497), "test": slice(1497, None)}
    return _split(images, digits.target, rows)


def _split(images: np.ndarray, labels: np.ndarray, rows: dict[str, slice]) -> Arrays:
    """Copies of the named rows of images and labels."""
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


# --- binary sets: text in their public homes, packed bits in our files ---


def _binary_set(
    file: str, event_shape: tuple[int, ...], rows: dict[str, int], home: str, url: str, sha256: dict[str, str]
) -> _Set:
    """A set of binary rows.

    Args:
        file: as in `_Set`.
        event_shape: shape of a row.
        rows: number of rows of each split.
        home: as in `_Set`.
        url: address of a split's text file, with `{split}` in the split's place.
        sha256: of each split's values, one byte each. It does not depend on how the text separates them.
    """
    dim = int(np.prod(event_shape))

    def arrange(packed: Arrays) -> Arrays:
        bits = {split: np.unpackbits(packed[split], axis=1, count=dim) for split in rows}
        return {split: values.reshape(-1, *event_shape) for split, values in bits.items()}

    def fetch(folder: Path) -> Path:
        packed = {}
        for split in rows:
            values = _parse_bits(_download(url.format(split=split), folder).read_bytes())
            _check_sha256(url.format(split=split), values, sha256[split])
            packed[split] = np.packbits(values.reshape(rows[split], dim), axis=1)
        path = folder / Path(file).name
        np.savez_compressed(path, **packed)
        return path

    shapes = {split: (count, -(-dim // 8)) for split, count in rows.items()}
    return _Set(file, shapes, home, arrange, fetch)


def _parse_bits(text: bytes) -> np.ndarray:
    """The values 0 and 1 of a text, whatever stands between them: uint8 `[number of values]`."""
    characters = np.frombuffer(text, np.uint8)
    return characters[(characters == ord("0")) | (characters == ord("1"))] - ord("0")


def _debd(name: str, dim: int, rows: dict[str, int], sha256: dict[str, str]) -> _Set:
    """One of the density estimation benchmarks."""
    url = f"{_DEBD}/datasets/{name}/{name}.{{split}}.data"
    return _binary_set(f"debd/{name}.npz", (dim,), rows, "https://github.com/arranger1044/DEBD", url, sha256)


# --- olivetti_faces ---


def _arrange_faces(file: Arrays) -> Arrays:
    images = file["images"].reshape(40, 10, 64, 64, 1)
    labels = file["person"].reshape(40, 10)
    pictures = {"train": slice(0, 8), "valid": slice(8, 9), "test": slice(9, 10)}
    parts = {}
    for split, chosen in pictures.items():
        parts[split] = images[:, chosen].reshape(-1, 64, 64, 1).copy()
        parts[f"{split}_labels"] = labels[:, chosen].reshape(-1).astype(np.int32)
    return parts


def _fetch_faces(folder: Path) -> Path:
    fetch_olivetti_faces = optional_module("sklearn.datasets", what="This data set").fetch_olivetti_faces
    try:
        faces = fetch_olivetti_faces(data_home=str(folder))
    except OSError as error:
        raise _DownloadError(f"The download failed: {error}.") from error
    # scikit-learn checks the file and divides its values, whole numbers 0..242, by their maximum.
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


_SETS = {
    "mnist": _Set(
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
    "olivetti_faces": _Set(
        file="olivetti_faces.npz",
        shapes={"images": (400, 64, 64), "person": (400,)},
        home="`sklearn.datasets.fetch_olivetti_faces`",
        arrange=_arrange_faces,
        fetch=_fetch_faces,
    ),
    "facades": _Set(
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
