"""Numbers with one seed a row: Threefry's published answers, the right distributions, rows independent."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from keras_genmod.core.noise import as_seed, row_seeds
from keras_genmod.core.row_noise import fold_in_rows, normal_rows, threefry, uniform_rows

# Of Random123's file of known answers, `threefry2x32` with 20 rounds: key, counter, block.
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
KINDS = {"uniform": uniform_rows, "normal": normal_rows}
SHAPES = [(), (0,), (1,), (3,), (2, 3), (40,)]


def seeds_of(num_rows, seed=1):
    return row_seeds(as_seed(seed), 0, num_rows)


def graph_of(function, **options):
    return tf.function(function, autograph=False, **options)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("key", "counter", "expected"), KNOWN_ANSWERS)
def test_threefry_gives_the_published_answers(key, counter, expected, jit_compile):
    words = [tf.constant(word, tf.uint32) for word in (*key, *counter)]
    block = graph_of(lambda a, b, c, d: threefry((a, b), (c, d)), jit_compile=jit_compile)(*words)
    assert tuple(int(word) for word in block) == expected


def block_of(key, counter):
    """Threefry in Python's integers."""
    full = 2**32
    words = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    x, y = (counter[0] + key[0]) % full, (counter[1] + key[1]) % full
    for number in range(20):
        distance = (13, 15, 26, 6, 17, 29, 16, 24)[number % 8]
        x = (x + y) % full
        y = ((y << distance | y >> (32 - distance)) % full) ^ x
        if number % 4 == 3:
            group = number // 4 + 1
            x = (x + words[group % 3]) % full
            y = (y + words[(group + 1) % 3] + group) % full
    return x, y


