"""The order of the data goes on from where the model stands, however training is cut into calls."""

import functools
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod.bases import GenerativeModel
from keras_genmod.core.registration import register
from keras_genmod.testing.comparing import largest_difference
from keras_genmod.training.progress import DataPosition

# ---- positions --------------------------------------------------------------------------------------


def walk(*fits):
    """The batches in the stream that fits `(batches_per_pass, whole_passes, steps)` take, one list each."""
    position, step, taken = DataPosition(0, 0, 0), 0, []
    for batches_per_pass, whole_passes, steps in fits:
        position = position.entered(step, batches_per_pass, whole_passes=whole_passes)
        start = position.next_batch(step)
        taken.append(list(range(start, start + steps)))
        step += steps
    return taken


def test_fits_of_whole_passes_follow_each_other():
    assert walk((3, True, 3), (3, True, 6), (3, True, 3)) == [[0, 1, 2], [3, 4, 5, 6, 7, 8], [9, 10, 11]]


def test_epochs_shorter_than_a_pass_go_on_in_it():
    assert walk((3, False, 2), (3, False, 2), (3, False, 2)) == [[0, 1], [2, 3], [4, 5]]


def test_a_pass_begins_where_epochs_are_passes_or_the_batches_are_others():
    # After 2 of 3 batches of pass 0 comes pass 1: its first batch is number 3 of 3 a pass, 5 of 5 a pass.
    assert walk((3, True, 2), (3, True, 3)) == [[0, 1], [3, 4, 5]]
    assert walk((3, False, 2), (5, False, 2), (5, False, 3)) == [[0, 1], [5, 6], [7, 8, 9]]
    # No batch was left out here, so no pass is.
    assert walk((3, True, 6), (5, True, 5)) == [[0, 1, 2, 3, 4, 5], [*range(10, 15)]]


def test_other_data_between_begins_a_pass():
    assert walk((3, False, 4), (0, False, 7), (0, False, 1), (3, False, 2))[-1] == [6, 7]
    assert walk((0, False, 7), (3, False, 2))[-1] == [0, 1]


# ---- fit --------------------------------------------------------------------------------------------

SEEN = []


@register
class Recorder(GenerativeModel):
    """Learns the mean of its data, and writes down the first column of every training batch."""

    def __init__(self, event_shape=(2,), **kwargs):
        super().__init__(event_shape, **kwargs)
        self.mean = self.add_weight(shape=(2,), initializer="zeros", name="mean")

    def call(self, x, condition=None, training=False):
        """The distance to the mean."""
        return x - self.mean

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        """The squared distance to the mean."""
        if training:
            SEEN.append(x.numpy()[:, 0].astype(int).tolist())
        return {"distance": tf.reduce_sum(tf.square(x - self.mean), axis=-1)}


def recorder():
    model = Recorder(seed=3)
    model.compile(run_eagerly=True)
    return model


def numbered(length):
    return np.stack([np.arange(length)] * 2, axis=1).astype("float32")


def seen(model, *fits, **shared):
    """The batches of fits, one list of batches each."""
    taken = []
    for options in fits:
        SEEN.clear()
        model.fit(**{"x": numbered(10), "batch_size": 4, "verbose": 0, **shared, **options})
        taken.append(list(SEEN))
    return taken


def flat(batches):
    return [row for batch in batches for row in batch]


def test_a_loop_of_fits_is_one_fit():
    (whole,) = seen(recorder(), {"epochs": 3})
    by_epoch = [whole[:3], whole[3:6], whole[6:]]
    for batches in by_epoch:
        assert sorted(flat(batches)) == list(range(10))
    assert len({tuple(flat(batches)) for batches in by_epoch}) == 3
    assert seen(recorder(), {}, {}, {}) == by_epoch
    numbered_epochs = [{"initial_epoch": i, "epochs": i + 1} for i in range(3)]
    assert seen(recorder(), *numbered_epochs) == by_epoch
    assert seen(recorder(), {}, {"epochs": 2}) == [by_epoch[0], whole[3:]]


@pytest.mark.parametrize("steps_per_execution", [1, 2])
def test_a_loop_of_short_epochs_is_one_fit(steps_per_execution):
    model = recorder()
    model.compile(run_eagerly=True, steps_per_execution=steps_per_execution)
    (whole,) = seen(recorder(), {"epochs": 4, "steps_per_epoch": 2})
    assert seen(model, *[{"steps_per_epoch": 2}] * 4) == [whole[:2], whole[2:4], whole[4:6], whole[6:]]
    assert sorted(flat(whole[:3])) == list(range(10)) and whole[:3] != whole[3:6]


@pytest.mark.parametrize("way", ["file", "weights"])
def test_a_file_keeps_the_position(way, tmp_path):
    options = [{"batch_size": 5}, {"steps_per_epoch": 2}, {"steps_per_epoch": 2}, {}]
    whole = seen(recorder(), *options)
    model = recorder()
    assert seen(model, *options[:2]) == whole[:2]
    if way == "file":
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    else:
        model.save_weights(tmp_path / "model.weights.h5")
        model = recorder()
        model.load_weights(tmp_path / "model.weights.h5")
    assert seen(model, *options[2:]) == whole[2:]


