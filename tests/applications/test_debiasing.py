"""Rare examples are drawn more often, by exactly as much as the densities of their latents say."""

import math

import keras
import numpy as np
import pytest

import keras_genmod as kg
from keras_genmod import testing
from keras_genmod.applications import DebiasingSampler
from keras_genmod.applications.debiasing import draw_rows
from keras_genmod.applications.latent_rarity import effective_sample_size


def sampler_of(z, y=None, **options):
    """A sampler whose encoder gives the data themselves, without a bound unless one is given."""
    options = {"min_effective_share": 0.0, **options}
    return DebiasingSampler(keras.layers.Identity(), **options).measure(np.asarray(z, "float32"), y)


def normal(rows, dims, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dims)).astype("float32")


# ---- probabilities ------------------------------------------------------------------------------


def test_two_bins_by_hand():
    """Nine examples in one bin and one in the other: weights 1 / (0.9 + 0.1) and 1 / (0.1 + 0.1)."""
    probs = sampler_of([[0.0]] * 9 + [[1.0]], alpha=0.1, num_bins=2).probs
    np.testing.assert_allclose(probs, np.array([1.0] * 9 + [5.0]) / 14, rtol=1e-12)


def test_the_weights_of_latents_are_multiplied():
    z = [[0, 0], [0, 0], [0, 1], [1, 0]]
    sampler = sampler_of(z, alpha=0.25, num_bins=2)
    common, rare = 1 / (0.75 + 0.25), 1 / (0.25 + 0.25)
    weights = np.array([common**2, common**2, common * rare, rare * common])
    np.testing.assert_allclose(sampler.probs, weights / weights.sum(), rtol=1e-12)
    np.testing.assert_allclose(
        sampler.effective_sample_size, weights.sum() ** 2 / np.sum(weights**2), rtol=1e-12
    )


def test_no_strength_draws_all_alike_and_little_strength_nearly():
    z = normal(200, 3)
    assert np.all(sampler_of(z, alpha=math.inf).probs == 1 / 200)
    # Each weight is 1 / (1 + Q / alpha) up to a constant, for each of three latents.
    np.testing.assert_allclose(sampler_of(z, alpha=1e6).probs * 200, 1.0, rtol=3e-6)


def test_equal_densities_give_equal_probabilities():
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(sampler_of(grid, alpha=0.01, num_bins=5).probs, 1 / 25, rtol=1e-12)


def test_the_scale_of_a_latent_does_not_matter():
    # Powers of two scale without rounding.
    z = normal(500, 3)
    scaled = z * np.array([2.0**-20, 8.0, -(2.0**10)], "float32")
    # A mirrored latent has mirrored bins, of which an edge may belong to the other neighbour.
    one, other = sampler_of(z, alpha=0.01).probs, sampler_of(scaled, alpha=0.01).probs
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_the_smaller_alpha_the_stronger():
    z = normal(1000, 2)
    sizes = [sampler_of(z, alpha=alpha).effective_sample_size for alpha in (math.inf, 1.0, 0.1, 0.01, 0.001)]
    assert sizes[0] == pytest.approx(1000, rel=1e-12)
    assert np.all(np.diff(sizes) < 0)


def test_an_outlier_does_not_hide_the_others():
    """Bins between the extremes would have all others in one, and all but the outlier would be alike."""
    z = normal(3000, 1)
    sampler, same = sampler_of(np.concatenate([z, [[1e6]]])), sampler_of(z)
    assert sampler.probs[-1] > 5 / 3001
    assert sampler.effective_sample_size == pytest.approx(same.effective_sample_size, rel=0.05)


