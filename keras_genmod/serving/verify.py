"""The check of an export: does a server give the numbers of the model in memory, and do rows stay apart?"""

import os
from collections.abc import Iterator

import numpy as np

from keras_genmod.serving.examples import Example, read_examples
from keras_genmod.serving.runner import run

__all__ = ["verify"]


def verify(path: str | os.PathLike, *, rtol: float = 1e-5, atol: float = 1e-5) -> dict[str, float]:
    """Ask an export its recorded examples, as a model server would, and compare the answers.

    Each signature must answer as the model in memory did. Each row of a batched signature, asked
    alone, must be answered as in the batch, so that a server may join and split requests.

    Floats may differ by ``atol + rtol * |expected|``, equal infinities and NaNs count as equal, and
    integers and booleans must be the same. The defaults are about a hundred roundings of float32;
    widen them for numbers that a GPU recorded, because the check computes on the CPU.

    Args:
        path: The folder that `export` wrote, with examples.
        rtol: Largest relative difference.
        atol: Largest absolute difference.

    Returns:
        Signature name -> largest absolute difference seen.

    Raises:
        ValueError: `path` is no such export, or an answer differs; names signature, output and difference.
        RuntimeError: The export does not load or a signature fails; with TensorFlow's message.

    Cost: one process that loads the export; a run per signature and one more per row of its example.
    """
    examples = read_examples(path)
    requests = [request for example in examples for request in _requests(example)]
    answers = iter(run(path, requests))
    return {example.signature: _check(example, answers, rtol, atol) for example in examples}


def _requests(example: Example) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The example as a whole, then row by row."""
    rows = [_row(example.inputs, row) for row in range(_num_rows(example))]
    return [(example.signature, inputs) for inputs in (example.inputs, *rows)]


def _check(example: Example, answers: Iterator[dict[str, np.ndarray]], rtol: float, atol: float) -> float:
    """The largest difference in the answers to `_requests(example)`, which it takes off `answers`."""
    signature, whole = example.signature, next(answers)
    if set(whole) != set(example.outputs):
        raise ValueError(
            f"Signature `{signature}` must give the outputs {sorted(example.outputs)}; "
            f"received {sorted(whole)}. Export the model again."
        )
    largest = 0.0
    for name, recorded in example.outputs.items():
        what = f"Output `{name}` of signature `{signature}` must equal what the model in memory answered"
        advice = "The files were changed, or the signature depends on Python or on a device: export again."
        largest = max(largest, _difference(whole[name], recorded, rtol, atol, what, advice))
    for row in range(_num_rows(example)):
        alone, together = next(answers), _row(whole, row)
        for name, expected in together.items():
            what = (
                f"Output `{name}` of signature `{signature}` for row {row} alone must equal the batch's row"
            )
            advice = (
                "Rows mix, so batching changes answers: make it row-wise, or export it with `batched=False`."
            )
            largest = max(largest, _difference(alone[name], expected, rtol, atol, what, advice))
    return largest


def _num_rows(example: Example) -> int:
    return len(next(iter(example.inputs.values()))) if example.batched else 0


def _row(arrays: dict[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    return {name: array[row : row + 1] for name, array in arrays.items()}


def _difference(
    received: np.ndarray, expected: np.ndarray, rtol: float, atol: float, what: str, advice: str
) -> float:
    """The largest absolute difference; an error if it is too large."""
    if received.shape != expected.shape or received.dtype != expected.dtype:
        raise ValueError(
            f"{what}, {expected.dtype} of shape {expected.shape}; received {received.dtype} of shape "
            f"{received.shape}. {advice}"
        )
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        gaps = np.abs(received.astype("float64") - expected.astype("float64"))
    same, allowed = received == expected, "0"
    if np.issubdtype(expected.dtype, np.floating):
        same |= np.isnan(received) & np.isnan(expected)
        close = np.isclose(received, expected, rtol=rtol, atol=atol, equal_nan=True)
        allowed = f"atol={atol:g} + rtol={rtol:g} * |expected|"
    else:
        close = same
    # Equal infinities and NaNs have no difference; a NaN beside a number has an infinite one.
    largest = float(np.where(same, 0.0, np.nan_to_num(gaps, nan=np.inf)).max(initial=0.0))
    if not close.all():
        raise ValueError(
            f"{what}; received a largest difference of {largest:g} ({(~close).sum()} of {close.size} "
            f"numbers differ by more than {allowed}). {advice}"
        )
    return largest
