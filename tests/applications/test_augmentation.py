"""The stated share, labels that belong to their examples, and one stream for one seed."""

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod import testing
from keras_genmod.applications import augment


@pytest.fixture(scope="module")
def model():
    """A conditional generator that gives the class as a one-hot vector, and a number of noise behind it."""
    z, label = keras.Input((1,)), keras.Input((), dtype="int32")
    classes = keras.layers.Embedding(3, 3, embeddings_initializer="identity")(label)
    noise = keras.layers.Dense(1, kernel_initializer="ones")(z)
    generator = keras.Model([z, label], keras.layers.Concatenate()([classes, noise]))
    return kg.GAN((4,), latent_dim=1, num_classes=3, generator=generator, seed=0)


def real(rows=40, seed=0):
    """Real examples hold 9 in front, their row number, and their class; two of five are of class 0."""
    y = np.array([0, 1, 0, 2, 1])[np.arange(rows) % 5]
    x = np.stack([np.full(rows, 9.0), np.arange(rows), y, np.zeros(rows)], axis=1)
    return x.astype("float32"), y


def stream(data):
    batches = [(x.numpy(), y.numpy()) for x, y in data]
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches]), batches


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_the_share_is_kept_in_the_pass_and_in_each_batch(model, share):
    x, y, batches = stream(augment(model, *real(), share=share, batch_size=10))
    generated = x[:, 0] != 9
    assert generated.mean() == pytest.approx(share, abs=0.5 / len(x))
    for rows, _ in batches:
        assert abs(np.sum(rows[:, 0] != 9) - share * len(rows)) <= 1
    # Each real example comes once, except where there are none.
    np.testing.assert_array_equal(np.sort(x[~generated, 1]), np.arange(40) if share < 1 else [])
    assert len(y) == len(x)


@pytest.mark.parametrize("pool_size", [None, 30])
def test_labels_belong_to_their_examples(model, pool_size):
    x, y, _ = stream(augment(model, *real(), share=0.6, pool_size=pool_size))
    generated = x[:, 0] != 9
    np.testing.assert_array_equal(x[~generated, 2], y[~generated])
    np.testing.assert_array_equal(x[generated, :3], np.eye(3)[y[generated]])
    # 60 samples for 40 real examples: one for each, and 20 of random ones without repetition.
    counts, of_real = np.bincount(y[generated]), np.bincount(real()[1])
    if pool_size is None:
        assert np.all((counts >= of_real) & (counts <= 2 * of_real))


def test_classes_may_be_drawn_alike_often(model):
    x, y, _ = stream(augment(model, *real(), share=0.6, classes="equal"))
    np.testing.assert_array_equal(np.bincount(y[x[:, 0] != 9]), [20, 20, 20])


def test_the_same_seed_gives_the_same_stream(model):
    one, other = (augment(model, *real(), batch_size=7, seed=3) for _ in range(2))
    first = stream(one)
    second = stream(one)
    np.testing.assert_array_equal(stream(other)[0], first[0])
    np.testing.assert_array_equal(stream(other)[0], second[0])
    # Passes differ in order and in samples, and so do seeds.
    assert np.any(first[0] != second[0])
    noise = [x[x[:, 0] != 9, 3] for x, *_ in (first, second)]
    assert not set(noise[0]) & set(noise[1])
    resumed = augment(model, *real(), batch_size=7, seed=3, first_pass=1)
    np.testing.assert_array_equal(stream(resumed)[0], second[0])
    assert np.any(stream(augment(model, *real(), batch_size=7, seed=4))[0] != first[0])


def test_a_pool_is_drawn_once(model):
    data = augment(model, *real(), share=0.5, pool_size=20)
    noise = [x[x[:, 0] != 9, 3] for x, *_ in (stream(data), stream(data))]
    # 40 samples of a pool of 20: each twice.
    for values in noise:
        assert len(values) == 40 and len(set(values)) == 20
    assert set(noise[0]) == set(noise[1])


def test_samples_are_those_of_the_model_in_chunks(model):
    """More samples than are drawn at once, and batches that cross the border."""
    x, y, _ = stream(augment(model, *real(1500), share=0.5, batch_size=700))
    generated = x[:, 0] != 9
    np.testing.assert_array_equal(x[generated, :3], np.eye(3)[y[generated]])
    noise = x[generated, 3]
    assert len(set(noise)) > 1490
    # The generator passes its standard normal noise on.
    assert abs(noise.mean()) < 4 / np.sqrt(1500)
    assert abs(noise.std() - 1) < 4 / np.sqrt(2 * 1500)


def test_replicas_train_on_it(model):
    strategy = testing.two_replicas()
    data = augment(model, *real(), batch_size=8)
    alone = stream(augment(model, *real(), batch_size=8))[0]
    parts = [
        np.concatenate([np.asarray(part) for part in strategy.experimental_local_results(x)])
        for x, _ in strategy.experimental_distribute_dataset(data)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), alone)


def test_any_keras_classifier_trains_on_it(model):
    classifier = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    classifier.compile(keras.optimizers.Adam(0.1), "sparse_categorical_crossentropy")
    # Only samples: what they show of the classes is learnt.
    classifier.fit(augment(model, *real(), share=1.0), epochs=30, verbose=0)
    x = np.concatenate([np.eye(3), np.zeros((3, 1))], axis=1)
    np.testing.assert_array_equal(kg.applications.predict_classes(classifier, x), [0, 1, 2])


def test_bad_arguments_are_refused(model):
    x, y = real()
    for options, message in [
        ({"share": 1.5}, "`share` must be a finite number at least 0 and at most 1; received 1.5"),
        ({"share": -0.1}, "`share` must be"),
        ({"classes": "even"}, "`classes` must be one of"),
        ({"pool_size": 0}, "`pool_size` must be an integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            augment(model, x, y, **options)
    with pytest.raises(ValueError, match="received an unconditional GAN. Build it with `num_classes=`"):
        augment(kg.GAN((4,), latent_dim=1), x, y)
    with pytest.raises(TypeError, match="`augment` needs a model with `sample`; received a Autoencoder"):
        augment(kg.Autoencoder((4,), num_classes=3, latent_dim=1), x, y)
    with pytest.raises(ValueError, match="one label for each of the 40 examples"):
        augment(model, x, y[:3])
    with pytest.raises(ValueError, match=r"`condition` must hold integers in \[0, 2\]"):
        augment(model, x, y + 1)
    with pytest.raises(ValueError, match=r"`x` must have shape \[batch, 4\]"):
        augment(model, x[:, :2], y)
