"""Interrupted training, resumed, gives the weights of the uninterrupted run exactly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.cases import over_cases, selected_cases

# One process for all of them.
pytestmark = pytest.mark.xdist_group("resume")

ROOT = Path(__file__).parents[2]

# One objective with a condition, several players, state that moves.
ROWS = (
    "conditional vae with a schedule",
    "gan",
    "vq_vae",
)


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.resume", str(folder), *selected_cases(request)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "results.json").read_text())


@over_cases(*ROWS)
def test_a_resumed_run_is_the_uninterrupted_one(case, results):
    result = results[case.name]
    assert result["backup"] == 0.0
    assert result["file"] == 0.0
    assert result["steps"] == 0
    # The half-trained weights differ: the equalities above are not those of a run that does nothing.
    assert result["unlike"]
