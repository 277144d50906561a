"""All promises by name, and `check_model`, which tries those that apply."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Any

from keras_genmod.core.checks import describe
from keras_genmod.testing import calling, files, other_ways, training
from keras_genmod.testing.case import Case
from keras_genmod.testing.keeping import Promise
from keras_genmod.testing.row import Row

__all__ = ["check_model", "promises"]

_PROMISES = MappingProxyType(
    {
        name: getattr(module, name)
        for module in (calling, training, files, other_ways)
        for name in module.__all__
    }
)

_ON_REPLICAS = frozenset(name for name in _PROMISES if "replicas" in name or "shards" in name)


def promises(case: Case | None = None) -> dict[str, Promise]:
    """The promises that every model keeps, by name: functions of a `Row`.

    A promise returns nothing, or raises an `AssertionError`.

    Args:
        case: Leaves out the promises from which this case is exempt; None gives all.

    Raises:
        TypeError: If `case` is no `Case`, such as a model.
        ValueError: For an exemption from a promise that does not exist.

    Example:
        With pytest, each promise is a test of its own, and the promises of a case share its models::

            ROW = keras_genmod.testing.Row(CASE)


            @pytest.mark.parametrize("promise", keras_genmod.testing.promises(CASE).values())
            def test_promise(promise):
                promise(ROW)
    """
    if case is not None and not isinstance(case, Case):
        raise TypeError(
            f"`case` must be a `Case`; received {describe(case)}. Write one, such as `Case('mine', lambda "
            "seed: MyModel((6,), seed=seed), event_shape=(6,))`."
        )
    exempt = frozenset() if case is None else case.exempt
    _refuse_unknown("exempt", exempt)
    return {name: function for name, function in _PROMISES.items() if name not in exempt}


def check_model(case: Case, *, skip: Collection[str] = (), **options: Any) -> list[str]:
    """Tries all promises that apply to a case, in one process: on one device, and on two replicas.

    Args:
        case: The model.
        skip: Names of promises to leave out.
        **options: Arguments of `Row`: `strategy`, `verify`.

    Returns:
        The names of the promises that were kept.

    Raises:
        AssertionError: For the first promise that is broken, with its name.
        TypeError: If `case` is no `Case`, such as a model.
        ValueError: For a promise that does not exist.
        RuntimeError: Without two logical devices, see `two_replicas`.

    Cost: about a dozen traced training steps, in all a minute for a small model on one core, and some
    seconds for the processes that answer from exports.
    """
    _refuse_unknown("skip", skip)
    tried = {name: function for name, function in promises(case).items() if name not in skip}
    row, kept = Row(case, **options), []
    if any(name in _ON_REPLICAS for name in tried):
        # Before the first tensor, so that TensorFlow may still take two devices.
        assert row.strategy.num_replicas_in_sync == 2
    for name, function in tried.items():
        try:
            function(row)
        except Exception as error:
            raise AssertionError(
                f"{case.name} breaks the promise `{name}`: {type(error).__name__}: {error}"
            ) from error
        kept.append(name)
    return kept


def _refuse_unknown(argument: str, names: Collection[str]) -> None:
    if isinstance(names, str) or not isinstance(names, Collection):
        raise ValueError(
            f"`{argument}` must hold names of promises; received {names!r}. Put them into a list."
        )
    unknown = sorted(set(names) - set(_PROMISES))
    if unknown:
        raise ValueError(
            f"`{argument}` must hold names of promises; received {unknown}. The names are {list(_PROMISES)}."
        )
