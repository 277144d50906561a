"""Draws without a seed differ, also those of threads that draw at once."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import keras_genmod as kg


def test_threads_draw_numbers_of_their_own():
    """Of 400 seeds that eight threads take at once no two are equal."""
    model = kg.MADE((3,), hidden_dims=(2,), seed=0)
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda _: [tuple(model._sampling_seed(None).numpy()) for _ in range(50)], range(8))
        seeds = [seed for part in parts for seed in part]
    assert len(set(seeds)) == 400


def test_threads_draw_different_samples():
    """200 samples of 40 fair bits: two of them are equal with probability 2e-8."""
    model = kg.MADE((40,), hidden_dims=(2,), seed=0)
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: model.sample(1).numpy().tobytes(), range(200)))
    assert len(set(drawn)) == 200


def test_copies_of_a_model_draw_what_it_draws():
    model = kg.MADE((8,), hidden_dims=(4,), seed=0)
    model.compile()
    model.sample(1)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.sample(9, seed=1), model.sample(9, seed=1))
