"""Trains one VAE in every way: on one device, on two replicas, and in two processes.

    python examples/distributed.py                 # all three on this machine, one after the other
    python examples/distributed.py --way replicas  # or single, workers

If the objective has no noise, all three give the same numbers. With a VAE's noise each replica draws its own,
so the results agree in distribution only. The table shows both: an autoencoder and a VAE.

On several machines
-------------------
Start the same command on every machine. `TF_CONFIG` lists all machines and tells each one its index:

    # on the first machine, which is the chief and writes the files
    export TF_CONFIG='{"cluster": {"worker": ["host0:12345", "host1:12345"]},
                       "task": {"type": "worker", "index": 0}}'
    python examples/distributed.py --way worker

    # on the second, the same with "index": 1

All workers read the same data, and each processes its part of every batch: `batch_size` is the size over all
workers. A folder for `BackupAndRestore` must be accessible to all workers.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

WAYS = ("single", "replicas", "workers")


def train(strategy, verbose: int = 0) -> dict:
    """Trains both models under a strategy (None for one device) and returns their final losses."""
    import keras

    import keras_genmod as kg

    data = kg.data.load("digits")
    x, valid = kg.data.binarize(data["train"] / 16), kg.data.binarize(data["valid"] / 16)
    losses = {}
    for name, family in (("autoencoder", kg.Autoencoder), ("vae", kg.VAE)):
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = family((8, 8, 1), latent_dim=8, seed=1)
            model.compile(keras.optimizers.Adam(1e-3))
        start = time.perf_counter()
        logs = model.fit(x, validation_data=valid, batch_size=128, epochs=10, verbose=verbose).history
        losses[name] = {
            "loss": logs["loss"][-1],
            "val_loss": logs["val_loss"][-1],
            "seconds": time.perf_counter() - start,
        }
    return losses


def on_one_device() -> dict:
    """Trains without a strategy."""
    return train(None)


def on_two_replicas() -> dict:
    """Trains under `MirroredStrategy` over all GPUs, or over two halves of the CPU if there are none."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return train(tf.distribute.MirroredStrategy())
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))


def as_worker() -> dict:
    """Trains as one of several processes; `TF_CONFIG` says which."""
    import tensorflow as tf

    # This must come before any other TensorFlow operation.
    return train(tf.distribute.MultiWorkerMirroredStrategy())


def in_two_processes() -> dict:
    """Starts two workers on this machine as if they were two machines."""
    ports = []
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            free = stack.enter_context(socket.socket())
            free.bind(("localhost", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    workers = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = {**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"}
        command = [sys.executable, __file__, "--way", "worker"]
        workers.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [worker.communicate() for worker in workers]
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        if worker.returncode:
            raise SystemExit(f"A worker failed:\n{errors[-3000:]}")
    results = [json.loads(output.splitlines()[-1]) for output, _ in outputs]
    for name in results[0]:
        assert results[0][name]["loss"] == results[1][name]["loss"], "the workers disagree"
    return results[0]


def main() -> None:
    """Runs one way, or all of them in processes of their own, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--way", choices=(*WAYS, "worker", "all"), default="all")
    way = parser.parse_args().way
    functions = {
        "single": on_one_device,
        "replicas": on_two_replicas,
        "workers": in_two_processes,
        "worker": as_worker,
    }
    if way != "all":
        print(json.dumps(functions[way]()))
        return
    print(f"{'way':10} {'model':12} {'loss':>9} {'val_loss':>9} {'seconds':>8}")
    for one in WAYS:
        command = [sys.executable, __file__, "--way", one]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        for model, row in json.loads(done.stdout.splitlines()[-1]).items():
            print(f"{one:10} {model:12} {row['loss']:9.4f} {row['val_loss']:9.4f} {row['seconds']:8.1f}")


if __name__ == "__main__":
    main()
