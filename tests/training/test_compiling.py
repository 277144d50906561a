"""What was compiled is what a file brings back."""

import keras
import numpy as np
import pytest

import keras_genmod as kg

X = np.random.default_rng(0).integers(0, 2, size=[16, 6]).astype("float32")


def scaled():
    return keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1, momentum=0.9), initial_scale=128.0, dynamic_growth_steps=3
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_a_loss_scale_of_the_users_own_comes_back_from_a_file(dtype, tmp_path):
    model = kg.MADE((6,), hidden_dims=(8,), dtype=dtype, seed=0)
    model.compile(scaled())
    model.fit(X, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.initial_scale == 128.0 and loaded.optimizer.dynamic_growth_steps == 3
    assert int(loaded.optimizer.inner_optimizer.iterations) == 4
    for old, new in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(new.numpy(), old.numpy())


def test_each_players_optimizer_comes_back_as_it_was_passed(tmp_path):
    model = kg.GAN((2,), latent_dim=2, dtype="mixed_float16", seed=0)
    model.compile("sgd", scaled())
    config = model.get_compile_config()
    assert config["generator_optimizer"]["class_name"] == "SGD", "the loss scale around it is put there again"
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.initial_scale == 2.0**15
    assert loaded.discriminator_optimizer.initial_scale == 128.0
    assert loaded.get_compile_config() == config


def test_what_replicas_cannot_do_is_refused_inside_a_loss_scale_too(strategy):
    with strategy.scope():
        model = kg.MADE((6,), hidden_dims=(8,), seed=0)
        inner = keras.optimizers.SGD(gradient_accumulation_steps=2)
        with pytest.raises(ValueError, match="`gradient_accumulation_steps`"):
            model.compile(keras.optimizers.LossScaleOptimizer(inner))


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_xla_on_several_replicas_is_refused_before_a_step(method, strategy):
    """It fails in TensorFlow's collectives."""
    with strategy.scope():
        model = kg.MADE((6,), hidden_dims=(8,), seed=0)
        model.compile("sgd", jit_compile=True)
    with pytest.raises(ValueError, match="received jit_compile=True on 2"):
        getattr(model, method)(X, verbose=0)
