"""Named data sets: what they give, where they are looked for, and what is said when they are not there."""

import hashlib
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from keras.utils import get_file

from keras_genmod.data import load, published_sets

BINARY = {
    "binarized_mnist": ((28, 28, 1), (50_000, 10_000, 10_000)),
    "dna": ((180,), (1_600, 400, 1_186)),
    "mushrooms": ((112,), (2_000, 500, 5_624)),
    "nltcs": ((16,), (16_181, 2_157, 3_236)),
}
SPLITS = ("train", "valid", "test")


def file_arrays(name):
    """Arrays as in the file of a set, each value telling where it stands."""
    return {
        key: np.random.default_rng(i).integers(0, 256, shape, np.uint8)
        for i, (key, shape) in enumerate(published_sets.PUBLISHED_SETS[name].shapes.items())
    }


def write(folder, name, arrays):
    path = folder / published_sets.PUBLISHED_SETS[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A data folder, and a Keras cache away from the user's; nothing comes from the network."""
    own, cache = tmp_path / "own", tmp_path / "keras" / "datasets"
    monkeypatch.setenv("KERAS_GENMOD_DATA", str(own))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    def refuse(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("keras.utils.get_file", refuse)
    monkeypatch.setattr("sklearn.datasets.fetch_olivetti_faces", refuse)
    return own, cache


@pytest.fixture
def local_downloads(folders, monkeypatch):
    """Lets Keras download again; the tests give it addresses of local files."""
    monkeypatch.setattr("keras.utils.get_file", get_file)
    return folders[1]


def test_digits_are_scikit_learns_in_their_order():
    from sklearn.datasets import load_digits

    digits = load("digits")
    assert [len(digits[split]) for split in SPLITS] == [1297, 200, 300]
    rows = np.concatenate([digits["train"], digits["valid"], digits["test"]])
    labels = np.concatenate([digits["train_labels"], digits["valid_labels"], digits["test_labels"]])
    np.testing.assert_array_equal(rows[..., 0], load_digits().images)
    np.testing.assert_array_equal(labels, load_digits().target)
    assert (rows.dtype, labels.dtype) == (np.uint8, np.int32)


def test_mnist_validates_on_the_last_rows_of_train(folders):
    file = file_arrays("mnist")
    write(folders[0], "mnist", file)
    mnist = load("mnist")
    np.testing.assert_array_equal(mnist["train"], file["x_train"][:50_000, ..., None])
    np.testing.assert_array_equal(mnist["valid"], file["x_train"][50_000:, ..., None])
    np.testing.assert_array_equal(mnist["test"], file["x_test"][..., None])
    np.testing.assert_array_equal(mnist["train_labels"], file["y_train"][:50_000])
    np.testing.assert_array_equal(mnist["valid_labels"], file["y_train"][50_000:])
    np.testing.assert_array_equal(mnist["test_labels"], file["y_test"])
    assert mnist["test_labels"].dtype == np.int32


def test_faces_are_split_within_each_person(folders):
    file = file_arrays("olivetti_faces") | {"person": np.repeat(np.arange(40, dtype=np.uint8), 10)}
    write(folders[0], "olivetti_faces", file)
    faces = load("olivetti_faces")
    np.testing.assert_array_equal(faces["train_labels"], np.repeat(np.arange(40), 8))
    np.testing.assert_array_equal(faces["test_labels"], np.arange(40))
    np.testing.assert_array_equal(faces["train"][8:16, ..., 0], file["images"][10:18])
    np.testing.assert_array_equal(faces["valid"][1, ..., 0], file["images"][18])
    np.testing.assert_array_equal(faces["test"][1, ..., 0], file["images"][19])


def test_facades_pair_photographs_with_label_maps(folders):
    file = file_arrays("facades")
    write(folders[0], "facades", file)
    facades = load("facades")
    names = {"train": "photo_train", "train_labels": "labels_train"}
    names |= {"test": "photo_test", "test_labels": "labels_test"}
    assert facades.keys() == names.keys()
    for key, name in names.items():
        np.testing.assert_array_equal(facades[key], file[name])


@pytest.mark.parametrize("name", BINARY)
def test_binary_sets_unpack_their_bits(name, folders):
    event_shape, counts = BINARY[name]
    dim = int(np.prod(event_shape))
    rng = np.random.default_rng(0)
    sizes = zip(SPLITS, counts, strict=True)
    bits = {split: rng.integers(0, 2, (count, dim), np.uint8) for split, count in sizes}
    write(folders[0], name, {split: np.packbits(values, axis=1) for split, values in bits.items()})
    data = load(name)
    assert data.keys() == bits.keys()
    for split, values in bits.items():
        assert data[split].dtype == np.uint8
        np.testing.assert_array_equal(data[split], values.reshape(-1, *event_shape))


def test_own_folder_comes_before_the_cache(folders, monkeypatch):
    own, cache = folders
    first, second = file_arrays("nltcs"), file_arrays("nltcs")
    second["train"] = 255 - second["train"]
    write(own, "nltcs", first)
    write(cache, "nltcs", second)
    from_own = load("nltcs")["train"]
    np.testing.assert_array_equal(np.packbits(from_own, axis=1), first["train"])
    monkeypatch.delenv("KERAS_GENMOD_DATA")
    np.testing.assert_array_equal(load("nltcs")["train"], 1 - from_own)


def test_unknown_name_is_answered_with_all_names():
    with pytest.raises(ValueError, match="'digits', 'mnist', .*received 'cifar'"):
        load("cifar")


@pytest.mark.parametrize("name", published_sets.PUBLISHED_SETS)
def test_a_missing_set_says_which_file_belongs_where(name, folders):
    with pytest.raises(FileNotFoundError) as caught:
        load(name)
    for folder in folders:
        assert str(folder / published_sets.PUBLISHED_SETS[name].file) in str(caught.value)
    assert published_sets.PUBLISHED_SETS[name].home in str(caught.value)
    assert not [path for folder in folders for path in folder.rglob("*") if path.is_file()]


FAULTS = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "bytes changed": lambda path: path.write_bytes(
        path.read_bytes()[:5000] + bytes(2000) + path.read_bytes()[7000:]
    ),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not found"),
    "other shape": lambda path: np.savez(
        path, images=np.zeros((9, 64, 64), np.uint8), person=np.zeros(400, np.uint8)
    ),
    "other type": lambda path: np.savez(path, images=np.zeros((400, 64, 64)), person=np.zeros(400, np.uint8)),
    "array missing": lambda path: np.savez(path, images=np.zeros((400, 64, 64), np.uint8)),
    "pickled objects": lambda path: np.savez(path, images=np.array([{}]), person=np.array([{}])),
}


@pytest.mark.parametrize("damage", FAULTS.values(), ids=FAULTS)
def test_a_damaged_file_is_named(damage, folders):
    path = write(folders[0], "olivetti_faces", file_arrays("olivetti_faces"))
    damage(path)
    with pytest.raises(ValueError, match="must be an `.npz` file .* received .* Delete the file") as caught:
        load("olivetti_faces")
    assert str(caught.value).startswith(str(path))


def test_mnist_is_downloaded_once_and_kept_where_keras_looks(local_downloads, tmp_path, monkeypatch):
    source = tmp_path / "mnist.npz"
    np.savez_compressed(source, **{key: 0 * value for key, value in file_arrays("mnist").items()})
    monkeypatch.setattr(published_sets, "_KERAS_MNIST", source.as_uri())
    monkeypatch.setattr(
        published_sets, "_KERAS_MNIST_SHA256", hashlib.sha256(source.read_bytes()).hexdigest()
    )
    assert load("mnist")["train"].shape == (50_000, 28, 28, 1)
    assert [path.name for path in local_downloads.iterdir()] == ["mnist.npz"]
    source.unlink()
    assert load("mnist")["test"].shape == (10_000, 28, 28, 1)


def test_a_download_with_another_checksum_is_removed(local_downloads, tmp_path, monkeypatch):
    source = tmp_path / "mnist.npz"
    np.savez_compressed(source, **{key: 0 * value for key, value in file_arrays("mnist").items()})
    monkeypatch.setattr(published_sets, "_KERAS_MNIST", source.as_uri())
    with pytest.raises(ValueError, match="mnist.npz must have the SHA-256 731c.*; received"):
        load("mnist")
    assert not list(local_downloads.rglob("*"))


ROWS = {"train": "0 1 1\n1 0 0\n", "valid": "1,1,1\n", "test": "0,0,1\r\n1,1,0"}
VALUES = {"train": [[0, 1, 1], [1, 0, 0]], "valid": [[1, 1, 1]], "test": [[0, 0, 1], [1, 1, 0]]}


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    """A binary set of five rows, whose public home is a folder of text files."""
    for split, text in ROWS.items():
        (tmp_path / f"small.{split}.data").write_text(text, newline="")
    sha256 = {
        split: hashlib.sha256(np.array(values, np.uint8)).hexdigest() for split, values in VALUES.items()
    }
    url = (tmp_path / "small.SPLIT.data").as_uri().replace("SPLIT", "{split}")
    counts = {split: len(values) for split, values in VALUES.items()}
    entry = published_sets._binary_set("folder/small.npz", (3,), counts, "its home", url, sha256)
    monkeypatch.setitem(published_sets.PUBLISHED_SETS, "small", entry)
    return tmp_path


def test_text_files_are_converted_whatever_separates_their_values(small_set, local_downloads):
    for _ in ("downloaded", "kept"):
        data = load("small")
        assert {split: values.tolist() for split, values in data.items()} == VALUES
        assert [path.name for path in (local_downloads / "folder").iterdir()] == ["small.npz"]
        for split in ROWS:
            (small_set / f"small.{split}.data").unlink(missing_ok=True)


@pytest.mark.parametrize("text", ["0 1 1\n1 0", "0 1 1\n1 0 1\n", "<html></html>"])
def test_text_with_other_values_is_refused_and_removed(text, small_set, local_downloads):
    (small_set / "small.train.data").write_text(text)
    with pytest.raises(ValueError, match="small.train.data must have the SHA-256"):
        load("small")
    assert not [path for path in local_downloads.rglob("*") if path.is_file()]


def test_faces_come_through_scikit_learn(local_downloads, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 243, (400, 64, 64))
    faces = SimpleNamespace(images=np.float32(pixels) / np.float32(242), target=np.repeat(np.arange(40), 10))
    monkeypatch.setattr("sklearn.datasets.fetch_olivetti_faces", lambda data_home: faces)
    data = load("olivetti_faces")
    np.testing.assert_array_equal(data["test"][..., 0], pixels[9::10])
    np.testing.assert_array_equal(data["valid_labels"], np.arange(40))
    assert [path.name for path in local_downloads.iterdir()] == ["olivetti_faces.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "olivetti_faces", "facades"])
def test_real_pictures_of_two_splits_differ(name, data_folder):
    data = load(name)
    assert data["train"].max() > 200
    assert len(data["train"]) == len(data["train_labels"])
    seen = {picture.tobytes() for picture in data["train"]}
    assert not seen & {picture.tobytes() for picture in data["test"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", BINARY)
def test_real_bits_have_the_checksums_of_the_download(name, data_folder, monkeypatch):
    data = load(name)

    def serve(url, folder):
        (split,) = (split for split in SPLITS if split in url.rpartition("/")[2])
        (folder / split).write_bytes((data[split] + ord("0")).tobytes())
        return folder / split

    monkeypatch.setattr(published_sets, "_download", serve)
    monkeypatch.delenv("KERAS_GENMOD_DATA")
    for split, values in load(name).items():
        np.testing.assert_array_equal(values, data[split])


@pytest.mark.parametrize("variable", ["KERAS_GENMOD_DATA", "KERAS_HOME"])
def test_folders_of_data_are_local(variable, monkeypatch, tmp_path):
    """A path with a scheme would name a local folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "ram://data")
    with pytest.raises(ValueError, match=f"{variable} must name a local folder.*'ram://data'"):
        load("mnist")
    assert list(tmp_path.iterdir()) == []
