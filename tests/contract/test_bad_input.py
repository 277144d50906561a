"""Bad input gets an error that says expected, received, what to do, before work is lost."""

import os
import re
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.networks import dense_network
from keras_genmod.testing.row import Restarted

X = (np.random.default_rng(0).random((12, 6)) < 0.5).astype("float32")


def model(**kwargs):
    built = kg.VAE((6,), **{"latent_dim": 2, "seed": 0, **kwargs})
    built.compile()
    return built


def with_value(value):
    x = X.copy()
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    "arguments,error,words",
    [
        (lambda: ((6,), {"latent_dim": 0}), ValueError, ["latent_dim", "at least 1", "received 0"]),
        (lambda: ((6,), {"latent_dim": 2.5}), ValueError, ["latent_dim", "integer", "2.5"]),
        (lambda: (6, {}), ValueError, ["event_shape", "tuple", "(784,)", "received 6"]),
        (lambda: ((6, 0), {}), ValueError, ["event_shape", "positive", "(6, 0)"]),
        (lambda: ((), {}), ValueError, ["event_shape", "(1,)", "received ()"]),
        (lambda: ((4, 4), {}), ValueError, ["(height, width, channels)", "(4, 4)", "networks of your own"]),
        (lambda: ((6,), {"likelihood": "poisson"}), ValueError, ["likelihood", "'gaussian'", "poisson"]),
        (lambda: ((6,), {"beta": -1.0}), ValueError, ["beta", "at least 0", "-1"]),
        (lambda: ((6,), {"beta": "linear"}), ValueError, ["beta", "LinearSchedule", "linear"]),
        (lambda: ((6,), {"seed": -3}), ValueError, ["seed", "2**31", "-3"]),
        (
            lambda: ((6,), {"num_classes": 3, "condition_shape": (2,)}),
            ValueError,
            ["num_classes", "condition_shape", "exclude", "one-hot"],
        ),
        (lambda: ((6,), {"num_classes": 1}), ValueError, ["num_classes", "at least 2", "1"]),
        (
            lambda: ((6,), {"latent_dim": 2, "encoder": dense_network((6,), (3,))}),
            ValueError,
            ["encoder", "4 raw outputs", "received (None, 3)", "last layer"],
        ),
        (
            lambda: ((6,), {"latent_dim": 2, "decoder": dense_network((2,), (7,))}),
            ValueError,
            ["decoder", "6 raw outputs", "BernoulliHead", "received (None, 7)"],
        ),
        (
            lambda: ((6,), {"latent_dim": 2, "decoder": dense_network((5,), (6,))}),
            ValueError,
            ["decoder", "could not be called", "(None, 2)"],
        ),
        (lambda: ((6,), {"encoder": np.tanh}), TypeError, ["encoder", "Keras model", "keras.Model("]),
    ],
)
def test_constructor(arguments, error, words):
    shape, kwargs = arguments()
    with pytest.raises(error) as raised:
        kg.VAE(shape, **kwargs)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "data,error,words",
    [
        (lambda: X.reshape(12, 3, 2), ValueError, ["[batch, 6]", "(12, 3, 2)", "Reshape"]),
        (lambda: X[0], ValueError, ["[batch, 6]", "(6,)", "x[None]"]),
        (lambda: X[:, :5], ValueError, ["[batch, 6]", "(12, 5)", "or build the model"]),
        (lambda: X[:0], ValueError, ["no examples", "(0, 6)"]),
        (lambda: X * 255, ValueError, ["[0, 1]", "255", "1/255", "gaussian"]),
        (lambda: X - 0.5, ValueError, ["[0, 1]", "-0.5"]),
        (lambda: with_value(np.nan), ValueError, ["finite", "1 NaN"]),
        (lambda: with_value(np.inf), ValueError, ["finite", "infinite"]),
        (lambda: X.astype(str), TypeError, ["numbers", "astype"]),
        (lambda: tf.data.Dataset.from_tensor_slices(X[:0]).batch(4), ValueError, ["empty"]),
        (lambda: tf.data.Dataset.from_tensor_slices(X * 2).batch(4), ValueError, ["[0, 1]"]),
        (lambda: tf.data.Dataset.from_tensor_slices(X), ValueError, ["[batch, 6]", "(6,)"]),
        (lambda: None, TypeError, ["arrays or batches", "None"]),
        (lambda: "mnist", TypeError, ["arrays or batches", "mnist"]),
    ],
)
def test_data(data, error, words):
    vae = model()
    before = vae.get_weights()
    for method in (vae.fit, vae.evaluate):
        with pytest.raises(error) as raised:
            method(data(), verbose=0)
        for word in words:
            assert word in str(raised.value)
    for old, new in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("method", ["encode", "reconstruct", "log_prob", "anomaly_score"])