def test_numbers_come_from_the_blocks_in_order():
    seeds = np.array([[-1, 5], [2**31 - 1, -(2**31)]], np.int32)
    for stream in (0, 7):
        blocks = [
            [block_of([int(word) % 2**32 for word in seed], (number, stream)) for number in range(3)]
            for seed in seeds
        ]
        words = np.array(blocks, np.uint64).reshape(2, 6)
        single = uniform_rows(seeds, [5], stream=stream)
        np.testing.assert_array_equal(single, ((words >> 8) * 2.0**-24).astype("float32")[:, :5])
        double = uniform_rows(seeds, [3], tf.float64, stream=stream)
        high, low = words[:, ::2] >> 5, words[:, 1::2] >> 6
        np.testing.assert_array_equal(double, (high * 2**26 + low) * 2.0**-53)
        # A stream may be a tensor, such as the step of a loop.
        np.testing.assert_array_equal(uniform_rows(seeds, [5], stream=tf.constant(stream)), single)
        level, turn = words[:, ::2] / 2.0**32 + 2.0**-33, words[:, 1::2] / 2.0**32
        radius, angle = np.sqrt(-2.0 * np.log(level)), 2.0 * np.pi * turn
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(2, 6)
        # The root of -2 log(u) magnifies the rounding of u where u is near 1.
        np.testing.assert_allclose(normal_rows(seeds, [5], stream=stream), pairs[:, :5], atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_s_numbers_depend_on_its_seed_alone(kind, dtype):
    seeds = seeds_of(37)
    for shape in SHAPES:
        whole = KINDS[kind](seeds, shape, dtype)
        assert whole.shape == (37, *shape) and whole.dtype == dtype
        for rows in (slice(0, 1), slice(36, 37), slice(5, 18)):
            np.testing.assert_array_equal(KINDS[kind](seeds[rows], shape, dtype), whole[rows])
        assert KINDS[kind](seeds[:0], shape, dtype).shape == (0, *shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_graphs_give_the_same_numbers(kind, dtype):
    seeds = seeds_of(9)
    whole = KINDS[kind](seeds, (2, 3), dtype)
    signature = [tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None], tf.int32)]
    of_any_shape = graph_of(lambda seeds, shape: KINDS[kind](seeds, shape, dtype), input_signature=signature)
    np.testing.assert_array_equal(of_any_shape(seeds, [2, 3]), whole)
    of_any_rows = graph_of(lambda seeds: KINDS[kind](seeds, (2, 3), dtype), input_signature=signature[:1])
    np.testing.assert_array_equal(of_any_rows(seeds), whole)
    assert of_any_rows.get_concrete_function().output_shapes == [None, 2, 3]
    compiled = graph_of(lambda seeds: KINDS[kind](seeds, (2, 3), dtype), jit_compile=True)(seeds)
    if kind == "uniform":
        np.testing.assert_array_equal(compiled, whole)
    else:
        # A logarithm, a root and a cosine are each right to a few units in the last place.
        np.testing.assert_allclose(compiled, whole, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_more_numbers_begin_with_the_same_ones(kind):
    few, many = (KINDS[kind](seeds_of(3), shape) for shape in ((5,), (2, 20)))
    np.testing.assert_array_equal(few, np.reshape(many, (3, 40))[:, :5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers_are_uniform(dtype):
    rows, count = 16, 4096
    numbers = uniform_rows(seeds_of(rows), [count], dtype).numpy()
    assert numbers.min() >= 0.0 and numbers.max() < 1.0
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    # 16 rows, each at a level such that all pass with probability 0.984.
    assert min(stats.kstest(row, "uniform").pvalue for row in numbers) > 1e-3
    bits = (numbers * 2**24).astype(np.int64)[..., None] >> np.arange(24) & 1
    # Each of the 24 bits is a fair coin.
    assert np.all(abs(bits.mean(axis=(0, 1)) - 0.5) < 4.5 * 0.5 / np.sqrt(rows * count))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers_are_normal(dtype):
    rows, count = 16, 16384
    numbers = normal_rows(seeds_of(rows), [count], dtype).numpy()
    assert np.isfinite(numbers).all()
    assert stats.kstest(numbers.ravel(), "norm").pvalue > 1e-3
    # Means of powers: the variance of z^k is E[z^2k] - E[z^k]^2.
    moments = {1: 0, 2: 1, 3: 0, 4: 3, 6: 15, 8: 105}
    for power in (1, 2, 3, 4):
        error = np.sqrt((moments[2 * power] - moments[power] ** 2) / numbers.size)
        assert abs(np.mean(numbers**power) - moments[power]) < 4.5 * error
    beyond = np.count_nonzero(abs(numbers) > 4.0)
    expected = 2 * stats.norm.sf(4.0) * numbers.size
    assert abs(beyond - expected) < 4.5 * np.sqrt(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_numbers_and_streams_are_independent(kind):
    count = 4096
    few = KINDS[kind](seeds_of(32), [count]).numpy()
    other = KINDS[kind](seeds_of(32), [count], stream=1).numpy()
    # One stream of many rows, neighbouring numbers of a row, and pairs of streams. Squares tell a dependence
    # that correlations do not, such as that of the two numbers of a pair.
    for power in (1, 2):
        first, second = ((each - each.mean(axis=1, keepdims=True)) ** power for each in (few, other))
        correlations = np.corrcoef(np.concatenate([first, second]))
        # 2016 pairs: the largest of as many normal numbers is below 5 with probability 0.999.
        assert np.max(abs(correlations - np.eye(64))) < 5 / np.sqrt(count)
        for distance in (1, 2, 3):
            neighbours = np.corrcoef(first[:, distance:].ravel(), first[:, :-distance].ravel())[0, 1]
            assert abs(neighbours) < 4.5 / np.sqrt(few.size)


def test_a_number_of_many_rows_is_uniform():
    """Neighbouring seeds give numbers as good as those of one stream."""
    numbers = uniform_rows(seeds_of(20_000), [2]).numpy()
    assert min(stats.kstest(column, "uniform").pvalue for column in numbers.T) > 1e-3
    assert abs(np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 4.5 / np.sqrt(20_000)
    # Of 20,000 numbers of 24 bits, 12 are expected to equal another one.
    assert len(np.unique(numbers[:, 0])) > 20_000 - 30


def test_folded_seeds_are_new_and_depend_on_their_row_alone():
    seeds = seeds_of(8)
    folded = [fold_in_rows(seeds, number).numpy() for number in range(20)]
    assert all(each.dtype == np.int32 and each.shape == (8, 2) for each in folded)
    rows = np.concatenate([seeds, *folded])
    assert len(np.unique(rows, axis=0)) == 8 * 21
    np.testing.assert_array_equal(fold_in_rows(seeds[3:5], 7), folded[7][3:5])
    # One integer a row.
    np.testing.assert_array_equal(fold_in_rows(seeds, tf.range(8))[3], folded[3][3])
    # A seed is no pair of numbers that its parent's streams give.
    drawn = {tuple(row) for stream in range(20) for row in uniform_rows(seeds, [2], stream=stream).numpy()}
    shifted = {
        tuple(row) for each in folded for row in ((each.view(np.uint32) >> 8) * 2.0**-24).astype("float32")
    }
    assert not drawn & shifted
    numbers = uniform_rows(fold_in_rows(seeds_of(4096), 1), [1])[:, 0]
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_dtypes_are_refused(kind, dtype):
    with pytest.raises(ValueError, match=f"`dtype` must be float32 or float64; received {dtype}"):
        KINDS[kind](seeds_of(2), [3], dtype)
