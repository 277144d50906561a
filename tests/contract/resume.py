"""Interrupts and resumes the training of models; started by test_resume.py.

A process of its own, because op determinism is switched on for the whole process.
"""

import json
import sys
from pathlib import Path

import keras
import tensorflow as tf

from keras_genmod.testing.comparing import largest_difference, unlike
from tests.contract.cases import CASES

EPOCHS = 4


class Interrupt(keras.callbacks.Callback):
    """Stops the run as a lost machine would, in the middle of the third epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations.numpy() == 8:
            raise KeyboardInterrupt


def train(case, callbacks=(), initial_epoch=0, model=None):
    if model is None:
        model = case.build(7)
        model.compile("adam")
    model.fit(
        *case.data(20),
        validation_data=case.data(8),
        batch_size=8,
        epochs=EPOCHS,
        initial_epoch=initial_epoch,
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


def differences(case, folder: Path) -> dict[str, float | bool]:
    """The largest difference from the uninterrupted run's weights, by way of resuming."""
    whole = train(case, [keras.callbacks.ModelCheckpoint(folder / "epoch{epoch}.keras")])
    backup = lambda: keras.callbacks.BackupAndRestore(folder / "backup")  # noqa: E731
    try:
        train(case, [backup(), Interrupt()])
    except KeyboardInterrupt:
        pass
    by_backup = train(case, [backup()])
    half = keras.saving.load_model(folder / "epoch2.keras")
    halves_differ = unlike(whole, half)
    by_file = train(case, initial_epoch=2, model=half)
    return {
        "backup": largest_difference(whole, by_backup),
        "file": largest_difference(whole, by_file),
        "steps": int(whole.training_steps) - int(by_backup.training_steps),
        "unlike": halves_differ,
    }


if __name__ == "__main__":
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(0)
    results = {}
    for case in CASES:
        if case.name not in sys.argv[2:]:
            continue
        folder = Path(sys.argv[1]) / case.name
        folder.mkdir()
        results[case.name] = differences(case, folder)
    Path(sys.argv[1], "results.json").write_text(json.dumps(results))
