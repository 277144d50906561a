"""Two stacked autoencoders: the first layer, then the second on its codes, then both together."""

import contextlib
import csv
import functools
import io

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.bases import GenerativeModel
from keras_genmod.core.registration import register
from keras_genmod.training import LinearSchedule, Player, Stage

# Epochs of 5 steps. Both boundaries are in the middle of an epoch, and of an execution of 4 steps.
FIRST, SECOND, STEPS = 3, 4, 15
X = np.random.default_rng(0).normal(size=[20, 4])


@register
class Stacked(GenerativeModel):
    """Two linear autoencoders, one on the codes of the other."""

    def __init__(self, event_shape=(4,), *, noise=0.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.noise = noise

        def dense(units, inputs, number):
            start = keras.initializers.GlorotUniform(seed=number)
            layer = keras.layers.Dense(units, kernel_initializer=start, dtype=self.dtype_policy)
            layer.build((None, inputs))
            return layer

        self.first = [dense(3, 4, 1), dense(4, 3, 2)]
        self.second = [dense(2, 3, 3), dense(3, 2, 4)]

    def stages(self):
        """Each autoencoder by itself, then both."""
        return [Stage("first", FIRST), Stage("second", SECOND), Stage("joint")]

    def players(self):
        """The layers of the stage."""
        layers = {"first": self.first, "second": self.second, "joint": [*self.first, *self.second]}
        weights = {"size": LinearSchedule(0.5, 16)(self.training_steps)}
        return [Player("model", layers[self.stage.name], self.loss_terms, lambda: weights)]

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        """The squared error of what the stage trains, named after the stage, and the size of the code."""
        if training and self.noise:
            x += self.noise * tf.random.stateless_normal(tf.shape(x), seed, dtype=x.dtype)
        code = self.first[0](x)
        target, output = x, self.first[1](code)
        if self.stage.name != "first":
            lower, code = code, self.second[0](code)
            output = self.second[1](code)
            if self.stage.name == "second":
                target = lower
            else:
                output = self.first[1](output)
        error = tf.reduce_sum(tf.square(output - target), axis=-1)
        return {self.stage.name: error, "size": tf.reduce_sum(tf.square(code), axis=-1)}

    def call(self, x, condition=None, training=False):
        """The reconstruction by the layers that have been trained."""
        code = self.first[0](x)
        if self.stage.name != "first":
            code = self.second[1](self.second[0](code))
        return self.first[1](code)

    def code(self, x):
        """The code, by a graph that is kept."""
        layers = [self.first[0], self.second[0]]

        def encode(x):
            for layer in layers[: 1 if self.stage.name == "first" else 2]:
                x = layer(x)
            return x

        return self._graphs.get("code", encode)(x)

    def get_config(self):
        return {**super().get_config(), "noise": self.noise}


def rate():
    """A learning rate over the whole run, of numbers that float32 holds exactly."""
    return keras.optimizers.schedules.PiecewiseConstantDecay([4, 9], [1 / 64, 1 / 128, 1 / 256])


def stacked(noise=0.0, **options):
    model = Stacked(noise=noise, seed=0)
    model.compile(keras.optimizers.SGD(rate(), momentum=0.5), **options)
    return model


def train(model, epochs=3, **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **options}
    return model.fit(X, epochs=epochs, **options).history


def weights(model):
    return [weight.numpy() for weight in model.trainable_weights]


def slots(model):
    return [variable.numpy() for variable in model.optimizer.variables]


def assert_equal(states, others):
    """Equal weights and moments, up to 15 steps of roundings to 2**-53 of numbers of size 1."""
    for ours, theirs in zip(states, others, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def state(model):
    return [*weights(model), *slots(model)]


@functools.cache
def uninterrupted():
    """The state after the whole run, in double precision, with noise."""
    model = stacked(noise=0.1, run_eagerly=True)
    train(model)
    return state(model)


@functools.cache
def by_hand(steps=STEPS):
    """In double precision: three loops, one after the other, without any of the machinery."""
    model = Stacked(seed=0)
    first, second = ([w for layer in each for w in layer.weights] for each in (model.first, model.second))
    optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    optimizer.build(first + second)
    (encode, decode), (encode_more, decode_more) = model.first, model.second

    def first_stage(x):
        code = encode(x)
        return decode(code) - x, code

    def second_stage(x):
        lower = encode(x)
        code = encode_more(lower)
        return decode_more(code) - lower, code

    def joint_stage(x):
        code = encode_more(encode(x))
        return decode(decode_more(code)) - x, code

    losses = []
    for step in range(steps):
        if step < 3:
            stage, trained = first_stage, first
        elif step < 7:
            stage, trained = second_stage, second
        else:
            stage, trained = joint_stage, first + second
        x = X[4 * (step % 5) : 4 * (step % 5) + 4]
        with tf.GradientTape() as tape:
            error, code = stage(tf.constant(x))
            terms = [tf.reduce_sum(tf.square(error)) / 4, tf.reduce_sum(tf.square(code)) / 4]
            loss = terms[0] + step / 32 * terms[1]
        optimizer.learning_rate = 1 / 64 if step <= 4 else 1 / 128 if step <= 9 else 1 / 256
        optimizer.apply(tape.gradient(loss, [w.value for w in trained]), trained)
        losses.append(float(loss))
    return model, losses


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("options", [{"steps_per_execution": 4}, {"run_eagerly": True}])
def test_stages_are_loops_one_after_the_other(options):
    model = stacked(**options)
    train(model)
    expected, _ = by_hand()
    assert_equal(weights(model), weights(expected))


def by_autoencoder(model):
    """The weights of the first autoencoder, and those of the second."""
    return [[w.numpy() for layer in each for w in layer.weights] for each in (model.first, model.second)]


class Steps(keras.callbacks.Callback):
    """Notes weights, moments and logs after each step."""

    def __init__(self):
        super().__init__()
        self.weights, self.slots, self.logs, self.stages = [], [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.weights.append(by_autoencoder(self.model))
        self.slots.append(slots(self.model))
        self.logs.append(dict(logs))
        self.stages.append(self.model.stage.name)


def changed(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


class Watched:
    """A run in double precision, and all that it left: states, logs, and what it printed."""

    def __init__(self, folder):
        self.model, self.steps = stacked(), Steps()
        self.start, self.slots = by_autoencoder(self.model), slots(self.model)
        csv_log = keras.callbacks.CSVLogger(folder / "log.csv")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.history = train(self.model, callbacks=[self.steps, csv_log], verbose=2)
        self.printed = printed.getvalue()
        self.rows = list(csv.DictReader((folder / "log.csv").open()))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    keras.config.set_dtype_policy("float64")
    run = Watched(tmp_path_factory.mktemp("watched"))
    keras.config.set_dtype_policy("float32")
    return run


def test_only_what_a_stage_trains_changes(watched):
    steps = watched.steps
    history = [watched.start, *steps.weights]
    for step in range(STEPS):
        first, second = (changed(*pair) for pair in zip(history[step], history[step + 1], strict=True))
        assert all(first) if step < 3 or step >= 7 else not any(first)
        assert all(second) if step >= 3 else not any(second)
    # The last variables are the momenta of the four weights of each autoencoder.
    before = [watched.slots, *steps.slots]
    momenta = [changed(a, b)[-8:] for a, b in zip(before, steps.slots, strict=False)]
    assert momenta[2] == [True] * 4 + [False] * 4
    assert momenta[4] == [False] * 4 + [True] * 4
    assert momenta[7] == [True] * 8


def test_the_log_names_the_stage(watched, capsys):
    # The epochs end with steps 4, 9 and 14.
    assert watched.history["stage"] == [2, 3, 3]
    assert [logs["stage"] for logs in watched.steps.logs] == [1] * 3 + [2] * 4 + [3] * 8
    assert watched.steps.stages == ["first"] * 3 + ["second"] * 4 + ["joint"] * 8
    assert [row["stage"] for row in watched.rows] == ["2", "3", "3"]
    for line in (
        "Stage 1/3, from training step 0: first\n",
        "Stage 2/3, from training step 3: second\n",
        "Stage 3/3, from training step 7: joint\n",
    ):
        assert watched.printed.count(line) == 1
    train(stacked(run_eagerly=True))
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("float64")
def test_weights_and_figures_are_those_of_the_stage(watched):
    """Means begin anew with a stage, whose terms may have other names."""
    logs = watched.steps.logs
    expected, losses = by_hand()
    assert_equal(weights(watched.model), weights(expected))
    assert set(logs[2]) == {"loss", "first", "size", "stage"}
    assert set(logs[3]) == {"loss", "second", "size", "stage"}
    running = [logs[2]["loss"], logs[4]["loss"], logs[6]["loss"], watched.history["loss"][1]]
    expected = [np.mean(losses[:3]), np.mean(losses[3:5]), np.mean(losses[5:7]), np.mean(losses[7:10])]
    # Logs are float32.
    np.testing.assert_allclose(running, expected, rtol=1e-5)


@pytest.mark.usefixtures("float64")
def test_a_validation_is_by_the_stage_that_was_trained():
    """Also where a stage ends with the epoch."""
    model = stacked()
    history = train(model, epochs=8, steps_per_epoch=1, validation_data=X)
    stages = history["stage"]
    assert stages == [1] * 3 + [2] * 4 + [3]
    values = [history[f"val_{name}"] for name in ("first", "second", "joint")]
    assert [len(value) for value in values] == [3, 4, 1]
    expected, _ = by_hand(3)
    error = expected.first[1](expected.first[0](X)) - X
    assert values[0][-1] == pytest.approx(np.mean(np.sum(np.square(error), axis=1)), rel=1e-5)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("stop", [pytest.param(2, marks=pytest.mark.slow), 3, 5])
def test_a_file_goes_on_in_the_middle_of_a_stage(stop, tmp_path):
    model = stacked(noise=0.1)
    train(model, epochs=stop, steps_per_epoch=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.stage == model.stage
    assert loaded.evaluate(X, verbose=0) == model.evaluate(X, verbose=0)
    train(loaded, epochs=STEPS - stop, steps_per_epoch=1)
    assert_equal(state(loaded), uninterrupted())


class Interrupt(keras.callbacks.Callback):
    """Stops the run as a lost machine would."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.training_steps) >= self.step:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("stop", "steps_per_execution"), [pytest.param(4, 1, marks=pytest.mark.slow), (8, 4)]
)
def test_a_backup_goes_on_in_the_middle_of_a_stage(stop, steps_per_execution, tmp_path):
    def backed_up(*callbacks):
        model = stacked(noise=0.1, steps_per_execution=steps_per_execution)
        train(model, callbacks=[keras.callbacks.BackupAndRestore(tmp_path, save_freq=3), *callbacks])
        return model

    with pytest.raises(KeyboardInterrupt):
        backed_up(Interrupt(stop))
    resumed = backed_up()
    assert int(resumed.training_steps) == STEPS
    assert_equal(state(resumed), uninterrupted())


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("steps_per_execution", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_replicas_change_the_stage_together(strategy, steps_per_execution):
    with strategy.scope():
        model = stacked(steps_per_execution=steps_per_execution)
        history = train(model)
    assert history["stage"] == [2, 3, 3]
    assert_equal(weights(model), weights(by_hand()[0]))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("way", ["train_on_batch", "train_step"])
def test_the_stage_moves_in_a_loop_of_ones_own(way):
    model = stacked(noise=0.1)
    for step in range(STEPS):
        getattr(model, way)(X[4 * (step % 5) : 4 * (step % 5) + 4])
    assert_equal(state(model), uninterrupted())


def test_a_graph_of_ones_own_is_refused_in_another_stage():
    model = stacked()
    graph = tf.function(model.train_step, autograph=False)
    x = tf.constant(X[:4], tf.float32)
    for _ in range(3):
        graph(x)
    before = weights(model)
    with pytest.raises(tf.errors.InvalidArgumentError, match="traced for the stage .*first.* again"):
        graph(x)
    assert not any(changed(before, weights(model))) and int(model.training_steps) == 3


@pytest.mark.usefixtures("float64")
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_of_unknown_length_may_end_within_an_execution():
    """Here after 5 of 8 steps; the stage follows the steps that were done."""
    data = tf.data.Dataset.from_tensor_slices(X).batch(4).filter(lambda x: True)
    model, steps = stacked(steps_per_execution=8), Steps()
    history = model.fit(data, epochs=3, verbose=0, callbacks=[steps]).history
    assert int(model.training_steps) == STEPS
    assert history["stage"] == [2, 3, 3]
    assert_equal(weights(model), weights(by_hand()[0]))


def test_what_is_asked_of_the_model_follows_the_stage(tmp_path):
    """Also after weights of another stage are loaded into a model that has answered before."""
    model = stacked()
    model.save_weights(tmp_path / "start.weights.h5")
    x = X[:4].astype("float32")
    assert model.code(x).shape == (4, 3)
    shallow = model.predict(x, verbose=0)
    np.testing.assert_allclose(shallow, model.first[1](model.first[0](x)), atol=1e-5)
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "first", "size"}
    train(model, epochs=2)
    assert model.code(x).shape == (4, 2)
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "joint", "size"}
    deep = model.first[1](model.second[1](model.second[0](model.first[0](x))))
    np.testing.assert_allclose(model.predict(x, verbose=0), deep, atol=1e-5)
    model.load_weights(tmp_path / "start.weights.h5")
    assert model.code(x).shape == (4, 3)
    np.testing.assert_allclose(model.predict(x, verbose=0), shallow, atol=1e-5)
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "first", "size"}


def test_weights_of_an_earlier_stage_bring_it_back(tmp_path):
    """A callback that restores weights in the middle of `fit` restores the stage with them."""

    class Restore(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.training_steps) == 8 and not self.restored:
                self.model.load_weights(path)
                self.restored = True

        restored = False

    path = tmp_path / "two.weights.h5"
    model, steps = stacked(run_eagerly=True), Steps()
    train(model, epochs=2, steps_per_epoch=1)
    model.save_weights(path)
    train(model, epochs=8, steps_per_epoch=1, callbacks=[steps, Restore()])
    assert steps.stages == ["first"] + ["second"] * 4 + ["joint"] + ["first", "second"]


@pytest.mark.parametrize(
    ("stages", "error", "match"),
    [
        ([Stage("a", 2), Stage("a")], ValueError, "a name of its own; received 'a' after"),
        ([Stage("", 2)], ValueError, "a name of its own; received ''"),
        (
            [Stage("a", 0), Stage("b")],
            ValueError,
            "`steps of the stage 'a'` must be an integer of at least 1",
        ),
        ([Stage("a", 2.5), Stage("b")], ValueError, "must be an integer of at least 1; received"),
        ([Stage("a"), Stage("b", 2)], ValueError, "steps=None for 'a', stage 1 of 2"),
        ([("a", 2)], TypeError, r"`stages` must give .*Write `Stage\('first layer', 1000\)`"),
    ],
)
def test_stages_that_cannot_be_are_refused(stages, error, match):
    model = Stacked(seed=0)
    model.stages = lambda: stages
    with pytest.raises(error, match=match):
        model.compile()


def test_the_last_stage_lasts_beyond_its_number_of_steps():
    model = Stacked(seed=0)
    model.stages = lambda: [Stage("first", 2), Stage("joint", 1)]
    model.compile(run_eagerly=True)
    assert train(model, epochs=5, steps_per_epoch=1)["stage"] == [1, 1, 2, 2, 2]


def test_without_stages_nothing_is_logged():
    class Plain(Stacked):
        def stages(self):
            return []

        def players(self):
            return [Player("model", (self,), self.loss_terms)]

        def loss_terms(self, x, *, condition=None, training=False, seed=None):
            return {"error": tf.reduce_sum(tf.square(self.first[0](x)), axis=-1)}

    model = Plain(seed=0)
    model.compile(run_eagerly=True)
    assert set(train(model, epochs=1)) == {"loss", "error"}
    assert model.stage is None


def test_a_list_of_callbacks_that_serves_twice_names_each_stage_once(capsys):
    model = stacked(run_eagerly=True)
    callbacks = keras.callbacks.CallbackList([], add_history=True, model=model)
    for stage in ("first", "joint"):
        train(model, epochs=2, callbacks=callbacks, verbose=2)
        assert capsys.readouterr().out.count(f": {stage}\n") == 1
    assert callbacks._history.history["stage"] == [2, 3, 3, 3]


def test_an_optimizer_updates_equally_often_in_all_stages():
    class Unequal(Stacked):
        def players(self):
            times = {"first": 1, "second": 2, "joint": 1}[self.stage.name]
            return [Player("model", self.first, self.loss_terms, updates_per_step=times)]

    with pytest.raises(ValueError, match=r"'optimizer' must have equal .* in all stages; .*\[1, 2\]"):
        Unequal(seed=0).compile()


def test_a_schedule_counts_steps_in_which_its_optimizer_rests():
    """Plain descent on a constant slope moves a weight by the sum of the rates of its own stage."""

    class Slope(GenerativeModel):
        def __init__(self, **kwargs):
            super().__init__((4,), **kwargs)
            self.parts = [keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False) for _ in "ab"]
            for part in self.parts:
                part.build((None, 4))

        def stages(self):
            return [Stage("a", 2), Stage("b")]

        def default_optimizers(self):
            return {"a_optimizer": keras.optimizers.SGD(), "b_optimizer": keras.optimizers.SGD()}

        def compile(self, a_optimizer=None, b_optimizer=None):
            optimizers = {"a_optimizer": a_optimizer, "b_optimizer": b_optimizer}
            options = {"run_eagerly": False, "steps_per_execution": 1, "jit_compile": False}
            self._compile(optimizers, {"micro_batches": 1}, {}, auto_scale_loss=True, **options)

        def players(self):
            index = self.stage.index

            def terms(x, *, condition=None, training=False, seed=None):
                return {"slope": -self.parts[index](tf.ones_like(x))[:, 0]}

            return [Player("model", (self.parts[index],), terms, optimizer=f"{'ab'[index]}_optimizer")]

    model = Slope(seed=0)
    # 2**-step for the steps 0, 1, 2, ...
    model.compile(
        *(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)) for _ in "ab")
    )
    train(model, epochs=4, steps_per_epoch=1)
    np.testing.assert_allclose(model.parts[0].kernel, np.full([4, 1], 1 + 1 / 2), rtol=1e-6)
    np.testing.assert_allclose(model.parts[1].kernel, np.full([4, 1], 1 / 4 + 1 / 8), rtol=1e-6)
    assert float(model.b_optimizer.learning_rate) == pytest.approx(1 / 16)
    assert int(model.b_optimizer.iterations) == 2
