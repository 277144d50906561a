"""The examples run, end well and write their pictures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_genmod as kg

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(p.name for p in (ROOT / "examples").glob("*.py") if p.name != "quiet_start.py")
)
def test_example(name, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) > 3


@pytest.mark.slow
def test_the_first_example_of_the_readme(tmp_path, monkeypatch):
    """It runs as it stands, and its export gives its numbers."""
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 16
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["images"].shape == (64, 8, 8, 1)
    # Independent pixels, each with its own probability, reach -24 nats on these digits.
    assert float(names["bound"].numpy().mean()) > -22
    assert max(kg.serving.verify("serving/vae/1").values()) < 1e-4
