"""Pictures show what the model does, at the epochs that were asked for, and leave training as it is."""

import resource
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_genmod import VAE, Autoencoder
from keras_genmod.applications import traverse
from keras_genmod.callbacks import ImageGrid, ReconstructionGrid, TraversalGrid, pictures
from keras_genmod.core.checks import ValueRange
from keras_genmod.core.images import image_grid
from keras_genmod.networks import conv_decoder, conv_encoder

X = np.random.default_rng(0).integers(0, 2, (8, 4, 4, 1)).astype("float32")


def make_vae(run_eagerly=True, **options):
    small = {"filters": (4,), "hidden_dim": 8, "seed": 0, "num_classes": options.get("num_classes")}
    model = VAE(
        (4, 4, 1),
        latent_dim=3,
        encoder=conv_encoder((4, 4, 1), (6,), **small),
        decoder=conv_decoder((3,), (4, 4, 1), **small),
        seed=0,
        **options,
    )
    # Two steps an epoch are done before a graph of them is traced.
    model.compile(run_eagerly=run_eagerly)
    return model


@pytest.fixture(scope="module")
def vae():
    return make_vae()


@pytest.fixture(scope="module")
def conditional_vae():
    return make_vae(num_classes=3)


def fit(model, *callbacks, x=X, y=None, **options):
    return model.fit(x, y, batch_size=4, verbose=0, callbacks=list(callbacks), **options)


def read(path):
    return tf.io.decode_png(path.read_bytes()).numpy()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_samples_of_the_model_after_the_epoch(vae, tmp_path):
    fit(vae, ImageGrid(tmp_path / "new", 5, seed=3, columns=5, scale=2), epochs=2)
    assert names(tmp_path / "new") == ["epoch_0001_samples.png", "epoch_0002_samples.png"]
    expected = image_grid(vae.sample(5, seed=3), 5, padding=1, scale=2)
    np.testing.assert_array_equal(read(tmp_path / "new" / "epoch_0002_samples.png"), expected)
    first = read(tmp_path / "new" / "epoch_0001_samples.png")
    assert np.any(first != expected), "the model was trained in between"


def test_epochs_are_those_that_were_asked_for(vae, tmp_path):
    fit(vae, ImageGrid(tmp_path, 1, every_n_epochs=3), initial_epoch=2, epochs=10)
    assert names(tmp_path) == [f"epoch_{epoch:04d}_samples.png" for epoch in (3, 6, 9)]


def test_small_images_are_enlarged(vae):
    callback = ImageGrid("nowhere", 1)
    callback.set_model(vae)
    assert callback.picture().shape == (6 + 48 + 6, 6 + 48 + 6, 1), "12 times, lines of 6 pixels"


def test_originals_stand_beside_their_reconstructions(vae, tmp_path):
    fit(vae, ReconstructionGrid(X[:2], tmp_path, columns=1, scale=1))
    picture = read(tmp_path / "epoch_0001_reconstructions.png")[..., 0]
    reconstructions = np.asarray(vae.reconstruct(X[:2]))[..., 0]
    assert picture.shape == (11, 10)
    for row, top in enumerate((1, 6)):
        np.testing.assert_array_equal(picture[top : top + 4, 1:5], 255 * X[row, ..., 0])
        np.testing.assert_array_equal(picture[top : top + 4, 5:9], np.rint(255 * reconstructions[row]))


def test_rows_of_a_traversal_are_sorted_by_use(vae):
    callback = TraversalGrid("nowhere", X[0], values=[-1.0, 0.0, 1.0, 2.0], max_dims=2, scale=1)
    callback.set_model(vae)
    vae.latent_usage.reset_state()
    vae.latent_usage.update_state(tf.zeros([2, 3]), tf.constant([[0.1, 5.0, 1.0], [0.1, 0.0, 3.0]]))
    images = traverse(vae, X[0], dims=[1, 2], values=[-1.0, 0.0, 1.0, 2.0]).reshape(8, 4, 4, 1)
    np.testing.assert_array_equal(callback.picture(), image_grid(images, 4))
    vae.latent_usage.reset_state()
    images = traverse(vae, X[0], dims=[0, 1], values=[-1.0, 0.0, 1.0, 2.0]).reshape(8, 4, 4, 1)
    np.testing.assert_array_equal(callback.picture(), image_grid(images, 4))


def test_pictures_never_change_training(tmp_path):
    plain, watched = make_vae(), make_vae()
    fit(plain, epochs=3)
    fit(watched, ImageGrid(tmp_path, 4), ReconstructionGrid(X, tmp_path), TraversalGrid(tmp_path), epochs=3)
    for expected, received in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)
    np.testing.assert_array_equal(watched.sample(2), plain.sample(2))
    assert len(names(tmp_path)) == 9, "three callbacks share a folder without overwriting one another"


