"""Restricted Boltzmann machines small enough for sums over all their states."""

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bases import row_seeds

D, H = 5, 3


def states_of(size, values=2):
    return np.array(list(itertools.product(range(values), repeat=size)), np.float64)


def machine(scale=1.0, seed=3, event_shape=(D,), hidden_dim=H, **options):
    """A machine with weights of standard deviation `scale`, in double precision."""
    model = kg.RBM(event_shape, hidden_dim=hidden_dim, dtype="float64", seed=seed, **options)
    generator = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if weight.name != "log_precision":
            weight.assign(scale * generator.normal(size=weight.shape))
    return model


def log_weights(model, x, classes=None):
    """log sum_h exp(-E(v, h)) by a sum over all hidden states, in NumPy; `x` are features."""
    parameters = {name: np.asarray(value) for name, value in model.parameters().items()}
    hidden = parameters["hidden_bias"]
    if classes is not None:
        hidden = hidden + np.asarray(model._class_weights)[classes]
    h = states_of(model.hidden_dim)
    pairs = x @ parameters["weights"] @ h.T + h @ hidden + (x @ parameters["visible_bias"])[:, None]
    total = np.logaddexp.reduce(pairs, axis=1)
    return total if classes is None else total + np.asarray(model._class_biases)[classes]


@pytest.fixture(scope="module")
def small():
    return machine()


@pytest.fixture(scope="module")
def classes():
    return machine(num_classes=3)


def within(found, expected, number, sigmas=4.5):
    """Frequencies of a number of draws, beside their probabilities."""
    bound = sigmas * np.sqrt(expected * (1 - expected) / number)
    assert np.all(np.abs(found - expected) < np.maximum(bound, sigmas / number))


def frequencies(x, size, values=2):
    numbers = np.asarray(x).reshape(-1, size) @ values ** np.arange(size)[::-1]
    return np.bincount(numbers.astype(int), minlength=values**size) / len(numbers)


# ---- energies and partition functions ---------------------------------------------------------------


def test_energies_and_probabilities_are_those_of_the_enumeration(small):
    x = states_of(D)
    expected = log_weights(small, x)
    np.testing.assert_allclose(small.energy(x), -expected, rtol=1e-12)
    log_z = np.logaddexp.reduce(expected)
    value, error, size = small.log_partition()
    assert abs(float(value) - log_z) < 1e-12 and float(error) == 0.0 and size is None
    assert abs(np.exp(small.log_prob(x)).sum() - 1.0) < 1e-12


def test_both_sides_may_be_enumerated():
    # Five visible units and nine hidden ones: the sum runs over the visible ones.
    wide = machine(hidden_dim=9)
    expected = np.logaddexp.reduce(log_weights(wide, states_of(D)))
    assert abs(float(wide.log_partition().value) - expected) < 1e-11
    large = machine(event_shape=(10,), hidden_dim=8)
    assert abs(np.exp(large.log_prob(states_of(10))).sum() - 1.0) < 1e-12


def test_centring_is_another_parameterisation(small):
    plain = machine(centering=False)
    parameters = small.parameters()
    plain.set_parameters(**parameters)
    np.testing.assert_allclose(plain.energy(states_of(D)), small.energy(states_of(D)), rtol=1e-12)
    other = machine(seed=5)
    other._offsets.assign(np.linspace(0.1, 0.9, D))
    other.set_parameters(**parameters)
    np.testing.assert_allclose(other.energy(states_of(D)), small.energy(states_of(D)), rtol=1e-12)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(5, 3\); received \(3, 5\)"):
        other.set_parameters(**{**parameters, "weights": np.zeros((H, D))})