def test_methods_check_their_data(method):
    vae = model()
    with pytest.raises(ValueError, match=r"\[batch, 6\]"):
        getattr(vae, method)(X[0])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        getattr(vae, method)(X * 255)
    with pytest.raises(ValueError, match="unconditional.*num_classes"):
        getattr(vae, method)(X, condition=3)


def test_latent_vectors_are_checked():
    with pytest.raises(ValueError, match=r"`z` must have shape \[batch, 2\]"):
        model().decode(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="finite"):
        model().decode(np.full((3, 2), np.nan))


def test_a_condition_too_many_or_too_few():
    labels = np.zeros(12, int)
    with pytest.raises(ValueError, match=r"unconditional.*num_classes="):
        model().fit(X, labels, verbose=0)
    conditional = model(num_classes=3)
    with pytest.raises(ValueError, match=r"conditional.*fit\(x, condition\)"):
        conditional.fit(X, verbose=0)
    with pytest.raises(ValueError, match=r"conditional"):
        conditional.sample(3)
    with pytest.raises(ValueError, match=r"from 0 to 5|\[0, 2\]"):
        conditional.fit(X, labels + 5, verbose=0)
    with pytest.raises(ValueError, match=r"fractions"):
        conditional.fit(X, labels + 0.5, verbose=0)
    with pytest.raises(ValueError, match=r"one row for each of the 12"):
        conditional.fit(X, labels[:5], verbose=0)
    with pytest.raises(ValueError, match=r"one row per example, 4"):
        conditional.sample(4, condition=[1, 2])


def test_the_data_given_twice_gets_a_message_of_its_own():
    autoencoder = kg.Autoencoder((6,), latent_dim=2)
    autoencoder.compile()
    with pytest.raises(ValueError, match=r"fit\(x\).*once.*denoising"):
        autoencoder.fit(X, X, verbose=0)