def test_every_fit_of_whole_passes_gives_every_example_once():
    """Batch sizes and data that change, and an interrupted fit in between."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    dataset = tf.data.Dataset.from_tensor_slices(numbered(10)).batch(3)
    others = [{"batch_size": 3}, {"callbacks": [Stop()]}, {"x": dataset, "batch_size": None}]
    fits = [{}, *others, {"x": numbered(7)}, {}, {"x": numbered(7)}, {}]
    taken = [flat(batches) for batches in seen(recorder(), *fits)]
    assert len(taken[2]) == 4
    orders = [tuple(order) for number, order in enumerate(taken) if number not in (2, 3)]
    assert [len(order) for order in orders] == [10, 10, 7, 10, 7, 10]
    assert all(sorted(order) == list(range(len(order))) for order in orders)
    # Two of 7 rows are equal with probability 2e-4.
    assert len(set(orders)) == len(orders)


def test_an_order_that_is_kept_goes_on_too():
    batches = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    fits = seen(recorder(), {"steps_per_epoch": 2}, {"steps_per_epoch": 2}, shuffle=False)
    assert fits == [batches[:2], [batches[2], batches[0]]]
    assert seen(recorder(), {}, {}, shuffle=False) == [batches, batches]


class Mean(Recorder):
    """The same mean, learned in a graph."""

    def loss_terms(self, x, *, condition=None, training=False, seed=None):
        """The squared distance to the mean."""
        return {"distance": tf.reduce_sum(tf.square(x - self.mean), axis=-1)}


def test_replicas_go_on_as_one_device_does(strategy):
    x = np.random.default_rng(0).normal(size=[20, 2]).astype("float32")

    def trained(*epochs):
        model, means = Mean(seed=3), []
        model.compile(keras.optimizers.SGD(0.1))
        for number in epochs:
            model.fit(x, batch_size=8, epochs=number, verbose=0)
            means.append(model.mean.numpy())
        return model, means

    alone, means = trained(1, 1, 1)
    with strategy.scope():
        shared, _ = trained(1, 2)
    # Nine steps of numbers of size 1, whose sums round in another order: 9 * 100 * 2**-24 at most.
    assert largest_difference(shared, alone) < 1e-4
    assert np.abs(means[1] - means[2]).max() > 1e-2


# ---- runs that are taken up again -------------------------------------------------------------------


class Interrupt(keras.callbacks.Callback):
    """Stops the run as a lost machine would, after a number of steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.training_steps) >= self.steps:
            raise KeyboardInterrupt


def as_data_set(x):
    return tf.data.Dataset.from_tensor_slices(x).batch(4)


class Numbered(keras.utils.PyDataset):
    """Batches of 4 rows, counted from the first to the last in each epoch."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return len(self.x) // 4

    def __getitem__(self, index):
        return self.x[4 * index : 4 * index + 4]


def backed_up(folder, *others, form=np.asarray, **options):
    """The batches and the number of epochs of a run with backups every third step."""
    SEEN.clear()
    x = form(numbered(20))
    batches = {"batch_size": 4} if isinstance(x, np.ndarray) else {"shuffle": False}
    batches["steps_per_epoch"] = options.pop("steps_per_epoch", None)
    model = recorder()
    model.compile(run_eagerly=True, **options)
    callbacks = [keras.callbacks.BackupAndRestore(folder, save_freq=3), *others]
    try:
        history = model.fit(x, epochs=4, verbose=0, callbacks=callbacks, **batches)
    except KeyboardInterrupt:
        return list(SEEN), None
    return list(SEEN), len(history.epoch)


IN_ORDER = [list(range(start, start + 4)) for start in range(0, 20, 4)]


@functools.cache
def whole_run():
    """The batches of the run over arrays that nothing interrupts."""
    with tempfile.TemporaryDirectory() as folder:
        batches, _ = backed_up(folder)
    assert len(batches) == 20 and batches[:5] != batches[5:10]
    return batches


@pytest.mark.parametrize(
    ("form", "options", "stop"),
    [
        # In the first, the second and the third epoch.
        (np.asarray, {}, 4),
        (np.asarray, {}, 7),
        (np.asarray, {}, 13),
        (np.asarray, {"steps_per_execution": 2}, 7),
        (np.asarray, {"steps_per_epoch": 5}, 7),
        (as_data_set, {}, 7),
        (as_data_set, {"steps_per_epoch": 5}, 13),
        (Numbered, {}, 13),
        (Numbered, {"steps_per_execution": 2}, 7),
        (Numbered, {"steps_per_epoch": 5}, 4),
    ],
)
def test_a_run_goes_on_in_the_middle_of_an_epoch(tmp_path, form, options, stop):
    whole = whole_run() if form is np.asarray else IN_ORDER * 4
    begun, _ = backed_up(tmp_path, Interrupt(stop), form=form, **options)
    rest, epochs = backed_up(tmp_path, form=form, **options)
    done = len(whole) - len(rest)
    assert len(begun) - 3 <= done <= len(begun) and done > 0
    assert [*begun[:done], *rest] == whole
    # The epoch that was left in its middle counts as one.
    assert epochs == 4 - done // 5


@pytest.mark.parametrize("state", ["old", "absent", "empty"])
def test_the_weights_say_where_the_run_was(tmp_path, state):
    """A kill between the two leaves the file beside the weights an epoch behind, absent or empty."""
    backed_up(tmp_path, Interrupt(13))
    beside = tmp_path / "training_metadata.json"
    if state == "absent":
        beside.unlink()
    else:
        beside.write_text('{"epoch": 1, "batch": 0}' if state == "old" else "")
    rest, epochs = backed_up(tmp_path)
    assert whole_run()[-len(rest) :] == rest
    assert (len(rest), epochs) == (8, 2)


def test_without_weights_a_run_begins_anew(tmp_path):
    tmp_path.joinpath("training_metadata.json").write_text('{"epoch": 2, "batch": 0}')
    assert backed_up(tmp_path) == (whole_run(), 4)


def test_early_stopping_ends_a_run_at_the_end_of_its_short_epoch(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    backed_up(tmp_path, Interrupt(7))
    rest, epochs = backed_up(tmp_path, Stop())
    assert (len(rest), epochs) == (4, 1)