def test_symmetries_of_the_density(small):
    x = states_of(D)
    expected = small.log_prob(x)
    w, b, c = (np.asarray(small.parameters()[name]) for name in ("weights", "visible_bias", "hidden_bias"))
    flipped = machine()
    flipped.set_parameters(weights=-w, visible_bias=-b, hidden_bias=c + w.sum(axis=0))
    np.testing.assert_allclose(flipped.log_prob(1 - x), expected, rtol=1e-12, atol=1e-12)
    permuted = machine()
    permuted.set_parameters(weights=w[:, [2, 0, 1]], visible_bias=b, hidden_bias=c[[2, 0, 1]])
    np.testing.assert_allclose(permuted.log_prob(x), expected, rtol=1e-12)
    # A unit without weights is independent of all, whatever its bias.
    more = machine(hidden_dim=H + 1)
    more.set_parameters(
        weights=np.concatenate([w, np.zeros((D, 1))], axis=1), visible_bias=b, hidden_bias=np.append(c, 1.7)
    )
    np.testing.assert_allclose(more.log_prob(x), expected, rtol=1e-12)
    # A hidden unit's other name for its two values moves its weights into the visible biases.
    turned = machine()
    sign = np.array([-1.0, 1.0, 1.0])
    turned.set_parameters(weights=w * sign, visible_bias=b + w[:, 0], hidden_bias=c * sign)
    np.testing.assert_allclose(turned.log_prob(x), expected, rtol=1e-12, atol=1e-12)


def test_gaussian_units_integrate_to_one():
    model = machine(0.7, event_shape=(1,), visible="gaussian")
    model._others[0].assign([0.3])
    x = np.linspace(-30, 30, 20_001)[:, None]
    total = np.trapezoid(np.exp(model.log_prob(x)), x[:, 0])
    assert abs(total - 1.0) < 1e-9
    # The integral over each unit is independent given hidden units.
    two = machine(0.7, event_shape=(2,), visible="gaussian")
    grid = np.linspace(-14, 16, 401)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(two.log_prob(points, batch_size=200_000)).reshape(401, 401)
    assert abs(np.trapezoid(np.trapezoid(density, grid), grid) - 1.0) < 1e-9


def test_categorical_units_sum_to_one():
    model = machine(event_shape=(3,), visible="categorical", num_values=4)
    x = states_of(3, 4)
    assert abs(np.exp(model.log_prob(x)).sum() - 1.0) < 1e-12
    indicators = np.eye(4)[x.astype(int)].reshape(-1, 12)
    np.testing.assert_allclose(model.energy(x), -log_weights(model, indicators), rtol=1e-12)
    # Adding a constant to all values of a unit, in biases and weights alike, changes nothing.
    w, b, c = (np.asarray(model.parameters()[name]) for name in ("weights", "visible_bias", "hidden_bias"))
    shift = np.zeros((12, H))
    shift[4:8] = 0.8
    gauged = machine(event_shape=(3,), visible="categorical", num_values=4)
    gauged.set_parameters(weights=w + shift, visible_bias=b + shift[:, 0], hidden_bias=c - shift[4])
    np.testing.assert_allclose(gauged.log_prob(x), model.log_prob(x), rtol=1e-12, atol=1e-12)


def test_each_class_has_its_density(classes):
    x = states_of(D)
    for label in range(3):
        expected = log_weights(classes, x, label)
        np.testing.assert_allclose(
            classes.log_prob(x, label), expected - np.logaddexp.reduce(expected), rtol=1e-11, atol=1e-12
        )
    every = np.stack([log_weights(classes, x, label) for label in range(3)], axis=1)
    probs = np.exp(every - np.logaddexp.reduce(every, axis=1, keepdims=True))
    np.testing.assert_allclose(classes.class_probs(x), probs, rtol=1e-11)
    np.testing.assert_array_equal(classes.predict_classes(x), probs.argmax(axis=1))
    mixed = classes.log_prob(x[:6], [0, 1, 2, 2, 1, 0])
    assert float(mixed[1]) == float(classes.log_prob(x[:6], 1)[1])
    with pytest.raises(ValueError, match="without `num_classes`"):
        machine().class_probs(x)


