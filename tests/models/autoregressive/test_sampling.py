"""Sampling: the fast way gives what the definition gives, draws follow the density, given values stay."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import keras_genmod as kg
from tests.models.autoregressive.tiny import MODELS, condition_of, with_random_weights


def images_of(model, *, naive=False, temperature=1.0, num_rows=16):
    seeds = tf.stack([tf.range(num_rows), 5 + tf.range(num_rows)], axis=1)
    uniforms = model._uniforms(seeds)
    condition = model._condition_spec.rows(condition_of(model), num_rows)
    graph = tf.function(
        lambda: model._generate(uniforms, condition, naive=naive, temperature=temperature),
        autograph=False,
    )
    return graph().numpy()


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("name", MODELS)
def test_the_fast_way_gives_the_images_of_the_naive_way(name):
    model = with_random_weights(MODELS[name]())
    fast = images_of(model, num_rows=64)
    assert 0.02 < fast.mean() < 0.98
    assert len(np.unique(fast.reshape(64, -1), axis=0)) > 4
    np.testing.assert_array_equal(fast, images_of(model, naive=True, num_rows=64))


@pytest.mark.parametrize(
    "name", ["made with several masks", "nade", "conditional gated pixelcnn", "conditional diagonal lstm"]
)
def test_the_compiled_loop_gives_the_same_images(name):
    model = with_random_weights(MODELS[name]())
    plain, compiled = (
        model.sample(16, condition=condition_of(model), seed=1, jit_compile=jit) for jit in (False, True)
    )
    np.testing.assert_array_equal(plain, compiled)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("likelihood", ["categorical", "mixture", "gaussian"])
def test_other_values_than_bits_are_drawn_alike(likelihood):
    heads = {
        "categorical": kg.distributions.CategoricalHead(7),
        "mixture": kg.distributions.DiscretizedLogisticMixtureHead(2, num_values=9),
        "gaussian": "gaussian",
    }
    model = kg.PixelCNN(
        (4, 3, 2), filters=6, num_blocks=1, first_kernel_size=3, likelihood=heads[likelihood], seed=0
    )
    with_random_weights(model, 0.3)
    fast, naive = (images_of(model, naive=naive, temperature=0.8) for naive in (False, True))
    assert fast.std() > 0.3
    np.testing.assert_allclose(fast, naive, atol=0 if likelihood != "gaussian" else 1e-4)


def events(size):
    return np.array(list(itertools.product([0.0, 1.0], repeat=size)), "float32")


def chi_square(samples, probabilities):
    """Pearson's statistic of binary events `[N, D]` in the units of its standard deviation."""
    codes = samples.reshape(len(samples), -1) @ 2 ** np.arange(samples[0].size)[::-1]
    counts = np.bincount(codes.astype(int), minlength=len(probabilities))
    expected = len(samples) * probabilities
    few = expected < 5
    counts, expected = (
        np.append(counts[~few], counts[few].sum()),
        np.append(expected[~few], expected[few].sum()),
    )
    statistic = np.sum((counts - expected) ** 2 / np.maximum(expected, 1e-9))
    freedom = len(counts) - 1
    return (statistic - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    "build",
    [
        lambda: kg.MADE((5,), hidden_dims=(8,), num_masks=2, ordering="random", seed=0),
        lambda: kg.NADE((5,), hidden_dim=4, seed=0),
        lambda: kg.PixelCNN((2, 3, 1), filters=4, num_blocks=1, first_kernel_size=3, seed=0),
        lambda: kg.PixelRNN((2, 3, 1), units=3, first_kernel_size=3, seed=0),
    ],
)
def test_samples_follow_the_density(build):
    model = with_random_weights(build())
    size = math.prod(model.event_shape)
    probabilities = np.exp(
        np.asarray(model.log_prob(events(size).reshape(-1, *model.event_shape)), "float64")
    )
    samples = np.asarray(model.sample(4000, seed=3))
    assert abs(chi_square(samples, probabilities)) < 4
    # The test has power: the samples are not those of a sharper density.
    assert chi_square(samples, probabilities**2 / np.sum(probabilities**2)) > 20


@pytest.mark.usefixtures("untraced")
def test_temperature_sharpens_every_factor():
    model = with_random_weights(kg.FVSBN((4,), seed=0))
    cold = np.asarray(model.sample(50, seed=2, temperature=1e-3))
    # Each factor's mode, variable after variable.
    kernel, bias = (weight.numpy() for weight in model.trainable_weights)
    mode = np.zeros(4)
    for d in range(4):
        mode[d] = float(bias[d] + mode[:d] @ kernel[:d, d] > 0)
    np.testing.assert_array_equal(cold, np.tile(mode, (50, 1)))


