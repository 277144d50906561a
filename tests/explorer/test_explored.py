"""What the page knows of a model: examples, conditions, value range; and the models that it refuses."""

import threading
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.explorer.explored import Explored
from keras_genmod.explorer.page import one_at_a_time
from keras_genmod.explorer.server import listening_socket
from keras_genmod.explorer.views import Pictures, Points
from tests.explorer.tiny import made, mixture, pictures, vae, with_random_weights


def test_without_data_the_examples_are_samples():
    model = made()
    explored = Explored(model)
    np.testing.assert_array_equal(explored.examples, model.sample(16, seed=0))
    assert explored.told == "drawn from the model" and explored.value_range == (0.0, 1.0)
    assert isinstance(explored.view, Pictures)
    assert isinstance(Explored(mixture()).view, Points)


def test_only_the_first_256_rows_of_data_are_kept():
    x = pictures(300)
    explored = Explored(made(), x)
    np.testing.assert_array_equal(explored.examples, x[:256])
    # Labels beside the data of an unconditional model are left aside.
    assert Explored(made(), (x, np.zeros(300))).conditions is None


def test_an_unbounded_model_is_shown_over_the_range_of_its_data():
    x = np.linspace(-2, 3, 32).reshape(2, 16)
    model = kg.KernelDensity((16,), bandwidth=1.0)
    model.compile()
    model.fit(x, verbose=0)
    assert Explored(model, x).value_range == (-2.0, 3.0)
    assert Explored(model).value_range == (0.0, 1.0)


def test_a_class_is_chosen_by_its_number_and_known_for_data():
    explored = Explored(made(num_classes=3), (pictures(4), [2, 0, 1, 1]))
    assert [explored.condition(explored.choice_of(index)) for index in range(4)] == [2, 0, 1, 1]
    one_hot = Explored(made(num_classes=3), (pictures(2), np.eye(3)[[2, 1]]))
    assert one_hot.conditions.tolist() == [2, 1]


def test_few_numbers_are_typed_and_many_are_taken_from_examples():
    few = Explored(vae(condition_shape=(2,)), (pictures(2), [[0.5, -1.0], [2.0, 3.0]]))
    assert few.choice_of(1) == "2, 3"
    np.testing.assert_array_equal(few.condition("0.25; 4"), [0.25, 4])
    with pytest.raises(ValueError, match="2 numbers"):
        few.condition("1")
    conditions = np.arange(34.0).reshape(2, 17)
    many = Explored(vae(condition_shape=(17,)), (pictures(2), conditions))
    np.testing.assert_array_equal(many.condition(many.choice_of(1)), conditions[1])
    with pytest.raises(ValueError, match=r"data=\(x, condition\)"):
        Explored(vae(condition_shape=(17,)), pictures(2))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 4, 4, 1)), "reshape"),
        (np.full((3, 16), 2.0), "must hold"),
        (np.zeros((0, 16)), "no examples"),
        ((np.zeros((3, 16)), [0, 1]), "one condition for each of the 3"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        Explored(made(), data)


def test_nested_lists_are_examples():
    x = pictures(2)
    for data in (x.tolist(), [*x.tolist(), *x.tolist()]):
        explored = Explored(made(), data)
        np.testing.assert_array_equal(explored.examples, data)
        assert explored.conditions is None
    pair = Explored(made(num_classes=3), [x, [2, 0]])
    np.testing.assert_array_equal(pair.examples, x)
    assert pair.conditions.tolist() == [2, 0]


def test_one_condition_for_all_data_is_refused():
    with pytest.raises(ValueError, match="each of the 6 examples; received one for all, 2.*`np.full`"):
        Explored(made(num_classes=3), (pictures(), 2))


@pytest.mark.parametrize("port", [0, 65536, "7860", True])
def test_a_port_is_a_number_or_none(port):
    with pytest.raises(ValueError, match="`port` must be an integer from 1 to 65535; received .*None"):
        listening_socket(port)


def test_a_plain_keras_model_is_refused():
    with pytest.raises(TypeError, match="kg.GenerativeModel"):
        Explored(keras.Sequential([keras.layers.Dense(1)]))


def test_a_mixture_before_fit_says_so():
    with pytest.raises(RuntimeError, match="fit"):
        Explored(kg.GaussianMixture((2,), num_components=2))


def test_a_model_of_several_processes_is_refused(monkeypatch):
    model = made()
    cluster = tf.train.ClusterSpec({"worker": ["127.0.0.1:1", "127.0.0.1:2"]})
    resolver = types.SimpleNamespace(cluster_spec=lambda: cluster)
    strategy = types.SimpleNamespace(cluster_resolver=resolver, num_replicas_in_sync=2)
    monkeypatch.setattr(type(model), "distribute_strategy", strategy)
    with pytest.raises(ValueError, match="load_model"):
        Explored(model)


def test_a_model_on_replicas_answers_as_on_one_device_from_any_thread(strategy):
    alone = made()
    with strategy.scope():
        model = made()
    model.set_weights(alone.get_weights())
    explored, answers = Explored(model), []
    ask = one_at_a_time(lambda: answers.append(explored.sample(5, 3, 1.0)))
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = np.asarray(alone.sample(5, seed=3))
    assert len(answers) == 2
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def test_answers_are_given_one_at_a_time():
    running, most = [], []
    pause = threading.Event()

    def answer(number):
        running.append(number)
        most.append(len(running))
        pause.wait(0.02)
        running.remove(number)

    threads = [threading.Thread(target=one_at_a_time(answer), args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8 and max(most) == 1


def test_a_sample_gets_the_options_that_the_model_takes():
    model = with_random_weights(kg.MADE((16,), hidden_dims=(12,), seed=0))
    explored = Explored(model, pictures())
    expected = model.sample(4, seed=2, temperature=0.1)
    np.testing.assert_array_equal(explored.sample(4, 2, 0.1), expected)
    assert np.any(explored.sample(4, 2, 1.0) != expected)
    model = vae()  # Without a temperature.
    np.testing.assert_array_equal(Explored(model).sample(4, 2, 0.1), model.sample(4, seed=2))