# ---- annealed importance sampling -------------------------------------------------------------------


def test_annealed_importance_sampling_is_unbiased(small):
    exact = float(small.log_partition().value)
    options = {"num_temperatures": 5, "num_samples": 100_000}
    value, error, size = small.log_partition(method="estimate", seed=1, **options)
    # The error of log Z is small: so is its bias, half of the squared error.
    assert abs(float(value) - exact) < 4.5 * float(error) < 0.1
    assert 1_000 < float(size) < 99_000
    # Exact draws of the model, to go back from.
    probs = np.exp(small.log_prob(states_of(D)))
    start = states_of(D)[np.random.default_rng(0).choice(2**D, 100_000, p=probs / probs.sum())]
    value, error, _ = small.log_partition(method="reverse", start=start, seed=1, **options)
    assert abs(float(value) - exact) < 4.5 * float(error) < 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"event_shape": (3,), "visible": "categorical", "num_values": 4},
        {"event_shape": (2,), "visible": "gaussian"},
        {"num_classes": 2},
    ],
    ids=["categorical", "gaussian", "classes"],
)
def test_all_units_are_annealed(options):
    model = machine(0.7, **options)
    condition = np.array([1, 0]) if "num_classes" in options else None
    exact = model.log_partition(condition)
    value, error, _ = model.log_partition(
        condition, method="estimate", num_temperatures=50, num_samples=2000, seed=1
    )
    assert np.all(np.abs(value - exact.value) < 4.5 * error)
    assert np.all(error < 0.03)


def test_the_base_may_be_anything(small):
    model = machine()
    exact = float(model.log_partition().value)
    model._base[0].assign(np.linspace(-1.0, 1.0, D))
    value, error, _ = model.log_partition(method="estimate", num_temperatures=20, num_samples=4000, seed=2)
    assert abs(float(value) - exact) < 4.5 * float(error) < 0.1


def test_few_weights_are_told_of():
    strong = machine(6.0)
    with pytest.warns(UserWarning, match="sample size is .* of 50 chains.*more temperatures than 1"):
        strong.log_partition(method="estimate", num_temperatures=1, num_samples=50)


def test_ratios_of_near_temperatures_keep_their_digits():
    model = kg.RBM((D,), hidden_dim=H, seed=3)
    for weight, wide in zip(model.trainable_weights, machine(3.0).trainable_weights, strict=True):
        weight.assign(wide)
    x = states_of(D)
    restricted, wide = model._machine(), machine(3.0)._machine()
    old, new = 0.5, 0.5 + 2.0**-14
    narrow = restricted.state(tf.constant(x, tf.float32))
    found = restricted.log_ratio(narrow, tf.constant(old), tf.constant(new))
    state = wide.state(tf.constant(x))
    expected = wide._log_density(state, tf.constant([[new]], tf.float64)) - wide._log_density(
        state, tf.constant([[old]], tf.float64)
    )
    # Differences are some 1e-4, of densities of some 10: rounded to single precision they would be lost.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    far = wide.log_ratio(state, tf.constant(0.0, tf.float64), tf.constant(1.0, tf.float64))
    expected = wide._log_density(state, tf.ones([1, 1], tf.float64)) - wide._log_density(
        state, tf.zeros([1, 1], tf.float64)
    )
    np.testing.assert_allclose(far, expected, rtol=1e-11)