def test_densities_are_of_the_class_and_classes_keep_their_shares():
    z = np.array([[0.0]] * 6 + [[1.0]] * 2 + [[0.0]] * 2 + [[1.0]] * 2)
    y = np.array([0] * 8 + [1] * 4)
    sampler = sampler_of(z, y, alpha=0.25, num_bins=2)
    # Class 0: fractions 3/4 and 1/4, weights 1 and 2 for 6 and 2 examples. Class 1: even.
    expected = np.array([1.0] * 6 + [2.0] * 2) / 10 * 8 / 12
    np.testing.assert_allclose(sampler.probs[:8], expected, rtol=1e-12)
    np.testing.assert_allclose(sampler.probs[8:], 1 / 12, rtol=1e-12)
    equal = sampler_of(z, y, alpha=0.25, num_bins=2, class_balance="equal")
    np.testing.assert_allclose(equal.probs[:8], expected * 12 / 8 / 2, rtol=1e-12)
    np.testing.assert_allclose(equal.probs[8:], 1 / 8, rtol=1e-12)
    np.testing.assert_array_equal(np.sort(sampler.rarest(2, label=0)), [6, 7])
    assert set(sampler.commonest(6, label=0)) == set(range(6))


def test_classes_are_balanced_without_densities():
    y = np.array([0] * 9 + [1] * 3)
    probs = sampler_of(normal(12, 1), y, alpha=math.inf, class_balance="equal").probs
    np.testing.assert_allclose(probs, [1 / 18] * 9 + [1 / 6] * 3, rtol=1e-12)


def test_the_effective_sample_size_keeps_its_bound():
    z = normal(2000, 12)
    free, bounded = sampler_of(z, alpha=1e-3), sampler_of(z, alpha=1e-3, min_effective_share=0.5)
    assert free.effective_sample_size < 200 and free.exponent == 1.0
    assert bounded.effective_sample_size == pytest.approx(1000, rel=1e-9)
    # The weights are those without a bound, raised to a power: their order and ratios stay.
    expected = free.probs**bounded.exponent
    np.testing.assert_allclose(bounded.probs, expected / expected.sum(), rtol=1e-9)


def test_the_effective_sample_size_by_hand():
    assert effective_sample_size(np.full(7, 1e-300)) == pytest.approx(7)
    assert effective_sample_size([3.0, 1.0]) == pytest.approx(16 / 10)


def test_a_planted_minority_gets_its_share():
    """2% of the examples lie apart; where they are, hardly any others are."""
    generator = np.random.default_rng(0)
    planted = np.arange(5000) < 100
    z = generator.normal(size=(5000, 1)) + 8.0 * planted[:, None]
    shares = sampler_of(z, alpha=0.01).group_shares(np.where(planted, "planted", "others"))
    assert shares["planted"].before == 0.02
    assert shares["planted"].after > 0.1
    assert shares["planted"].after + shares["others"].after == pytest.approx(1)


def test_latents_that_hold_noise_are_left_out():
    """Latents whose posterior is all but the prior say nothing of an example."""
    model = kg.VAE((4,), latent_dim=3, seed=0)
    *others, kernel, bias = model.encoder.get_weights()
    # Latents 0 and 2 have the posterior N(small mean, 1), next to the prior; latent 1 has large means.
    kernel[:, 3:] = bias[:] = 0.0
    kernel *= [1e-3, 30.0, 1e-3, 1.0, 1.0, 1.0]
    model.encoder.set_weights([*others, kernel, bias])
    x = np.abs(normal(300, 4)).clip(0, 1)
    np.testing.assert_allclose(model.posterior(x).stddev(), 1.0, rtol=1e-4)
    assert np.all(np.ptp(model.encode(x), axis=0) > 0)
    np.testing.assert_array_equal(DebiasingSampler(model).measure(x).used_dims, [1])
    np.testing.assert_array_equal(DebiasingSampler(model, dims=(0, 2)).measure(x).used_dims, [0, 2])


# ---- draws --------------------------------------------------------------------------------------


def test_counts_are_the_integers_beside_their_expectations():
    weights = np.random.default_rng(1).exponential(size=400) ** 2
    probs = weights / weights.sum()
    counts = np.stack(
        [np.bincount(draw_rows(probs, seed=3, epoch=epoch), minlength=400) for epoch in range(400)]
    )
    assert np.all(counts.sum(axis=1) == 400)
    assert np.all(np.abs(counts - 400 * probs) < 1 + 1e-9)
    # A count is one of two integers, so its variance is f (1 - f) for the fraction f of its expectation.
    fraction = 400 * probs % 1
    # Where it is neither nearly 0 nor 1, the mean is normal.
    some = (fraction > 0.05) & (fraction < 0.95)
    error = np.sqrt(fraction * (1 - fraction) / 400)[some]
    assert some.sum() > 200
    assert np.all(np.abs(counts.mean(axis=0) - 400 * probs)[some] < 4.5 * error)


