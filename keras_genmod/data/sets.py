"""Loads by name the data sets on which published results of generative models are reported.

`load` looks for a data set in the folder named by the environment variable `KERAS_GENMOD_DATA`, then in
Keras' cache (`~/.keras/datasets`, or `datasets` in the folder named by `KERAS_HOME`). Otherwise it downloads
the data from their public home into that cache, and checks their SHA-256.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_genmod.core.checks import check_choice
from keras_genmod.core.files import is_remote, replacing_file, working_directory
from keras_genmod.data.published_sets import PUBLISHED_SETS, Arrays, DownloadError, digits

__all__ = ["load"]


def load(name: str) -> Arrays:
    """Loads a data set as a dictionary of NumPy arrays.

    Keys are `train`, `valid` and `test`, and `train_labels`, ... if rows have labels. Values are uint8
    `[N, *event]` as published, not rescaled; class labels are int32 `[N]`. Images have a channel axis.

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

    * `digits`: handwritten digits that come with scikit-learn, in its order, which groups them by writer.
      The split is ours. Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI), 1998.
    * `mnist`: the validation set is, as customary, the last 10,000 rows of the published training set.
      Source: LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document
      Recognition", 1998.
    * `binarized_mnist`: the fixed binarisation of published density tables. Sources: Salakhutdinov and
      Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008; Larochelle and Murray, "The
      Neural Autoregressive Distribution Estimator", 2011.
    * `olivetti_faces`: ten photographs of each of 40 people: eight for training, the ninth for validation,
      the tenth for testing. The split is ours. Source: AT&T Laboratories Cambridge, 1992 to 1994; Samaria and
      Harter, "Parameterisation of a Stochastic Model for Human Face Identification", 1994.
    * `facades`: photographs, reduced to 64x64; the labels are maps of the facades' parts. The split is that
      of Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017. Source:
      Tylecek and Sara, "Spatial Pattern Templates for Recognition of Objects with Regular Structure", 2013.
    * `dna`, `mushrooms`, `nltcs`: density estimation benchmarks. Sources: Larochelle, Bengio and Turian,
      "Tractable Multivariate Binary Density Estimation and the Restricted Boltzmann Forest", 2010 (the
      first two use UCI data); Lowd and Davis, "Learning Markov Network Structure with Decision Trees",
      2010.

    Args:
        name: A name from the table.

    Returns:
        A dictionary of new arrays.

    Raises:
        ValueError: If the name is unknown, a file is damaged or has other content, a download has another
            checksum, or its folder cannot be written to.
        FileNotFoundError: If the data set is in none of the folders and cannot be downloaded. The message
            says which file to put where.
        ImportError: If the data set needs scikit-learn and it is not installed.

    Example:
        >>> digits = load("digits")
        >>> digits["train"].shape, int(digits["train"].max()), digits["train_labels"][:4]
        ((1297, 8, 8, 1), 16, array([0, 1, 2, 3], dtype=int32))
    """
    check_choice("name", name, ["digits", *PUBLISHED_SETS])
    if name == "digits":
        return digits()
    entry = PUBLISHED_SETS[name]
    for folder in _folders():
        if (folder / entry.file).is_file():
            return entry.arrange(_read(folder / entry.file, name))
    target = _folders()[-1] / entry.file
    if entry.fetch is None:
        raise FileNotFoundError(_not_found(name, "It has no download in this form."))
    # A download is checked before it is moved to its target. If the check fails, the working folder is
    # removed with it.
    with replacing_file(target) as temporary, working_directory(target) as folder:
        try:
            downloaded = entry.fetch(folder)
        except DownloadError as error:
            raise FileNotFoundError(_not_found(name, str(error))) from error
        arrays = _read(downloaded, name)
        os.replace(downloaded, temporary)
    return entry.arrange(arrays)


def _folders() -> list[Path]:
    """The folders to search, in order. Downloads go to the last one."""
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
    entry = PUBLISHED_SETS[name]
    places = " or ".join(str(folder / entry.file) for folder in _folders())
    return (
        f"The data set `{name}` must be in the file {places}; found no such file. {reason} Get the data "
        f"from {entry.home} and put them there as {_description(name)}. The environment variable "
        "KERAS_GENMOD_DATA names a folder of your own to search first."
    )


def _description(name: str) -> str:
    shapes = PUBLISHED_SETS[name].shapes
    return "an `.npz` file of uint8 arrays " + ", ".join(f"`{key}` {shape}" for key, shape in shapes.items())


def _read(path: Path, name: str) -> Arrays:
    """The arrays of a file, checked to have the expected names, shapes and dtype."""
    problem = ""
    arrays = {}
    # A truncated file lacks the directory at the end of the zip archive.
    if not zipfile.is_zipfile(path):
        problem = "a damaged file, or a file of another format"
    else:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in PUBLISHED_SETS[name].shapes if key in file}
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            problem = f"a damaged file ({error})"
    for key, shape in PUBLISHED_SETS[name].shapes.items():
        if not problem and key not in arrays:
            problem = f"no array `{key}`"
        elif not problem and (arrays[key].shape, arrays[key].dtype) != (shape, np.uint8):
            problem = f"`{key}` {arrays[key].shape} of dtype {arrays[key].dtype}"
    if problem:
        raise ValueError(
            f"{path} must be {_description(name)}; received {problem}. Delete the file and load "
            f"`{name}` again, or create it again from {PUBLISHED_SETS[name].home}."
        )
    return arrays
