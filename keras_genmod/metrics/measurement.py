"""A metric's value with a record of how it was measured, and the checks that sample-quality metrics share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_genmod.core.checks import describe
from keras_genmod.core.user_warnings import warn_user
from keras_genmod.metrics.features import FeatureExtractor

__all__ = [
    "Measurement",
    "check_features",
    "as_extractor",
    "extract_pair",
    "warn_of_few_samples",
    "warned_of_few_samples_once",
]

GIVEN_FEATURES = {"extractor": "given features", "resize": "none"}


class Measurement(float):
    """A metric's value with its origin; values from other extractors, resizing or counts are not comparable.

    It is a float wherever a float is expected; `repr` and `describe()` give the origin.

    Args:
        value: The metric's value.
        metric: The metric's name.
        extractor: Name of the feature extractor; "given features" for arrays that are features already.
        resize: How images were resized for the extractor; "none" if they were not.
        num_real: Number of real samples that were used; None if the metric needs none.
        num_generated: Number of generated samples that were used.
        standard_error: Standard error of the value, if the metric gives one.

    >>> value = Measurement(2.5, metric="fid", num_real=10_000, num_generated=5_000)
    >>> value + 1
    3.5
    >>> value.describe()
    'fid 2.5 (given features, resize none, 10,000 real, 5,000 generated)'
    """

    metric: str
    extractor: str
    resize: str
    num_real: int | None
    num_generated: int
    standard_error: float | None

    def __new__(
        cls,
        value: float,
        *,
        metric: str,
        extractor: str = GIVEN_FEATURES["extractor"],
        resize: str = GIVEN_FEATURES["resize"],
        num_real: int | None = None,
        num_generated: int,
        standard_error: float | None = None,
    ) -> Measurement:
        self = super().__new__(cls, value)
        self.metric, self.extractor, self.resize = metric, extractor, resize
        self.num_real = None if num_real is None else int(num_real)
        self.num_generated = int(num_generated)
        self.standard_error = None if standard_error is None else float(standard_error)
        return self

    def describe(self) -> str:
        """The value and its origin in one line."""
        error = "" if self.standard_error is None else f" +- {self.standard_error:.2g}"
        real = "" if self.num_real is None else f"{self.num_real:,} real, "
        return (
            f"{self.metric} {float(self):.6g}{error} ({self.extractor}, resize {self.resize}, "
            f"{real}{self.num_generated:,} generated)"
        )

    def __repr__(self) -> str:
        return f"<{self.describe()}>"

    # As text it is a plain number, so that CSV files and format strings show what they show for any float.
    __str__ = float.__repr__

    def __getnewargs_ex__(self) -> tuple[tuple, dict]:
        # Copying and pickling rebuild the object with its constructor.
        return (float(self),), dict(vars(self))


def check_features(name: str, features: Any, *, min_count: int = 2) -> np.ndarray:
    """Returns `features` as a finite float64 array `[N, D]` of at least `min_count` rows, always a copy."""
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"`{name}` must be features of shape [num_samples, feature_dim]; received "
            f"{describe(features)}. Pass `extractor=FeatureExtractor(model)` to compute them from data, "
            "or flatten each sample."
        )
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise TypeError(f"`{name}` must hold numbers; received dtype {array.dtype}. Convert it to floats.")
    if len(array) < min_count:
        raise ValueError(
            f"`{name}` must hold at least {min_count} samples; received {len(array)}. Pass more samples."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array).all(axis=1)))
        raise ValueError(
            f"`{name}` must hold finite values; received {bad} of {len(array)} rows with NaN or infinity. "
            "Find the samples that cause them: a model that diverged has no finite score."
        )
    return array


def check_same_dim(real: np.ndarray, generated: np.ndarray) -> None:
    """Refuses two arrays with different numbers of features."""
    if real.shape[-1] != generated.shape[-1]:
        raise ValueError(
            "`real` and `generated` must have the same number of features; received "
            f"{real.shape[-1]} and {generated.shape[-1]}. Use the same extractor for both."
        )


def extract_pair(
    real: Any, generated: Any, extractor: FeatureExtractor | None, *, min_count: int = 2
) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    """Features of both sides, float64, and their origin as arguments of `Measurement`."""
    extractor = as_extractor(extractor)
    if extractor is not None:
        real, generated = np.asarray(extractor(real)), np.asarray(extractor(generated))
    real = check_features("real", real, min_count=min_count)
    generated = check_features("generated", generated, min_count=min_count)
    check_same_dim(real, generated)
    return real, generated, {**origin(extractor), "num_real": len(real), "num_generated": len(generated)}


def as_extractor(extractor: Any) -> FeatureExtractor | None:
    """The extractor, or None; a Keras model or layer becomes an extractor that leaves data unchanged."""
    if isinstance(extractor, keras.layers.Layer):
        return FeatureExtractor(extractor)
    if extractor is not None and not isinstance(extractor, FeatureExtractor):
        raise TypeError(
            f"`extractor` must be a FeatureExtractor, a Keras model or None; received {describe(extractor)}. "
            "Wrap a function in a subclass of `keras.layers.Layer`."
        )
    return extractor


def origin(extractor: FeatureExtractor | None) -> dict[str, str]:
    """The origin of features, as arguments of `Measurement`."""
    if extractor is None:
        return dict(GIVEN_FEATURES)
    return {"extractor": extractor.name, "resize": extractor.resize_rule}


def warn_of_few_samples(metric: str, num_real: int, num_generated: int, *, least: int, why: str) -> None:
    """Warns if a side has fewer than `least` samples; inside `warned_of_few_samples_once`, at its end."""
    if min(num_real, num_generated) >= least:
        return
    complaint = _Complaint(metric, why, num_real, num_generated, least)
    collected = _collected.get()
    if collected is None:
        warn_user(complaint.message())
    else:
        collected.append(complaint)


class _Complaint(NamedTuple):
    """A metric that was computed from too few samples."""

    metric: str
    why: str
    num_real: int
    num_generated: int
    least: int

    def message(self) -> str:
        return (
            f"{self.metric} from {self.num_real:,} real and {self.num_generated:,} generated samples: "
            f"{self.why} Use at least {self.least:,} of each, and compare only values from equal counts."
        )


_collected: ContextVar[list[_Complaint] | None] = ContextVar("few_samples", default=None)


@contextlib.contextmanager
def warned_of_few_samples_once(warns: bool = True) -> Iterator[None]:
    """Joins all warnings of too few samples that arise inside into one.

    Args:
        warns: Whether to warn at all.
    """
    complaints: list[_Complaint] = []
    token = _collected.set(complaints)
    try:
        yield
    finally:
        _collected.reset(token)
    if complaints and warns:
        first, *others = (complaint.metric for complaint in complaints)
        names = "; ".join([first, *map(str.lower, others)])
        # Metrics that share a reason give it once.
        reasons = dict.fromkeys(complaint.why.removesuffix(".") for complaint in complaints)
        worst = max(complaints, key=lambda complaint: complaint.least)
        warn_user(worst._replace(metric=names, why=f"{'; '.join(reasons)}.").message())