def test_the_partition_function_is_kept_until_weights_change(tmp_path):
    model = machine(event_shape=(4,))
    assert model.kept_log_partition() is None
    x = states_of(4)
    assert abs(np.exp(model.log_prob(x)).sum() - 1.0) < 1e-12
    exact = float(model.kept_log_partition())
    model.log_partition(method="estimate", num_temperatures=2, num_samples=20)
    assert float(model.kept_log_partition()) == exact
    model.save(tmp_path / "model.keras")
    assert float(keras.saving.load_model(tmp_path / "model.keras").kept_log_partition()) == exact
    model._hidden_bias.assign_add(np.ones(H))
    assert model.kept_log_partition() is None
    estimate = model.log_partition(method="estimate", num_temperatures=2, num_samples=20)
    np.testing.assert_allclose(model.log_prob(x), -model.energy(x) - estimate.value, rtol=1e-12)
    model.log_partition()
    assert abs(np.exp(model.log_prob(x)).sum() - 1.0) < 1e-12


def test_classes_are_kept_one_by_one():
    model = machine(num_classes=3)
    model.log_partition(1)
    np.testing.assert_array_equal(np.isfinite(model.kept_log_partition()), [False, True, False])
    assert abs(np.exp(model.log_prob(states_of(D), 2)).sum() - 1.0) < 1e-12
    np.testing.assert_array_equal(np.isfinite(model.kept_log_partition()), [False, True, True])


# ---- chains -----------------------------------------------------------------------------------------


def test_samples_have_the_enumerated_probabilities():
    model = machine(sampling_steps=40)
    expected = np.exp(model.log_prob(states_of(D)))
    within(frequencies(model.sample(20_000, seed=1, batch_size=20_000), D), expected, 20_000)


def test_a_chain_keeps_the_density_in_every_step(small):
    # From exact draws, after one step.
    probs = np.asarray(np.exp(small.log_prob(states_of(D))))
    start = states_of(D)[np.random.default_rng(0).choice(2**D, 20_000, p=probs / probs.sum())]
    moved = small.sample(20_000, num_steps=1, start=start, seed=1)
    assert np.mean(np.any(np.asarray(moved) != start, axis=1)) > 0.3
    within(frequencies(moved, D), probs, 20_000)
    np.testing.assert_array_equal(small.sample(3, num_steps=0, start=start[:3]), start[:3])


def test_thinned_samples_are_later_states_of_fewer_chains(small):
    start = states_of(D)[[3, 17]]
    samples = small.sample(6, num_steps=4, start=start, thinning=2, seed=1)
    for number, steps in enumerate((4, 6, 8)):
        expected = small.sample(2, num_steps=steps, start=start, seed=1)
        np.testing.assert_array_equal(samples[2 * number : 2 * number + 2], expected)


def test_samples_of_other_units():
    model = machine(0.8, event_shape=(3,), visible="categorical", num_values=3, sampling_steps=30)
    expected = np.exp(model.log_prob(states_of(3, 3)))
    within(frequencies(model.sample(20_000, seed=1, batch_size=20_000), 3, 3), expected, 20_000)
    model = machine(0.8, event_shape=(2,), visible="gaussian", sampling_steps=30)
    model._others[0].assign([0.5, -0.5])
    x = np.asarray(model.sample(20_000, seed=1, batch_size=20_000))
    # The exact moments: a mixture of normal densities over all hidden states.
    h = states_of(H)
    w, b, c = (np.asarray(model.parameters()[name]) for name in ("weights", "visible_bias", "hidden_bias"))
    precision = np.exp([0.5, -0.5])
    means = (h @ w.T + b) / precision
    probs = np.exp(h @ c + np.sum(means**2 * precision, axis=1) / 2)
    probs /= probs.sum()
    mean, second = probs @ means, probs @ (means**2 + 1 / precision)
    assert np.all(np.abs(x.mean(axis=0) - mean) < 4.5 * x.std(axis=0) / math.sqrt(20_000))
    assert np.all(np.abs((x**2).mean(axis=0) - second) < 4.5 * (x**2).std(axis=0) / math.sqrt(20_000))


def test_samples_of_a_class(classes):
    expected = np.exp(classes.log_prob(states_of(D), 2))
    x = classes.sample(20_000, condition=2, num_steps=40, start=states_of(D)[:1], seed=1)
    within(frequencies(x, D), expected, 20_000)


