"""One of two workers: trains models and writes what it got; started by test_multi_worker.py."""

import json
import os
import sys

import numpy as np


def quality_of_samples(model, case) -> list:
    """A callback that measures samples, if the model has any."""
    import keras_genmod as kg

    if not hasattr(model, "sample"):
        return []
    x, *condition = case.data(8)
    return [
        kg.callbacks.DistributionMetrics(
            x, metrics=("kid",), num_samples=8, condition=condition[0] if condition else None
        )
    ]


def main(folder: str, index: int, ports: list[int], names: list[str]) -> None:
    """Trains the named rows over two workers and writes `worker<index>.json` into the folder."""
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import keras

    from tests.contract.cases import CASES

    results = {}
    for number, case in enumerate(CASES):
        if case.name not in names:
            continue
        keras.config.set_dtype_policy("float64")  # two workers are one device to its rounding
        with strategy.scope():
            model = case.noiseless(7)
            model.compile(keras.optimizers.SGD(0.005))
        history = model.fit(*case.data(19), batch_size=8, epochs=2, verbose=0).history
        keras.config.set_dtype_policy("float32")
        # Without a seed each worker draws its own; the chief's holds for all. Files are the chief's.
        with strategy.scope():
            other = case.build(None)
            other.compile(steps_per_execution=2)
        backup = os.path.join(folder, f"backup{number}")
        measured = other.fit(
            *case.data(16),
            validation_data=case.data(8),
            batch_size=8,
            epochs=2,
            verbose=0,
            callbacks=[
                *quality_of_samples(other, case),
                keras.callbacks.ModelCheckpoint(os.path.join(folder, f"checkpoint{number}.keras")),
                keras.callbacks.BackupAndRestore(backup),
            ],
        ).history
        if case.name == names[0]:
            other.export(os.path.join(folder, "export", "1"))
        results[case.name] = {
            "history": history,
            "quality": measured.get("val_kid"),
            "weights": [np.asarray(w.numpy(), "float64").ravel().tolist() for w in model.weights],
            "seed": other._noise_state.numpy().tolist(),
            "digest": [float(np.sum(np.abs(w))) for w in other.get_weights()],
        }
    with open(os.path.join(folder, f"worker{index}.json"), "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(port) for port in sys.argv[3:5]], sys.argv[5:])
