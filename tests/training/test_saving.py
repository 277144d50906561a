"""Weights that are not what was written are never loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.checksums import DamagedFileError
from tests.contract.cases import largest_difference

X = np.random.default_rng(0).integers(0, 2, size=[16, 6]).astype("float32")


def made(seed=0):
    model = kg.MADE((6,), hidden_dims=(8,), seed=seed)
    model.compile(run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def trained():
    model = made()
    model.fit(X, verbose=0)
    return model


def zeroed(path, share=0.5, length=64):
    """Zeroes a block of a file, as a disk does that loses a sector."""
    data = bytearray(path.read_bytes())
    start = int(share * len(data))
    # Not where there are zeros already.
    start += next(number for number, byte in enumerate(data[start:]) if byte)
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)


@pytest.mark.parametrize("skip_mismatch", [False, True])
def test_a_zeroed_block_is_an_error_and_loads_nothing(trained, skip_mismatch, tmp_path):
    path = tmp_path / "model.weights.h5"
    model = made(seed=1)
    before = model.get_weights()
    for share in np.linspace(0.0, 0.99, 20):
        trained.save_weights(path)
        zeroed(path, share)
        with pytest.raises(ValueError, match=r"model\.weights\.h5"):
            model.load_weights(path, skip_mismatch=skip_mismatch)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    trained.save_weights(path)
    model.load_weights(path)
    assert largest_difference(model, trained) == 0.0


def test_files_of_keras_load(trained, tmp_path):
    """They have no checksum."""
    path = tmp_path / "model.weights.h5"
    keras.saving.save_weights(trained, path)
    assert b"sha256" not in path.read_bytes()
    model = made(seed=1)
    model.load_weights(path)
    assert largest_difference(model, trained) == 0.0


def test_checkpoints_of_weights_have_checksums(tmp_path):
    path = tmp_path / "best.weights.h5"
    model = made()
    model.fit(X, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(path, save_weights_only=True)])
    zeroed(path)
    with pytest.raises(DamagedFileError):
        model.load_weights(path)


def test_weights_in_parts(trained, tmp_path):
    path = tmp_path / "model.weights.json"
    trained.save_weights(path, max_shard_size=500 / 1024**3)
    parts = sorted(tmp_path.glob("*.h5"))
    assert len(parts) > 1
    model = made(seed=1)
    model.load_weights(path)
    assert largest_difference(model, trained) == 0.0
    zeroed(parts[-1])
    with pytest.raises(DamagedFileError, match=parts[-1].name):
        model.load_weights(path)


def test_a_damaged_keras_file_is_an_error(trained, tmp_path):
    path = tmp_path / "model.keras"
    for share in np.linspace(0.05, 0.95, 10):
        trained.save(path)
        zeroed(path, share)
        with pytest.raises(Exception, match=r"."):
            keras.saving.load_model(path)
        with pytest.raises(ValueError, match=r"model\.keras"):
            made(seed=1).load_weights(path)


def test_existing_weights_are_kept_unless_they_may_be_replaced(trained, tmp_path):
    path = tmp_path / "model.weights.h5"
    path.write_text("old")
    with pytest.raises(ValueError, match=r"must not exist.*overwrite=True"):
        trained.save_weights(path, overwrite=False)
    assert path.read_text() == "old"


def test_a_run_goes_on_from_the_backup_before_a_damaged_one(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    backup = keras.callbacks.BackupAndRestore(tmp_path, double_checkpoint=True)
    with pytest.raises(KeyboardInterrupt):
        made().fit(X, epochs=4, batch_size=8, verbose=0, callbacks=[backup, Interrupt()])
    zeroed(tmp_path / "latest.weights.h5")
    resumed = made()
    again = keras.callbacks.BackupAndRestore(tmp_path, double_checkpoint=True)
    history = resumed.fit(X, epochs=4, batch_size=8, verbose=0, callbacks=[again])
    assert history.epoch == [2, 3]
    whole = made()
    whole.fit(X, epochs=4, batch_size=8, verbose=0)
    # Eight steps, whose sums may round in another order.
    assert largest_difference(resumed, whole) < 1e-4


def test_files_that_hold_no_position_load(trained, tmp_path):
    """Those of format 1 lack the third-last of the model's own numbers, its position in the data."""
    import h5py

    path = tmp_path / "model.weights.h5"
    keras.saving.save_weights(trained, path)
    own = [*trained._trainable_variables, *trained._non_trainable_variables]
    at = [variable is trained._data_position for variable in own].index(True)
    with h5py.File(path, "a") as file:
        del file[f"vars/{at}"]
        for number in range(at + 1, len(own)):
            file.move(f"vars/{number}", f"vars/{number - 1}")
    model = made(seed=1)
    model.load_weights(path)
    np.testing.assert_array_equal(tf.convert_to_tensor(model._data_position), [0, 0, 0])
    for mine, theirs in zip(model.weights, trained.weights, strict=True):
        if mine is not model._data_position:
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
