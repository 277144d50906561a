"""Weights that are not what was written are never loaded."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.checksums import DamagedFileError
from keras_genmod.testing.comparing import largest_difference, unlike

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


class Interrupt(keras.callbacks.Callback):
    """Stops the run as a lost machine would, before epoch `epoch`, counted from 0."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def emptied(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:700])


def overwritten(path):
    path.write_bytes(b"not HDF5 at all")


@pytest.mark.parametrize("damage", [zeroed, emptied, cut, overwritten])
def test_a_run_goes_on_from_the_backup_before_a_damaged_one(damage, tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path, double_checkpoint=True)
    with pytest.raises(KeyboardInterrupt):
        made().fit(X, epochs=4, batch_size=8, verbose=0, callbacks=[backup, Interrupt(3)])
    damage(tmp_path / "latest.weights.h5")
    resumed = made()
    again = keras.callbacks.BackupAndRestore(tmp_path, double_checkpoint=True)
    history = resumed.fit(X, epochs=4, batch_size=8, verbose=0, callbacks=[again])
    assert history.epoch == [2, 3]
    whole = made()
    whole.fit(X, epochs=4, batch_size=8, verbose=0)
    # Eight steps, whose sums may round in another order.
    assert largest_difference(resumed, whole) < 1e-4


@pytest.fixture
def bucket(tmp_path):
    """TensorFlow's file system in memory."""
    return f"ram://{tmp_path.name}"


@pytest.mark.parametrize("place", ["{}/", "{}-"], ids=["in a bucket", "below the scheme"])
def test_files_behind_a_scheme(trained, bucket, place, tmp_path, monkeypatch):
    place = place.format(bucket)
    monkeypatch.chdir(tmp_path)
    options = {"model.weights.h5": {}, "parts.weights.json": {"max_shard_size": 500 / 1024**3}}
    for name, option in options.items():
        trained.save_weights(f"{place}{name}", **option)
        model = made(seed=1)
        model.load_weights(f"{place}{name}")
        assert largest_difference(model, trained) == 0.0
    trained.save(f"{place}model.keras")
    assert largest_difference(keras.saving.load_model(f"{place}model.keras"), trained) == 0.0
    checkpoint = keras.callbacks.ModelCheckpoint(f"{bucket}/{{epoch}}.weights.h5", save_weights_only=True)
    made().fit(X, verbose=0, callbacks=[checkpoint])
    for name in ("model.weights.h5", "parts.weights.json", "model.keras"):
        assert tf.io.gfile.exists(place + name)
    assert tf.io.gfile.exists(f"{bucket}/1.weights.h5")
    assert list(tmp_path.iterdir()) == [], "nothing is written into a local folder of the scheme's name"


def test_a_damaged_file_behind_a_scheme(trained, bucket):
    path = f"{bucket}/model.weights.h5"
    trained.save_weights(path)
    with tf.io.gfile.GFile(path, "rb") as file:
        data = bytearray(file.read())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    tf.io.gfile.remove(path)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(bytes(data))
    with pytest.raises(DamagedFileError):
        made(seed=1).load_weights(path)
    with pytest.raises(FileNotFoundError, match="none.weights.h5"):
        made(seed=1).load_weights(f"{bucket}/none.weights.h5")
    with pytest.raises(ValueError, match="local folder"):
        trained.save(f"{bucket}/folder", zipped=False)
    with pytest.raises(ValueError, match="must not exist"):
        trained.save_weights(path, overwrite=False)


def test_a_run_goes_on_from_a_backup_behind_a_scheme(bucket):
    # One save only: the file system in memory appends where others begin anew, and Keras writes there itself.
    with pytest.raises(KeyboardInterrupt):
        backup = keras.callbacks.BackupAndRestore(bucket)
        made().fit(X, epochs=3, batch_size=8, verbose=0, callbacks=[backup, Interrupt(1)])
    resumed, whole = made(), made()
    backup = keras.callbacks.BackupAndRestore(bucket, save_freq=100)
    history = resumed.fit(X, epochs=3, batch_size=8, verbose=0, callbacks=[backup])
    assert history.epoch == [1, 2]
    whole.fit(X, epochs=3, batch_size=8, verbose=0)
    assert largest_difference(resumed, whole) < 1e-4


def test_a_folder_has_a_checksum_and_costs_nobody_other_files(trained, tmp_path):
    folder = tmp_path / "model"
    for _ in range(2):
        trained.save(folder, zipped=False)
    assert largest_difference(keras.saving.load_model(folder), trained) == 0.0
    zeroed(folder / "model.weights.h5")
    with pytest.raises(ValueError, match="is damaged"):
        keras.saving.load_model(folder)
    (tmp_path / "letters").write_text("dear")
    with pytest.raises(ValueError, match="holds other files"):
        trained.save(tmp_path, zipped=False)
    assert (tmp_path / "letters").read_text() == "dear"


