"""Data in every form, what is refused of it, and what a training leaves behind."""

import functools
import gc
import sys
import weakref

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_genmod as kg
from keras_genmod.core.batches import Batch
from keras_genmod.networks import conv_discriminator, conv_generator
from keras_genmod.training.inputs import array_batch, split


def test_a_model_that_is_no_longer_used_leaves_the_memory():
    """TensorFlow keeps the functions of data pipelines; they must not keep the model."""
    x = np.eye(4, dtype="float32")
    model = kg.MADE((4,), hidden_dims=(4,), seed=0)
    model.compile()
    model.fit(x, validation_data=x, batch_size=2, verbose=0)
    model.log_prob(x)
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("is_terminal", [False, True], ids=["log file", "terminal"])
def test_a_bar_is_drawn_on_terminals_and_one_line_per_epoch_elsewhere(is_terminal, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    model = kg.BernoulliMixture((4,), num_components=2, seed=0)
    model.compile()
    model.fit(np.eye(4), batch_size=1, epochs=2)
    model.evaluate(np.eye(4), batch_size=1)
    printed = capsys.readouterr().out
    assert ("\b" in printed) == is_terminal
    if not is_terminal:
        assert len(printed.splitlines()) == 2 * 2 + 1, "two lines name the epochs"


# ---- what may be handed over ------------------------------------------------------------------------

ROWS, BATCH = 12, 4
X = np.random.default_rng(0).random((ROWS, 3)).astype("float32")
Y = np.arange(ROWS) % 2
W = np.arange(ROWS) / 4.0


class Sequence(keras.utils.PyDataset):
    """Batches by number."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        parts = [None if a is None else a[index * BATCH : (index + 1) * BATCH] for a in self.arrays]
        return tuple(parts) if len(parts) > 1 else parts[0]


def generator(*arrays, form=tuple):
    for batch in Sequence(*arrays):
        yield batch if len(arrays) == 1 else form(batch)


def data_set(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(BATCH)


def unknown_shapes(x):
    return data_set(x).map(lambda batch: tf.numpy_function(lambda rows: rows, [batch], tf.float32))


def weighted_data_set():
    return data_set(X, W).map(lambda x, w: (x, None, w))


# Forms of arrays, which become arrays before anything else is done.
CONVERTED = {
    "list of rows": lambda: list(X),
    "tuple of rows": lambda: tuple(X),
    "frame": lambda: pd.DataFrame(X, index=range(100, 100 + ROWS)),
    "tensor": lambda: tf.constant(X),
    "tuple with array": lambda: (X,),
    "weights in a list": lambda: [X, None, W.tolist()],
    "classes in a list": lambda: [X, Y],
    "classes in nested lists": lambda: [X.tolist(), Y.tolist()],
    "classes as a series": lambda: (X, pd.Series(Y)),
}


@pytest.mark.parametrize("form", CONVERTED)
def test_forms_of_arrays_become_the_arrays_they_hold(form):
    x, classes, weights = array_batch(CONVERTED[form](), None, None, (3,))
    expected = (X, Y if form.startswith("classes") else None, W if form.startswith("weights") else None)
    for ours, theirs in zip((x, classes, weights), expected, strict=True):
        assert type(ours) is type(theirs)
        np.testing.assert_array_equal(ours, theirs)


FORMS = {
    "list of lists": lambda: X.tolist(),
    "generator": lambda: generator(X),
    "iterator": lambda: iter(Sequence(X)),
    "sequence": lambda: Sequence(X),
    "data set": lambda: data_set(X),
    "data set of unknown shapes": lambda: unknown_shapes(X),
    "weights": lambda: (X, None, W),
    "weights in a generator": lambda: generator(X, None, W),
    "weights in a sequence": lambda: Sequence(X, None, W),
    "weights in a data set": weighted_data_set,
    "classes": lambda: (X, Y),
    "classes as vectors": lambda: (X, np.eye(2)[Y]),
    "classes in a generator": lambda: generator(X, Y),
    "classes in a generator of lists": lambda: generator(X, Y, form=list),
    "classes in a sequence": lambda: Sequence(X, Y),
    "classes in a data set": lambda: data_set(X, Y),
    "classes as vectors in a data set": lambda: data_set(X, np.eye(2, dtype="float32")[Y]),
}


@pytest.fixture(scope="module")
def fresh_models():
    """A function to models with their first weights: plain ones, and ones conditioned on classes."""

    @functools.cache
    def made(conditional, run_eagerly):
        classes = 2 if conditional else None
        model = kg.MADE((3,), hidden_dims=(4,), likelihood="gaussian", num_classes=classes, seed=0)
        model.compile("sgd", run_eagerly=run_eagerly)
        return model, model.get_weights()

    def get(conditional, run_eagerly=False):
        model, weights = made(conditional, run_eagerly)
        model.set_weights(weights)
        return model

    return get


@pytest.fixture(scope="module")
def of_arrays(fresh_models):
    """Of arrays with or without classes and weights: evaluation, prediction, a fit, and its evaluation."""

    @functools.cache
    def get(conditional, weighted):
        model, classes, weights = (
            fresh_models(conditional, run_eagerly=True),
            Y if conditional else None,
            W if weighted else None,
        )

        def evaluated():
            return model.evaluate(X, classes, sample_weight=weights, batch_size=BATCH, verbose=0)

        before, predicted = evaluated(), model.predict(X if classes is None else (X, classes), verbose=0)
        model.fit(X, classes, sample_weight=weights, batch_size=BATCH, shuffle=False, verbose=0)
        return before, predicted, [weight.numpy() for weight in model.trainable_weights], evaluated()

    return get


# Forms whose steps are traced: of shapes that are known, known in part, or unknown. Steps of the others run
# eagerly, for what a form becomes is decided before.
TRACED = ("data set of unknown shapes", "weights in a generator", "classes in a data set")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_data_gives_the_figures_of_arrays(form, fresh_models, of_arrays):
    conditional = form.startswith("classes")
    before, predicted, trained, after = of_arrays(conditional, form.startswith("weights"))
    make, options = FORMS[form], {"verbose": 0}
    is_batches = not isinstance(make(), (list, tuple, pd.DataFrame, tf.Tensor))
    batches = {} if is_batches else {"batch_size": BATCH}

    model = fresh_models(conditional, run_eagerly=form not in TRACED)
    np.testing.assert_allclose(model.evaluate(make(), **batches, **options), before, rtol=1e-5)
    np.testing.assert_allclose(model.predict(make(), **batches, **options), predicted, rtol=1e-5, atol=1e-5)
    history = model.fit(
        make(),
        validation_data=make(),
        shuffle=False,
        steps_per_epoch=ROWS // BATCH if is_batches else None,
        validation_steps=ROWS // BATCH if is_batches else None,
        **batches,
        **options,
    ).history
    # Three steps of sums of a dozen numbers of size 1, whatever their order.
    for ours, theirs in zip(model.trainable_weights, trained, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(history["val_loss"], np.ravel(after)[:1], rtol=1e-4)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_single_batches_take_lists(run_eagerly):
    x, y = X[:4], Y[:4]
    model = kg.MADE((3,), hidden_dims=(4,), likelihood="gaussian", num_classes=2, seed=0)
    model.compile("sgd", run_eagerly=run_eagerly)
    before = model.test_on_batch(x.tolist(), y.tolist(), return_dict=True)
    assert before == pytest.approx(model.evaluate(x, y, return_dict=True, verbose=0), rel=1e-5)
    np.testing.assert_allclose(
        model.predict_on_batch((x.tolist(), y.tolist())), model.log_prob(x, condition=y)
    )
    # Twice the weight of a class of all examples is twice the objective.
    weighted = model.train_on_batch(x.tolist(), [1] * 4, class_weight={1: 2.0}, return_dict=True)
    again = kg.MADE((3,), hidden_dims=(4,), likelihood="gaussian", num_classes=2, seed=0)
    again.compile("sgd")
    plain = again.test_on_batch(x, [1] * 4, return_dict=True)
    assert weighted["loss"] == pytest.approx(2 * plain["loss"], rel=1e-5)
    assert int(model.training_steps) == 1


# ---- what is refused, and when ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def unit_range():
    """A model of data in [0, 1], and its weights."""
    model = kg.Autoencoder((3,), latent_dim=2, likelihood="continuous_bernoulli", seed=0)
    model.compile("sgd")
    return model


@pytest.mark.parametrize(
    ("make", "bad"),
    [(data_set, 255.0), (data_set, np.nan), (data_set, np.inf), (Sequence, np.nan), (generator, 255.0)],
)
def test_each_batch_is_checked_and_named(make, bad, unit_range):
    x = X.copy()
    x[6, 1] = bad
    before = unit_range.get_weights()
    unit_range.fit(x[:BATCH], shuffle=False, verbose=0)
    kernels = [unit_range.trainable_weights[0].numpy()]
    unit_range.set_weights(before)
    kernels.append(unit_range.trainable_weights[0].numpy())
    what = "batch 1" if make is data_set else "It is batch 1 of the data"
    for run in (unit_range.fit, unit_range.evaluate):
        with pytest.raises(ValueError, match=f"`x` must hold .*{what}"):
            run(make(x), verbose=0)
    # Trained on was the good first batch, or none: Keras looks at two batches before the first step.
    kernel = unit_range.trainable_weights[0].numpy()
    assert min(np.max(abs(kernel - other)) for other in kernels) < 1e-6


def test_other_batches_are_checked_too(unit_range):
    made = kg.MADE((3,), hidden_dims=(4,), num_classes=2, seed=0)
    made.compile("sgd")
    whole = (X > 0.5).astype("float32")
    for data, match in (
        (
            data_set(whole, np.where(np.arange(ROWS) == 9, 2, Y)),
            "`condition` must hold .*batch 2.*from 0 to 2",
        ),
        (data_set(whole + 0.5 * (np.arange(ROWS) == 5)[:, None], Y), "`x` must hold .*batch 1"),
    ):
        with pytest.raises(ValueError, match=match):
            made.evaluate(data, verbose=0)
    weights = data_set(X, np.where(np.arange(ROWS) == 6, -1.0, W)).map(lambda x, w: (x, None, w))
    with pytest.raises(ValueError, match="`sample_weight` must hold .*batch 1.*from -1"):
        unit_range.fit(weights, verbose=0)


def test_rows_on_a_disk_are_checked_as_they_come(tmp_path, unit_range):
    x = X.copy()
    x[-1] = 7.0
    np.save(tmp_path / "x.npy", x)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    with pytest.raises(ValueError, match=r"received values from .* to 7.*It is batch 2 of the data"):
        unit_range.fit(stored, batch_size=BATCH, shuffle=False, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"batch_size": 4}, "`batch_size` goes with arrays only; received 4 beside batches"),
        ({"validation_split": 0.5}, "`validation_split` goes with arrays only.*Pass `validation_data`"),
        ({"y": Y}, "`y` goes with arrays only.*pairs"),
        ({"sample_weight": W}, "`sample_weight` goes with arrays only.*triples"),
    ],
)
def test_what_says_something_about_arrays_is_refused_beside_batches(arguments, match, unit_range):
    for data in (data_set(X), Sequence(X), generator(X)):
        with pytest.raises(ValueError, match=match):
            unit_range.fit(data, verbose=0, **arguments)


def test_later_batches_fit_together(unit_range):
    made = kg.MADE((3,), hidden_dims=(4,), num_classes=2, seed=0)
    made.compile("sgd")
    whole, vectors = (X > 0.5).astype("float32"), np.eye(2, dtype="float32")[Y]
    soft = np.where(np.arange(ROWS)[:, None] == 6, 0.0, vectors)

    def batches(*last):
        first = (whole[:4], vectors[:4], W[:4].astype("float32"))
        specs = [tf.TensorSpec(None if part.ndim > 1 else [None], tf.float32) for part in first]
        return tf.data.Dataset.from_generator(lambda: iter([first, last]), output_signature=tuple(specs))

    weights = W[:4].astype("float32")
    for data, match in (
        (data_set(whole, soft), "`condition` must hold one-hot rows.*batch 1"),
        (batches(whole[:4], vectors[:4], weights[:1]), "`sample_weight` must have one row for each of"),
        (batches(whole[:4], vectors[:3], weights), "`condition` must have one row for each of the 4"),
        (
            batches(whole[:4, :2], vectors[:4], weights),
            r"`x` must have shape \[batch, 3\].*batch 1 has shape",
        ),
        (batches(whole[:0], vectors[:0], weights[:0]), "and one at least; batch 1 has 0"),
    ):
        with pytest.raises(ValueError, match=match):
            made.evaluate(data, verbose=0)


def test_data_of_unknown_length_give_the_steps_of_known_ones(fresh_models):
    """Not one more with nothing but the decay of the weights, where the data are at their end."""
    trained = []
    for data in (data_set(X), data_set(X).filter(lambda x: True), generator(X)):
        model = fresh_models(False)
        model.compile(keras.optimizers.SGD(1e-6, weight_decay=1e5))
        before = int(model.training_steps)
        model.fit(data, verbose=0)
        assert int(model.training_steps) - before == int(model.optimizer.iterations) == 3
        trained.append([weight.numpy() for weight in model.trainable_weights])
    for weights in trained[1:]:
        for ours, theirs in zip(weights, trained[0], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (
            {"steps_per_epoch": 0},
            ValueError,
            "`steps_per_epoch` must be an integer of at least 1",
        ),
        ({"class_weight": "balanced"}, TypeError, "`class_weight` must be a dictionary"),
        ({"validation_data": X - 5}, ValueError, "`validation_data` cannot be taken. `x` must hold"),
    ],
)
def test_arguments_of_another_kind_are_named(arguments, error, match):
    model = kg.Autoencoder((3,), latent_dim=2, num_classes=2, likelihood="continuous_bernoulli")
    model.compile()
    if "validation_data" in arguments:
        arguments = {"validation_data": (arguments["validation_data"], Y)}
    with pytest.raises(error, match=match):
        model.fit(X, Y, verbose=0, **arguments)


def test_a_batch_size_beside_batches_of_validation_is_refused(unit_range):
    with pytest.raises(ValueError, match="`validation_batch_size` goes with arrays only"):
        unit_range.fit(X, validation_data=data_set(X), validation_batch_size=4, verbose=0)


def test_a_generator_is_validated_on_once(unit_range):
    history = unit_range.fit(X, validation_data=generator(X), verbose=0).history
    expected = unit_range.evaluate(X, batch_size=BATCH, return_dict=True, verbose=0)
    assert history["val_loss"][0] == pytest.approx(expected["loss"], rel=1e-5)
    with pytest.raises(ValueError, match="received a generator, which is at its end after the first"):
        unit_range.fit(X, epochs=2, validation_data=generator(X), verbose=0)


def test_a_data_set_of_single_examples_is_told_to_batch(unit_range):
    with pytest.raises(ValueError, match=r"which is one example. Batch it: `.batch\(32\)`"):
        unit_range.fit(tf.data.Dataset.from_tensor_slices(X), verbose=0)


def test_batches_that_are_dictionaries_are_told_to_map(unit_range):
    named = data_set(X).map(lambda x: {"image": x})
    with pytest.raises(TypeError, match=r"keys \['image'\].*`.map\(lambda batch: batch\['image'\]\)`"):
        unit_range.fit(named, verbose=0)


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({2: 1.0}, "from 0 to 1; received 2"),
        ({-1: 1.0}, "received -1"),
        ({0: -1.0}, "must be a finite number"),
    ],
)
def test_weights_of_classes_that_do_not_exist_are_refused(class_weight, match, fresh_models):
    with pytest.raises(ValueError, match=match):
        fresh_models(True).fit(X, Y, class_weight=class_weight, verbose=0)


def test_weights_of_classes_serve_every_form_of_data(fresh_models):
    trained = []
    for data in ((X, Y), data_set(X, Y), Sequence(X, Y), generator(X, Y), data_set(X, np.eye(2)[Y])):
        model = fresh_models(True, run_eagerly=True)
        batches = {"batch_size": BATCH} if isinstance(data, tuple) else {}
        model.fit(data, class_weight={1: 3.0}, shuffle=False, verbose=0, **batches)
        trained.append([weight.numpy() for weight in model.trainable_weights])
    for weights in trained[1:]:
        for ours, theirs in zip(weights, trained[0], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    plain = fresh_models(True, run_eagerly=True)
    plain.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0)
    changes = [np.max(abs(a - b)) for a, b in zip(plain.trainable_weights, trained[0], strict=True)]
    assert max(changes) > 1e-3


def test_arrays_of_unpaired_data_are_split_each_at_its_own_end():
    batch = Batch({"a": np.arange(10), "b": np.arange(4)})
    first, second = split(batch, 0.25)
    assert [len(first.x["a"]), len(first.x["b"]), len(second.x["a"]), len(second.x["b"])] == [7, 3, 3, 1]
    with pytest.raises(ValueError, match="examples on both sides; received 0.95 for 10"):
        split(batch, 0.95)


# ---- tools that wrap Keras' `fit` -------------------------------------------------------------------


def test_who_wraps_the_fit_of_keras_finds_one_pass(monkeypatch, fresh_models):
    """As MLflow's autologging does, which reads the data to the end before training."""
    kerases, looked_at = keras.Model.fit, []

    def wrapped(self, x, *args, **kwargs):
        looked_at.append(np.concatenate([batch[0] for batch in x.as_numpy_iterator()]))
        return kerases(self, x, *args, **kwargs)

    trained = []
    for fit in (kerases, wrapped):
        monkeypatch.setattr(keras.Model, "fit", fit)
        model = fresh_models(False)
        model.fit(X, batch_size=BATCH, epochs=5, verbose=0, shuffle=False)
        trained.append([weight.numpy() for weight in model.trainable_weights])
    np.testing.assert_array_equal(looked_at[0], X)
    for ours, theirs in zip(*trained, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


# ---- what is warned of ------------------------------------------------------------------------------


def test_data_in_half_of_a_symmetric_range_is_warned_of_once(recwarn):
    images = np.random.default_rng(0).random((8, 4, 4, 1)).astype("float32")
    network = {"filters": (4,)}
    model = kg.DCGAN(
        (4, 4, 1),
        latent_dim=2,
        generator=conv_generator((2,), (4, 4, 1), **network),
        discriminator=conv_discriminator((4, 4, 1), **network),
        r1=0.0,
    )
    model.check_data(2 * images - 1)
    model.check_data(np.zeros_like(images))
    assert not [warning for warning in recwarn if "upper half" in str(warning.message)]
    with pytest.warns(UserWarning, match=r"upper half of the values in \[-1, 1\].*`2 \* x - 1`"):
        model.check_data(images)
    recwarn.clear()
    model.check_data(images)
    assert not recwarn


def test_pixels_that_a_likelihood_does_not_take_name_those_that_do():
    model = kg.PixelCNN((4, 4, 1), filters=4, num_blocks=1)
    for images in (np.full((2, 4, 4, 1), 200, "uint8"), np.full((2, 4, 4, 1), 0.5)):
        with pytest.raises(
            ValueError, match=r"'categorical' and 'discretized_logistic_mixture' take grey levels"
        ):
            model.check_data(images)


def test_samplers_keep_to_the_rows_of_a_pass():
    model = kg.GAN((3,), latent_dim=2, seed=0)
    whole = model.sample(10, seed=1).numpy()
    model._rows_per_pass = 4
    passes = []
    draw = model._sample_rows
    model._sample_rows = lambda seeds, *rest, **options: (
        passes.append(seeds.shape[0]) or draw(seeds, *rest, **options)
    )
    model._graphs = type(model._graphs)()
    np.testing.assert_allclose(model.sample(10, seed=1), whole, rtol=1e-5, atol=1e-6)
    # Traced for 4 rows, and once more for any number when the last 2 came.
    assert passes == [4, None]
