"""Export of what `call` computes as ONNX; the numbers are compared where ONNX' packages are installed."""

import importlib.util

import keras
import numpy as np
import pytest

import keras_genmod as kg

X = (np.random.default_rng(0).random((5, 4)) < 0.5).astype("float32")
LABELS = (np.arange(5) % 3).astype("int32")


def fitted_mixture():
    mixture = kg.BernoulliMixture((4,), num_components=2, seed=0)
    mixture.initialize(X)
    return mixture


MODELS = {
    "vae": (lambda: kg.VAE((4,), latent_dim=2, num_classes=3, seed=0), (X, LABELS)),
    "gan": (lambda: kg.GAN((4,), latent_dim=4, seed=0), (X,)),
    # Their densities have the product that tf2onnx does not know.
    "made": (lambda: kg.MADE((4,), hidden_dims=(8,), num_classes=3, seed=0), (X, LABELS)),
    "pixel_cnn": (lambda: kg.PixelCNN((2, 2, 1), filters=4, num_blocks=1, seed=0), (X.reshape(5, 2, 2, 1),)),
    "real_nvp": (lambda: kg.RealNVP((4,), num_layers=2, seed=0), (X,)),
    "mixture": (fitted_mixture, (X,)),
}


@pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is not None, reason="tf2onnx is installed")
def test_the_missing_package_is_named(tmp_path):
    with pytest.raises(ImportError, match=r"needs tf2onnx: `pip install tf2onnx`"):
        kg.VAE((4,), latent_dim=2).export(tmp_path / "vae.onnx", format="onnx")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_never_called_has_the_signature_of_call(name):
    build, inputs = MODELS[name]
    model = build()
    structure = model._export_signature()
    specs = keras.tree.flatten(structure)
    assert [tuple(spec.shape[1:]) for spec in specs] == [x.shape[1:] for x in inputs]
    assert [spec.dtype.as_numpy_dtype for spec in specs] == [x.dtype for x in inputs]
    # One argument, as Keras' exporters call the model.
    (argument,) = keras.tree.pack_sequence_as(structure, inputs)
    np.testing.assert_allclose(model(argument), model.predict(inputs, verbose=0), rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_file_gives_the_model_s_numbers(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    build, inputs = MODELS[name]
    model = build()
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(path)
    feeds = {entry.name: x for entry, x in zip(session.get_inputs(), inputs, strict=True)}
    expected = model(*inputs)
    np.testing.assert_allclose(session.run(None, feeds)[0], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="overwrite=True"):
        model.export(path, format="onnx", verbose=False)
    model.export(path, format="onnx", verbose=False, overwrite=True)


def test_what_onnx_cannot_hold_is_not_written(tmp_path):
    pytest.importorskip("tf2onnx")
    model = kg.VQVAE((4,), num_codes=4, code_dim=2, num_latents=2, seed=0)
    with pytest.raises(ValueError, match=r"`call` of this VQVAE.*ONNX lacks.*model.encoder.export\(filepath"):
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    assert not any(tmp_path.iterdir())
    model.encoder.export(tmp_path / "encoder.onnx", format="onnx", verbose=False)
    assert (tmp_path / "encoder.onnx").exists()


def test_other_formats_are_refused_with_keras_words(tmp_path):
    with pytest.raises(ValueError, match="Supported formats are"):
        kg.VAE((4,), latent_dim=2).export(tmp_path / "vae", format="pickle")
