"""The step's averages, penalties, clipping and players, against NumPy."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.bases import GenerativeModel
from keras_genmod.core.batches import Batch
from keras_genmod.core.noise import Purpose, stream_seed
from keras_genmod.testing.arithmetic import SAME
from keras_genmod.testing.comparing import largest_difference
from keras_genmod.training import MEASURE, Player, SharedForward
from keras_genmod.training.fused_adam import FusedAdam
from keras_genmod.training.objective import objective
from keras_genmod.training.step import gradients
from tests.training.toys import NUM_CHAINS, START, STEP, ToyChain, ToyCycleGAN


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


@pytest.mark.parametrize(("replicated", "micro_batches"), [(False, 1), (True, 2)])
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


@pytest.mark.parametrize("micro_batches", [2, 3])
def test_micro_batches_too_small_for_a_statistic_leave_it_to_the_others(micro_batches):
    """Three rows as 1 and 2, as 1, 1 and 1."""
    model = Statistic()
    model.compile(keras.optimizers.SGD(0.1), micro_batches=micro_batches)
    logs = model.fit(X[:3], batch_size=3, shuffle=False, verbose=0).history
    have_it = {2: X[1:3], 3: X[:0]}[micro_batches]
    square = np.mean(have_it) if len(have_it) else 0.0
    # d/da (a x + a^2 x / 2) at a = 2.
    assert float(model.a) == pytest.approx(2.0 - 0.1 * (np.mean(X[:3]) + 2.0 * square), abs=1e-5)
    assert logs["linear"] == pytest.approx([2.0 * np.mean(X[:3])], rel=1e-6)
    wanted = 4.0 * square if len(have_it) else np.nan
    assert logs["square"] == pytest.approx([wanted], rel=1e-6, nan_ok=True)


def test_the_rows_of_a_statistic_are_those_of_all_replicas(strategy):
    with strategy.scope():
        model = Statistic()
        model.compile(keras.optimizers.SGD(0.1))
    for rows in (1, 2, 3):
        model.layer.kernel.assign([[2.0]])
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
    with pytest.raises(ValueError, match=r"one value per example.*shape \(\)\. Leave the batch axis"):
        objective(player({"t": tf.reduce_mean(batch.x)}, {}), batch, seed, training=True)
    with pytest.raises(ValueError, match=r"`term_weights` must name.*\['t'\]; received \['other'\]"):
        objective(player({"t": batch.x[:, 0]}, {"other": 1.0}), batch, seed, training=True)


@pytest.mark.parametrize("shape", [(5, 2), (None, 2), None])
def test_a_term_over_something_else_than_the_examples_is_refused(shape):
    """Divided by the number of examples, the sum over 3 chains would be no mean."""

    def traced(values):
        player = Player("p", (), lambda x, **_: {"t": values(x)})

        @tf.function(input_signature=[tf.TensorSpec(shape)])
        def step(x):
            return objective(player, Batch(x), tf.constant([0, 1]), training=True).terms["t"]

        return step.get_concrete_function()

    size = 5 if shape and shape[0] else "any number of"
    for length in (1, 3):
        expected = rf"The term 't' .*; received {length} values for a batch of {size} examples.*tf.fill"
        with pytest.raises(ValueError, match=expected):
            traced(lambda x, length=length: tf.zeros([length]))
    total = traced(lambda x: tf.fill([tf.shape(x)[0]], 2.0))
    assert float(total(tf.zeros([5, 2]))) == 10.0


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


def domains(num_rows, seed=0):
    """Unpaired rows of the two domains of the toy."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(size=(num_rows, width)).astype("float32") for name, width in SIDES}


SIDES = (("a", 3), ("b", 2))


@pytest.mark.parametrize(("paired", "discriminator_steps"), [(False, 3), (True, 1)])
def test_a_shared_forward_pass_changes_nothing_but_the_work(paired, discriminator_steps):
    x = domains(12)
    data = (x["a"], x["b"]) if paired else (x,)
    models = []
    for shares in (True, False):
        model = ToyCycleGAN((3,), paired=paired, shares=shares, seed=5)
        model.compile("sgd", discriminator_steps=discriminator_steps, run_eagerly=True)
        model.fit(*data, batch_size=6, verbose=0)
        models.append(model)
    for shared, plain in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_allclose(shared, plain, atol=1e-6)