def test_rows_depend_on_their_own_seed_alone():
    model = with_random_weights(MODELS["pixelcnn"]())
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
    together = model._sample_rows(seeds)
    for row in range(3):
        np.testing.assert_array_equal(together[row : row + 1], model._sample_rows(seeds[row : row + 1]))


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize(
    "name",
    [
        # The networks in the richest form of each: colours, conditions, several orders.
        *(one := ["fvsbn", "made with several masks", "nade over random orders", "pixelcnn of colours"]),
        *(two := ["conditional gated pixelcnn", "row lstm of colours", "conditional diagonal lstm"]),
        *(pytest.param(name, marks=pytest.mark.slow) for name in MODELS if name not in (*one, *two)),
    ],
)
def test_given_values_stay(name):
    model = with_random_weights(MODELS[name]())
    generator = np.random.default_rng(0)
    x = (generator.random((6, *model.event_shape)) < 0.5).astype("float32")
    mask = generator.random(x.shape) < 0.5
    wild = np.where(mask, x, np.nan).astype("float32")
    drawn = np.asarray(model.inpaint(wild, mask, condition=condition_of(model), seed=1))
    np.testing.assert_array_equal(drawn[mask], x[mask])
    assert set(np.unique(drawn)) <= {0.0, 1.0}
    everything = np.ones(model.event_shape)
    np.testing.assert_array_equal(model.inpaint(x, everything, condition=condition_of(model)), x)


def conditional(model, given, mask):
    """p(x | given values) over all events `[2^D]`, by enumeration."""
    size = math.prod(model.event_shape)
    x = events(size)
    probabilities = np.exp(np.asarray(model.log_prob(x.reshape(-1, *model.event_shape)), "float64"))
    fits = np.all((x == given.ravel()) | ~mask.ravel(), axis=1)
    return np.where(fits, probabilities, 0.0) / probabilities[fits].sum()


def test_completion_after_a_prefix_is_the_exact_conditional():
    model = with_random_weights(kg.PixelCNN((3, 2, 1), filters=4, num_blocks=1, first_kernel_size=3, seed=0))
    x = np.array([1, 0, 1, 0, 0, 0], "float32").reshape(1, 3, 2, 1)
    mask = np.array([1, 1, 1, 0, 0, 0], bool).reshape(3, 2, 1)
    drawn = np.asarray(model.inpaint(np.repeat(x, 4000, axis=0), mask, seed=1))
    assert abs(chi_square(drawn, conditional(model, x, mask))) < 4


def test_particles_bring_any_mask_to_the_conditional():
    model = with_random_weights(kg.FVSBN((5,), seed=0), 1.2)
    x = np.array([[0, 1, 0, 0, 1]], "float32")
    mask = np.array([0, 1, 0, 0, 1], bool)
    many = np.repeat(x, 2000, axis=0)
    exact = conditional(model, x, mask)
    blind = np.asarray(model.inpaint(many, mask, seed=1))
    weighted = np.asarray(model.inpaint(many, mask, seed=1, num_particles=16))
    np.testing.assert_array_equal(weighted[:, mask], many[:, mask])
    assert chi_square(blind, exact) > 15
    assert abs(chi_square(weighted, exact)) < 4


def test_a_nade_over_random_orders_conditions_on_any_mask():
    model = with_random_weights(
        kg.NADE((5,), hidden_dim=4, order_agnostic=True, num_orderings=3, seed=0), 1.2
    )
    x = np.array([[0, 1, 0, 0, 1]], "float32")
    mask = np.array([0, 1, 0, 0, 1], bool)
    drawn = np.asarray(model.inpaint(np.repeat(x, 4000, axis=0), mask, seed=1))
    order = model._order_from(mask[None])
    assert sorted(order.numpy()[:2]) == [1, 4]
    probabilities = np.exp(np.asarray(model._log_prob_of_order(events(5), None, order), "float64"))
    fits = np.all((events(5) == x) | ~mask, axis=1)
    assert abs(chi_square(drawn, np.where(fits, probabilities, 0.0) / probabilities[fits].sum())) < 4
    # Rows with masks of their own are drawn in one of the orders of the mean.
    each = np.stack([mask, ~mask])
    kept = np.asarray(model.inpaint(np.repeat(x, 2, axis=0), each, seed=1))
    np.testing.assert_array_equal(kept[each], np.repeat(x, 2, axis=0)[each])


def test_numbers_of_particles_may_change_from_call_to_call():
    model = with_random_weights(kg.MADE((4,), hidden_dims=(4,), num_masks=2, seed=0))
    x, mask = np.array([[0, 1, 0, 1]] * 3, "float32"), np.array([0, 1, 0, 1], bool)
    again = with_random_weights(kg.MADE((4,), hidden_dims=(4,), num_masks=2, seed=0))
    for count in (2, 5, 3):
        drawn = model.inpaint(x, mask, seed=1, num_particles=count)
    np.testing.assert_array_equal(drawn, again.inpaint(x, mask, seed=1, num_particles=3))


def proposals(model, given, mask):
    """The mean over orders of the product of the drawn values' factors, over all events, `[2^D]`."""
    x = events(len(mask))
    each = []
    for order in range(model.network.num_orders):
        log_probs = np.asarray(model._factor_log_probs(x, None, order), "float64")
        each.append(np.exp(np.where(mask, 0.0, log_probs).sum(axis=1)))
    return np.where(np.all((x == given) | ~mask, axis=1), np.mean(each, axis=0), 0.0)


