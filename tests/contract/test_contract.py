"""Every model keeps the promises of `keras_genmod.testing`."""

import pytest

from keras_genmod import testing
from tests.contract.cases import CASES

# Which rows a promise is among the default tests for; for the others it is among the longer ones.
VAE, TRANSLATOR = "conditional vae with a schedule", "unpaired translator"


def every(case):
    return not case.sibling


def penalised(case):
    """And the row that penalises slopes between examples and samples; one of its weights has no gradient."""
    return every(case) or case.name == "conditional wgan_gp"


def network(case):
    return case.network and not case.sibling


def mechanism(case):
    return case.mechanism


def coupled(case):
    return case.coupled or case.mechanism


def named(*names):
    return lambda case: case.name in names


# Endpoints of every kind: with and without a condition or classes, of latents, of codes, of samples that a
# loop over variables or pixels draws, of data of several parts.
EXPORTED = named(
    "autoencoder",
    "bernoulli mixture by em",
    "conditional dcgan",
    "conditional gated pixelcnn",
    "conditional realnvp",
    "cycle_gan between shapes",
    "gan",
    "made with several masks",
    "pix2pix of label maps",
    "rbm with classes",
    "vq_vae",
    TRANSLATOR,
    VAE,
)


DEFAULT = {
    # Of the model.
    "a_configuration_rebuilds_the_model": penalised,
    "a_file_keeps_weights_slots_and_the_next_noise": every,
    "a_weight_of_two_counts_like_the_example_twice": every,
    "an_export_gives_the_numbers_of_the_model": EXPORTED,
    "bad_data_are_refused_before_the_first_step": every,
    "double_precision_is_the_same_model": every,
    "evaluation_is_repeatable_and_named": every,
    "few_examples_are_learnt": every,
    "the_loss_is_the_weighted_sum_of_the_terms": every,
    "the_same_seed_trains_to_the_same_weights": every,
    "training_reaches_every_trainable_weight": penalised,
    "weights_have_names_of_their_own": every,
    # Of how a network computes, and of what joins examples.
    "bfloat16_computes_and_trains": network,
    "xla_compiles_the_same_objective": network,
    "micro_batches_give_the_gradient_of_the_whole_batch": mechanism,
    "identical_shards_train_as_one": mechanism,
    "two_replicas_train_as_one_device": coupled,
    # Of the loop: one objective, several players, state that moves, data of several parts.
    "callbacks_of_keras_work": named(VAE, TRANSLATOR, "vq_vae"),
    "data_sets_and_arrays_train_alike": named(VAE, TRANSLATOR),
    "eager_steps_are_the_same": named(VAE, "gan", "vq_vae"),
    "evaluation_and_sampling_do_not_change_training": named(VAE, "gan", "rbm with classes", "vq_vae"),
    "float16_scales_losses": named(VAE, "gan"),
    "replicas_are_saved_and_exported": named(VAE, "vq_vae"),
    "several_steps_in_one_execution_are_the_same": named(VAE, "gan", "vq_vae"),
    # test_calling.py tries this one on a conditional model of each family.
    "the_condition_is_second_and_batch_size_changes_nothing": named(),
    "two_replicas_evaluate_as_one_device": mechanism,
    "weights_files_round_trip": mechanism,
}


PROMISES = [
    pytest.param(
        case,
        promise,
        id=f"{case.name}-{name}",
        marks=[] if DEFAULT[name](case) else [pytest.mark.slow],
    )
    for case in CASES
    for name, promise in testing.promises(case).items()
]


@pytest.mark.parametrize(("case", "promise"), PROMISES)
def test_promise(case, promise, row):
    promise(row)


def test_every_promise_has_its_default_rows():
    assert DEFAULT.keys() == testing.promises().keys()
