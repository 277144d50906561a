"""Pipelines: every pass is a permutation, a function of (seed, pass), that can be entered anywhere."""

import gc
import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.core.batches import Batch, unpack
from keras_genmod.data import pipeline
from keras_genmod.data.pipeline import BatchStream, feeding, num_rows


def rows_of(dataset, count):
    """The first column of `x` in the first `count` batches, one array a batch."""
    return [unpack(batch).x.numpy().ravel() for batch in itertools.islice(dataset, count)]


def endless(batch, batch_size, *, seed=0, shuffle=True, first_step=None):
    """The batches of arrays, pass after pass, as TensorFlow hands them to a step."""
    stream = BatchStream(batch, batch_size, seed=seed if shuffle else None)
    with feeding(stream, first_step=first_step, num_batches=10**9) as dataset:
        yield from dataset


def one_pass(batch, batch_size):
    """The batches of one pass over the rows in their order."""
    with feeding(BatchStream(batch, batch_size)) as dataset:
        yield from dataset


def numbers(length):
    return Batch(np.arange(length))


def passes(length, batch_size, seed, count):
    steps = -(-length // batch_size)
    batches = rows_of(endless(numbers(length), batch_size, seed=seed), count * steps)
    return [np.concatenate(batches[i * steps : (i + 1) * steps]) for i in range(count)]


@pytest.mark.parametrize(("length", "batch_size"), [(12, 4), (13, 4), (3, 8), (1, 1), (50, 7)])
def test_every_pass_gives_every_row_once(length, batch_size):
    for order in passes(length, batch_size, seed=1, count=3):
        np.testing.assert_array_equal(np.sort(order), np.arange(length))


def test_last_batch_of_a_pass_is_smaller():
    batches = rows_of(endless(numbers(10), 4, seed=0), 6)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 2


def test_order_is_a_function_of_seed_and_pass():
    first, second, third = passes(100, 16, seed=1, count=3)
    for again, order in zip(passes(100, 16, seed=1, count=3), (first, second, third), strict=True):
        np.testing.assert_array_equal(again, order)
    # The size of a batch cuts the same order.
    np.testing.assert_array_equal(passes(100, 7, seed=1, count=1)[0], first)
    others = [second, third, *passes(100, 16, seed=2, count=2), np.arange(100)]
    for other in others:
        # Two random orders agree in one place on average; in more than 8 with probability 1e-6.
        assert np.sum(other == first) <= 8


def test_order_does_not_depend_on_global_seeds():
    order = passes(20, 4, seed=1, count=2)
    tf.random.set_seed(123)
    np.testing.assert_array_equal(passes(20, 4, seed=1, count=2), order)


def test_largest_seed_serves():
    (order,) = passes(20, 4, seed=2**31 - 1, count=1)
    np.testing.assert_array_equal(np.sort(order), np.arange(20))


def test_orders_are_uniform():
    """Of 2400 passes over 4 rows each of the 24 orders comes 100 times on average."""
    orders = np.array(passes(4, 4, seed=3, count=2400))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    # Each count is binomial: 2400 draws with probability 1 / 24.
    assert np.all(abs(counts - 100) < 4 * np.sqrt(100 * 23 / 24))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("first", [0, 1, 3, 4, 6, 7])
def test_stream_can_be_entered_at_any_step(first, shuffle):
    """Passes have 3 batches: in the middle of the first, at the start of the second, and so on."""
    whole = rows_of(endless(numbers(10), 4, seed=5, shuffle=shuffle), 10)
    tail = endless(numbers(10), 4, seed=5, shuffle=shuffle, first_step=lambda: first)
    entered = rows_of(tail, 10 - first)
    assert len(entered) == 10 - first
    for got, wanted in zip(entered, whole[first:], strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_first_step_is_asked_for_when_iteration_begins():
    step = 0
    with feeding(BatchStream(numbers(10), 4, seed=5), first_step=lambda: step, num_batches=9) as dataset:
        whole = rows_of(dataset, 5)
        step = 2
        np.testing.assert_array_equal(rows_of(dataset, 1)[0], whole[2])


def test_without_shuffling_rows_keep_their_order():
    batches = rows_of(endless(numbers(5), 2, seed=0, shuffle=False), 6)
    np.testing.assert_array_equal(np.concatenate(batches), [*range(5), *range(5)])


# ---- several arrays ---------------------------------------------------------------------------------


def test_parts_of_an_example_stay_together():
    x = np.arange(20.0).reshape(10, 2)
    batch = Batch(x, np.arange(10), np.arange(10) * 0.5)
    for data in itertools.islice(endless(batch, 3, seed=1), 8):
        x, condition, weight = data
        np.testing.assert_array_equal(x[:, 0], 2 * condition)
        np.testing.assert_array_equal(x[:, 1], 2 * condition + 1)
        np.testing.assert_array_equal(weight, 0.5 * condition.numpy())


def test_what_is_absent_stays_absent():
    x, weight = np.arange(10.0), np.arange(10.0) + 0.5
    for dataset in (endless(Batch(x, None, weight), 4, seed=1), one_pass(Batch(x, None, weight), 4)):
        batch = unpack(next(iter(dataset)))
        assert batch.condition is None
        np.testing.assert_array_equal(batch.weight, batch.x + 0.5)
    assert len(next(iter(endless(Batch(x), 4, seed=1)))) == 1
    assert unpack(next(iter(endless(Batch(x, weight), 4, seed=1)))).weight is None


def unpaired(lengths):
    return Batch({name: np.arange(length) for name, length in lengths.items()})


@pytest.mark.parametrize(
    "lengths", [{"a": 12, "b": 5}, {"a": 5, "b": 12}, {"a": 4, "b": 8}, {"a": 1, "b": 7}]
)
def test_unpaired_arrays_of_different_lengths(lengths):
    """A pass gives each row of the longest once; the shorter one runs through whole permutations."""
    length, short = max(lengths.values()), min(lengths.values())
    names = sorted(lengths, key=lengths.get)
    steps = -(-length // 4)
    batches = [b for (b,) in itertools.islice(endless(unpaired(lengths), 4, seed=1), 3 * steps)]
    drawn = []
    for number in range(3):
        one = batches[number * steps : (number + 1) * steps]
        assert all(len(batch["a"]) == len(batch["b"]) for batch in one)
        shorter, longer = (np.concatenate([batch[name] for batch in one]) for name in names)
        np.testing.assert_array_equal(np.sort(longer), np.arange(length))
        for start in range(0, length, short):
            part = shorter[start : start + short]
            assert len(np.unique(part)) == len(part)
        drawn.append(tuple(shorter))
    assert len(set(drawn)) == 3 or short == 1


@pytest.mark.parametrize(
    "lengths", [{"a": 51, "b": 50}, {"a": 50, "b": 50}, {"a": 50, "b": 50, "longest": 51}]
)
def test_unpaired_arrays_do_not_follow_each_other(lengths):
    """The same numbers in both: which of them meet is left to chance, one pair a pass on average."""
    batches = endless(unpaired(lengths), 51, seed=1)
    met = sum(np.sum(batch["a"] == batch["b"]) for (batch,) in itertools.islice(batches, 20))
    # About Poisson with mean 20.
    assert abs(met - 20) < 4 * np.sqrt(20)


def test_unpaired_stream_can_be_entered_at_any_step():
    batch = unpaired({"a": 7, "b": 5})
    whole = list(itertools.islice(endless(batch, 3, seed=2), 8))
    tail = itertools.islice(endless(batch, 3, seed=2, first_step=lambda: 4), 4)
    for (got,), (wanted,) in zip(tail, whole[4:], strict=True):
        np.testing.assert_array_equal(got["a"], wanted["a"])
        np.testing.assert_array_equal(got["b"], wanted["b"])


def test_number_of_rows():
    assert num_rows(np.zeros([3, 2])) == 3
    assert num_rows(Batch({"a": np.zeros(3), "b": np.zeros(7)}, None, np.zeros(7))) == 7


# ---- one pass in order, types, devices --------------------------------------------------------------


@pytest.mark.parametrize(("length", "batch_size", "steps"), [(10, 4, 3), (8, 4, 2), (3, 8, 1)])
def test_array_batches_give_the_rows_in_order_once(length, batch_size, steps):
    with feeding(BatchStream(numbers(length), batch_size)) as dataset:
        assert dataset.cardinality() == steps == len(list(dataset))
        for _ in range(2):
            np.testing.assert_array_equal(np.concatenate(rows_of(dataset, None)), np.arange(length))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("uint8", "uint8"),
        ("int64", "int64"),
        ("bool", "bool"),
    ],
)
def test_floats_become_float32_and_other_types_stay(dtype, expected):
    x = np.array([[0, 1], [1, 1]]).astype(dtype)
    with feeding(BatchStream(Batch(x), 2)) as dataset:
        (batch,) = next(iter(dataset))
        assert batch.dtype == expected == dataset.element_spec[0].dtype
        np.testing.assert_array_equal(batch, x)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, None])