def test_chains_of_classes_are_those_of_the_joint_density(classes):
    joint = classes._machine(joint=True)
    seeds = row_seeds(tf.constant([0, 1]), 0, 20_000)
    state = joint.run(joint.base_state(seeds), seeds, 40)
    every = np.stack([log_weights(classes, states_of(D), label) for label in range(3)], axis=1)
    probs = np.exp(every - np.logaddexp.reduce(every.ravel()))
    within(np.bincount(state.classes, minlength=3) / 20_000, probs.sum(axis=0), 20_000)
    within(frequencies(state.v, D), probs.sum(axis=1), 20_000)


def test_tempered_chains_are_those_of_the_density():
    model = machine(1.5, method="tempering", num_temperatures=4, num_chains=10_000)
    joint = model._machine()
    betas = tf.linspace(tf.zeros([], tf.float64), 1.0, 4)
    seeds = row_seeds(tf.constant([0, 1]), 0, 40_000)
    state = joint.base_state(seeds)
    for step in range(24):
        state = joint.tempered_step(state, seeds, step, betas)
    np.testing.assert_allclose(state.inputs, joint.inputs(state.v), rtol=1e-12)
    for row, beta in enumerate(betas):
        every = joint._log_density(joint.state(tf.constant(states_of(D))), beta[None, None])
        probs = np.exp(every - np.logaddexp.reduce(every))
        within(frequencies(state.v[10_000 * row : 10_000 * (row + 1)], D), probs, 10_000)


def test_inpainting_draws_the_conditional(small):
    x = np.tile(states_of(D)[21], (20_000, 1))
    mask = np.array([1, 0, 1, 1, 0])
    drawn = np.asarray(small.inpaint(x, mask, num_steps=30, seed=1, batch_size=20_000))
    np.testing.assert_array_equal(drawn[:, mask == 1], x[:, mask == 1])
    rest = states_of(2)
    each = np.tile(states_of(D)[21], (4, 1))
    each[:, mask == 0] = rest
    probs = np.exp(small.log_prob(each))
    within(frequencies(drawn[:, mask == 0], 2), probs / probs.sum(), 20_000)
    categorical = machine(event_shape=(2,), visible="categorical", num_values=3)
    drawn = np.asarray(
        categorical.inpaint(np.full((8000, 2), 2), [0, 1], num_steps=30, seed=1, batch_size=8000)
    )
    probs = np.exp(categorical.log_prob([[0, 2], [1, 2], [2, 2]]))
    within(np.bincount(drawn[:, 0].astype(int), minlength=3) / 8000, probs / probs.sum(), 8000)


def test_hidden_probabilities_and_means(small):
    x = states_of(D)[[0, 9, 30]]
    w, b, c = (np.asarray(small.parameters()[name]) for name in ("weights", "visible_bias", "hidden_bias"))
    h = 1 / (1 + np.exp(-(x @ w + c)))
    np.testing.assert_allclose(small.encode(x), h, rtol=1e-12)
    mean = 1 / (1 + np.exp(-(h @ w.T + b)))
    np.testing.assert_allclose(small.decode(h), mean, rtol=1e-12)
    np.testing.assert_allclose(small.reconstruct(x), mean, rtol=1e-12)
    np.testing.assert_array_equal(small.filters()[1], w[:, 1])


# ---- training ---------------------------------------------------------------------------------------


def contrast(model, x, seed=None):
    terms = model.loss_terms(x, seed=seed)
    return tf.reduce_mean(terms["free_energy"] + terms["chains"])


def gradients(model, terms):
    with tf.GradientTape() as tape:
        value = terms()
    return [np.asarray(g) for g in tape.gradient(value, model.trainable_weights)]


