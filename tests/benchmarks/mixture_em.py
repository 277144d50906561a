"""EM of the Gaussian mixture beside scikit-learn's: time of an iteration, and difference of the likelihoods.

    python -m tests.benchmarks.mixture_em [--quick] [--components 10] [--iterations 20] [--rounds 5]

Both sides start from the same parameters and run the same number of iterations, on scikit-learn's digits and
on a larger set drawn about them; they take turns, and the median of the rounds is shown. Ours is the whole of
`fit` (pipeline, callbacks, logs), once it was traced. The difference is the largest one of log p(x) over the
examples. Aims: a difference below 1e-3, and about the time of scikit-learn where the arithmetic takes it.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import sklearn.mixture
from sklearn.datasets import load_digits

import keras_genmod as kg
from tests.benchmarks.common import hardware, median, print_table

# Our names of the kinds of covariances, and scikit-learn's.
KINDS = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


def start_of(x: np.ndarray, kind: str, num_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Means among the examples, and covariances of the mean variance."""
    means = x[np.random.default_rng(0).choice(len(x), num_components, replace=False)]
    size = x.shape[1]
    shapes = {
        "full": np.tile(np.eye(size), (num_components, 1, 1)),
        "tied": np.eye(size),
        "diagonal": np.ones((num_components, size)),
        "spherical": np.ones(num_components),
    }
    return means, shapes[kind] * x.var(axis=0).mean()


def compare(x: np.ndarray, kind: str, num_components: int, iterations: int, rounds: int) -> list[str]:
    """A row of the table."""
    means, covariances = start_of(x, kind, num_components)
    weights = np.full(num_components, 1.0 / num_components)
    precisions = np.linalg.inv(covariances) if kind in ("full", "tied") else 1.0 / covariances
    data = x.astype("float32")
    model = kg.GaussianMixture(x.shape[1:], num_components=num_components, covariance=kind)
    model.compile()

    def ours() -> float:
        model.set_parameters(mixing_weights=weights, means=means, covariances=covariances)
        begin = time.perf_counter()
        model.fit(data, epochs=iterations, verbose=0)
        return time.perf_counter() - begin

    def theirs() -> tuple[float, sklearn.mixture.GaussianMixture]:
        mixture = sklearn.mixture.GaussianMixture(
            num_components,
            covariance_type=KINDS[kind],
            weights_init=weights,
            means_init=means,
            precisions_init=precisions,
            # The start that it computes beside the one that it is given.
            init_params="random_from_data",
            max_iter=iterations,
            tol=0.0,
        )
        begin = time.perf_counter()
        mixture.fit(x)
        return time.perf_counter() - begin, mixture

    ours()
    times = ([], [])
    for _ in range(rounds):
        times[0].append(ours())
        passed, mixture = theirs()
        times[1].append(passed)
    difference = np.max(np.abs(np.asarray(model.log_prob(data), "float64") - mixture.score_samples(x)))
    mine, other = (1e3 * median(part) / iterations for part in times)
    return [kind, f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}", f"{difference:.0e}"]


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="digits alone, one round")
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(hardware("scikit-learn", "numpy", "tensorflow", "keras"))
    digits = load_digits().data
    sets = {"digits": digits}
    if not options.quick:
        generator = np.random.default_rng(0)
        rows = digits[generator.integers(len(digits), size=20_000)]
        # Rounded, so that both sides have the same numbers.
        sets["20,000 about digits"] = np.round(rows + generator.normal(size=rows.shape), 2).astype("float32")
    for name, x in sets.items():
        rounds = 1 if options.quick else options.rounds
        rows = [
            compare(x.astype("float64"), kind, options.components, options.iterations, rounds)
            for kind in KINDS
        ]
        print_table(
            f"{name}: {len(x):,} examples of {x.shape[1]} values, {options.components} components",
            ["", "ms/iteration", "scikit-learn", "ratio", "difference"],
            rows,
        )


if __name__ == "__main__":
    main()
