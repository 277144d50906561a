"""Paths with a scheme are written and read as local ones; TensorFlow's file system in memory is a bucket."""

import os
import re

import pytest
import tensorflow as tf

from keras_genmod.core import hidden_names, remote_files
from keras_genmod.core.files import (
    UnwritablePathError,
    check_path,
    reading,
    replacing_directory,
    replacing_file,
)

gfile = tf.io.gfile


@pytest.fixture
def bucket(tmp_path):
    return f"ram://{tmp_path.name}"


def read(path):
    with gfile.GFile(path, "rb") as file:
        return file.read()


def write(path, data):
    gfile.makedirs(os.path.dirname(path))
    with gfile.GFile(path, "wb") as file:
        file.write(data)


def test_a_file_appears_only_when_complete(bucket):
    path = f"{bucket}/run/vae-0.5.weights.h5"
    write(path, b"old")
    with replacing_file(path) as temporary:
        assert temporary.name.endswith(".weights.h5") and temporary.is_absolute()
        temporary.write_bytes(b"new content")
        assert read(path) == b"old"
    assert read(path) == b"new content"
    assert gfile.listdir(f"{bucket}/run") == ["vae-0.5.weights.h5"]
    assert not temporary.parent.exists()


def test_a_failed_file_leaves_the_old_one(bucket):
    write(f"{bucket}/vae.keras", b"old")
    with pytest.raises(KeyboardInterrupt), replacing_file(f"{bucket}/vae.keras") as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert read(f"{bucket}/vae.keras") == b"old"
    assert gfile.listdir(bucket) == ["vae.keras"]


def test_what_dead_writers_left_is_cleared(bucket):
    """A number of a process that cannot be stands for one that has ended."""
    dead = f".tmp-{hidden_names.this_machine()}-{2**31 - 1}-0.gan.keras"
    living = f".tmp-{hidden_names.this_machine()}-{os.getppid()}-0.gan.keras"
    for name in (dead, living):
        write(f"{bucket}/{name}", b"half")
    with replacing_file(f"{bucket}/vae.keras") as temporary:
        temporary.write_bytes(b"new")
    assert sorted(gfile.listdir(bucket)) == [living, "vae.keras"]


def test_a_folder_arrives_with_its_last_file_last(bucket, monkeypatch):
    order, copy = [], remote_files._copy

    def watched(source, target):
        order.append(target.removeprefix(f"{bucket}/vae/1/"))
        copy(source, target)

    monkeypatch.setattr(remote_files, "_copy", watched)
    with replacing_directory(f"{bucket}/vae/1", last="saved_model.pb") as temporary:
        (temporary / "variables" / "deep").mkdir(parents=True)
        (temporary / "saved_model.pb").write_bytes(b"graph")
        (temporary / "variables" / "deep" / "data").write_bytes(b"weights")
        (temporary / "zz").write_bytes(b"")
        assert not gfile.exists(f"{bucket}/vae/1")
    assert order == ["variables/deep/data", "zz", "saved_model.pb"]
    assert read(f"{bucket}/vae/1/variables/deep/data") == b"weights"
    assert gfile.listdir(f"{bucket}/vae") == ["1"]
    with reading(f"{bucket}/vae/1/") as copy_of:
        assert copy_of.name == "1"
        assert (copy_of / "variables" / "deep" / "data").read_bytes() == b"weights"
        assert (copy_of / "saved_model.pb").read_bytes() == b"graph"
    assert not copy_of.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_never_replaced(bucket, overwrite):
    write(f"{bucket}/1/saved_model.pb", b"old")
    with pytest.raises(UnwritablePathError, match="next version"):
        with replacing_directory(f"{bucket}/1", overwrite=overwrite):
            pytest.fail("The body must not run.")
    assert read(f"{bucket}/1/saved_model.pb") == b"old"


def test_a_failed_folder_leaves_nothing(bucket):
    with pytest.raises(RuntimeError), replacing_directory(f"{bucket}/vae/1") as temporary:
        (temporary / "weights").touch()
        raise RuntimeError
    assert gfile.listdir(f"{bucket}/vae") == []


def test_what_is_directly_below_the_scheme_goes_into_no_local_folder(bucket, tmp_path, monkeypatch):
    """`os.path.split` makes the local folder "ram:" of it."""
    monkeypatch.chdir(tmp_path)
    with replacing_file(f"{bucket}.keras") as temporary:
        temporary.write_bytes(b"new")
    assert read(f"{bucket}.keras") == b"new"
    with replacing_directory(f"{bucket}-1") as temporary:
        (temporary / "saved_model.pb").write_bytes(b"graph")
    assert read(f"{bucket}-1/saved_model.pb") == b"graph"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_reached_is_an_error_of_both_kinds(bucket):
    write(f"{bucket}/file", b"")
    for path in ("nowhere://bucket/vae.keras", bucket):
        with pytest.raises(ValueError, match="`path` must"), replacing_file(path):
            pytest.fail("The body must not run.")
    with pytest.raises(OSError, match="nowhere.*not implemented"), replacing_file("nowhere://bucket/a.keras"):
        pytest.fail("The body must not run.")
    write(f"{bucket}/folder/file", b"")
    with pytest.raises(UnwritablePathError, match="must be a file"), replacing_file(f"{bucket}/folder"):
        pytest.fail("The body must not run.")
    with pytest.raises(FileNotFoundError, match=re.escape(f"{bucket}/none")), reading(f"{bucket}/none"):
        pytest.fail("The body must not run.")
    with pytest.raises(OSError, match="not implemented"), reading("nowhere://bucket/a.keras"):
        pytest.fail("The body must not run.")


def test_what_pathlib_makes_of_a_remote_path_is_refused(tmp_path):
    """It would be a local folder named `gs:`."""
    for path in ("gs:/bucket/vae.keras", "ram:/b"):
        with pytest.raises(ValueError, match=f"Pass '{path.replace(':/', '://')}'"):
            check_path(path)
    for path in ("gs://bucket/vae.keras", "C:/folder/vae.keras", str(tmp_path), "a:b/c", "file:///a"):
        assert check_path(path) == path