@pytest.mark.parametrize(
    ("options", "chains"),
    [
        ({}, states_of(4)),
        (
            {"visible": "categorical", "num_values": 2},
            np.eye(2)[states_of(4).astype(int)].reshape(16, 8),
        ),
    ],
    ids=["bernoulli", "categorical"],
)
def test_the_gradient_is_that_of_the_likelihood(options, chains, untraced):
    model = machine(event_shape=(4,), num_chains=16, proxies=False, **options)
    x = tf.constant(states_of(4)[[1, 7, 12]])
    exact = gradients(
        model, lambda: tf.reduce_mean(model._energy(x)) + model._machine().exact_log_partition()
    )
    probs = np.exp(model.log_prob(states_of(4)))
    # The mean over exact draws is the mean over states with their probabilities; it is linear in the chains.
    model._chains.assign(chains)
    base = gradients(model, lambda: contrast(model, x))
    found = [0.0] * len(base)
    for state, prob in zip(chains, probs, strict=True):
        model._chains.assign(np.tile(state, (16, 1)))
        each = gradients(model, lambda: contrast(model, x))
        found = [total + prob * one for total, one in zip(found, each, strict=True)]
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_contrastive_divergence_starts_at_the_data(untraced):
    model = machine(method="cd", num_gibbs_steps=2, proxies=False)
    x, seed = tf.constant(states_of(D)[[1, 7, 12]]), tf.constant([3, 4])
    restricted = model._machine()
    ends = restricted.run(restricted.state(x), row_seeds(seed, 0, 3), 2).v
    expected = np.mean(model._energy(x) - model._energy(ends))
    np.testing.assert_allclose(contrast(model, x, seed), expected, rtol=1e-12)
    with pytest.raises(RuntimeError, match="keeps no chains"):
        model.chains()


def test_the_pseudo_likelihood_is_a_product_of_conditionals(small):
    x = states_of(D)
    log_prob = np.asarray(small.log_prob(x))
    restricted = small._machine()
    total = 0.0
    for unit in range(D):
        other = x.copy()
        other[:, unit] = 1 - other[:, unit]
        expected = -log_prob + np.logaddexp(log_prob, np.asarray(small.log_prob(other)))
        v = tf.constant(x)
        found = restricted.pseudo_nll(v, restricted.inputs(v), tf.fill([len(x)], unit)) / D
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        total += expected
    assert np.all(total > 0)


