"""What the library needs of `tf.distribute`: a replica's number, sums over all, state that stays equal.

Every function also works outside a strategy, where it costs nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = [
    "assign_equally",
    "check_collectives",
    "check_one_value",
    "gather_rows",
    "in_multi_worker",
    "is_chief",
    "num_replicas",
    "replica_id",
    "rows_before",
    "sum_over_replicas",
]


# The strategy that first took part in TensorFlow's collective operations, by the key of their group.
_first_strategies: dict[int, weakref.ref] = {}


def check_collectives(strategy: tf.distribute.Strategy) -> None:
    """Refuses a second strategy object, after another one has trained in this process.

    TensorFlow gives all `MirroredStrategy` objects of a process one group for their collective operations,
    and each object numbers its operations from the same start. The first object fixes the devices of the
    group and the shape that belongs to each number. A second one fails in the step that asks for another
    shape ("Shape mismatch in the collective instance"), and from then on the first one fails too.

    Args:
        strategy: The strategy of the model that is about to train or to be evaluated.

    Raises:
        RuntimeError: For a second strategy, which would fail.
    """
    if not isinstance(strategy, tf.distribute.MirroredStrategy) or strategy.num_replicas_in_sync == 1:
        return
    extended = strategy.extended
    # The user chose another way of reducing, which needs no group.
    if getattr(extended, "_cross_device_ops", None) is not getattr(extended, "_collective_ops", None):
        return
    key = getattr(strategy, "_collective_key_base", 0)
    first = _first_strategies.setdefault(key, weakref.ref(extended))
    if first() is not extended:
        raise RuntimeError(
            "TensorFlow's collective operations serve one `MirroredStrategy` object in a process. Another "
            "one has trained or evaluated a model before. Use that object for all models, a process for each "
            "strategy, or create them all with "
            "`MirroredStrategy(..., cross_device_ops=tf.distribute.ReductionToOneDevice())`."
        )


def _replica_context() -> tf.distribute.ReplicaContext | None:
    """The context of a step that runs on several replicas, or None."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def num_replicas() -> int:
    """Number of replicas of the current strategy; 1 outside a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_id() -> tf.Tensor | int | None:
    """This replica's number in a step that runs on several; None on one device."""
    context = _replica_context()
    return None if context is None else context.replica_id_in_sync_group


def sum_over_replicas(value: Any) -> Any:
    """The sum of a (nest of) tensor(s) over all replicas, the same on each."""
    context = _replica_context()
    if context is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def gather_rows(value: Any) -> Any:
    """The rows `[B, ...]` of all replicas in their order: the whole batch. Gradients pass through it."""
    context = _replica_context()
    if context is None or not tf.nest.flatten(value):
        return value
    # Over several workers the result goes to the device of what is gathered. A batch as it comes from the
    # data has none, the output of an operation has one.
    value = tf.nest.map_structure(tf.identity, value)
    return context.all_gather(value, axis=0)


def rows_before(value: Any) -> tf.Tensor | int:
    """Where this replica's rows begin in `gather_rows(value)`; 0 on one device."""
    context = _replica_context()
    if context is None:
        return 0
    counts = context.all_gather(tf.shape(value)[:1], axis=0)
    return tf.reduce_sum(counts[: context.replica_id_in_sync_group])


def in_multi_worker(strategy: tf.distribute.Strategy | None = None) -> bool:
    """Whether several processes train together."""
    strategy = strategy or tf.distribute.get_strategy()
    resolver = strategy.cluster_resolver
    if resolver is None:
        return False
    return (
        len(resolver.cluster_spec().as_dict().get("worker", []))
        + len(resolver.cluster_spec().as_dict().get("chief", []))
        > 1
    )


def is_chief(strategy: tf.distribute.Strategy | None = None) -> bool:
    """Whether this process writes files; of a multi-worker run only one worker does."""
    strategy = strategy or tf.distribute.get_strategy()
    if not in_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    if "chief" in resolver.cluster_spec().as_dict():
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def assign_equally(variable: Any, update: Callable[[tf.Tensor, Any], tf.Tensor], *, rows: Any = ()) -> None:
    """Updates state, perhaps from the rows of all replicas, to the same value on each replica.

    An assignment inside a replica's step would leave every replica with its own copy, and one of them would
    be saved. Here the rows of all replicas are gathered in their order, and each replica computes the same
    value; the first replica's is assigned everywhere.

    Args:
        variable: A Keras variable or `tf.Variable`, created with `aggregation="only_first_replica"`.
        update: Function `(old_value, rows) -> new_value`. Noise in it needs a seed that is the same on all
            replicas.
        rows: Tensor `[B, ...]` of this replica, or a nest of such tensors.

    Raises:
        ValueError: On several replicas, for a variable of another aggregation.
    """
    if _replica_context() is not None:
        check_one_value(variable)
    variable.assign(update(tf.convert_to_tensor(variable), gather_rows(rows)))


def check_one_value(variable: Any) -> None:
    """Refuses a variable of which each replica keeps a value of its own.

    Args:
        variable: A Keras variable or `tf.Variable`.

    Raises:
        ValueError: For another aggregation than "only_first_replica".
    """
    aggregation = str(getattr(variable.aggregation, "name", variable.aggregation)).lower()
    if aggregation != "only_first_replica":
        raise ValueError(
            "State must be created with aggregation='only_first_replica', so that all replicas keep one "
            f"value; received aggregation={aggregation!r} for {variable.name!r}. Pass it to `add_weight`."
        )