def test_equal_probabilities_draw_each_example_once():
    rows = draw_rows(np.full(1000, 1 / 1000), seed=0, epoch=5)
    np.testing.assert_array_equal(np.sort(rows), np.arange(1000))


def drawn(data):
    return np.concatenate([np.asarray(x)[:, 0] for x, *_ in data])


def test_an_epoch_has_the_shares_of_the_probabilities():
    generator = np.random.default_rng(2)
    z = np.stack([np.arange(3000), generator.normal(size=3000) ** 3], axis=1).astype("float32")
    sampler = DebiasingSampler(keras.layers.Identity(), dims=(1,), alpha=0.01, min_effective_share=0.0)
    data = sampler.batches(z, np.arange(3000) % 2, batch_size=64, by_class=False)
    groups = (np.abs(z[:, 1]) > 2).astype(int)
    expected = sampler.group_shares(groups)[1]
    assert expected.after > 2 * expected.before
    for epoch in (0, 1):
        sampler.on_epoch_begin(epoch)
        rows = drawn(data).astype(int)
        assert len(rows) == 3000
        # Less than that of independent draws.
        error = np.sqrt(expected.after * (1 - expected.after) / 3000)
        assert abs(np.mean(groups[rows]) - expected.after) < 4 * error
        np.testing.assert_array_equal(rows, draw_rows(sampler.probs, seed=0, epoch=epoch))
    labels = np.concatenate([np.asarray(y) for _, y in data])
    np.testing.assert_array_equal(labels, rows % 2)


def test_two_replicas_draw_from_one_distribution():
    strategy = testing.two_replicas()
    z = np.concatenate([normal(1800, 1), normal(200, 1) + 9]).astype("float32")
    z = np.concatenate([np.arange(2000)[:, None].astype("float32"), z], axis=1)
    sampler = DebiasingSampler(keras.layers.Identity(), dims=(1,), alpha=0.01, min_effective_share=0.0)
    data = sampler.batches(z, batch_size=100)
    parts = [[], []]
    for (batch,) in strategy.experimental_distribute_dataset(data):
        for part, values in zip(parts, strategy.experimental_local_results(batch), strict=True):
            part.append(np.asarray(values)[:, 0])
    parts = [np.concatenate(part).astype(int) for part in parts]
    assert [len(part) for part in parts] == [1000, 1000]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(drawn(data).astype(int)))
    share = sampler.probs[1800:].sum()
    for part in parts:
        assert abs(np.mean(part >= 1800) - share) < 4 * np.sqrt(share * (1 - share) / 1000)


def debiasing_run(epochs, model=None, initial_epoch=0):
    """Trains a classifier and its encoder on what the encoder finds rare."""
    generator = np.random.default_rng(0)
    x = (generator.random((90, 6)) < 0.5).astype("float32")
    y = (x.sum(axis=1) > 3).astype("int32")
    if model is None:
        model = kg.DebiasingVAE((6,), num_labels=2, latent_dim=2, seed=1)
        model.compile(keras.optimizers.Adam(1e-2))
    sampler = DebiasingSampler(model, alpha=0.01, warmup_epochs=1, seed=4)
    data = sampler.batches(x, y, batch_size=16)
    model.fit(data, epochs=epochs, initial_epoch=initial_epoch, callbacks=[sampler], verbose=0)
    return model, sampler


