"""The examples run, end well and write their pictures, which the documentation shows."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_genmod as kg

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
GALLERY = EXAMPLES / "gallery"
HELPERS = {"quiet_start.py", "update_gallery.py"}


def gallery_table():
    """Example -> picture in its folder -> picture in the gallery."""
    spec = importlib.util.spec_from_file_location("update_gallery", EXAMPLES / "update_gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PICTURES


PICTURES = gallery_table()


def test_the_gallery_is_small_and_complete():
    named = [shown for pictures in PICTURES.values() for shown in pictures.values()]
    assert len(set(named)) == len(named), "no picture overwrites another"
    assert set(named) <= {path.name for path in GALLERY.iterdir()}
    assert sum(path.stat().st_size for path in GALLERY.iterdir()) < 2_000_000


def test_the_quickstart_is_short():
    assert len((EXAMPLES / "quickstart.py").read_text().splitlines()) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({path.name for path in EXAMPLES.glob("*.py")} - HELPERS))
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
    written = {path.name for path in (tmp_path / f"{name[:-3]}_output").glob("*.png")}
    assert set(PICTURES.get(name[:-3], ())) <= written


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