def test_other_batch_sizes_are_refused(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1; received"):
        BatchStream(numbers(4), batch_size)


@pytest.mark.parametrize("length", [16, 11, 9])
def test_replicas_share_the_batches_of_one_device(strategy, length):
    """Also the last batch of a pass, of 3 rows or of 1: both replicas together see each row once."""
    batch = Batch(np.arange(length), None, np.arange(length) * 0.5)
    alone = rows_of(endless(batch, 8, seed=4), 4)
    with feeding(BatchStream(batch, 8, seed=4), num_batches=4) as dataset:
        with strategy.scope():
            shared = strategy.experimental_distribute_dataset(dataset)
        for wanted, parts in zip(alone, shared, strict=True):
            parts = unpack(parts)
            shards = [part.numpy() for part in strategy.experimental_local_results(parts.x)]
            np.testing.assert_array_equal(np.concatenate(shards), wanted)
            assert len(shards[0]) == -(-len(wanted) // 2)
            weights = np.concatenate(strategy.experimental_local_results(parts.weight))
            np.testing.assert_array_equal(weights, wanted * 0.5)


# ---- data sets that serve one stream after the other --------------------------------------------------


def test_data_sets_are_traced_once_and_forget_what_they_served():
    """Also two at a time, which never mix, and after an error."""
    x = np.arange(8.0)
    with feeding(BatchStream(Batch(x), 4)) as first:
        with feeding(BatchStream(Batch(x + 100), 4)) as second:
            pairs = list(zip(first, second, strict=True))
    assert [(a.numpy()[0], b.numpy()[0]) for (a,), (b,) in pairs] == [(0, 100), (4, 104)]

    class Unreadable:
        shape, dtype = (8,), np.dtype("float64")

        def __getitem__(self, rows):
            raise OSError("the disk is gone")

    with (
        pytest.raises(OSError, match="the disk is gone"),
        feeding(BatchStream(Batch(Unreadable()), 4)) as bad,
    ):
        list(bad)

    stream = BatchStream(Batch(x), 4)
    gone = weakref.ref(stream)
    before = set(map(id, itertools.chain(*pipeline._Pipeline._idle.values())))
    with feeding(stream) as dataset:
        kept = iter(dataset)
        next(kept)
    del stream, dataset
    assert set(map(id, itertools.chain(*pipeline._Pipeline._idle.values()))) == before
    # What was fetched ahead is still there; then nothing more comes from the old stream.
    assert all(len(batch) in (0, 4) for (batch,) in kept)
    gc.collect()
    assert gone() is None


def test_threads_have_data_sets_of_their_own():
    def rows(start):
        with feeding(BatchStream(Batch(np.arange(start, start + 50)), 5, seed=start)) as dataset:
            return sorted(np.concatenate(rows_of(dataset, None)))

    starts = range(0, 400, 50)
    with ThreadPoolExecutor(8) as pool:
        for start, taken in zip(starts, pool.map(rows, starts), strict=True):
            assert taken == list(range(start, start + 50))
