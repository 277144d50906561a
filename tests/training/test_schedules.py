"""Schedules: values by hand, no step lost in a long run, and every form of the argument."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.training.schedules import (
    CosineSchedule,
    CyclicalSchedule,
    LinearSchedule,
    WeightSchedule,
    get_weight,
)

SCHEDULES = [
    LinearSchedule(4.0, 100, start=1.0),
    CosineSchedule(4.0, 100, start=1.0),
    CyclicalSchedule(4.0, 100, start=1.0, num_cycles=3, rise=0.8),
]
KINDS = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def values(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_linear_values_by_hand():
    assert values(SCHEDULES[0], (0, 25, 50, 99, 100, 101, 10**6)) == pytest.approx(
        [1, 1.75, 2.5, 3.97, 4, 4, 4]
    )


def test_cosine_values_by_hand():
    """(1 - cos(pi t)) / 2 is 1/4 at t = 1/3, 1/2 at 1/2 and 3/4 at 2/3."""
    schedule = CosineSchedule(9.0, 300, start=1.0)
    assert values(schedule, (0, 100, 150, 200, 300, 900)) == pytest.approx([1, 3, 5, 7, 9, 9])


def test_cyclical_values_by_hand():
    assert values(SCHEDULES[2], (0, 40, 80, 99, 100, 120, 180, 200, 240, 299)) == pytest.approx(
        [1, 2.5, 4, 4, 1, 1.75, 4, 1, 2.5, 4]
    )
    # After the last cycle it stays.
    assert values(SCHEDULES[2], (300, 320, 10**9)) == [4, 4, 4]


@pytest.mark.parametrize("kind", [LinearSchedule, CosineSchedule])
@pytest.mark.parametrize(("start", "end", "sign"), [(0.0, 2.0, 1), (2.0, 0.5, -1)])
def test_way_from_start_to_end_does_not_turn(kind, start, end, sign):
    way = np.array(values(kind(end, 50, start=start), range(60)))
    assert way[0] == start and way[-1] == end
    assert np.all(sign * np.diff(way[:51]) > 0) and np.all(way[50:] == end)


@KINDS
def test_result_is_a_float32_scalar_in_graphs_too(schedule):
    graph = tf.function(lambda step: schedule(step))
    for step in (0, 3, 150):
        result = graph(tf.constant(step, tf.int64))
        assert result.dtype == tf.float32 and result.shape == ()
        assert result == schedule(step)


@pytest.mark.parametrize("kind", [LinearSchedule, CyclicalSchedule])
def test_no_step_is_lost_in_a_long_run(kind):
    """In float32 the last of 10**9 steps is 10**9 itself, where the weight is 0 (or starts anew)."""
    options = {"num_cycles": 1, "rise": 1.0} if kind is CyclicalSchedule else {}
    schedule = kind(0.0, 10**9, start=1.0, **options)
    for left in (1, 2, 33):
        weight = schedule(tf.constant(10**9 - left, tf.int64))
        np.testing.assert_allclose(float(weight), left * 1e-9, rtol=1e-6)


def test_cycles_keep_in_step_in_a_long_run():
    schedule = CyclicalSchedule(1.0, 1000, num_cycles=2 * 10**6)
    for step in (0, 1, 250, 499, 500, 999):
        assert schedule(10**9 + step) == schedule(step)


@KINDS
def test_configuration_gives_the_schedule_back(schedule):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = get_weight("beta", config)
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()
    assert values(again, range(0, 400, 7)) == values(schedule, range(0, 400, 7))


def test_forms_of_the_argument():
    assert get_weight("beta", SCHEDULES[0]) is SCHEDULES[0]
    for number in (2, 2.0, np.float32(2), np.int64(2)):
        weight = get_weight("beta", number)
        assert type(weight) is float and weight == 2.0


def test_other_arguments_are_refused():
    for number in (-1.0, np.nan, np.inf, True):
        with pytest.raises(ValueError, match="`beta` must be a finite number at least 0; received"):
            get_weight("beta", number)
    dense = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    for value in ("linear", None, dense, LinearSchedule, lambda step: 1.0):
        with pytest.raises(
            ValueError, match=r"`beta` must be .*LinearSchedule\(1.0, steps=10_000\).*received"
        ):
            get_weight("beta", value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: LinearSchedule(-1.0, 10), "end"),
        (lambda: LinearSchedule(np.inf, 10), "end"),
        (lambda: LinearSchedule(1.0, 0), "steps"),
        (lambda: LinearSchedule(1.0, 10.5), "steps"),
        (lambda: CosineSchedule(1.0, 10, start=-0.1), "start"),
        (lambda: CyclicalSchedule(1.0, 10, num_cycles=0), "num_cycles"),
        (lambda: CyclicalSchedule(1.0, 10, rise=0.0), "rise"),
        (lambda: CyclicalSchedule(1.0, 10, rise=1.5), "rise"),
    ],
)
def test_other_values_are_refused(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .*; received"):
        make()


def test_schedule_without_a_rise_says_what_is_missing():
    class Nothing(WeightSchedule):
        pass

    with pytest.raises(TypeError, match=r"Nothing must define `_rise\(time\)`"):
        Nothing(1.0, 10)(0)