def test_the_shared_pass_is_made_once():
    calls = []

    class Counting(ToyCycleGAN):
        def shared_forward(self, x, *, condition, training, seed):
            calls.append(training)
            return super().shared_forward(x, condition=condition, training=training, seed=seed)

    model = Counting((3,), seed=0)
    model.compile(run_eagerly=True)
    model.fit(domains(4), batch_size=4, verbose=0)
    assert calls == [True]


def test_players_take_alternate_steps_by_hand():
    """The critics move first, and the generators meet the new critics."""
    x = domains(2)
    model = ToyCycleGAN((3,), noise=0.0, seed=1)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.2))
    twin = ToyCycleGAN((3,), noise=0.0, seed=1)
    twin.set_weights(model.get_weights())
    model.fit(x, batch_size=2, verbose=0)

    a, b = tf.constant(x["a"]), tf.constant(x["b"])
    for critic, real, fake in ((twin.critic_a, a, twin.to_a(b)), (twin.critic_b, b, twin.to_b(a))):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.softplus(-critic(real)) + tf.nn.softplus(critic(fake)))
        grads = tape.gradient(loss, critic.trainable_weights)
        for weight, grad in zip(critic.trainable_weights, grads, strict=True):
            weight.assign_sub(0.2 * grad)
    weights = twin.to_b.trainable_weights + twin.to_a.trainable_weights
    with tf.GradientTape() as tape:
        fake_a, fake_b = twin.to_a(b), twin.to_b(a)
        cycles = tf.reduce_sum((twin.to_a(fake_b) - a) ** 2, -1) + tf.reduce_sum(
            (twin.to_b(fake_a) - b) ** 2, -1
        )
        judged = tf.nn.softplus(-twin.critic_a(fake_a)) + tf.nn.softplus(-twin.critic_b(fake_b))
        loss = tf.reduce_mean(judged[:, 0] + 2.0 * cycles)
    for weight, grad in zip(weights, tape.gradient(loss, weights), strict=True):
        weight.assign_sub(0.1 * grad)
    for ours, theirs in zip(model.trainable_weights, twin.trainable_weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-6)


def test_each_player_gets_a_copy_of_one_optimizer():
    model = ToyCycleGAN((3,))
    model.compile(keras.optimizers.RMSprop(0.123))
    assert model.optimizer is not model.discriminator_optimizer
    assert isinstance(model.discriminator_optimizer, keras.optimizers.RMSprop)
    assert float(model.discriminator_optimizer.learning_rate) == pytest.approx(0.123)
    assert model.get_compile_config()["discriminator_steps"] == 1


def test_unpaired_sides_may_differ_in_length():
    model = ToyCycleGAN((3,), seed=0)
    model.compile(run_eagerly=True)
    x = {"a": np.zeros((7, 3), "float32"), "b": np.ones((3, 2), "float32")}
    model.fit(x, batch_size=4, epochs=1, verbose=0)
    assert int(model.training_steps) == 2


# ---- players of one optimizer -----------------------------------------------------------------------

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.05, beta_1=0.5),
    # Keeps a product over its updates, whichever weights they are of.
    "nadam": lambda: keras.optimizers.Nadam(0.05),
    "fused_adam": lambda: FusedAdam(0.05, beta_1=0.5),
    "clipped": lambda: keras.optimizers.Adam(0.05, global_clipnorm=0.01),
    # Moves the averages of all its weights in each update.
    "averaged": lambda: keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.5),
    "decayed": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.05), initial_scale=64.0, dynamic_growth_steps=3
    ),
}


