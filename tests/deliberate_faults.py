"""Deliberate faults, one at a time in a copy of the package: each must make its tests fail.

A fault is a text of the package, what takes its place, and the tests that promise the opposite. `make
test-faults` tries all, `python tests/deliberate_faults.py NAME ...` some. It ends with an error if a fault is
missed, if its text no longer occurs exactly once in the package, or if the tests fail without a fault.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Of the contract's rows, one that is made of small dense networks and has noise, a condition and a schedule.
VAE = "conditional vae with a schedule"
STEP = "tests/training/test_step.py"
NOISE = "tests/training/test_noise_of_steps.py"
CONTRACT = "tests/contract/test_contract.py::test_promise"
REPLICAS = "tests/contract/test_replicas.py"
BIJECTIONS = "tests/bijectors/test_bijections.py"
LAYERS = "tests/layers/test_translation_layers.py"
TRANSLATION = "tests/models/translation"


@dataclass(frozen=True)
class Fault:
    """A text that occurs once in the package, what takes its place, and the tests of which one must fail."""

    name: str
    old: str
    new: str
    tests: Sequence[str]


FAULTS = [
    # ---- the step --------------------------------------------------------------------------------
    Fault(
        "a replica divides by its own number of examples",
        "loss /= tf.cast(tf.maximum(global_num_examples, 1.0), loss.dtype)",
        "loss /= tf.cast(tf.maximum(batch_size(batch), 1), loss.dtype)",
        [f"{STEP}::test_one_step_follows_the_gradient_of_the_mean"],
    ),
    Fault(
        "a ragged last batch counts like a full one",
        "values = [num_examples, *sums.values()]",
        "size = tf.cast(num_examples, tf.float64)\n"
        "        values = [1.0, *(tf.cast(value, tf.float64) / size for value in sums.values())]",
        [f"{STEP}::test_the_logs_are_weighted_means_over_a_ragged_last_batch"],
    ),
    Fault(
        "weights of examples are forgotten",
        "tf.reduce_sum(term if weight is None else term * tf.cast(weight, term.dtype))",
        "tf.reduce_sum(term)",
        [f"{STEP}::test_one_step_follows_the_gradient_of_the_mean"],
    ),
    Fault(
        "measures are weighted by example",
        "None if _is_measure(weights, name) else batch.weight",
        "batch.weight",
        [f"{STEP}::test_a_measure_is_a_mean_over_examples_and_no_part_of_the_objective"],
    ),
    Fault(
        "the weights of terms are forgotten",
        "return None if fixed and weight == 0 else tf.cast(weight, value.dtype) * value",
        "return None if fixed and weight == 0 else value",
        [f"{STEP}::test_the_logs_are_weighted_means_over_a_ragged_last_batch"],
    ),
    Fault(
        "replicas clip each weight's gradient by the global bound",
        "return tf.clip_by_global_norm(grads, optimizer.global_clipnorm)[0]",
        "return [tf.clip_by_norm(grad, optimizer.global_clipnorm) for grad in grads]",
        [f"{REPLICAS}::test_clipping_acts_on_the_sum_over_replicas[{VAE}]"],
    ),
    Fault(
        "replicas do not agree on an overflow",
        "if num_replicas() > 1 and (scaled or clips):",
        "if num_replicas() > 1 and clips:",
        [f"{REPLICAS}::test_float16_replicas_agree_on_overflow[{VAE}]"],
    ),
    Fault(
        "a schedule counts every update of a player",
        "_unscaled(optimizer)._iterations // updates[0]",
        "_unscaled(optimizer)._iterations",
        [f"{STEP}::test_a_schedule_counts_the_steps_of_the_model"],
    ),
    Fault(
        "spectral norms stay those of the start",
        "if isinstance(layer, SpectralNormalization):",
        "if False:",
        ["tests/models/adversarial/test_gan.py::test_the_estimate_moves_once_an_update"],
    ),
    # ---- players, and state that moves once a step -----------------------------------------------
    Fault(
        "a weight of two players gets the gradient of the last",
        "total[place] = _add(total[place], grad)",
        "total[place] = grad",
        [f"{STEP}::test_two_players_differentiate_through_one_shared_pass"],
    ),
    Fault(
        "each player of an optimizer makes an update of its own",
        "            apply_gradients(team, optimizer, team_grads)\n",
        "            for player, grads in zip(team, team_grads, strict=True):\n"
        "                apply_gradients([player], optimizer, [grads])\n",
        [f"{STEP}::test_players_of_one_optimizer_are_one_player_with_all_their_weights"],
    ),
    Fault(
        "only the last player differentiates through the shared pass",
        "shared is None or team is teams[-1]",
        "shared is None or player is players[-1]",
        [f"{STEP}::test_two_players_differentiate_through_one_shared_pass"],
    ),
    Fault(
        "state moves by the last micro-batch",
        "parts = self._parts[:micro_batches]",
        "parts = self._parts[-1:]",
        [f"{STEP}::test_chains_move_after_all_rounds_of_updates_with_the_last_shared_pass"],
    ),
    Fault(
        "state moves twice a step",
        "            self.advance_state(batch, seed=self._state_seed(), shared=shared)\n",
        "            for _ in range(2):\n"
        "                self.advance_state(batch, seed=self._state_seed(), shared=shared)\n",
        [f"{STEP}::test_chains_move_once_a_step"],
    ),
    # ---- noise -----------------------------------------------------------------------------------
    Fault(
        "a training step leaves the noise where it is",
        "        self._noise_state.assign_add([0, 1])\n        return self.get_metrics_result()",
        "        return self.get_metrics_result()",
        [f"{NOISE}::test_no_number_is_drawn_twice"],
    ),
    Fault(
        "evaluation advances the noise",
        "        seed = self._evaluation_seed()\n",
        "        seed = self._evaluation_seed()\n        self._noise_state.assign_add([0, 1])\n",
        [f"{NOISE}::test_the_seed_decides_and_evaluation_does_not"],
    ),
    Fault(
        "all batches of an evaluation share their noise",
        "stream_seed(seed, Purpose.EVALUATION, self._term_means.num_examples())",
        "stream_seed(seed, Purpose.EVALUATION, 0)",
        [f"{NOISE}::test_evaluation_repeats_its_noise_and_gives_each_batch_its_own"],
    ),
    Fault(
        "replicas share their noise",
        "tf.cast(replica, tf.int64) * _REPLICA_STRIDE\n    return tf.stack([_to_int32(start), seed[1]])",
        "0\n    return tf.stack([_to_int32(start), seed[1]])",
        [f"{NOISE}::test_no_number_is_drawn_twice"],
    ),
    Fault(
        "micro-batches share their noise",
        "part_seed = fold_in(seed, index)",
        "part_seed = seed",
        [f"{NOISE}::test_no_number_is_drawn_twice"],
    ),
    Fault(
        "rounds of a player share their noise",
        "seed if rounds == 1 else fold_in(seed, number)",
        "seed",
        [f"{NOISE}::test_rounds_of_a_player_have_noise_of_their_own"],
    ),
    Fault(
        "draws without a seed repeat themselves",
        "stream_seed(state[0], Purpose.SAMPLING, next(self._sampling_numbers))",
        "stream_seed(state[0], Purpose.SAMPLING, 0)",
        ["tests/bases/test_sampling_seeds.py"],
    ),
    Fault(
        "training and sampling share a stream",
        "start = tf.cast(seed, tf.int64) + int(purpose) * _PURPOSE_STRIDE",
        "start = tf.cast(seed, tf.int64) + 0 * _PURPOSE_STRIDE",
        ["tests/core/test_noise.py"],
    ),
    Fault(
        "every pass over arrays has one order",
        "own, number * repeats + part]",
        "own, part]",
        ["tests/data/test_pipeline.py", "tests/training/test_fitting.py"],
    ),
    # ---- files and exports -----------------------------------------------------------------------
    Fault(
        "a damaged file of weights is read",
        "    for part in _hdf5_files(path):\n        check_checksum(part)\n",
        "",
        ["tests/bases/test_saving.py"],
    ),
    Fault(
        "a configuration leaves out an argument",
        '            "beta": weight_config(self.beta),\n            "capacity"',
        '            "capacity"',
        [f"{CONTRACT}[{VAE}-a_configuration_rebuilds_the_model]"],
    ),
    Fault(
        "slots of a loaded optimizer start anew",
        'optimizers = (getattr(self, name) for name in getattr(self, "_optimizer_arguments", {}).values())',
        "optimizers = ()",
        ["tests/bases/test_saving.py"],
    ),
    Fault(
        "a loaded model starts its noise anew",
        "        super().load_own_variables(values)\n",
        "        super().load_own_variables(values)\n        self._noise_state.assign([0, 0])\n",
        [f"{CONTRACT}[{VAE}-a_file_keeps_weights_slots_and_the_next_noise]"],
    ),
    Fault(
        "an export from replicas has the weights of the start",
        "        copy.set_weights(self.get_weights())\n",
        "",
        [f"{CONTRACT}[{VAE}-replicas_are_saved_and_exported]"],
    ),
    Fault(
        "an endpoint mixes its rows",
        "return -self.likelihood(self._code(x, condition), condition=condition).log_prob(x)",
        "error = -self.likelihood(self._code(x, condition), condition=condition).log_prob(x)\n"
        "        return error - tf.reduce_mean(error)",
        [f"{CONTRACT}[autoencoder-an_export_gives_the_numbers_of_the_model]"],
    ),
    Fault(
        "the default signature is the first by name",
        "sorted(endpoints, key=lambda name: name != default)",
        "sorted(endpoints)",
        ["tests/serving/test_export.py"],
    ),
    Fault(
        "a folder is written under its own name",
        'hidden_sibling(target, "tmp")\n    try:\n        try:',
        'hidden_sibling(target, "tmp") and target\n    try:\n        try:',
        ["tests/core/test_files.py"],
    ),
    # ---- averaged networks -----------------------------------------------------------------------
    Fault(
        "an averaged network never moves",
        "1.0 - tf.minimum(",
        "0.0 * tf.minimum(",
        ["tests/training/test_averaging.py"],
    ),
    Fault(
        "a young average moves as slowly as an old one",
        "(1.0 + step) / (10.0 + step)",
        "1.0",
        ["tests/training/test_averaging.py"],
    ),
    Fault(
        "samples come from the generator in training",
        "seed, batch_size, use_ema=use_ema)",
        "seed, batch_size, use_ema=False)",
        ["tests/models/adversarial/test_gan.py"],
    ),
    # ---- mathematics -----------------------------------------------------------------------------
    Fault(
        "a pixel sees itself",
        'earlier = np.less if self.mask_type == "A" else np.less_equal',
        "earlier = np.less_equal",
        ["tests/layers/test_masked_conv.py"],
    ),
    Fault(
        "an output sees its own variable",
        "kernel_mask=below[:, None] < outputs[None, :]",
        "kernel_mask=below[:, None] <= outputs[None, :]",
        ["tests/networks/test_autoregressive_networks.py"],
    ),
    Fault(
        "the log-determinant of a scale has the other sign",
        "return (x - shift) * tf.exp(-log_scale), -log_scale",
        "return (x - shift) * tf.exp(-log_scale), log_scale",
        [f"{BIJECTIONS}::test_inverse_and_log_determinant[float64-True-affine coupling]"],
    ),
    Fault(
        "values belong to the bin before theirs",
        "begun = tf.cast(value[:, None] >= starts[:, 0, 1:], x.dtype)",
        "begun = tf.cast(value[:, None] >= starts[:, 0, 1:] + 0.3, x.dtype)",
        [
            "tests/models/flows/test_first_fit.py::test_the_written_gradient_of_splines_is_that_of_the_bijector"
        ],
    ),
    Fault(
        "a closed form of the divergence lacks a factor",
        "return tf.reduce_sum(log_ratio + 0.5 * (scaled - 1.0), axis=-1)",
        "return tf.reduce_sum(log_ratio + (scaled - 1.0), axis=-1)",
        ["tests/distributions/test_kl.py"],
    ),
    Fault(
        "a bound over several draws lacks their number",
        "return tf.reduce_logsumexp(log_weights, axis=0) - math.log(log_weights.shape[0])",
        "return tf.reduce_logsumexp(log_weights, axis=0)",
        ["tests/models/variational/test_iwae.py"],
    ),
    Fault(
        "batch normalisation uses the unbiased variance",
        "variance * tf.maximum(count - 1.0, 1.0) / count",
        "variance",
        ["tests/layers/test_normalization.py"],
    ),
    Fault(
        "a gradient penalty is that of the batch",
        "return logits, tf.reduce_sum(tf.square(gradient), axis=list(range(1, len(x.shape))))",
        "return logits, tf.reduce_sum(tf.square(gradient)) * tf.ones_like(logits)",
        ["tests/losses/test_gradient_penalties.py"],
    ),
    Fault(
        "a discrepancy counts a row with itself",
        "(tf.reduce_sum(k(x, all_x), axis=1) - 1.0) / others",
        "tf.reduce_sum(k(x, all_x), axis=1) / count",
        ["tests/losses/test_maximum_mean_discrepancy.py"],
    ),
    Fault(
        "the kernel distance's error counts n for n - 1",
        "4 * np.var(own, ddof=1) / len(own)",
        "4 * np.var(own) / len(own)",
        ["tests/metrics/test_kernel_distance.py"],
    ),
    Fault(
        "the error over subsets counts n for n - 1",
        "np.std(estimates, ddof=1) / np.sqrt(num_subsets)",
        "np.std(estimates) / np.sqrt(num_subsets)",
        ["tests/metrics/test_kernel_distance.py"],
    ),
    Fault(
        "the Fréchet distance lacks the root of the product",
        "+ traces - 2.0 * root",
        "+ traces",
        ["tests/metrics/test_frechet.py"],
    ),
    Fault(
        "log-densities are computed in half precision",
        "return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)",
        "return x",
        [
            "tests/core/test_precision.py",
            f"{CONTRACT}[convolutional conditional autoencoder-bfloat16_computes_and_trains]",
        ],
    ),
    # ---- translation -----------------------------------------------------------------------------
    Fault(
        "each member of a pair is flipped on its own",
        "member, flipped, shift * (side // smallest)",
        "member, flipped ^ (len(member.shape) == 3), shift * (side // smallest)",
        [f"{LAYERS}::test_both_members_move_alike"],
    ),
    Fault(
        "the masks of rows come from the first row's seed",
        "numbers = uniform_rows(seeds, x.shape[1:], stream=self.stream)",
        "numbers = uniform_rows(seeds[:1], x.shape[1:], stream=self.stream)",
        [f"{LAYERS}::test_the_mask_of_a_row_depends_on_its_seed_alone"],
    ),
    Fault(
        "pixels lie at whole numbers",
        "t = np.abs((np.arange(first, last + 1) + 0.5) / scale - 0.5)",
        "t = np.abs(np.arange(first, last + 1) / scale)",
        [f"{LAYERS}::test_a_ramp_stays_a_ramp_with_half_pixel_centres[2]"],
    ),
    Fault(
        "a skip carries nothing",
        'name=f"skip_{level}")([h, skips[level]])',
        'name=f"skip_{level}")([h, 0.0 * skips[level]])',
        ["tests/networks/test_translating_networks.py::test_each_skip_carries_the_picture_by_itself"],
    ),
    Fault(
        "the loss of a map of logits is that of its first patch",
        "tf.reduce_mean(values, axis=range(1, values.shape.rank))",
        "tf.reshape(values, [tf.shape(values)[0], -1])[:, 0]",
        [f"{TRANSLATION}/test_cycle_gan.py::test_terms_by_hand"],
    ),
    Fault(
        "a pool hands out new pictures only",
        "exchanged &= tf.convert_to_tensor(self.filled) == self.size",
        "exchanged &= False",
        [f"{TRANSLATION}/test_image_pool.py::test_half_of_what_it_hands_out_is_old"],
    ),
    Fault(
        "every new picture enters the pool",
        "enters |= place >= filled",
        "enters |= True",
        [f"{TRANSLATION}/test_image_pool.py::test_ages_are_distributed_as_stated"],
    ),
    Fault(
        "the critic's pairs are moved in evaluation too",
        "if not training or self.augmentation is None:",
        "if self.augmentation is None:",
        [f"{TRANSLATION}/test_pix2pix.py::test_the_critic_sees_augmented_pairs_in_training_alone"],
    ),
    Fault(
        "evaluation translates with noise",
        "seeds = row_seeds(fold_in(seed, 1), 0, tf.shape(x)[0]) if training else None",
        "seeds = row_seeds(fold_in(seed, 1), 0, tf.shape(x)[0])",
        [f"{TRANSLATION}/test_pix2pix.py::test_evaluation_is_without_noise"],
    ),
    Fault(
        "similarity depends on where the range begins",
        "x, y = (part - tf.cast(value_range[0], part.dtype) for part in _as_pair(x, y))",
        "x, y = _as_pair(x, y)",
        ["tests/metrics/test_image_quality.py::test_ssim_by_its_formula"],
    ),
]


def run_tests(folder: Path, tests: Sequence[str]) -> subprocess.CompletedProcess:
    """Runs tests in a copy, up to the first failure."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def copied(folder: Path) -> Path:
    """A copy of what tests need."""
    for name in ("keras_genmod", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def apply(fault: Fault, folder: Path) -> str | None:
    """Applies a fault to a copy; says what is wrong if it does not apply."""
    files = [file for file in folder.glob("keras_genmod/**/*.py") if fault.old in file.read_text()]
    times = sum(file.read_text().count(fault.old) for file in files)
    if times != 1:
        return (
            f"its text must occur once in the package, and occurs {times} times; write it as the code is now"
        )
    files[0].write_text(files[0].read_text().replace(fault.old, fault.new))
    return None


def tried(fault: Fault) -> str | None:
    """What is wrong with a fault or its tests; None if they notice it."""
    with tempfile.TemporaryDirectory() as name:
        folder = copied(Path(name))
        problem = apply(fault, folder)
        if problem is None:
            done = run_tests(folder, fault.tests)
            if done.returncode == 0:
                problem = f"missed by {' '.join(fault.tests)}"
            elif done.returncode != 1:  # tests that failed; other codes are tests that did not run
                problem = f"its tests did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    print(
        f"{'caught' if problem is None else 'PROBLEM'}: {fault.name}{f': {problem}' if problem else ''}",
        flush=True,
    )
    return problem


def main() -> int:
    """Tries faults; the number of those with a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of faults; all by default")
    parser.add_argument("--workers", type=int, default=1, help="faults tried at once")
    parser.add_argument(
        "--only-apply", action="store_true", help="look whether the faults apply, run no test"
    )
    options = parser.parse_args()
    faults = [f for f in FAULTS if not options.names or any(name in f.name for name in options.names)]
    if options.only_apply:
        with tempfile.TemporaryDirectory() as name:
            problems = {f.name: apply(f, copied(Path(name) / str(i))) for i, f in enumerate(faults)}
        print("\n".join(f"{name}: {problem}" for name, problem in problems.items() if problem))
        return any(problems.values())
    # Without a fault all of them pass: a test that always fails would notice anything.
    with tempfile.TemporaryDirectory() as name:
        done = run_tests(copied(Path(name)), sorted({test for fault in faults for test in fault.tests}))
    if done.returncode:
        print(f"The tests must pass without a fault:\n{done.stdout[-5000:]}")
        return 1
    with ThreadPoolExecutor(options.workers) as pool:
        problems = [problem for problem in pool.map(tried, faults) if problem]
    print(f"{len(faults) - len(problems)} of {len(faults)} faults caught.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