def test_grey_values_warn_once_and_name_the_remedies():
    vae = model()
    grey = X * 0.5
    with pytest.warns(UserWarning, match="cross-entropies.*continuous_bernoulli.*binarize"):
        vae.fit(grey, verbose=0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae.fit(grey, verbose=0)
        model().fit(X, verbose=0)
        model(likelihood="continuous_bernoulli").fit(grey, verbose=0)


def test_weights_of_examples():
    with pytest.raises(ValueError, match=r"one row for each"):
        model().fit(X, sample_weight=np.ones(3), verbose=0)
    with pytest.raises(ValueError, match="must not be negative"):
        model().fit(X, sample_weight=-np.ones(12), verbose=0)
    with pytest.raises(ValueError, match=r"shape \[N\]"):
        model().fit(X, sample_weight=np.ones((12, 2)), verbose=0)
    with pytest.raises(ValueError, match=r"class_weight.*num_classes.*sample_weight"):
        model().fit(X, class_weight={0: 2.0}, verbose=0)
    with pytest.raises(ValueError, match=r"validation_split"):
        model().fit(X, validation_split=0.99, verbose=0)


@pytest.mark.parametrize("argument", ["loss", "loss_weights", "metrics", "weighted_metrics"])
def test_compile_refuses_what_the_model_defines(argument):
    with pytest.raises(ValueError, match=rf"takes no `{argument}`; received 'mse'\. \w+"):
        kg.VAE((6,), latent_dim=2).compile("adam", **{argument: "mse"})


def test_compile_arguments():
    vae = kg.VAE((6,), latent_dim=2)
    with pytest.raises(TypeError, match="unexpected argument 'optimiser'"):
        vae.compile(optimiser="adam")
    with pytest.raises(ValueError, match="optimizer must be a name.*received 'adem'"):
        vae.compile("adem")
    with pytest.raises(ValueError, match="micro_batches.*at least 1.*received 0"):
        vae.compile(micro_batches=0)
    with pytest.raises(ValueError, match="compile"):
        kg.VAE((6,), latent_dim=2).fit(X)


def test_strategies_must_be_those_of_the_model(strategy):
    outside = kg.VAE((6,), latent_dim=2)
    with strategy.scope():
        with pytest.raises(ValueError, match="created outside the strategy.*Create the model inside"):
            outside.compile()
        inside = kg.VAE((6,), latent_dim=2)
    with pytest.raises(ValueError, match="optimizer was created outside.*or pass its name"):
        inside.compile(keras.optimizers.Adam())
    with strategy.scope():
        with pytest.raises(ValueError, match=r"gradient_accumulation_steps.*micro_batches"):
            inside.compile(keras.optimizers.Adam(gradient_accumulation_steps=2))
        with pytest.raises(ValueError, match="inside.*scope.*outside"):
            inside.export("unused")
    inside.compile("adam")
    inside.fit(X, batch_size=4, verbose=0)


def test_paths_of_exports_and_files(tmp_path):
    # The one with the fewest endpoints.
    small = kg.Autoencoder((6,), latent_dim=2, seed=0)
    small.compile()
    file = tmp_path / "file"
    file.write_text("kept")
    with pytest.raises(ValueError, match="folder"):
        small.export(file / "1")
    small.export(tmp_path / "model" / "1")
    with pytest.raises(ValueError, match="overwrite=True"):
        small.export(tmp_path / "model" / "1")
    small.export(tmp_path / "model" / "1", overwrite=True)
    with pytest.raises(ValueError):
        small.save(file / "model.keras")
    for name in ("model.h5", "model.hdf5", "model.h6", "model"):
        with pytest.raises(
            ValueError, match=rf"must end in '.keras'; received '.*{name}'.*save_weights.*export"
        ):
            small.save(tmp_path / name)
    for name in ("model.h5", "model.keras", "model"):
        with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`"):
            small.save_weights(tmp_path / name)
    small.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="overwrite=True"):
        small.save(tmp_path / "model.keras", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "model", "model.keras"]
    assert file.read_text() == "kept"


def test_an_export_that_fails_leaves_nothing(tmp_path):
    class Broken(kg.VAE):
        def _score(self, x, condition, num_samples):
            raise RuntimeError("broken")

    broken = Broken((6,), latent_dim=2)
    with pytest.raises(RuntimeError, match="broken"):
        broken.export(tmp_path / "vae" / "1")
    assert not any(tmp_path.iterdir())


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    vae = model()
    vae.save(tmp_path / "model.keras")
    old = (tmp_path / "model.keras").read_bytes()
    monkeypatch.setattr(type(vae), "get_config", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vae.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == old
    assert os.listdir(tmp_path) == ["model.keras"]


def test_files_of_another_class_or_version(tmp_path):
    vae = model()
    config = vae.get_config()
    with pytest.raises(ValueError, match=r"configuration of a Autoencoder; received that of a VAE"):
        kg.Autoencoder.from_config(config)
    newer = {**config, "format": {**config["format"], "number": 99, "version": "9.9"}}
    with pytest.raises(ValueError, match=r"format 99.*9\.9.*Upgrade"):
        kg.VAE.from_config(newer)
    with pytest.raises(ValueError, match=r"Expected the configuration of a VAE.*keys"):
        kg.VAE.from_config({"latent_dim": 3})
    with pytest.raises(ValueError, match=r"does not fit VAE.*temperature"):
        kg.VAE.from_config({**config, "temperature": 1.0})
    vae.save_weights(tmp_path / "vae.weights.h5")
    for other in (kg.Autoencoder((6,), latent_dim=2), kg.VAE((6,), latent_dim=3)):
        other.compile()
        before = other.get_weights()
        with pytest.raises(ValueError, match="does not hold the weights of this.*nothing was loaded"):
            other.load_weights(tmp_path / "vae.weights.h5")
        for old, new in zip(before, other.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    with pytest.raises(FileNotFoundError, match="no file"):
        vae.load_weights(tmp_path / "none.weights.h5")


def test_a_truncated_file_is_an_error(tmp_path):
    vae = model()
    vae.save(tmp_path / "model.keras")
    whole = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises((ValueError, zipfile.BadZipFile)):
        keras.saving.load_model(tmp_path / "model.keras")


def test_files_hold_no_code(tmp_path):
    vae = model()
    vae.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert not re.search(rb"Lambda|__lambda__|pickle", archive.read("config.json"))


def test_numbers_of_samples():
    vae = model()
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="num_samples.*at least 1"):
            vae.sample(wrong)
    with pytest.raises(ValueError, match="num_samples"):
        vae.log_prob(X, num_samples=0)
    with pytest.raises(ValueError, match=r"seed.*two integers"):
        vae.sample(2, seed=[1, 2, 3])


def test_a_served_sample_is_bounded(tmp_path):
    vae = model()
    vae.export(tmp_path / "1", max_samples=5)
    request = {"num_samples": np.int32(5), "seed": np.array([1, 2], "int32")}
    assert len(kg.serving.call(tmp_path / "1", "sample", request)["x"]) == 5
    with pytest.raises(RuntimeError, match="num_samples must be from 1 to 5"):
        kg.serving.call(tmp_path / "1", "sample", {**request, "num_samples": np.int32(6)})


def decoder_of_classes(shape, encode, dtype=None):
    z, label = keras.Input((2,)), keras.Input(shape, dtype=dtype)
    h = keras.layers.Concatenate()([z, encode(label)])
    return keras.Model([z, label], keras.layers.Dense(6)(h))


def test_classes_are_the_same_however_they_are_written_and_embedded():
    labels = np.arange(12) % 3
    one_hot = np.eye(3, dtype="float32")[labels]
    plain = decoder_of_classes((3,), lambda c: c)
    encoding = keras.layers.CategoryEncoding(3, output_mode="one_hot")
    encoded = decoder_of_classes((), encoding, "int32")
    encoded.set_weights(plain.get_weights())
    vae = model(num_classes=3, decoder=plain)
    same = kg.VAE((6,), latent_dim=2, num_classes=3, encoder=vae.encoder, decoder=encoded, seed=0)
    expected = vae.reconstruct(X, condition=labels)
    np.testing.assert_array_equal(same.reconstruct(X, condition=one_hot), expected)
    built = kg.VAE((6,), latent_dim=2, num_classes=3, decoder=keras.models.clone_model(plain), seed=0)
    fresh, history = Restarted(built, run_eagerly=True), {}
    for name, condition in {"numbers": labels, "one-hot": one_hot, "column": labels[:, None]}.items():
        np.testing.assert_array_equal(vae.reconstruct(X, condition=condition), expected)
        np.testing.assert_array_equal(vae.predict((X, condition), verbose=0), expected)
        draws = vae.sample(12, condition=condition, seed=1)
        np.testing.assert_array_equal(draws, vae.sample(12, condition=labels, seed=1))
        trained = fresh.restart()
        trained.decoder.set_weights(plain.get_weights())
        batches = tf.data.Dataset.from_tensor_slices((X, condition)).batch(5)
        history[name] = [
            trained.fit(X, condition, batch_size=5, class_weight={0: 2.0}, verbose=0).history["loss"],
            trained.fit(batches, verbose=0).history["loss"],
            trained.evaluate(X, condition, verbose=0),
        ]
    assert history["one-hot"] == history["column"] == history["numbers"]
    with pytest.raises(ValueError, match="one-hot rows"):
        vae.fit(X, one_hot / 2, verbose=0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: kg.VAE((6,), latent_dim=2, decoder=ending("sigmoid", 6)), "`decoder` ends in sigmoid"),
        (lambda: kg.IWAE((6,), latent_dim=2, encoder=ending("relu", 4)), "`encoder` ends in relu"),
        (
            lambda: kg.Autoencoder(
                (6,), likelihood=kg.distributions.CategoricalHead(2), decoder=ending("softmax", 12)
            ),
            "CategoricalHead",
        ),
        (lambda: kg.WGAN_GP((6,), discriminator=ending("tanh", 1)), "`discriminator` ends in tanh"),
        (lambda: kg.FactorVAE((6,), discriminator=ending("sigmoid", 1)), "`discriminator` ends in sigmoid"),
    ],
)
def test_networks_that_end_in_the_wrong_activation(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def ending(activation, units):
    return keras.Sequential([keras.layers.Dense(units), keras.layers.Activation(activation)])


def test_data_beyond_the_bounds_of_the_means_is_warned_of():
    def bounded():
        network = ending("sigmoid", 6)
        autoencoder = kg.Autoencoder((6,), latent_dim=3, decoder=network, likelihood="gaussian", seed=0)
        autoencoder.compile()
        return autoencoder

    autoencoder = bounded()
    with pytest.warns(
        UserWarning, match=r"`decoder` ends in sigmoid.*from 0 to 1.*from 0 to 100.*Scale the data"
    ):
        autoencoder.fit(X * 100, verbose=0)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        autoencoder.fit(X * 100, verbose=0)
        bounded().fit(X, verbose=0)


def test_activations_that_are_right_where_they_stand():
    kg.Autoencoder(
        (6,), latent_dim=3, encoder=ending("relu", 3), decoder=ending("sigmoid", 6), likelihood="gaussian"
    )
    kg.GAN((6,), generator=ending("tanh", 6), discriminator=ending("leaky_relu", 1))
    kg.GAN((6,), generator=ending("sigmoid", 6), discriminator=ending("sigmoid", 1), loss="least_squares")
