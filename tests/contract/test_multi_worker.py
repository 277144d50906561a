"""Two processes on loopback train every model as one device does, and only the chief writes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_genmod.testing.arithmetic import SAME
from keras_genmod.testing.comparing import check_export
from tests.contract.cases import CASES, over_cases, selected_cases

# One pair of processes for all of them.
pytestmark = pytest.mark.xdist_group("workers")

ROOT = Path(__file__).parents[2]

# One objective with a condition, several players of data of several parts, state that moves.
ROWS = (
    "conditional vae with a schedule",
    "unpaired translator",
    "persistent chains",
)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    """The results of both workers, and the folder that they share."""
    folder = tmp_path_factory.mktemp("workers")
    names = selected_cases(request)
    ports = [str(port) for port in free_ports(2)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)}
    logs = [open(folder / f"worker{index}.log", "w") for index in range(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.multi_worker", str(folder), str(index), *ports, *names],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        for index, log in enumerate(logs)
    ]
    try:
        codes = [worker.wait(timeout=1800) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
        for log in logs:
            log.close()
    tails = [(folder / f"worker{index}.log").read_text()[-3000:] for index in range(2)]
    assert codes == [0, 0], "\n".join(tails)
    return folder, [json.loads((folder / f"worker{i}.json").read_text()) for i in range(2)]


@over_cases(*ROWS)
def test_two_workers_are_one_device(case, run, float64):
    _, results = run
    model = case.noiseless(7)
    model.compile(keras.optimizers.SGD(0.005))
    history = model.fit(*case.data(19), batch_size=8, epochs=2, verbose=0).history
    for worker in results:
        for name, values in history.items():
            np.testing.assert_allclose(worker[case.name]["history"][name], values, rtol=1e-6, atol=SAME)
        for weight, theirs in zip(model.weights, worker[case.name]["weights"], strict=True):
            np.testing.assert_allclose(weight.numpy().ravel(), theirs, rtol=0.0, atol=SAME)


@over_cases(*ROWS)
def test_workers_agree_on_a_seed_and_the_chief_writes_whole_files(case, run):
    folder, results = run
    number = CASES.index(case)
    first, second = (worker[case.name] for worker in results)
    assert first["seed"] == second["seed"]
    assert first["quality"] == second["quality"]
    assert first["digest"] == pytest.approx(second["digest"], rel=1e-12)
    checkpoint = keras.saving.load_model(folder / f"checkpoint{number}.keras")
    digest = [float(np.sum(np.abs(w))) for w in checkpoint.get_weights()]
    assert digest == pytest.approx(first["digest"], rel=1e-6)
    assert not (folder / f"backup{number}").exists()


def test_the_chief_exports_what_it_saves(run, loader):
    """Of the first row: how models are written in a run of several workers is no matter of the model."""
    folder, (worker, _) = run
    assert max(loader.verify(folder / "export" / "1").values()) < 1e-4
    number = [case.name for case in CASES].index(min(worker))
    check_export(folder / "export" / "1", keras.saving.load_model(folder / f"checkpoint{number}.keras"))
