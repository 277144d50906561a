"""Energies and their partition functions, proved with a Boltzmann machine whose states can be enumerated."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bases import GenerativeModel, UnnormalizedDensity
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.partition_functions import log_mean_weight, log_partition_of_bits
from keras_genmod.core.registration import register
from keras_genmod.serving import verify

LARGEST_EXACT = 12


@register
class BoltzmannMachine(UnnormalizedDensity, GenerativeModel):
    """E(x) = -x^T W x - b^T x over bits, b one for each class if there are any."""

    def __init__(self, event_shape=(6,), **kwargs):
        super().__init__(event_shape, **kwargs)
        (self.size,) = self.event_shape
        generator = np.random.default_rng(0)
        dtype = self.real_dtype.name

        def add(name, shape):
            values = generator.normal(size=shape)
            return self.add_weight(
                shape=shape, initializer=lambda shape, dtype: tf.cast(values, dtype), dtype=dtype, name=name
            )

        self.couplings = add("couplings", (self.size, self.size))
        self.biases = add("biases", (self.num_classes or 1, self.size))

    def value_range(self):
        """Bits."""
        return ValueRange(0, 1, integer=True)

    def _energies(self, x, biases):
        pairs = tf.reduce_sum(tf.matmul(x, tf.convert_to_tensor(self.couplings)) * x, axis=-1)
        return -pairs - tf.reduce_sum(biases * x, axis=-1)

    def _biases(self, condition):
        biases = tf.convert_to_tensor(self.biases)
        return biases if condition is None else tf.gather(biases, condition)

    def _energy(self, x, condition=None, training=False):
        return self._energies(x, self._biases(condition))

    def _exact_log_partition(self, condition=None):
        if self.size > LARGEST_EXACT:
            return None
        biases = self._biases(condition)[:, None]
        value = log_partition_of_bits(
            lambda x: self._energies(x, biases), self.size, dtype=self.real_dtype, states_per_pass=16
        )
        return value[0] if condition is None else value

    def _estimate_log_partition(self, num_samples, seed, condition=None):
        states = tf.cast(
            tf.random.stateless_uniform([num_samples, self.size], seed, maxval=2, dtype=tf.int32),
            self.real_dtype,
        )
        # The proposal gives each state 2^-D.
        energies = self._energies(states, self._biases(condition)[:, None])
        value, error = log_mean_weight(self.size * math.log(2.0) - energies)
        return (value[0], error[0]) if condition is None else (value, error)

    def endpoints(self, **options):
        """Name -> endpoint."""
        return self._density_endpoints()


def states_of(size):
    return np.array(list(itertools.product([0.0, 1.0], repeat=size)))


def expected_log_partition(model, number=0):
    x = states_of(model.size)
    couplings, biases = (np.asarray(w, np.float64) for w in (model.couplings, model.biases))
    return np.log(np.sum(np.exp(np.einsum("ni,ij,nj->n", x, couplings, x) + x @ biases[number])))


@pytest.fixture(scope="module")
def machine():
    return BoltzmannMachine((6,), dtype="float64")


@pytest.fixture(scope="module")
def conditional():
    return BoltzmannMachine((6,), num_classes=2, dtype="float64")


def test_probabilities_of_all_states_sum_to_one(machine):
    value, error = machine.log_partition()
    assert abs(float(value) - expected_log_partition(machine)) < 1e-12 and float(error) == 0.0
    probs = np.exp(machine.log_prob(states_of(6)))
    assert probs.shape == (64,) and abs(probs.sum() - 1.0) < 1e-12
    assert machine.density == "unnormalized"


def test_each_condition_has_its_partition_function(conditional):
    expected = np.array([expected_log_partition(conditional, number) for number in (0, 1)])
    assert abs(expected[0] - expected[1]) > 0.1
    np.testing.assert_allclose(
        conditional.log_partition([0, 1, 1, 0]).value, expected[[0, 1, 1, 0]], rtol=1e-12
    )
    single = conditional.log_partition(1)
    assert single.value.shape == () and abs(float(single.value) - expected[1]) < 1e-12
    x = states_of(6)
    for condition in (0, 1, np.eye(2)[[1] * 64]):
        assert abs(np.exp(conditional.log_prob(x, condition)).sum() - 1.0) < 1e-12
    mixed = conditional.log_prob(x, np.arange(64) % 2)
    np.testing.assert_allclose(mixed[1::2], conditional.log_prob(x, 1)[1::2], rtol=1e-12)
    graph = tf.function(lambda condition: conditional.log_partition(condition).value, autograph=False)
    np.testing.assert_allclose(graph(tf.constant([1, 0])), expected[::-1], rtol=1e-12)
    with pytest.raises(ValueError, match="This model is conditional"):
        conditional.log_partition()


def test_estimates_lie_within_their_errors(machine):
    exact = float(machine.log_partition(method="exact").value)
    count = 100
    found = [machine.log_partition(method="estimate", num_samples=2000, seed=seed) for seed in range(count)]
    values, errors = np.array([(float(each.value), float(each.error)) for each in found]).T
    assert 0.0 < errors.max() < 0.1
    scores = (values - exact) / errors
    # Normal with mean 0 and standard deviation 1, up to the bias of a logarithm: half of the squared error,
    # hence half of the error here.
    assert abs(scores.mean() + np.mean(errors) / 2) < 4 / np.sqrt(count)
    assert abs(scores.std() - 1.0) < 4 / np.sqrt(2 * count)


def test_estimates_repeat_with_their_seed(conditional):
    first, again, other = (
        conditional.log_partition([0, 1], method="estimate", seed=seed).value.numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
    fixed = [conditional.log_partition(0, method="estimate").value for _ in range(2)]
    assert float(fixed[0]) == float(fixed[1])


def test_large_models_are_estimated():
    machine = BoltzmannMachine((13,), dtype="float64")
    machine.couplings.assign(0.1 * machine.couplings)
    value, error = machine.log_partition(num_samples=4000, seed=1)
    assert abs(float(value) - expected_log_partition(machine)) < 4.5 * float(error) < 0.5
    x = states_of(13)[:5]
    np.testing.assert_allclose(
        machine.log_prob(x, num_samples=4000, seed=1), -machine.energy(x) - value, rtol=1e-12
    )
    with pytest.raises(ValueError, match=r"method='exact' needs.*\(13,\), has too many.*method='estimate'"):
        machine.log_partition(method="exact")


def test_new_weights_have_a_new_partition_function():
    machine = BoltzmannMachine((4,), dtype="float64")
    before = machine.log_partition()
    machine.biases.assign_add(np.ones((1, 4)))
    assert abs(float(machine.log_partition().value) - expected_log_partition(machine)) < 1e-12
    x = states_of(4)
    assert abs(np.exp(machine.log_prob(x)).sum() - 1.0) < 1e-12
    # A value from before is used as it is.
    np.testing.assert_allclose(
        machine.log_prob(x, log_partition=before), -machine.energy(x) - before.value, rtol=1e-12
    )


def test_a_partition_function_is_used_again(conditional):
    x, condition = states_of(6)[:3], [0, 1, 1]
    found = conditional.log_partition(condition)
    np.testing.assert_array_equal(
        conditional.log_prob(x, condition, log_partition=found), conditional.log_prob(x, condition)
    )
    np.testing.assert_allclose(
        conditional.log_prob(x, 0, log_partition=2.0), -conditional.energy(x, 0) - 2.0, rtol=1e-12
    )
    with pytest.raises(ValueError, match="one for all rows or one for each of the 2; received 3"):
        conditional.log_prob(x[:2], [0, 1], log_partition=found)


def test_energies_are_the_scores_and_the_outputs(machine, conditional):
    x = np.array([[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]])
    couplings, biases = machine.couplings.numpy(), machine.biases.numpy()[0]
    # By hand: two bits set, and one.
    both = couplings[0, 0] + couplings[0, 2] + couplings[2, 0] + couplings[2, 2] + biases[0] + biases[2]
    expected = [-both, -couplings[1, 1] - biases[1]]
    for answer in (machine.energy, machine.anomaly_score, machine, machine.predict):
        np.testing.assert_allclose(answer(x), expected, rtol=1e-12)
    np.testing.assert_allclose(
        conditional([x, [0, 1]]), np.stack([conditional.energy(x, c)[c] for c in (0, 1)]), rtol=1e-12
    )


def test_exports_give_energies(tmp_path):
    model = BoltzmannMachine((6,), num_classes=2)
    model.export(tmp_path / "1", verbose=False)
    differences = verify(tmp_path / "1")
    assert set(differences) == {"energy", "anomaly_score"}
    assert max(differences.values()) < 1e-5
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    x = np.float32(states_of(6)[:4])
    served = signature(x=tf.constant(x), condition=tf.constant([0, 1, 0, 1]))["energy"]
    np.testing.assert_allclose(served, model.energy(x, [0, 1, 0, 1]), rtol=1e-5)


def test_files_give_the_same_partition_function(tmp_path):
    model = BoltzmannMachine((5,), seed=1)
    model.biases.assign_add(np.ones((1, 5)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.log_partition().value) == float(model.log_partition().value)


def test_bad_arguments_are_refused(machine):
    with pytest.raises(ValueError, match="`method` must be 'auto', 'exact' or 'estimate'; received 'ais'"):
        machine.log_partition(method="ais")
    with pytest.raises(ValueError, match="`num_samples` must be an integer of at least 2; received 1"):
        machine.log_partition(num_samples=1)
    with pytest.raises(ValueError, match="This model is unconditional"):
        machine.log_partition(3)


def test_what_a_family_must_write_is_named():
    class Nothing(UnnormalizedDensity, GenerativeModel):
        pass

    model = Nothing((2,))
    with pytest.raises(TypeError, match="Nothing must define `_energy"):
        model.energy(np.zeros((1, 2)))
    with pytest.raises(TypeError, match="Nothing must define `_estimate_log_partition"):
        model.log_partition()


def test_it_is_a_base_of_the_package():
    assert kg.bases.UnnormalizedDensity is UnnormalizedDensity
