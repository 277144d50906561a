"""Arrays as users hold them, and rows read from where they are."""

import h5py
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_genmod.core.batches import Batch
from keras_genmod.data.arrays import as_array, is_on_disk, take_rows
from keras_genmod.data.pipeline import BatchStream


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


def memory_map(x, folder):
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


def hdf5(x, folder):
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("x", data=x)
    return h5py.File(folder / "x.h5")["x"]


def test_lists_frames_and_tensors_become_arrays(x):
    for form in (x.tolist(), list(x), tuple(x), pd.DataFrame(x), tf.constant(x), list(tf.constant(x))):
        array = as_array("x", form)
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array.astype("float32"), x)
    labels = pd.Series([1, 2, 3], index=[7, 8, 9])
    np.testing.assert_array_equal(as_array("y", labels), [1, 2, 3])
    assert as_array("x", x) is x and as_array("x", None) is None
    mixed = pd.DataFrame({"a": [True, False], "b": [0.5, 2.0]})
    np.testing.assert_array_equal(as_array("x", mixed), [[1.0, 0.5], [0.0, 2.0]])
    assert as_array("x", np.array(["1", 2], object)).dtype == object
    assert not np.ma.isMaskedArray(as_array("x", np.ma.masked_array([1.0])))


def test_what_is_no_array_is_refused():
    class Sparse:
        shape = (3, 3)

        def toarray(self):
            raise AssertionError

    with pytest.raises(TypeError, match=r"dense array.*Convert it with `x.toarray\(\)`"):
        as_array("x", Sparse())
    masked = np.ma.masked_array([[1.0], [2.0]], mask=[[False], [True]])
    with pytest.raises(ValueError, match=r"masked array with 1 masked entries. Fill them with `x.filled"):
        as_array("x", masked)
    with pytest.raises(ValueError, match="rows of one shape; received list of 2 entries"):
        as_array("x", [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("form", [memory_map, hdf5])
def test_rows_on_a_disk_come_in_the_order_of_arrays_in_memory(x, tmp_path, form):
    stored = as_array("x", form(x, tmp_path))
    assert is_on_disk(stored) and is_on_disk(stored[2:]) == isinstance(stored, np.ndarray)
    assert not is_on_disk(x) and not is_on_disk(x[2:])
    for rows in (slice(3, 9), np.array([5, 2, 2, 19, 0])):
        np.testing.assert_array_equal(take_rows(stored, rows), x[rows])
    streams = [BatchStream(Batch(data, np.arange(20)), 6, seed=3) for data in (x, stored)]
    for number in range(7):
        for ours, theirs in zip(*(stream.leaves(number) for stream in streams), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_stream_reads_no_row_before_it_is_asked_for_it(tmp_path):
    """So data may be larger than memory."""

    class Counting:
        shape, dtype, read = (1000, 2), np.dtype("float32"), 0

        def __getitem__(self, rows):
            self.read += len(rows)
            return np.stack([rows, rows], axis=1).astype("float32")

    rows = Counting()
    stream = BatchStream(Batch(rows), 10, seed=1)
    assert rows.read == 0
    first = stream.leaves(0)[0]
    assert rows.read == 10 and len(np.unique(first[:, 0])) == 10
