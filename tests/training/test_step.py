"""The step's averages, penalties, clipping and players, against NumPy."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bases import GenerativeModel
from keras_genmod.core.batches import Batch
from keras_genmod.training import MEASURE, Player, SharedForward
from keras_genmod.training.step import gradients, objective
from tests.training.toys import ToyTranslator


class Line(GenerativeModel):
    """Two terms, a * x and a ** 2 * x, with one weight a: gradients by hand."""

    def __init__(self, a=2.0, **kwargs):
        super().__init__((1,), **kwargs)
        self.layer = keras.layers.Dense(
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.Constant(a),
        )
        self.layer.build((None, 1))
        self.built = True

    @property
    def a(self):
        return tf.convert_to_tensor(self.layer.kernel)[0, 0]

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        return {"linear": self.a * x[:, 0], "square": self.a**2 * x[:, 0]}

    def term_weights(self):
        return {"square": 0.5}

    def call(self, x, training=False):
        return self.layer(x)


X = np.array([[1.0], [2.0], [4.0], [8.0], [16.0]], "float32")
W = np.array([1.0, 0.5, 0.0, 2.0, 1.0], "float32")


def test_the_logs_are_weighted_means_over_a_ragged_last_batch():
    model = Line()
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(X, sample_weight=W, batch_size=2, epochs=1, verbose=0).history
    linear = np.sum(W * 2.0 * X[:, 0]) / 5
    square = np.sum(W * 4.0 * X[:, 0]) / 5
    assert history["linear"] == pytest.approx([linear], rel=1e-6)
    assert history["square"] == pytest.approx([square], rel=1e-6)
    assert history["loss"] == pytest.approx([linear + 0.5 * square], rel=1e-6)
    result = model.evaluate(X, sample_weight=W, batch_size=2, return_dict=True, verbose=0)
    assert result["loss"] == pytest.approx(linear + 0.5 * square, rel=1e-6)


@pytest.mark.parametrize("replicated", [False, True])
def test_one_step_follows_the_gradient_of_the_mean(strategy, replicated):
    with strategy.scope() if replicated else contextlib.nullcontext():
        model = Line()
        model.compile(keras.optimizers.SGD(0.1))
    model.fit(X, sample_weight=W, batch_size=5, verbose=0)
    # d/da (a x + a^2 x / 2) = (1 + a) x at a = 2.
    gradient = np.sum(W * 3.0 * X[:, 0]) / 5
    assert float(model.a) == pytest.approx(2.0 - 0.1 * gradient, abs=1e-5)


@pytest.mark.parametrize("replicated", [False, True])
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_a_penalty_enters_the_objective_once(strategy, replicated, micro_batches):
    with strategy.scope() if replicated else contextlib.nullcontext():
        model = Line()
        model.layer.kernel.regularizer = keras.regularizers.L2(3.0)
        model.compile(keras.optimizers.SGD(0.01), micro_batches=micro_batches)
    logs = model.fit(X, batch_size=5, verbose=0).history
    assert logs["regularization"] == pytest.approx([3.0 * 4.0])
    gradient = 3.0 * np.mean(X) + 2 * 3.0 * 2.0
    assert float(model.a) == pytest.approx(2.0 - 0.01 * gradient, rel=1e-5)


def test_a_term_with_weight_zero_may_be_infinite():
    class Infinite(Line):
        def loss_terms(self, x, **kwargs):
            terms = super().loss_terms(x, **kwargs)
            return {**terms, "square": terms["square"] * np.inf}

        def term_weights(self):
            return {"square": 0.0}

    model = Infinite()
    model.compile(keras.optimizers.SGD(0.1))
    assert np.isfinite(model.fit(X, verbose=0).history["loss"][0])


def test_a_measure_is_a_mean_over_examples_and_no_part_of_the_objective():
    class Measured(Line):
        def term_weights(self):
            return {"square": MEASURE}

    model = Measured()
    model.compile(keras.optimizers.SGD(0.0))
    for logs in (
        model.evaluate(X, sample_weight=W, batch_size=2, return_dict=True, verbose=0),
        {
            name: log[0]
            for name, log in model.fit(X, sample_weight=W, batch_size=2, verbose=0).history.items()
        },
    ):
        assert logs["square"] == pytest.approx(4.0 * np.mean(X), rel=1e-6)
        assert logs["linear"] == logs["loss"] == pytest.approx(np.sum(W * 2.0 * X[:, 0]) / 5, rel=1e-6)


class Statistic(Line):
    """The second term needs two rows."""

    batch_statistics = {"square": 2}


def test_a_statistic_is_the_mean_over_the_batches_that_have_it():
    """Batches of 2, 2 and 1: the last has no second term."""
    model = Statistic()
    model.compile(keras.optimizers.SGD(0.0))
    logs = model.evaluate(X, sample_weight=W, batch_size=2, return_dict=True, verbose=0)
    linear, square = np.sum(W * 2.0 * X[:, 0]) / 5, np.sum(W[:4] * 4.0 * X[:4, 0]) / 4
    assert logs["linear"] == pytest.approx(linear, rel=1e-6)
    assert logs["square"] == pytest.approx(square, rel=1e-6)
    assert logs["loss"] == pytest.approx(linear + 0.5 * square, rel=1e-6)


@pytest.mark.parametrize("micro_batches", [1, 2, 3])
def test_micro_batches_too_small_for_a_statistic_leave_it_to_the_others(micro_batches):
    """Three rows as 3, as 1 and 2, as 1, 1 and 1."""
    model = Statistic()
    model.compile(keras.optimizers.SGD(0.1), micro_batches=micro_batches)
    logs = model.fit(X[:3], batch_size=3, shuffle=False, verbose=0).history
    have_it = {1: X[:3], 2: X[1:3], 3: X[:0]}[micro_batches]
    square = np.mean(have_it) if len(have_it) else 0.0
    # d/da (a x + a^2 x / 2) at a = 2.
    assert float(model.a) == pytest.approx(2.0 - 0.1 * (np.mean(X[:3]) + 2.0 * square), abs=1e-5)
    assert logs["linear"] == pytest.approx([2.0 * np.mean(X[:3])], rel=1e-6)
    wanted = 4.0 * square if len(have_it) else np.nan
    assert logs["square"] == pytest.approx([wanted], rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_rows_of_a_statistic_are_those_of_all_replicas(strategy, rows):
    with strategy.scope():
        model = Statistic()
        model.compile(keras.optimizers.SGD(0.1))
    logs = model.fit(X[:rows], batch_size=rows, shuffle=False, verbose=0).history
    mean = np.mean(X[:rows])
    assert float(model.a) == pytest.approx(2.0 - 0.1 * mean * (1.0 if rows == 1 else 3.0), abs=1e-5)
    wanted = np.nan if rows == 1 else 4.0 * mean
    assert logs["square"] == pytest.approx([wanted], rel=1e-6, nan_ok=True)


def test_terms_must_be_per_example_and_weights_must_name_terms():
    seed = tf.constant([0, 1])

    def player(terms, weights):
        return Player("p", (), lambda x, **_: terms, lambda: weights)

    batch = Batch(tf.constant(X))
    with pytest.raises(ValueError, match=r"one value per example.*received shape \(5, 1\)"):
        objective(player({"t": batch.x}, {}), batch, seed, training=True)
    with pytest.raises(ValueError, match=r"names \['other'\].*terms are \['t'\]"):
        objective(player({"t": batch.x[:, 0]}, {"other": 1.0}), batch, seed, training=True)


def test_micro_batches_wait_for_each_other():
    """So that the activations of one at a time are in memory: each part depends on the last gradients."""
    model = Line()
    model.compile(keras.optimizers.SGD(0.1), micro_batches=3)
    (player,) = model.players()

    @tf.function(autograph=False)
    def step(x):
        grads, _ = gradients(
            player,
            model.optimizer,
            Batch(x),
            tf.constant([0, 1]),
            global_num_examples=5.0,
            micro_batches=3,
        )
        return grads

    graph = step.get_concrete_function(tf.TensorSpec([None, 1])).graph
    waiting = [op for op in graph.get_operations() if op.type == "Identity" and op.control_inputs]
    assert len(waiting) >= 2
    whole = 3.0 * np.mean(X)
    np.testing.assert_allclose(step(tf.constant(X))[0], [[whole]], rtol=1e-6)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_a_shared_forward_pass_changes_nothing_but_the_work(paired, discriminator_steps):
    a = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
    data = (a, a[::-1].copy()) if paired else ({"a": a, "b": a[::-1].copy()},)
    models = []
    for shares in (True, False):
        model = ToyTranslator((3,), paired=paired, shares=shares, seed=5)
        model.compile("sgd", discriminator_steps=discriminator_steps)
        model.fit(*data, batch_size=4, epochs=2, verbose=0)
        models.append(model)
    for shared, plain in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(shared, plain, atol=1e-6)


def test_the_shared_pass_is_made_once():
    calls = []

    class Counting(ToyTranslator):
        def shared_forward(self, x, *, condition, training, seed):
            calls.append(training)
            return super().shared_forward(x, condition=condition, training=training, seed=seed)

    x = {"a": np.ones((4, 3), "float32"), "b": np.ones((4, 3), "float32")}
    model = Counting((3,), seed=0)
    model.compile(run_eagerly=True)
    model.fit(x, batch_size=4, verbose=0)
    assert calls == [True]


def test_players_take_alternate_steps_by_hand():
    """The discriminator moves first, and the generator meets the new discriminator."""
    x = {"a": np.ones((2, 1), "float32"), "b": 3 * np.ones((2, 1), "float32")}
    model = ToyTranslator((1,), noise=0.0, seed=1)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
    twin = ToyTranslator((1,), noise=0.0, seed=1)
    twin.set_weights(model.get_weights())
    model.fit(x, batch_size=2, verbose=0)

    a, b = tf.constant(x["a"]), tf.constant(x["b"])
    d, g = twin.discriminator, (twin.forward_network, twin.backward_network)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softplus(-d(b)) + tf.nn.softplus(d(g[0](a))))
    for weight, grad in zip(d.trainable_weights, tape.gradient(loss, d.trainable_weights), strict=True):
        weight.assign_sub(0.2 * grad)
    weights = g[0].trainable_weights + g[1].trainable_weights
    with tf.GradientTape() as tape:
        fake = g[0](a)
        cycle = tf.reduce_sum((g[1](fake) - a) ** 2, axis=-1, keepdims=True)
        loss = tf.reduce_mean(tf.nn.softplus(-d(fake)) + 2.0 * cycle)
    for weight, grad in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(0.1 * grad)
    for ours, theirs in zip(model.trainable_weights, twin.trainable_weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_each_player_gets_a_copy_of_one_optimizer():
    model = ToyTranslator((3,))
    model.compile(keras.optimizers.RMSprop(0.123))
    assert model.optimizer is not model.discriminator_optimizer
    assert isinstance(model.discriminator_optimizer, keras.optimizers.RMSprop)
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(0.123)
    assert model.get_compile_config()["discriminator_steps"] == 1


def test_unpaired_sides_may_differ_in_length():
    model = ToyTranslator((3,), seed=0)
    model.compile()
    x = {"a": np.zeros((7, 3), "float32"), "b": np.ones((3, 3), "float32")}
    model.fit(x, batch_size=4, epochs=1, verbose=0)
    assert int(model.training_steps) == 2


def test_the_logged_objective_is_the_one_that_is_minimised():
    model = kg.VAE((4,), latent_dim=2, beta=3.0, seed=0)
    model.compile(keras.optimizers.SGD(0.0))
    x = np.eye(4, dtype="float32")
    logs = model.fit(x, batch_size=4, verbose=0).history
    assert logs["loss"][0] == pytest.approx(logs["reconstruction"][0] + 3.0 * logs["kl"][0], rel=1e-6)


def test_shared_forward_without_a_tape_is_computed_anew():
    shared = SharedForward(lambda x, **_: 2.0 * x)
    np.testing.assert_array_equal(shared(Batch(tf.constant(X)), tf.constant([0, 0]), True), 2 * X)


# ---- names ------------------------------------------------------------------------------------------


class Named(Line):
    """A line whose terms have other names."""

    def __init__(self, *names, **kwargs):
        super().__init__(**kwargs)
        self.names = names

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        return {name: self.a * x[:, 0] for name in self.names}

    def term_weights(self):
        return {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("loss", "term 'loss': the objective is logged.*Rename.*'loss_term'"),
        ("regularization", "term 'regularization': the sum of the layers' own penalties.*Rename"),
    ],
)
def test_names_of_logs_that_are_not_a_term_are_refused(name, words):
    model = Named("linear", name)
    model.compile()
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=words):
            use(X, verbose=0)


def test_a_term_does_not_take_the_place_of_a_metric():
    class Measured(Named):
        def __init__(self):
            super().__init__("size")
            self.size = keras.metrics.Mean(name="size")

    model = Measured()
    model.compile()
    with pytest.raises(ValueError, match="name 'size': a term and one of the model's metrics. Rename"):
        model.fit(X, verbose=0)


class Players(Line):
    """Players by name, each with one term."""

    def __init__(self, terms, **kwargs):
        super().__init__(**kwargs)
        self.terms = tuple(terms)

    def players(self):
        """All of them train the one weight."""
        return [
            Player(name, (self.layer,), lambda x, term=term, **_: {term: self.a * x[:, 0]})
            for name, term in self.terms
        ]


def test_players_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"name of its own; received \['critic', 'critic'\]"):
        Players([("critic", "real"), ("critic", "fake")]).compile()


def test_terms_that_would_share_a_name_are_refused():
    model = Players([("a", "b_c"), ("a_b", "c")])
    model.compile(run_eagerly=True)
    with pytest.raises(ValueError, match="under the name 'a_b_c'.*term 'c' of the player 'a_b'. Rename"):
        model.fit(X, verbose=0)


# ---- schedules of the learning rate ---------------------------------------------------------------


def frozen_after(steps):
    """A rate of 0.1 in the first steps, then 0."""
    return keras.optimizers.schedules.PiecewiseConstantDecay([steps - 1], [0.1, 0.0])


class Watch(keras.callbacks.Callback):
    """The rate of the discriminator and its first weights after every step."""

    def __init__(self):
        super().__init__()
        self.rates, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.discriminator_optimizer.learning_rate))
        self.weights.append(self.model.discriminator.get_weights()[0])


@pytest.mark.parametrize("kind", ["plain", "replicas", "mixed_float16"])
def test_a_schedule_counts_the_steps_of_the_model(strategy, tmp_path, kind):
    """Three updates in each step, and the rate falls to 0 after two steps, not after two updates."""
    with strategy.scope() if kind == "replicas" else contextlib.nullcontext():
        dtype = "mixed_float16" if kind == "mixed_float16" else None
        model = ToyTranslator((3,), seed=0, dtype=dtype)
        model.compile("sgd", keras.optimizers.SGD(frozen_after(2)), discriminator_steps=3)
    a = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    watch = Watch()
    start = model.discriminator.get_weights()[0]
    model.fit({"a": a, "b": a}, batch_size=4, verbose=0, callbacks=[watch])
    assert watch.rates == pytest.approx([0.1, 0.0, 0.0, 0.0])
    moved = [not np.array_equal(*pair) for pair in zip([start, *watch.weights], watch.weights, strict=False)]
    assert moved == [True, True, False, False]
    assert model.discriminator_optimizer.iterations.numpy() == 12
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.discriminator_optimizer.learning_rate) == 0.0
    assert loaded.discriminator_optimizer.iterations.numpy() == 12


def test_a_schedule_stays_the_users():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.3, 10, 0.5)
    optimizer = keras.optimizers.Adam(schedule)
    config = optimizer.get_config()
    model = ToyTranslator((3,))
    for steps in (4, 2, 1):
        # The same optimizer again: the last number counts.
        model.compile("sgd", optimizer, discriminator_steps=steps)
        assert optimizer._learning_rate is schedule and optimizer.get_config() == config
        assert model.get_compile_config()["discriminator_optimizer"]["config"] == config
        optimizer.iterations.assign(20)
        assert float(optimizer.learning_rate) == pytest.approx(0.3 * 0.5 ** (20 / steps / 10))
    # A rate that is a number may still be set.
    model.compile("sgd", keras.optimizers.Adam(0.1), discriminator_steps=5)
    model.discriminator_optimizer.learning_rate = 0.2
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(0.2)


def test_terms_without_names_are_refused():
    class Nameless(Line):
        def loss_terms(self, x, **kwargs):
            return self.a * x[:, 0]

    model = Nameless()
    model.compile()
    with pytest.raises(TypeError, match="`loss_terms` must give a dict of terms by name"):
        model.fit(np.ones((4, 1)), verbose=0)
