"""A summary names every part once, with its shape, and its rows add up to the total."""

import re

import pytest

import keras_genmod as kg


def rows_of(model, **options):
    """Name and kind -> (shape, parameters) of each row, and the numbers below the table."""
    lines = []
    model.summary(print_fn=lines.append, line_length=80, positions=[0.65, 0.85, 1.0], **options)
    text = "\n".join(lines)
    rows = re.findall(r"│ (\S+ \(\w+\)) +│ (.*?) +│ +([\d,]+) │", text)
    rest = dict(re.findall(r" (\w+) params: ([\d,]+)", text))
    number = lambda digits: int(digits.replace(",", ""))  # noqa: E731
    assert "?" not in text
    named = {name: (shape, number(count)) for name, shape, count in rows}
    assert len(named) == len(rows), "every part has a name of its own"
    return named, {name: number(count) for name, count in rest.items()}


def test_a_gan_shows_which_generator_is_the_average_and_counts_all_optimizers():
    model = kg.GAN((2,), latent_dim=2, seed=0)
    model.compile()
    rows, totals = rows_of(model)
    assert rows["generator (Functional)"] == rows["averaged_generator (Functional)"]
    assert rows["generator (Functional)"][0] == "(None, 2)"
    assert sum(count for _, count in rows.values()) + totals["Optimizer"] == totals["Total"]
    optimizers = (model.optimizer, model.discriminator_optimizer)
    slots = sum(variable.value.shape.num_elements() for one in optimizers for variable in one.variables)
    assert totals["Optimizer"] == slots
    again = type(model).from_config(model.get_config())
    assert (again.generator.name, again.averaged_generator.name) == ("generator", "averaged_generator")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: kg.VAE((6,), latent_dim=2, prior=kg.distributions.GaussianMixturePrior(4), seed=0),
            {
                "encoder (Functional)": "(None, 4)",
                "BernoulliHead": "(None, 6)",
                "GaussianMixturePrior": "(None, 2)",
                "noise_state (Weight)": "(2)",
            },
        ),
        (lambda: kg.RealNVP((2,), seed=0), {"ActNorm": "(None, 2)", "Coupling": "(None, 2)"}),
        (
            lambda: kg.MADE((6,), hidden_dims=(8,), likelihood="gaussian"),
            {"network (MaskedDenseNetwork)": "(None, 12)", "GaussianHead": "(None, 6)"},
        ),
        (
            lambda: kg.GaussianMixture((6,), num_components=3),
            {"means (Weight)": "(3, 6)", "logits (Weight)": "(3)"},
        ),
    ],
)
def test_every_part_has_a_shape_and_the_rows_add_up(make, expected):
    model = make()
    rows, totals = rows_of(model)
    assert sum(count for _, count in rows.values()) == totals["Total"] == model.count_params()
    for name, shape in expected.items():
        assert {rows[row][0] for row in rows if name in row} == {shape}, name


def test_the_options_of_keras_work():
    model = kg.VAE((6,), latent_dim=2, seed=0)
    rows, _ = rows_of(model, layer_range=("encoder", "decoder"))
    assert list(rows) == ["encoder (Functional)", "decoder (Functional)"]
    lines = []
    model.summary(print_fn=lines.append, expand_nested=True, show_trainable=True, line_length=80)
    assert "Trai" in lines[0] and "(InputLayer)" in lines[0]