@pytest.mark.parametrize(
    "name",
    # Clipping is of Adam too.
    [pytest.param(name, marks=[pytest.mark.slow] * (name == "adam")) for name in OPTIMIZERS],
)
def test_players_of_one_optimizer_are_one_player_with_all_their_weights(name, float64):
    """Whatever state the optimizer keeps: slots, iterations, products, averages, the scale of the loss."""
    models, histories = [], []
    for critics in ("two players", "one player"):
        model = ToyCycleGAN((3,), critics=critics, seed=2)
        # On replicas, in the next test but one, clipped and scaled updates are traced.
        model.compile("sgd", OPTIMIZERS[name](), run_eagerly=name != "fused_adam")
        histories.append(model.fit(domains(20), batch_size=4, verbose=0).history)
        models.append(model)
    assert largest_difference(*models) < SAME
    apart, together = (model.discriminator_optimizer for model in models)
    assert int(apart.iterations) == 5
    for ours, theirs in zip(apart.variables, together.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10, atol=SAME)
    for term in ("real", "fake"):
        for side in "ab":
            np.testing.assert_allclose(
                histories[0][f"critic_{side}_{term}_{side}"],
                histories[1][f"critic_ab_{term}_{side}"],
                rtol=1e-6,
            )
    both = np.add(histories[0]["critic_a_loss"], histories[0]["critic_b_loss"])
    np.testing.assert_allclose(both, histories[1]["critic_ab_loss"], rtol=1e-6)


class Sides(Line):
    """Two weights u and v, trained by two players; each objective has the product of both in it."""

    def __init__(self, optimizers, *, overlap=False, **kwargs):
        super().__init__(1.0, **kwargs)
        self.optimizers, self.overlap = optimizers, overlap
        self.other = keras.layers.Dense(
            1, use_bias=False, kernel_initializer=keras.initializers.Constant(2.0)
        )
        self.other.build((None, 1))

    @property
    def uv(self):
        return tf.convert_to_tensor(self.layer.kernel)[0, 0], tf.convert_to_tensor(self.other.kernel)[0, 0]

    def shared_forward(self, x, *, condition=None, training=False, seed=None):
        """The product u v x, through which the players of the last optimizer differentiate."""
        u, v = self.uv
        return u * v * x[:, 0]

    def players(self):
        first = (self.layer, self.other) if self.overlap else (self.layer,)
        return [
            Player("first", first, lambda x, shared, **_: {"t": 2.0 * shared}, optimizer=self.optimizers[0]),
            Player(
                "second",
                (self.other,),
                lambda x, shared, **_: {"t": 3.0 * shared},
                optimizer=self.optimizers[1],
            ),
        ]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("micro_batches", [1, 5])
def test_two_players_differentiate_through_one_shared_pass(overlap, micro_batches):
    """du = 2 v x of the first, dv = 3 u x of the second, and 2 u x more where both train v: at once."""
    model = Sides(("optimizer", "optimizer"), overlap=overlap)
    model.compile(keras.optimizers.SGD(0.01), micro_batches=micro_batches)
    model.fit(X, batch_size=5, verbose=0)
    u, v = map(float, model.uv)
    mean = np.mean(X)
    assert u == pytest.approx(1.0 - 0.01 * 2.0 * 2.0 * mean, rel=1e-5)
    assert v == pytest.approx(2.0 - 0.01 * (5.0 if overlap else 3.0) * 1.0 * mean, rel=1e-5)
    assert int(model.optimizer.iterations) == 1


@pytest.mark.parametrize("name", ["clipped", "scaled"])
def test_players_of_one_optimizer_train_on_replicas_as_on_one_device(strategy, name, float64):
    models = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        with scope:
            model = Sides(("optimizer", "optimizer"), seed=0)
            model.compile(OPTIMIZERS[name]())
        model.fit(X, batch_size=3, verbose=0)
        models.append(model)
    assert largest_difference(*models) < SAME
    for ours, theirs in zip(*(model.optimizer.variables for model in models), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-10, atol=SAME)
    assert models[1].optimizer.iterations.numpy() == 2


def test_an_optimizer_has_the_weights_of_all_players_that_name_it():
    model = ToyCycleGAN((3,))
    model.compile("adam")
    critics = model.critic_a.trainable_weights + model.critic_b.trainable_weights
    generators = model.to_b.trainable_weights + model.to_a.trainable_weights
    for optimizer, weights in ((model.discriminator_optimizer, critics), (model.optimizer, generators)):
        assert {id(weight) for weight in optimizer._trainable_variables} == {id(weight) for weight in weights}
        assert len(optimizer._trainable_variables) == len(weights)