@pytest.mark.parametrize(
    ("name", "masks"),
    [
        ("made", "one"),
        ("nade", "one"),
        ("nade", "several"),
        # A MADE draws alike whether rows share a mask or not.
        pytest.param("made", "several", marks=pytest.mark.slow),
    ],
)
def test_particles_weigh_the_orders(name, masks):
    """Of several orders too: the conditional of the mean of their densities, by enumeration."""
    if name == "made":
        model = kg.MADE((5,), hidden_dims=(20,), num_masks=3, ordering="random", seed=0)
    else:
        model = kg.NADE((5,), hidden_dim=4, order_agnostic=True, num_orderings=3, seed=0)
    with_random_weights(model, 1.6)
    given = np.array([0, 1, 0, 0, 1], "float32")
    mask = np.array([0, 1, 0, 0, 1], bool)
    number, particles = 2000, 16
    x, each = np.repeat(given[None], number, axis=0), mask
    if masks == "several":
        # A row with another mask, which is left out again, keeps a NADE from drawing in one order.
        x, each = np.concatenate([x, x[:1]]), np.stack([mask] * number + [~mask])
    exact = conditional(model, given, mask)
    blind, weighted = (
        np.asarray(model.inpaint(x, each, seed=1, num_particles=count))[:number] for count in (1, particles)
    )
    assert chi_square(blind, exact) > 15
    if name == "made" or masks == "several":
        proposed = proposals(model, given, mask)
        assert abs(chi_square(blind, proposed)) < 4
        # To first order a choice among K by weights w, of mean 1 under q, is wrong by p (E_p[w] - w) / K.
        weights = np.divide(exact, proposed, out=np.zeros_like(exact), where=proposed > 0)
        error = np.max(exact * abs(np.sum(exact * weights) - weights)) / particles
        assert error < np.sqrt(0.25 / number)
    assert abs(chi_square(weighted, exact)) < 4


def test_bad_input_is_refused():
    model = with_random_weights(MODELS["pixelcnn"]())
    x = np.zeros((2, 3, 3, 1), "float32")
    mask = np.ones((3, 3, 1), bool)
    for temperature in (0, -1.0, float("nan"), "hot"):
        with pytest.raises(ValueError, match="temperature.*above 0.*received"):
            model.sample(2, temperature=temperature)
        with pytest.raises(ValueError, match="temperature"):
            model.inpaint(x, mask, temperature=temperature)
    with pytest.raises(ValueError, match=r"mask.*\(3, 3, 1\).*received.*\(3, 3\)"):
        model.inpaint(x, mask[..., 0])
    with pytest.raises(ValueError, match=r"mask.*\(2, 3, 3, 1\)"):
        model.inpaint(x, np.ones((5, 3, 3, 1)))
    with pytest.raises(ValueError, match="1 where a value is given.*mask > 0.5"):
        model.inpaint(x, 0.3 * mask)
    with pytest.raises(ValueError, match="num_particles.*at least 1"):
        model.inpaint(x, mask, num_particles=0)
    with pytest.raises(ValueError, match=r"\[batch, 3, 3, 1\].*received \(2, 4, 4, 1\)"):
        model.inpaint(np.zeros((2, 4, 4, 1)), mask)
    for wrong in (x + 0.5, x + 2, x - 1):
        with pytest.raises(ValueError, match="integers in|fractions.*Binarise|Binarise"):
            model.log_prob(wrong)
        model.compile()
        with pytest.raises(ValueError, match="Binarise"):
            model.fit(wrong, verbose=0)
    with pytest.raises(ValueError, match=r"received \(2, 4, 3, 1\)"):
        model.log_prob(np.zeros((2, 4, 3, 1)))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: kg.MADE((4,), hidden_dims=()), "hidden_dims.*1 or more"),
        (lambda: kg.MADE((4,), num_masks=0), "num_masks.*at least 1"),
        (lambda: kg.MADE((4,), ordering=[0, 1, 2]), "ordering.*permutation.*0 to 3"),
        (lambda: kg.MADE((4,), ordering=[0, 1, 2, 2]), "ordering.*permutation.*0 to 3"),
        (lambda: kg.FVSBN((4,), ordering="raster"), "ordering.*'natural'.*received 'raster'"),
        (lambda: kg.NADE((4,), ordering="natural", order_agnostic=True), "order_agnostic.*omitted"),
        (lambda: kg.NADE((4,), hidden_dim=0), "hidden_dim.*at least 1"),
        (lambda: kg.PixelCNN((784,)), "event_shape.*3 axes.*784"),
        (lambda: kg.PixelCNN((4, 4, 1), first_kernel_size=4), "kernel_size.*odd.*received 4"),
        (lambda: kg.PixelCNN((4, 4, 1), filters=0), "filters.*at least 1"),
        (lambda: kg.PixelRNN((4, 4, 1), kind="spiral"), "kind.*'diagonal'.*spiral"),
        (
            lambda: kg.MADE((4,), likelihood=kg.distributions.GaussianHead("per_dimension")),
            "likelihood.*one variable at a time.*predicted",
        ),
    ],
)
def test_bad_arguments_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