@pytest.fixture(scope="module")
def trained():
    """A machine on four of the sixteen states of four bits."""
    x = np.repeat(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], np.float32), 256, axis=0)
    model = kg.RBM((4,), hidden_dim=4, num_chains=64, seed=1)
    model.compile(keras.optimizers.SGD(0.2))
    start = []

    class Start(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            start.append((np.mean(self.model.log_prob(x)), np.asarray(self.model.chains())))

    history = model.fit(x, batch_size=64, epochs=100, verbose=0, callbacks=[Start()])
    return model, x, history.history, start[0]


def test_training_raises_the_exact_likelihood(trained):
    model, x, history, (start, _) = trained
    # The entropy of four equal states is the most that can be reached; independent bits are the start.
    rates = np.array([512.5, 512.5, 512.5, 768.5]) / 1025
    data = np.mean(x, axis=0)
    independent = np.sum(data * np.log(rates) + (1 - data) * np.log(1 - rates))
    assert abs(start - independent) < 0.02
    end = float(np.mean(model.log_prob(x)))
    assert start < -2.5 < -1.65 < end < -math.log(4)
    assert history["reconstruction_proxy"][-1] < 0.5 * history["reconstruction_proxy"][0]


def test_chains_move_once_a_step(trained):
    model, x, _, _ = trained
    chains, step = np.asarray(model.chains()), int(model.training_steps)
    weights = [np.asarray(w) for w in model.trainable_weights]
    model.evaluate(x, verbose=0)
    model.sample(3)
    np.testing.assert_array_equal(model.chains(), chains)
    seed = model._state_seed()
    model.train_on_batch(x[:32])
    assert int(model.training_steps) == step + 1
    # The chains moved by one Gibbs step of the new weights, each with the seed of its number.
    restricted = model._machine()
    expected = restricted.run(restricted.state(tf.constant(chains)), row_seeds(seed, 0, 64), 1).v
    np.testing.assert_array_equal(model.chains(), expected)
    assert not all(
        np.array_equal(old, new) for old, new in zip(weights, model.trainable_weights, strict=True)
    )


def test_sparsity_pulls_the_activities():
    x = (np.random.default_rng(0).random((256, 8)) < 0.5).astype("float32")

    def activity(target):
        model = kg.RBM((8,), hidden_dim=6, sparsity_target=target, sparsity_weight=1.0, proxies=False, seed=1)
        model.compile(keras.optimizers.SGD(0.2))
        model.fit(x, batch_size=64, epochs=40, verbose=0)
        return float(np.mean(model.encode(x)))

    assert abs(activity(0.1) - 0.1) < 0.05 and abs(activity(None) - 0.5) < 0.1


def test_weight_decay_is_a_term(untraced):
    model = machine(weight_decay=0.3, proxies=False)
    terms = model.loss_terms(tf.constant(states_of(D)))
    np.testing.assert_allclose(
        terms["weight_decay"], np.full(2**D, 0.5 * np.sum(np.square(model._kernel))), rtol=1e-12
    )
    assert model.term_weights()["weight_decay"] == 0.3


# ---- bad input --------------------------------------------------------------------------------------


def test_bad_data_are_refused_or_told_of():
    model = kg.RBM((3,), hidden_dim=2)
    model.compile()
    with pytest.raises(ValueError, match=r"integers in \[0, 1\]; received fractions. Binarise the data"):
        model.fit(np.full((4, 3), 0.5), verbose=0)
    gaussian = kg.RBM((3,), hidden_dim=2, visible="gaussian")
    with pytest.warns(UserWarning, match="standardised data; received means up to 50"):
        gaussian.initialize(np.full((10, 3), 50.0) + np.eye(10, 3))
    with pytest.raises(ValueError, match=r"integers in \[0, 3\]; received values from 0.0 to 4.0"):
        kg.RBM((3,), hidden_dim=2, visible="categorical", num_values=4).energy(np.array([[0.0, 4.0, 1.0]]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visible": "real"}, "`visible` must be one of 'bernoulli', 'gaussian', 'categorical'"),
        ({"method": "adam"}, "`method` must be one of 'pcd', 'cd', 'tempering'"),
        ({"num_chains": 0}, "`num_chains` must be an integer of at least 1; received 0"),
        ({"num_values": 3}, "`num_values` is the number of values of visible='categorical'.*Leave it out"),
        ({"visible": "categorical"}, "`num_values` is the number.*Give it"),
        ({"condition_shape": (2,)}, r"conditioned on classes alone; received condition_shape=\(2,\)"),
        ({"sparsity_target": 0.0}, "`sparsity_target` must be a finite number above 0"),
        ({"num_temperatures": 1}, "`num_temperatures` must be an integer of at least 2"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        kg.RBM((3,), **{"hidden_dim": 2, **options})


def test_bad_questions_are_refused(small):
    with pytest.raises(ValueError, match="at most 20 units on its smaller side"):
        kg.RBM((21,), hidden_dim=21).log_partition(method="exact")
    with pytest.raises(ValueError, match="`method` must be one of 'auto', 'exact'"):
        small.log_partition(method="ais")
    with pytest.raises(ValueError, match="`start` holds the examples.*received none with method='reverse'"):
        small.log_partition(method="reverse")
    with pytest.raises(ValueError, match="Leave it out, or use that method"):
        small.log_partition(start=states_of(D))
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 5\]; received \(2, 4\)"):
        small.sample(2, start=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="`mask` must have"):
        small.inpaint(states_of(D), np.ones(4))
