"""Callbacks that change the generator's learning rate change the discriminator's by the same factor."""

import keras
import numpy as np
import pytest

from tests.training.toys import ToyCycleGAN

X = {
    name: np.random.default_rng(0).normal(size=(8, width)).astype("float32")
    for name, width in (("a", 3), ("b", 2))
}


def translator(generator=0.1, discriminator=0.4, **options):
    model = ToyCycleGAN((3,), seed=0, **options)
    model.compile(keras.optimizers.SGD(generator), keras.optimizers.SGD(discriminator))
    return model


def fit(model, *callbacks, epochs=3, **options):
    model.fit(X, batch_size=4, epochs=epochs, callbacks=list(callbacks), verbose=0, **options)
    return rates(model)


def rates(model):
    return [float(optimizer.learning_rate) for optimizer in (model.optimizer, model.discriminator_optimizer)]


def halving(epoch, rate):
    return rate / 2


class Watch(keras.callbacks.Callback):
    """Both rates at the end of every step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(rates(self.model))


@pytest.mark.parametrize("dtype", [None, "mixed_float16"])
def test_a_scheduler_moves_both_rates_before_the_first_step(dtype):
    model, watch = translator(dtype=dtype), Watch()
    assert fit(model, keras.callbacks.LearningRateScheduler(halving), watch) == pytest.approx([0.0125, 0.05])
    expected = [[0.1 / 2**epoch, 0.4 / 2**epoch] for epoch in (1, 1, 2, 2, 3, 3)]
    np.testing.assert_allclose(watch.seen, expected, rtol=1e-6)


def test_a_plateau_lowers_both_rates_and_a_file_behind_it_has_both(tmp_path):
    model = translator()
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", mode="max", min_delta=1e9, factor=0.1, patience=1
    )
    file = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    assert fit(model, plateau, file, epochs=2) == pytest.approx([0.01, 0.04])
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert rates(loaded) == pytest.approx([0.01, 0.04])
    # A loaded model goes on from there.
    assert fit(loaded, keras.callbacks.LearningRateScheduler(halving), epochs=1) == pytest.approx(
        [0.005, 0.02]
    )


def test_a_backup_is_resumed_with_the_rates_it_had(tmp_path):
    def callbacks(*more):
        scheduler = keras.callbacks.LearningRateScheduler(halving)
        return [keras.callbacks.BackupAndRestore(tmp_path / "backup"), scheduler, *more]

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(translator(), *callbacks(Interrupt()), epochs=4)
    assert fit(translator(), *callbacks(), epochs=4) == pytest.approx([0.1 / 16, 0.4 / 16])


class WarmUp(keras.callbacks.Callback):
    """A rate that rises from 0 in steps."""

    def on_train_begin(self, logs=None):
        self.step = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = 0.02 * self.step
        self.step += 1


def test_a_callback_that_acts_in_steps_moves_both_rates():
    model, watch = translator(), Watch()
    fit(model, WarmUp(), watch)
    np.testing.assert_allclose(watch.seen, [[0.02 * step, 0.08 * step] for step in range(6)], rtol=1e-6)


def test_a_list_of_callbacks_may_serve_again():
    model = translator()
    model.stop_training = False
    scheduler = keras.callbacks.LearningRateScheduler(halving)
    callbacks = keras.callbacks.CallbackList([scheduler], add_history=True, model=model)
    for expected in ([0.05, 0.2], [0.025, 0.1]):
        model.fit(X, batch_size=4, verbose=0, callbacks=callbacks)
        assert rates(model) == pytest.approx(expected)


def test_rates_that_are_set_by_themselves_stay():
    class Both(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.optimizer.learning_rate = 0.3
            self.model.discriminator_optimizer.learning_rate = 0.5

    assert fit(translator(), Both()) == pytest.approx([0.3, 0.5])
    model = translator(discriminator=keras.optimizers.schedules.ExponentialDecay(0.4, 1, 1.0))
    halve = keras.callbacks.LearningRateScheduler(halving)
    assert fit(model, halve, epochs=1) == pytest.approx([0.05, 0.4])
    # Outside of `fit`, before it, nothing follows.
    model = translator()
    model.optimizer.learning_rate = 0.2
    assert fit(model, Watch(), epochs=1) == pytest.approx([0.2, 0.4])
