"""Training stops when the loss goes bad, and the term and step that were first are named exactly."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import VAE
from keras_genmod.callbacks import StopOnNonFinite

POISON = 50.0


class FragileVAE(VAE):
    """Its divergence becomes infinite for an example that holds `POISON`."""

    def loss_terms(self, x, **kwargs):
        terms = super().loss_terms(x, **kwargs)
        terms["kl"] = tf.where(tf.reduce_any(x == POISON, axis=-1), np.inf, terms["kl"])
        return terms


def make_model(cls=FragileVAE, *, steps_per_execution=1, **options):
    def network(inputs, outputs):
        x = keras.Input((inputs,))
        return keras.Model(x, keras.layers.Dense(outputs, kernel_initializer="zeros")(x))

    model = cls(
        (3,), latent_dim=2, encoder=network(3, 4), decoder=network(2, 3), likelihood="gaussian", **options
    )
    model.compile(keras.optimizers.SGD(1e-3), steps_per_execution=steps_per_execution)
    return model


def make_data(bad_row=None):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    if bad_row is not None:
        x[bad_row, 1] = POISON
    return x


def fit(model, x, callbacks=(), restore=False, every_n_steps=None, **options):
    callback = StopOnNonFinite(restore=restore, every_n_steps=every_n_steps)
    model.fit(x, batch_size=2, shuffle=False, verbose=0, callbacks=[callback, *callbacks], **options)
    return callback


def state(model):
    """Everything that a file holds."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(variable.numpy()) for variable in variables]


@pytest.mark.parametrize(("steps_per_execution", "steps_done"), [(1, 8), (5, 10)])
def test_term_and_step_are_exact(steps_per_execution, steps_done):
    model = make_model(steps_per_execution=steps_per_execution)
    with pytest.warns(RuntimeWarning, match="'kl' was first not finite in training step 7"):
        callback = fit(model, make_data(bad_row=15), epochs=3)
    assert callback.first_bad_terms == {"kl": 7}
    assert int(model.training_steps) == steps_done, "stopped at the end of the call that went bad"


def test_what_goes_bad_later_in_the_same_call_is_not_blamed():
    x = make_data(bad_row=15)
    x[17, 0] = 1e30  # its squared error is infinite
    with pytest.warns(RuntimeWarning, match="'kl' was first"):
        callback = fit(make_model(steps_per_execution=5), x)
    assert callback.first_bad_terms == {"kl": 7}
    assert callback.model.bad_terms()["reconstruction"] == 8


def test_steps_count_over_the_life_of_the_model():
    model = make_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert fit(model, make_data(), epochs=2).first_bad_terms == {}
    assert int(model.training_steps) == 40, "a healthy run is not stopped"
    with pytest.warns(RuntimeWarning):
        assert fit(model, make_data(bad_row=0)).first_bad_terms == {"kl": 40}
    # What an earlier run noted is forgotten.
    with pytest.warns(RuntimeWarning):
        assert fit(model, make_data(bad_row=4)).first_bad_terms == {"kl": 43}


def test_terms_that_go_bad_together_are_all_named():
    model = make_model()
    model.encoder.set_weights([np.full((3, 4), np.nan), np.zeros(4)])
    with pytest.warns(
        RuntimeWarning, match="'reconstruction', 'kl' were first not finite in training step 0"
    ):
        assert fit(model, make_data()).first_bad_terms == {"reconstruction": 0, "kl": 0}


def test_a_weighted_sum_that_overflows_alone_is_said_to():
    model = make_model(VAE, beta=3e38)
    model.encoder.set_weights([np.zeros((3, 4)), np.array([3.0, 3.0, 0.0, 0.0])])
    with pytest.warns(RuntimeWarning, match="their weighted sum was first not finite in training step 0"):
        assert fit(model, make_data()).first_bad_terms == {"loss": 0}


class Poison(keras.callbacks.Callback):
    """Spoils the weights before training step `step`, as an update after too large a gradient does."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.training_steps) == self.step:
            self.model.encoder.set_weights([np.full((3, 4), np.nan), np.zeros(4)])


class StopAt(keras.callbacks.Callback):
    """Stops training after `steps` steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.training_steps) == self.steps:
            self.model.stop_training = True