def test_a_resumed_run_draws_what_the_uninterrupted_one_draws(tmp_path):
    whole, whole_sampler = debiasing_run(4)
    half, half_sampler = debiasing_run(2)
    half.save(tmp_path / "half.keras")
    rest, rest_sampler = debiasing_run(4, keras.saving.load_model(tmp_path / "half.keras"), initial_epoch=2)
    assert half_sampler.history + rest_sampler.history == whole_sampler.history
    np.testing.assert_array_equal(rest_sampler.probs, whole_sampler.probs)
    for one, other in zip(rest.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # The first epoch drew all alike, and the encoder has moved since.
    assert whole_sampler.history[0] == 90 > max(whole_sampler.history[1:])
    assert len(set(whole_sampler.history)) == 4


def test_any_keras_classifier_sees_more_of_what_is_rare():
    """Classes that differ in the planted group only: the classifier's loss there falls further."""
    generator = np.random.default_rng(0)
    planted = np.arange(2000) < 40
    y = generator.integers(0, 2, 2000)
    # Within the group the sign is reversed.
    x = np.stack([(2 * y - 1) * np.where(planted, -1, 1), 6.0 * planted], axis=1)
    x = (x + 0.5 * generator.normal(size=x.shape)).astype("float32")

    def accuracy(alpha):
        keras.utils.set_random_seed(0)
        classifier = keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        classifier.compile(keras.optimizers.Adam(3e-3), loss)
        sampler = DebiasingSampler(keras.layers.Identity(), dims=(1,), alpha=alpha)
        classifier.fit(sampler.batches(x, y), epochs=4, callbacks=[sampler], verbose=0)
        return kg.applications.group_report(classifier, x, y, planted).accuracy[True]

    assert accuracy(0.001) > accuracy(math.inf) + 0.1


# ---- errors -------------------------------------------------------------------------------------


def test_bad_arguments_are_refused():
    x = normal(10, 2)
    for options, message in [
        ({"alpha": 0.0}, "`alpha` must be a finite number above 0; received 0.0. The smaller"),
        ({"alpha": -1.0}, "`alpha` must be"),
        ({"num_bins": 1}, "`num_bins` must be an integer of at least 2"),
        ({"min_effective_share": 1.5}, "`min_effective_share`"),
        ({"class_balance": "even"}, "`class_balance` must be one of 'as_given', 'equal'"),
        ({"dims": (2,)}, r"`dims` must be latent dimensions from 0 to 1; received \[2\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            sampler_of(x, **options)
    with pytest.raises(
        ValueError, match=r"`y` must hold one class for each of the 10 examples; received .*9"
    ):
        sampler_of(x, np.zeros(9, int))
    with pytest.raises(ValueError, match="Each class must have at least 2 examples.*class 3"):
        sampler_of(x, np.array([0] * 9 + [3]))
    with pytest.raises(TypeError, match="`DebiasingSampler` needs a model with `encode`; received a GAN"):
        DebiasingSampler(kg.GAN((2,), latent_dim=2))
    with pytest.raises(ValueError, match=r"`label` must be a class of the data \(\[0, 1\]\); received 5"):
        sampler_of(x, np.arange(10) % 2).rarest(1, label=5)
    with pytest.raises(RuntimeError, match="call `measure` or `batches`"):
        DebiasingSampler(keras.layers.Identity()).rarest(1)


def test_constant_latents_are_named():
    x = normal(10, 3)
    x[:, 1] = 7.0
    with pytest.warns(UserWarning, match="Latent dimensions 1 are constant"):
        sampler = sampler_of(x)
    np.testing.assert_array_equal(sampler.used_dims, [0, 2])
    np.testing.assert_array_equal(sampler.probs, sampler_of(x[:, [0, 2]]).probs)
    with pytest.raises(ValueError, match=r"constant \(dimensions 0, 1\). Train the encoder first"):
        sampler_of(np.ones((5, 2)))


def test_the_callback_and_its_batches_belong_together():
    x, y = normal(20, 2), np.arange(20) % 2
    classifier = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, "softmax")])
    classifier.compile("sgd", "sparse_categorical_crossentropy")
    sampler = DebiasingSampler(keras.layers.Identity())
    with pytest.raises(RuntimeError, match="has no batches yet"):
        classifier.fit(x, y, callbacks=[sampler], verbose=0)
    data = sampler.batches(x, y, batch_size=5)
    with pytest.raises(ValueError, match="one pass over the 4 batches .* epochs of 3 steps"):
        classifier.fit(data, steps_per_epoch=3, callbacks=[sampler], verbose=0)
    lonely = DebiasingSampler(keras.layers.Identity())
    with pytest.warns(UserWarning, match="Pass the DebiasingSampler itself to `fit` too, in `callbacks`"):
        classifier.fit(lonely.batches(x, y, batch_size=5), epochs=5, verbose=0)
