"""A quantised model comes back from its file as it was, or is refused before anything changes."""

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod.serving import verify

X = np.random.default_rng(0).integers(0, 2, size=[8, 6]).astype("float32")


def network(inputs, outputs):
    x = keras.Input((inputs,))
    return keras.Model(x, keras.layers.Dense(outputs)(keras.layers.Dense(8, "tanh")(x)))


def vae():
    model = kg.VAE((6,), latent_dim=2, encoder=network(6, 4), decoder=network(2, 6), seed=0)
    model.compile()
    return model


def gan():
    return kg.GAN((6,), latent_dim=2, generator=network(2, 6), discriminator=network(6, 1), seed=0)


def test_a_quantised_model_answers_alike_from_its_file_and_its_export(tmp_path):
    model = vae()
    before = np.asarray(model.encode(X))
    model.quantize("int8")
    after = np.asarray(model.encode(X))
    # Rounded to 1 of 254 steps; graphs of the weights that were would give the very same numbers.
    assert 0.0 < np.abs(after - before).max() < 0.1
    assert "int8" in str(model.get_config()["encoder"])
    assert not model.compiled
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(loaded.weights, model.weights, strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    np.testing.assert_array_equal(loaded.encode(X), after)
    model.export(tmp_path / "1")
    assert max(verify(tmp_path / "1").values()) < 1e-4


def test_every_network_of_a_gan_is_quantised_and_comes_back(tmp_path):
    model = gan()
    model.quantize("int8")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(3, seed=1), model.sample(3, seed=1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kg.MADE((6,), hidden_dims=(8,)), "nothing to quantise in this MADE.*MaskedDense"),
        (lambda: kg.GaussianMixture((6,), num_components=2), "nothing to quantise in this GaussianMixture"),
        (lambda: kg.RealNVP((2,), seed=0), "configuration of this RealNVP would not"),
    ],
)
def test_what_would_not_come_back_is_refused_before_anything_changes(make, message):
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.quantize("int8")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    with pytest.raises(ValueError, match="Invalid quantization mode"):
        model.quantize("int3")


def test_a_part_that_was_quantised_alone_is_refused_before_anything_is_written(tmp_path):
    model = gan()
    model.generator.quantize("int8")
    for write in (
        lambda: model.save(tmp_path / "model.keras"),
        lambda: model.save_weights(tmp_path / "model.weights.h5"),
        lambda: model.export(tmp_path / "1"),
    ):
        with pytest.raises(ValueError, match="quantised weights of 2 layers.*Quantise the whole model"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_optimizers_of_weights_that_are_gone_are_refused_and_new_ones_come_back(tmp_path):
    """Keras leaves slots that do not fit out of what it loads."""
    model = vae()
    model.encoder.quantize("int8")
    with pytest.raises(ValueError, match="`optimizer` was built for weights that are quantised.*compile"):
        model.save(tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []
    model.compile()
    model.fit(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, two in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