def test_a_file_of_another_model_changes_no_optimizer_either(trained, tmp_path):
    """Keras reads the optimizer before it finds that layers do not fit."""
    other = kg.MADE((6,), hidden_dims=(9,), seed=0)
    other.compile(run_eagerly=True)
    other.fit(X, epochs=3, verbose=0)
    other.save_weights(tmp_path / "other.weights.h5")
    before = [variable.numpy() for variable in trained.optimizer.variables]
    with pytest.raises(ValueError, match="does not hold the weights of this MADE"):
        trained.load_weights(tmp_path / "other.weights.h5")
    for old, new in zip(before, trained.optimizer.variables, strict=True):
        np.testing.assert_array_equal(new, old)


def noisy():
    """A model whose networks hold layers of Keras that draw."""

    def network(inputs, outputs):
        x = keras.Input((inputs,))
        h = keras.layers.GaussianNoise(0.3)(keras.layers.Dropout(0.4)(keras.layers.Dense(8)(x)))
        return keras.Model(x, keras.layers.Dense(outputs)(h))

    keras.utils.set_random_seed(1)
    model = kg.VAE((6,), latent_dim=2, encoder=network(6, 4), decoder=network(2, 6), seed=0)
    model.compile("adam")
    return model


def test_a_run_with_noise_of_keras_layers_goes_on_as_if_it_had_not_stopped(tmp_path):
    options = {"batch_size": 8, "verbose": 0}
    whole = noisy()
    whole.fit(X, epochs=3, **options)
    backup = lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup")  # noqa: E731
    half = noisy()
    with pytest.raises(KeyboardInterrupt):
        half.fit(X, epochs=3, callbacks=[backup(), Interrupt(2)], **options)
    half.save(tmp_path / "half.keras")
    by_file = keras.saving.load_model(tmp_path / "half.keras")
    by_file.fit(X, initial_epoch=2, epochs=3, **options)
    by_backup = noisy()
    by_backup.fit(X, epochs=3, callbacks=[backup()], **options)
    for resumed in (by_file, by_backup):
        # Two steps, whose sums may round in another order; other masks change weights by the rate, 1e-3.
        assert largest_difference(resumed, whole) < 1e-5
    assert unlike(half, whole)


def test_a_file_without_the_noise_of_keras_layers_is_not_taken_for_one_with_it(tmp_path):
    """Such as one that `keras.saving` wrote of the weights alone would leave the noise where it was."""
    model = noisy()
    model.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "copy.weights.h5").write_bytes((tmp_path / "model.weights.h5").read_bytes())
    with h5py.File(tmp_path / "copy.weights.h5", "a") as file:
        del file["vars/seed_generators"]
    with pytest.raises(ValueError, match="copy.weights.h5"):
        model.load_weights(tmp_path / "copy.weights.h5")


@pytest.mark.parametrize(
    "make",
    [
        lambda: kg.Glow((4, 4, 1), num_scales=1, num_steps=1, network_options={"filters": 4}, seed=0),
        lambda: kg.RealNVP((2,), num_layers=1, network_options={"hidden_dims": (4,)}, seed=0),
    ],
)
def test_a_loaded_model_is_saved_again(make, tmp_path):
    """Files bring dtypes as objects."""
    model = make()
    model.save(tmp_path / "first.keras")
    keras.saving.load_model(tmp_path / "first.keras").save(tmp_path / "second.keras")
    loaded = keras.saving.load_model(tmp_path / "second.keras")
    assert loaded.get_config()["event_shape"] == model.get_config()["event_shape"]
    assert largest_difference(loaded, model) == 0.0


@pytest.mark.parametrize(
    "cls",
    [
        kg.bijectors.ActNorm,
        kg.bijectors.InvertibleConvolution,
        kg.distributions.StandardNormalPrior,
        kg.layers.PositionBias,
    ],
)
def test_layers_without_arguments_of_their_own_take_a_dtype_as_an_object(cls):
    layer = cls(dtype=keras.DTypePolicy("float64"), name="mine")
    again = cls.from_config(layer.get_config())
    assert again.name == "mine" and again.dtype_policy.name == "float64"


def test_files_that_keras_writes_beside_its_own_are_hidden_with_it(trained, tmp_path, monkeypatch):
    """So that the next writer clears them up too if this one is killed."""
    library = keras.src.saving.saving_lib
    places, make = [], library.tempfile.NamedTemporaryFile

    def watched(**options):
        places.append(options["dir"])
        return make(**options)

    monkeypatch.setattr(library, "is_memory_sufficient", lambda model: False)
    monkeypatch.setattr(library.tempfile, "NamedTemporaryFile", watched)
    trained.save(tmp_path / "model.keras")
    (place,) = places
    assert place.parent == tmp_path and place.name.startswith(".tmp-")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert largest_difference(keras.saving.load_model(tmp_path / "model.keras"), trained) == 0.0