def test_a_player_of_no_optimizer_is_refused():
    with pytest.raises(ValueError, match="player 'second'.*optimizer='other'. Name one of .'optimizer'"):
        Sides(("optimizer", "other")).compile()


class Row(ToyCycleGAN):
    """Critics in an order and with numbers of updates of one's own."""

    def __init__(self, order, steps=(1, 1, 1)):
        super().__init__((3,))
        self.order, self.steps = order, steps

    def players(self):
        players = [
            dataclasses.replace(p, updates_per_step=n)
            for p, n in zip(super().players(), self.steps, strict=True)
        ]
        return [players[place] for place in self.order]


@pytest.mark.parametrize(
    ("order", "steps", "words"),
    [
        ((0, 2, 1), (1, 1, 1), "'discriminator_optimizer' must stand side by side.*'critic_a', 'generator'"),
        ((0, 1, 2), (2, 1, 1), "equal `updates_per_step`.*'critic_a': 2, 'critic_b': 1.*another optimizer"),
    ],
)
def test_players_that_one_update_cannot_serve_are_refused(order, steps, words):
    with pytest.raises(ValueError, match=words):
        Row(order, steps).compile()


@pytest.mark.parametrize("scaled", [False, True])
def test_one_optimizer_object_for_two_arguments_is_refused(scaled):
    optimizer = keras.optimizers.Adam()
    second = keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
    with pytest.raises(ValueError, match="`generator_optimizer` and `discriminator_optimizer`.*two objects"):
        ToyCycleGAN((3,)).compile(optimizer, second)


def test_an_optimizer_of_another_model_is_refused():
    model = Line()
    model.compile(keras.optimizers.Adam())
    model.compile(model.optimizer)
    with pytest.raises(ValueError, match="`optimizer` must be new.*built for others.*Pass a name"):
        Line().compile(model.optimizer)


# ---- state that moves once a step --------------------------------------------------------------------


def chains_by_hand(model, x, num_steps):
    """The chains after some steps, with the means of those steps."""
    chains, means = np.full((NUM_CHAINS, 3), START), [model.mean.numpy()] if num_steps == 0 else []
    seed = model.seed
    mean = np.full(3, START)
    for step in range(num_steps):
        # The mean of E(x) falls by the gradient m - x, that of E(chains) by m - chains.
        mean = mean - 0.1 * ((mean - x.mean(0)) - (mean - chains.mean(0)))
        noise = tf.random.stateless_normal(
            chains.shape, stream_seed(seed, Purpose.STATE, step), dtype=tf.float64
        )
        chains = np.concatenate([x[:1], chains[1:]])
        chains = chains - STEP * (chains - mean) + (2 * STEP) ** 0.5 * noise.numpy()
        means.append(mean)
    return chains, means[-1]


@pytest.mark.parametrize(
    "kind",
    # Replicas make micro-batches too.
    ["plain", pytest.param("micro_batches", marks=pytest.mark.slow), "replicas with micro_batches"],
)
def test_chains_move_once_a_step(strategy, kind, float64):
    with strategy.scope() if "replicas" in kind else contextlib.nullcontext():
        model = ToyChain((3,), seed=3)
        model.compile(keras.optimizers.SGD(0.1), micro_batches=2 if "micro" in kind else 1)
    x = np.random.default_rng(0).normal(size=(8, 3))
    for steps in (1, 2, 3):
        model.fit(x, batch_size=8, shuffle=False, verbose=0)
        chains, mean = chains_by_hand(model, x, steps)
        np.testing.assert_allclose(model.mean, mean, atol=SAME)
        np.testing.assert_allclose(model.chains, chains, atol=SAME)
        if "replicas" in kind:
            copies = strategy.experimental_local_results(model.chains.value)
            assert len(copies) == 2
            np.testing.assert_array_equal(copies[0], copies[1])
        model.evaluate(x, verbose=0)
        model.predict(x, verbose=0)
        np.testing.assert_allclose(model.chains, chains, atol=SAME)


