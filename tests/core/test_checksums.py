"""A file with a checksum is read as before, and no byte of it changes unnoticed."""

import zipfile

import h5py
import numpy as np
import pytest

from keras_genmod.core.checksums import DamagedFileError, add_checksum, check_archive, check_checksum


@pytest.fixture(params=["earliest", "latest"])
def path(request, tmp_path):
    """A small HDF5 file, in the oldest and the newest of its formats."""
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w", libver=request.param) as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = np.arange(12.0).reshape(3, 4)
        group["1"] = np.arange(1, 5, dtype="int64")
        group.attrs["name"] = "dense"
    return path


def noticed(path, data):
    path.write_bytes(data)
    try:
        check_checksum(path)
    except DamagedFileError:
        return True
    return False


def test_a_file_without_a_checksum_is_taken_as_it_is(path):
    check_checksum(path)
    path.write_bytes(b"not HDF5 at all")
    check_checksum(path)


def test_a_file_with_a_checksum_is_an_hdf5_file(path):
    add_checksum(path)
    check_checksum(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["layers/dense/vars/0"], np.arange(12.0).reshape(3, 4))
    assert path.read_bytes().splitlines()[-1].startswith(b"keras_genmod sha256 ")


def test_every_changed_byte_is_noticed(path):
    """A byte that another takes the place of, and blocks of zeros, in the checksum itself too."""
    add_checksum(path)
    whole = path.read_bytes()
    for at in [*range(0, len(whole), 61), *range(len(whole) - 90, len(whole), 7), len(whole) - 1]:
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        assert noticed(path, changed), at
    for at in [*range(0, len(whole), 300), len(whole) - 86, len(whole) - 1]:
        for length in (16, 300, len(whole)):
            zeroed = bytearray(whole)
            zeroed[at : at + length] = bytes(len(zeroed[at : at + length]))
            # Without its signature it is no HDF5 file, and nobody reads it as one.
            assert zeroed == whole or noticed(path, zeroed) or not zeroed.startswith(whole[:8]), at
    assert not noticed(path, whole)


def test_a_file_that_ends_too_early_is_noticed(path):
    plain = path.read_bytes()
    add_checksum(path)
    whole = path.read_bytes()
    for length in range(64, len(whole), 101):
        # Cut where the checksum begins, it is the whole file without its checksum.
        assert noticed(path, whole[:length]) or whole[:length] == plain, length


def test_the_error_names_the_file_and_says_what_to_do(path):
    add_checksum(path)
    data = path.read_bytes()
    path.write_bytes(data[:-5] + b"00000")
    with pytest.raises(DamagedFileError, match=r"model\.weights\.h5' is damaged.*Copy it again"):
        check_checksum(path)


def test_a_part_of_an_archive_that_nobody_read_to_its_end(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", np.arange(1000).tobytes())
        archive.writestr("config.json", "{}")
    with zipfile.ZipFile(path) as archive:
        check_archive(archive)
    data = bytearray(path.read_bytes())
    data[4000] ^= 1
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive, pytest.raises(DamagedFileError, match=r"model\.keras' is damaged"):
        check_archive(archive)