def test_tensorboard_shows_the_same_pictures(vae, tmp_path):
    fit(vae, ImageGrid(tmp_path / "png", 3, log_dir=tmp_path / "logs"), epochs=2)
    (file,) = (tmp_path / "logs").iterdir()
    shown = {
        (value.tag, event.step): value.tensor.string_val
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert set(shown) == {("samples", 0), ("samples", 1)}
    for epoch in (0, 1):
        _, _, png = shown["samples", epoch]
        expected = read(tmp_path / "png" / f"epoch_{epoch + 1:04d}_samples.png")
        np.testing.assert_array_equal(tf.io.decode_png(png), expected)


def test_conditions_reach_the_model(conditional_vae):
    callback = ImageGrid("nowhere", 3, condition=[0, 1, 2], columns=3, scale=1)
    callback.set_model(conditional_vae)
    expected = image_grid(conditional_vae.sample(3, condition=[0, 1, 2], seed=0), 3)
    np.testing.assert_array_equal(callback.picture(), expected)
    callback = TraversalGrid("nowhere", condition=2, scale=1)
    callback.set_model(conditional_vae)
    images = traverse(conditional_vae, condition=2).reshape(21, 4, 4, 1)
    np.testing.assert_array_equal(callback.picture(), image_grid(images, 7))


def test_black_and_white_are_the_ends_of_the_models_values():
    class Signed:
        event_shape = (2, 2, 1)
        distribute_strategy = None

        def value_range(self):
            return ValueRange(-1.0, 1.0)

        def sample(self, num_samples, *, condition, seed):
            return np.tile(np.array([-1, 0, 1, 1]).reshape(1, 2, 2, 1), (num_samples, 1, 1, 1))

    callback = ImageGrid("nowhere", 1, scale=1)
    callback.set_model(Signed())
    np.testing.assert_array_equal(callback.picture()[1:3, 1:3, 0], [[0, 128], [255, 255]])
    callback = ImageGrid("nowhere", 1, scale=1, value_range=(0, 2))
    callback.set_model(Signed())
    np.testing.assert_array_equal(callback.picture()[1:3, 1:3, 0], [[0, 0], [128, 128]])


def test_a_drawn_reconstruction_gets_the_fixed_seed():
    class Stochastic:
        def reconstruct(self, x, *, condition=None, seed=None):
            return x * seed

    callback = ReconstructionGrid(X[:1], "nowhere", seed=0, scale=1)
    callback.set_model(Stochastic())
    assert not callback.picture()[1:5, 5:9].any()


def test_only_the_chief_writes_but_all_workers_draw(vae, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "is_chief", lambda strategy: False)
    drawn = []
    callback = ImageGrid(tmp_path / "png", 1, log_dir=tmp_path / "logs")
    monkeypatch.setattr(callback, "images", lambda: drawn.append(1) or np.zeros((1, 4, 4, 1)))
    fit(vae, callback, epochs=2)
    assert len(drawn) == 3 and names(tmp_path) == []


def test_pictures_go_behind_a_scheme(vae, tmp_path, monkeypatch):
    """TensorFlow's file system in memory is the bucket."""
    monkeypatch.chdir(tmp_path)
    bucket = f"ram://{tmp_path.name}"
    fit(vae, ImageGrid(f"{bucket}/pictures", 2, seed=3, scale=1, log_dir=f"{bucket}/logs"))
    assert tf.io.gfile.listdir(f"{bucket}/pictures") == ["epoch_0001_samples.png"]
    with tf.io.gfile.GFile(f"{bucket}/pictures/epoch_0001_samples.png", "rb") as file:
        picture = tf.io.decode_png(file.read()).numpy()
    np.testing.assert_array_equal(picture, image_grid(vae.sample(2, seed=3)))
    assert any("tfevents" in name for name in tf.io.gfile.listdir(f"{bucket}/logs"))
    assert names(tmp_path) == []


def test_a_folder_that_goes_away_costs_pictures_and_no_training(vae, tmp_path):
    class Vandal(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                shutil.rmtree(tmp_path / "png")
                (tmp_path / "png").touch()

    before = int(vae.training_steps)
    with pytest.warns(
        RuntimeWarning, match=r"epoch_0002_samples\.png' could not be written.*goes on"
    ) as caught:
        fit(vae, Vandal(), ImageGrid(tmp_path / "png", 1), epochs=3)
    assert int(vae.training_steps) == before + 6
    assert sum("could not be written" in str(one.message) for one in caught) == 2, "epochs 2 and 3"


def test_a_full_disk_costs_pictures_and_no_training(vae, tmp_path):
    """A process may be given files of at most 100 bytes; then writes fail as on a full disk."""
    callback = ImageGrid(tmp_path / "png", 4, log_dir=tmp_path / "logs")
    callback.set_model(vae)
    callback.on_train_begin()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.warns(RuntimeWarning) as caught:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
        try:
            callback.on_epoch_end(0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        callback.on_epoch_end(1)
        callback.on_train_end()
    assert any("epoch_0001_samples.png' could not be written" in str(one.message) for one in caught)
    assert names(tmp_path / "png") == ["epoch_0002_samples.png"], "nothing hidden is left"
    # TensorFlow's default writer is what it was: none.
    assert not tf.summary.scalar("nowhere", 1.0, step=0)


def test_what_cannot_work_ends_the_run_before_the_first_step(vae, conditional_vae, tmp_path):
    (tmp_path / "file").touch()
    flat = Autoencoder((5,), latent_dim=2, likelihood="gaussian")
    flat.compile()
    labels = np.arange(8) % 3
    cases = [
        (flat, ImageGrid(tmp_path), TypeError, "`ImageGrid` needs a model with `sample`"),
        (flat, ReconstructionGrid(np.zeros((2, 5)), tmp_path), ValueError, r"draws images.*shape \(5,\)"),
        (vae, ImageGrid(tmp_path / "file" / "below"), ValueError, "`directory` must be a folder"),
        (vae, ImageGrid(tmp_path / "file"), ValueError, "`directory` must be a folder"),
        (vae, ImageGrid(tmp_path, log_dir=tmp_path / "file"), ValueError, "`log_dir` must be a folder"),
        (vae, ImageGrid("nowhere://bucket/png"), ValueError, "`directory` must be a folder.*not implemented"),
        (vae, ImageGrid(tmp_path, condition=1), ValueError, "This model is unconditional"),
        (vae, ReconstructionGrid(X[:, :3], tmp_path), ValueError, "`x` must have shape"),
        (vae, TraversalGrid(tmp_path, X[:1]), ValueError, "`x` must be one example"),
        (
            conditional_vae,
            ImageGrid(tmp_path),
            ValueError,
            "This model is conditional.*callbacks.*`condition=`",
        ),
        (conditional_vae, ImageGrid(tmp_path, 4, condition=[0, 1]), ValueError, "one row per example, 4"),
    ]
    for model, callback, error, message in cases:
        before = int(model.training_steps)
        x = np.zeros((8, 5), "float32") if model is flat else X
        with pytest.raises(error, match=message):
            fit(model, callback, x=x, y=labels if model is conditional_vae else None)
        assert int(model.training_steps) == before
    with pytest.raises(TypeError, match="`TraversalGrid` needs a model with `latent_dim`"):
        TraversalGrid(tmp_path).set_model(keras.Sequential())
    with pytest.raises(ValueError, match="`every_n_epochs` must be an integer"):
        ImageGrid(tmp_path, every_n_epochs=0)
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ImageGrid(3), TypeError, "`directory` must be the path of a folder; received 3"),
        (lambda: ReconstructionGrid("out", X), TypeError, "`directory` must be the path.*ndarray"),
        (lambda: ImageGrid("out", log_dir=1), TypeError, "`log_dir` must be the path of a folder"),
        (lambda: ImageGrid("out", value_range=1), ValueError, "`value_range` must be two numbers"),
        (lambda: ImageGrid("out", value_range=(1, 0)), ValueError, "`value_range` must be increasing"),
        (lambda: TraversalGrid("out", values=["low"]), ValueError, "`values` must be a list of finite"),
        (lambda: TraversalGrid("out", values=[]), ValueError, "`values` must be a list of finite"),
        (lambda: TraversalGrid("out", values=[[0.0], [1.0]]), ValueError, "`values` must be a list of"),
        (lambda: TraversalGrid("out", columns=3), TypeError, "has no `columns`.*as many values"),
    ],
)
def test_wrong_arguments_are_refused_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_on_replicas_pictures_are_those_of_the_model(strategy, tmp_path):
    with strategy.scope():
        model = make_vae(run_eagerly=False)
    callbacks = [ImageGrid(tmp_path, 2), ReconstructionGrid(X[:2], tmp_path), TraversalGrid(tmp_path)]
    fit(model, *callbacks)
    for callback in callbacks:
        path = tmp_path / f"epoch_0001_{callback.kind}.png"
        np.testing.assert_array_equal(read(path), callback.picture())