def test_state_of_which_replicas_would_keep_different_values_is_refused(strategy):
    class Unequal(ToyChain):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.count = self.add_weight(shape=(), trainable=False, name="count")

    Unequal((3,), seed=3).compile("sgd")
    with strategy.scope():
        model = Unequal((3,), seed=3)
        with pytest.raises(ValueError, match="aggregation='only_first_replica'.*'none' for 'count'"):
            model.compile("sgd")


def test_chains_move_after_all_rounds_of_updates_with_the_last_shared_pass():
    seen = []

    class Watching(ToyCycleGAN):
        def advance_state(self, batch, *, seed, shared):
            updates = [int(o.iterations) for o in (self.discriminator_optimizer, self.optimizer)]
            seen.append((updates, shared["a"].numpy(), batch.x["b"].numpy()))

    results = []
    for micro_batches in (1, 2):
        model = Watching((3,), noise=0.0, seed=0)
        model.compile("sgd", discriminator_steps=3, run_eagerly=True, micro_batches=micro_batches)
        before = model.to_a(domains(4)["b"]).numpy()
        model.fit(domains(4), batch_size=4, shuffle=False, verbose=0)
        ((updates, fake, real),) = seen
        assert updates == [3, 1]
        # The pass was made before the generators' update.
        np.testing.assert_allclose(fake, before, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(real, domains(4)["b"])
        results.append(seen.pop())


def test_a_model_that_moves_no_state_pays_nothing_for_it(monkeypatch):
    """Neither the seed nor the rows of the shared pass are computed for a hook that is the base's."""

    def unwanted(*args, **kwargs):
        raise AssertionError("computed for nothing")

    monkeypatch.setattr(SharedForward, "given", unwanted)
    monkeypatch.setattr(GenerativeModel, "_state_seed", unwanted)
    model = ToyCycleGAN((3,), seed=0)
    model.compile(run_eagerly=True)
    model.fit(domains(4), batch_size=4, verbose=0)

    class Moving(ToyCycleGAN):
        def advance_state(self, batch, *, seed, shared):
            pass

    model = Moving((3,), seed=0)
    model.compile(run_eagerly=True)
    with pytest.raises(AssertionError, match="computed for nothing"):
        model.fit(domains(4), batch_size=4, verbose=0)


def test_the_logged_objective_is_the_one_that_is_minimised():
    model = kg.VAE((4,), latent_dim=2, beta=3.0, seed=0)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
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
        self.weights.append(self.model.critic_a.get_weights()[0])


@pytest.mark.parametrize("kind", ["plain", "replicas", "mixed_float16"])
def test_a_schedule_counts_the_steps_of_the_model(strategy, tmp_path, kind):
    """Two updates in each step, and the rate falls to 0 after two steps, not after two updates."""
    with strategy.scope() if kind == "replicas" else contextlib.nullcontext():
        dtype = "mixed_float16" if kind == "mixed_float16" else None
        model = ToyCycleGAN((3,), seed=0, dtype=dtype)
        optimizer = keras.optimizers.SGD(frozen_after(2))
        model.compile("sgd", optimizer, discriminator_steps=2, run_eagerly=kind == "plain")
    watch = Watch()
    start = model.critic_a.get_weights()[0]
    model.fit(domains(16), batch_size=4, verbose=0, callbacks=[watch])
    assert watch.rates == pytest.approx([0.1, 0.0, 0.0, 0.0])
    moved = [not np.array_equal(*pair) for pair in zip([start, *watch.weights], watch.weights, strict=False)]
    assert moved == [True, True, False, False]
    assert model.discriminator_optimizer.iterations.numpy() == 8
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert float(loaded.discriminator_optimizer.learning_rate) == 0.0
    assert loaded.discriminator_optimizer.iterations.numpy() == 8


def test_a_schedule_stays_the_users():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.3, 10, 0.5)
    optimizer = keras.optimizers.Adam(schedule)
    config = optimizer.get_config()
    model = ToyCycleGAN((3,))
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
