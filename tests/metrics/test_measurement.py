"""Measurements: floats for everybody who asks for one, with their origin for those who read."""

import copy
import json
import pickle

import numpy as np

from keras_genmod.metrics import Measurement


def example():
    origin = {"extractor": "vgg", "resize": "area to 8x8", "num_real": 10, "num_generated": 7}
    return Measurement(2.5, metric="kid", standard_error=0.1, **origin)


def test_it_is_a_float():
    value = example()
    assert isinstance(value, float) and value == 2.5 and value < 3 and hash(value) == hash(2.5)
    assert type(value + 1) is float
    assert json.dumps({"kid": value}) == '{"kid": 2.5}'
    assert f"{value}" == str(value) == "2.5" and f"{value:.2f}" == "2.50"
    assert np.mean([value, 3.5]) == 3.0 and np.float32(value) == 2.5


def test_it_says_where_it_comes_from():
    line = "kid 2.5 +- 0.1 (vgg, resize area to 8x8, 10 real, 7 generated)"
    assert example().describe() == line and repr(example()) == f"<{line}>"
    modes = Measurement(3, metric="num_modes", num_generated=1_000)
    assert modes.describe() == "num_modes 3 (given features, resize none, 1,000 generated)"


def test_copies_keep_the_origin():
    for again in (copy.deepcopy(example()), copy.copy(example()), pickle.loads(pickle.dumps(example()))):
        assert again == 2.5 and vars(again) == vars(example())