@pytest.mark.parametrize(
    ("every_n_steps", "steps_kept"),
    [(None, 20), pytest.param(4, 24, marks=pytest.mark.slow), (7, 21)],
)
def test_the_last_good_state_comes_back(every_n_steps, steps_kept, tmp_path):
    """Twenty steps are an epoch; the weights go bad before step 26."""
    path = tmp_path / "last.weights.h5"
    model = make_model(seed=0)
    model.compile("adam")
    options = {"restore": True, "every_n_steps": every_n_steps, "epochs": 3}
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    with pytest.warns(RuntimeWarning, match=f"state after {steps_kept} training steps.*was restored"):
        callback = fit(model, make_data(), [Poison(26), checkpoint], **options)
    assert callback.restored_steps == steps_kept == int(model.training_steps)
    stopped = make_model(seed=0)
    stopped.compile("adam")
    fit(stopped, make_data(), [StopAt(steps_kept)], epochs=3)
    for received, wanted in zip(state(model), state(stopped), strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-5, atol=1e-7)
    # A checkpoint at the end of the epoch that was stopped contains the restored state.
    loaded = make_model()
    loaded.compile("adam")
    loaded.load_weights(path)
    for received, wanted in zip(state(loaded), state(model), strict=True):
        np.testing.assert_array_equal(received, wanted)
    # Training goes on from there as from any other stop.
    for one in (model, stopped):
        one.fit(make_data(), batch_size=2, verbose=0)
    for received, wanted in zip(state(model), state(stopped), strict=True):
        np.testing.assert_allclose(received, wanted, rtol=1e-4, atol=1e-6)


def test_without_restoring_the_warning_says_that_the_weights_are_spoilt():
    model = make_model()
    with pytest.warns(RuntimeWarning, match="weights are spoilt: .* of .* arrays.*restore=True") as caught:
        callback = fit(model, make_data(), [Poison(3)])
    assert callback.restored_steps is None and np.isnan(model.encoder.get_weights()[0]).any()
    # A loss scale skips the bad update.
    model = make_model()
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3)))
    with pytest.warns(RuntimeWarning, match="weights are still finite"):
        fit(model, make_data(bad_row=15))
    assert len(caught) >= 1


def test_what_was_bad_from_the_beginning_is_not_put_back():
    model = make_model()
    model.encoder.set_weights([np.full((3, 4), np.nan), np.zeros(4)])
    with pytest.warns(RuntimeWarning, match="not finite when training began"):
        assert fit(model, make_data(), restore=True).restored_steps is None
    with pytest.raises(ValueError, match="`every_n_steps`.*restore=True"):
        StopOnNonFinite(every_n_steps=3)
    with pytest.raises(ValueError, match="`every_n_steps` must be an integer"):
        StopOnNonFinite(restore=True, every_n_steps=0)


def test_on_replicas_the_last_good_state_comes_back(strategy):
    with strategy.scope():
        model = make_model()
    with pytest.warns(RuntimeWarning, match="state after 6 training steps"):
        fit(model, make_data(bad_row=15), restore=True, every_n_steps=3)
    assert all(np.all(np.isfinite(value)) for value in state(model))
    for variable in model.encoder.weights:
        first, second = (value.numpy() for value in variable.value.values)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("row", [12, 15])
def test_on_replicas_training_stops_whichever_replica_is_hit(strategy, row):
    """Batches of two: the first row of a batch goes to the first replica."""
    with strategy.scope():
        model = make_model()
    steps = {12: 6, 15: 7}
    with pytest.warns(RuntimeWarning) as caught:
        callback = fit(model, make_data(bad_row=row))
    assert int(model.training_steps) == steps[row] + 1
    if row == 12:
        assert callback.first_bad_terms == {"kl": 6}
    else:
        assert callback.first_bad_terms in ({}, {"kl": 7})
    text = str([warning.message for warning in caught])
    assert "'kl' was first" in text if callback.first_bad_terms else "another replica's examples" in text


def test_a_model_of_another_library_is_refused():
    with pytest.raises(TypeError, match="`StopOnNonFinite` needs a model with `watch_terms`"):
        StopOnNonFinite().set_model(keras.Sequential())


class Spoil(keras.callbacks.Callback):
    """Makes a weight NaN after a step of the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.training_steps) == 25:
            self.model.spare.assign(np.nan)


@pytest.mark.parametrize(
    ("every_n_steps", "steps_kept"), [pytest.param(None, 20, marks=pytest.mark.slow), (4, 24)]
)
def test_spoilt_weights_behind_a_finite_loss_are_put_back(every_n_steps, steps_kept, tmp_path):
    class Spare(VAE):
        """Has a weight that no loss shows."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.spare = self.add_weight(shape=(), initializer="zeros", trainable=False)

    model = make_model(Spare)
    file = str(tmp_path / "{epoch}.weights.h5")
    saved = keras.callbacks.ModelCheckpoint(file, save_weights_only=True)
    with pytest.warns(RuntimeWarning, match="1 of .* though the loss is finite") as record:
        callback = fit(model, make_data(), [saved, Spoil()], True, every_n_steps, epochs=4)
    assert len([one for one in record if one.category is RuntimeWarning]) == 1
    assert callback.restored_steps == int(model.training_steps) == steps_kept
    assert all(np.isfinite(value).all() for value in state(model))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.weights.h5", "2.weights.h5"]
    model.load_weights(tmp_path / "2.weights.h5")
    assert int(model.training_steps) == steps_kept, "the checkpoint holds what was put back"
