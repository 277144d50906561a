"""Pix2Pix: what a step minimises, translation by rows, noise by seeds, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.metrics import psnr, ssim


def pictures(rows=6, shape=(8, 8, 1), seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (rows, *shape)).astype("float32")


def small(**options):
    options = {"filters": 2, "seed": 0, **options}
    return kg.Pix2Pix((8, 8, 1), (8, 8, 1), **options)


def weights_after(model, x, y, optimizer):
    model.compile(optimizer)
    model.fit(x, y, batch_size=len(x), epochs=2, shuffle=False, verbose=0)
    return model.generator.get_weights()


@pytest.mark.usefixtures("float64")
def test_with_a_large_l1_weight_a_step_is_that_of_l1_regression():
    """The adversarial gradient is bounded, so that it vanishes beside a weight that grows."""
    x, y = pictures(seed=1), pictures(seed=2)
    alone = small(adversarial=0.0, ema_decay=None)
    regression = keras.models.clone_model(alone.generator)
    regression.set_weights(alone.generator.get_weights())
    regression.compile(keras.optimizers.SGD(0.05), "mae")
    regression.fit(x, y, batch_size=len(x), epochs=2, shuffle=False, verbose=0)
    by_regression = regression.get_weights()
    by_l1_alone = weights_after(small(adversarial=0.0, l1=1.0), x, y, keras.optimizers.SGD(0.05))
    for one, other in zip(by_l1_alone, by_regression, strict=True):
        # Keras divides its loss by the number of pixels in float32: 6e-8 of updates below 1e-2.
        np.testing.assert_allclose(one, other, rtol=0.0, atol=1e-9)
    distances = []
    for weight in (1e2, 1e4):
        near = weights_after(small(l1=weight), x, y, keras.optimizers.SGD(0.05 / weight))
        distances.append(max(np.max(np.abs(a - b)) for a, b in zip(near, by_regression, strict=True)))
    # The adversarial part of the update falls as one over the weight.
    assert 0 < distances[1] < 0.02 * distances[0]


def test_evaluate_gives_the_figures_of_translations():
    model = small()
    model.compile()
    x, y = pictures(seed=1), pictures(seed=2)
    figures = model.evaluate(x, y, return_dict=True, verbose=0)
    output = model.generator(x)
    wanted = {
        "generator_l1": np.abs(output - y).mean(),
        "generator_psnr": np.mean(psnr(y, output, (-1, 1))),
        "generator_ssim": np.mean(ssim(y, output, (-1, 1))),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-4, atol=1e-5)
    alone = small(adversarial=0.0)
    alone.compile()
    assert set(alone.evaluate(x, y, return_dict=True, verbose=0)) == {"loss", "l1", "psnr", "ssim"}


@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}])
def test_the_translation_of_a_row_does_not_depend_on_its_batch(options, tmp_path):
    model = small(**options)
    model.compile()
    x, y = pictures(rows=5, seed=1), pictures(rows=5, seed=2)
    model.fit(x, y, batch_size=5, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    for one in (model, keras.saving.load_model(tmp_path / "model.keras")):
        whole = one.translate(x)
        for rows in ([0], [3], [1, 4], [4, 3, 2]):
            # Convolutions of other batch sizes add in another order.
            np.testing.assert_allclose(one.translate(x[rows]), tf.gather(whole, rows), atol=1e-5)
        np.testing.assert_allclose(one.predict(x, batch_size=2, verbose=0), whole, atol=1e-5)


def test_the_seed_is_the_only_noise():
    model = small(dropout=0.5)
    x = pictures(rows=3)
    first, again, other = (model.translate(x, seed=seed).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.all(np.abs(first - other).max(axis=(1, 2, 3)) > 0)
    np.testing.assert_array_equal(model.translate(x), model.translate(x))
    # Each row has noise of its own, whatever stands beside it and however the batch is cut.
    same = np.repeat(x[:1], 3, axis=0)
    rows = model.translate(same, seed=1).numpy()
    assert np.any(rows[0] != rows[1])
    np.testing.assert_allclose(model.translate(same, seed=1, batch_size=1), rows, atol=1e-5)
    with pytest.raises(ValueError, match="no noise for a `seed`"):
        small().translate(x, seed=1)


def test_evaluation_is_without_noise():
    """It gives the figures of translations without a seed, in which no value is dropped."""
    model = small(dropout=0.5, adversarial=0.0, ema_decay=None)
    model.compile()
    x, y = pictures(seed=1), pictures(seed=2)
    figures = model.evaluate(x, y, return_dict=True, verbose=0)
    np.testing.assert_allclose(figures["l1"], np.abs(model.translate(x) - y).mean(), rtol=1e-4)


def test_the_critic_sees_augmented_pairs_in_training_alone():
    """With a shift that moves everything, terms in training differ from those of the pairs as they are."""
    x, y = tf.constant(pictures(seed=1)), tf.constant(pictures(seed=2))
    plain, moved = (
        small(augmentation=augmentation, ema_decay=None)
        for augmentation in (None, kg.layers.PairedAugmentation(translation=0.5))
    )
    seed, fake = tf.constant([0, 1]), -y
    terms = {}
    for model in (plain, moved):
        for training in (False, True):
            arguments = {"condition": y, "training": training, "seed": seed, "shared": fake}
            terms[model is moved, training] = model._discriminator_terms(x, **arguments)["real"]
    np.testing.assert_array_equal(terms[True, False], terms[False, False])
    assert np.all(terms[True, True] != terms[False, True])
    seeds = kg.core.noise.row_seeds(kg.core.noise.fold_in(seed, 2), 0, 6)
    picture, source = moved.augmentation([y, x], seeds)
    logits = plain.discriminator([picture, source], training=True)
    np.testing.assert_allclose(
        terms[True, True], tf.reduce_mean(tf.nn.softplus(-logits), axis=[1, 2, 3]), rtol=1e-4
    )


def test_label_maps_are_embedded():
    """Exchanging two classes and their embeddings leaves the translation as it was."""
    model = kg.Pix2Pix((8, 8), (8, 8, 3), source_classes=3, filters=2, seed=0, ema_decay=None)
    maps = np.random.default_rng(0).integers(0, 3, (2, 8, 8))
    before = model.translate(maps).numpy()
    embedding = model.generator.get_layer("embedded_x")
    (table,) = embedding.get_weights()
    embedding.set_weights([table[[1, 0, 2]]])
    np.testing.assert_allclose(model.translate(np.array([1, 0, 2])[maps]), before, atol=1e-6)


def test_a_network_of_the_users_own_sets_the_range():
    x = keras.Input((8, 8, 1))
    generator = keras.Model(x, keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x))
    model = kg.Pix2Pix((8, 8, 1), (8, 8, 1), generator=generator, adversarial=0.0, source_range=(0, 255))
    model.compile()
    targets = np.random.default_rng(0).uniform(0, 1, (4, 8, 8, 1))
    model.fit(np.full((4, 8, 8, 1), 255, "uint8"), targets, verbose=0)
    with pytest.raises(ValueError, match=r"`target` must hold values in \[0, 1\]"):
        model.fit(np.zeros((4, 8, 8, 1)), -targets, verbose=0)


# ---- bad input ----------------------------------------------------------------------------------------


def test_data_that_do_not_fit_are_refused_before_the_first_step():
    model = small()
    model.compile()
    x, y = pictures(seed=1), pictures(seed=2)
    for arguments, error, message in [
        (({"a": x, "b": y},), TypeError, "learns from pairs.*CycleGAN"),
        ((x,), ValueError, "needs a target of shape"),
        ((x, y[:3]), ValueError, "`target` must have one row for each of the 6"),
        ((127 * (x + 1), y), ValueError, r"`x` must hold values in \[-1, 1\].*source_range"),
        ((x, 127 * (y + 1)), ValueError, r"`target` must hold values in \[-1, 1\]"),
        ((x, y[..., 0]), ValueError, "`target` must have shape"),
        ((tf.data.Dataset.from_tensors((x, y * 9)),), ValueError, "`target` must hold"),
        ((tf.data.Dataset.from_tensors(x),), ValueError, "needs a target"),
    ]:
        with pytest.raises(error, match=message):
            model.fit(*arguments, verbose=0)
    later = tf.data.Dataset.from_tensor_slices((x, np.concatenate([y[:3], 9 * y[3:]]))).batch(3)
    with pytest.raises(ValueError, match="`target` must hold.*batch 1"):
        model.fit(later, verbose=0)


def test_pictures_in_half_of_the_range_are_warned_of():
    x, y = pictures(seed=1), pictures(seed=2)
    for arguments, name in (((np.abs(x), y), "x"), ((x, np.abs(y)), "target")):
        model = small()
        model.compile()
        with pytest.warns(UserWarning, match=f"`{name}` has values from .* upper half"):
            model.fit(*arguments, verbose=0)


def test_classes_beyond_the_last_are_refused():
    model = kg.Pix2Pix((8, 8), (8, 8, 3), source_classes=3, filters=2)
    with pytest.raises(ValueError, match=r"`x` must hold integers in \[0, 2\].*source_classes=3"):
        model.translate(np.full((1, 8, 8), 3))


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((8, 8), (8, 8, 1)), {}, "give `source_classes`"),
        (((8, 8, 3), (8, 8, 1)), {"source_classes": 3}, "argmax"),
        (((12, 10, 1), (12, 10, 1)), {"generator": None, "source_range": (1, 0)}, "lowest and the highest"),
        (((9, 9, 1), (9, 9, 1)), {}, r"even sides.*\(8, 8\)"),
        (((8, 8, 1), (8, 8, 1)), {"receptive_field": 50}, "receptive_field"),
        (((8, 8, 1), (8, 8, 1)), {"loss": "perceptual"}, "`loss` must be one of"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        kg.Pix2Pix(*shapes, filters=2, **options)


def test_dropout_belongs_to_the_default_generator():
    generator = small().generator
    with pytest.raises(ValueError, match="RowDropout"):
        small(generator=generator, dropout=0.5)
