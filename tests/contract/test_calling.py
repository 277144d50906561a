"""One way of calling in all families: the condition second, `[x, condition]`, `batch_size`, KerasTensors."""

import inspect

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod import testing
from keras_genmod.bases import GenerativeModel

X = (np.random.default_rng(0).random((5, 4)) < 0.5).astype("float32")
LABELS = np.arange(5) % 3


def fitted_mixture():
    mixture = kg.BernoulliMixture((4,), num_components=2, seed=0)
    mixture.initialize(X)
    return mixture


# Families with networks of their own kinds, small, conditional where they can be.
MODELS = {
    "vae": lambda: kg.VAE((4,), latent_dim=2, num_classes=3, seed=0),
    "vq_vae": lambda: kg.VQVAE((4,), num_codes=4, code_dim=2, num_latents=2, num_classes=3, seed=0),
    "autoencoder": lambda: kg.Autoencoder((4,), latent_dim=2, num_classes=3, seed=0),
    "gan": lambda: kg.GAN((4,), latent_dim=4, num_classes=3, seed=0),
    "made": lambda: kg.MADE((4,), hidden_dims=(8,), num_classes=3, seed=0),
    "real_nvp": lambda: kg.RealNVP((4,), num_layers=2, num_classes=3, seed=0),
    "rbm": lambda: kg.RBM((4,), hidden_dim=3, num_chains=4, num_classes=3, seed=0),
    "mixture": fitted_mixture,
}
ROW_WISE = (
    "encode",
    "reconstruct",
    "log_prob",
    "bits_per_dim",
    "anomaly_score",
    "features",
    "responsibilities",
)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


def conditions(model):
    return LABELS if model.num_classes else None


def row_wise(model):
    """The methods of data that a model has."""
    return [getattr(model, name) for name in ROW_WISE if hasattr(model, name)]


def test_the_condition_is_second_and_batch_size_changes_nothing(model):
    case = testing.Case(model.name, lambda seed: model, (4,), num_classes=model.num_classes)
    testing.promises()["the_condition_is_second_and_batch_size_changes_nothing"](testing.Row(case))


def test_a_model_takes_its_inputs_as_a_list(model):
    condition = conditions(model)
    if condition is None:
        np.testing.assert_array_equal(model([X]), model(X))
        with pytest.raises(
            ValueError, match=r"BernoulliMixture is unconditional and takes `x` alone.*list of 2"
        ):
            model([X, LABELS])
        return
    expected = model(X, condition=condition)
    for inputs in ([X, LABELS], (X, LABELS), [X, np.eye(3)[LABELS]]):
        np.testing.assert_array_equal(model(inputs), expected)
    np.testing.assert_array_equal(model(X, LABELS), expected)
    np.testing.assert_array_equal(model([X, LABELS.tolist()]), expected)
    np.testing.assert_array_equal(model(X, 2), model(X, condition=np.full(5, 2)))
    np.testing.assert_array_equal(model(X.tolist(), condition=LABELS), expected)
    with pytest.raises(
        ValueError, match=r"is conditional and takes `\[x, condition\]`; received a list of 3"
    ):
        model([X, LABELS, LABELS])
    with pytest.raises(ValueError, match=r"is given a condition beside `x`; received a list of 2"):
        model([X, LABELS], condition=LABELS)


def test_inputs_of_another_keras_model_are_refused_with_the_part_to_call(model):
    x, c = keras.Input((4,)), keras.Input((), dtype="int32")
    condition = LABELS if model.num_classes else None
    symbolic = row_wise(model)
    symbolic += [getattr(model, name) for name in ("posterior",) if hasattr(model, name)]
    for method in symbolic:
        with pytest.raises(TypeError, match=r"`x` must be an array.*KerasTensor.*model\(") as error:
            method(x, condition)
        network = {"encode": "encoder", "features": "discriminator"}.get(method.__name__)
        if network and hasattr(model, network):
            assert f"model.{network}([x, condition])" in str(error.value)
    # What the last message shows runs.
    names = {"keras": keras, "model": model, "x": x, "condition": c}
    exec("\n".join(line.strip() for line in str(error.value).splitlines()[1:]), names)
    assert names["h"].shape[0] is None
    for name in ("decode", "likelihood"):
        if hasattr(model, name):
            with pytest.raises(TypeError, match=r"`z` must be an array.*KerasTensor"):
                getattr(model, name)(keras.Input(model.latent_space().shape), condition)
    if hasattr(model, "inpaint"):
        with pytest.raises(TypeError, match="`x` must be an array.*KerasTensor"):
            model.inpaint(x, np.ones(4), condition)
    if model.num_classes and hasattr(model, "sample"):
        with pytest.raises(TypeError, match="`condition` must be an array.*KerasTensor"):
            model.sample(2, condition=c)


def methods_of_rows():
    """Public methods of all models of data or latent vectors that take a condition."""
    for name in kg.__all__:
        cls = getattr(kg, name)
        if not (inspect.isclass(cls) and issubclass(cls, GenerativeModel)):
            continue
        for method, function in inspect.getmembers(cls, inspect.isfunction):
            parameters = list(inspect.signature(function).parameters.values())
            names = [parameter.name for parameter in parameters]
            internal = method.startswith("_") or method in ("loss_terms", "shared_forward")
            if len(names) > 1 and names[1] in ("x", "z") and "condition" in names and not internal:
                yield f"{name}.{method}", names, parameters


def test_the_condition_follows_the_rows_in_every_method():
    found = list(methods_of_rows())
    assert len(found) > 100
    for name, names, parameters in found:
        place = 3 if names[2] == "mask" else 2
        assert names[place] == "condition", name
        assert parameters[place].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD, name
