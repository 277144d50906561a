"""Checks an export: a server's answers must equal those of the model in memory, and rows must not mix."""

import os
from collections.abc import Iterator

import numpy as np

from keras_genmod.serving.examples import Example, read_examples
from keras_genmod.serving.runner import run

__all__ = ["verify"]


def verify(path: str | os.PathLike, *, rtol: float = 1e-5, atol: float = 1e-5) -> dict[str, float]:
    """Replays an export's recorded examples as a model server would, and compares the answers.

    Each signature must give the answers of the model in memory. In a batched signature, each row on its own
    must give the same answer as in the batch, so that a server may join and split requests.

    Floats may differ by ``atol + rtol * |expected|``, equal infinities and NaNs count as equal, and
    integers and booleans must be identical. The default tolerances are about a hundred float32 roundings;
    pass larger ones if the examples were recorded on a GPU, because the check computes on the CPU.

    Args:
        path: The folder that `export` wrote, with examples.
        rtol: Largest relative difference allowed.
        atol: Largest absolute difference allowed.

    Returns:
        Signature name -> largest absolute difference found.

    Raises:
        ValueError: If `path` is not such an export, or an answer differs; the message names the signature,
            the output and the difference.
        RuntimeError: If the export does not load or a signature fails; includes TensorFlow's message.

    Cost: one process that loads the export; one run per signature and one more per row of its example.
    """
    examples = read_examples(path)
    requests = [request for example in examples for request in _requests(example)]
    answers = iter(run(path, requests))
    return {example.signature: _check(example, answers, rtol, atol) for example in examples}


def _requests(example: Example) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The whole example, then each of its rows."""
    rows = [_row(example.inputs, row) for row in range(_num_rows(example))]
    return [(example.signature, inputs) for inputs in (example.inputs, *rows)]


def _check(example: Example, answers: Iterator[dict[str, np.ndarray]], rtol: float, atol: float) -> float:
    """The largest difference in the answers to `_requests(example)`, which it consumes from `answers`."""
    signature, whole = example.signature, next(answers)
    if set(whole) != set(example.outputs):
        raise ValueError(
            f"Signature `{signature}` must give the outputs {sorted(example.outputs)}; "
            f"received {sorted(whole)}. Export the model again."
        )
    largest = 0.0
    for name, recorded in example.outputs.items():
        what = f"Output `{name}` of signature `{signature}` must equal what the model in memory answered"
        advice = (
            "Either the files were changed, or the signature depends on Python or on a device. Export the "
            "model again."
        )
        largest = max(largest, _difference(whole[name], recorded, rtol, atol, what, advice))
    for row in range(_num_rows(example)):
        alone, together = next(answers), _row(whole, row)
        for name, expected in together.items():
            what = (
                f"Output `{name}` of signature `{signature}` for row {row} alone must equal the batch's row"
            )
            advice = (
                "Its rows influence one another, so batching changes answers. Make the signature row-wise, "
                "or export it with `batched=False`."
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
    """The largest absolute difference; raises an error if it exceeds the tolerance."""
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
    # Equal infinities and NaNs have difference 0; a NaN and a number differ by infinity.
    largest = float(np.where(same, 0.0, np.nan_to_num(gaps, nan=np.inf)).max(initial=0.0))
    if not close.all():
        raise ValueError(
            f"{what}; received a largest difference of {largest:g} ({(~close).sum()} of {close.size} "
            f"numbers differ by more than {allowed}). {advice}"
        )
    return largest
