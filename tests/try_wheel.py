"""Builds the source archive and the wheel, and tries the wheel outside this folder: `make test-wheel`.

The wheel is installed into an environment of its own, which finds the libraries that the package depends on
in the environment that runs this script: those were installed from the same list, and TensorFlow a second
time would cost minutes. The editable package is not found there, since a path added by a `.pth` file is
searched for modules, not for further `.pth` files.
"""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "keras_genmod"

TRIAL = """
import importlib.metadata
import sys
from pathlib import Path

import numpy as np
import keras_genmod as kg

environment, version = Path(sys.argv[1]), sys.argv[2]
package = Path(kg.__file__).parent
assert package.is_relative_to(environment), f"imported from {package}"
assert kg.__version__ == importlib.metadata.version("keras_genmod") == version, kg.__version__
assert (package / "py.typed").exists()

model = kg.VAE((4,), latent_dim=2, seed=0)
model.compile()
model.fit(np.eye(4, dtype="float32"), epochs=2, verbose=0)
model.export("export/1")
differences = kg.serving.verify("export/1")
assert differences and max(differences.values()) < 1e-4, differences
print(f"keras_genmod {version} fits, exports, and the export gives the model's numbers: {differences}")
"""


def built(folder: Path) -> tuple[Path, Path]:
    """Builds the source archive and, from it, the wheel."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    (archive,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return archive, wheel


def missing_from(archive: Path) -> list[str]:
    """Files that a build or a reader needs and the source archive does not hold."""
    with tarfile.open(archive) as files:
        held = {name.partition("/")[2] for name in files.getnames()}
    package = (path.relative_to(ROOT) for path in (ROOT / PACKAGE).rglob("*.py"))
    needed = {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "setup.cfg",
        f"{PACKAGE}/py.typed",
        *map(str, package),
    }
    return sorted(needed - held)


def main() -> None:
    """Builds, checks and tries."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, wheel = built(folder / "dist")
        if missing := missing_from(archive):
            sys.exit(f"{archive.name} lacks {', '.join(missing)}.")
        environment = folder / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        install = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            wheel,
        ]
        subprocess.run(install, check=True)
        paths = {"base": str(environment), "platbase": str(environment)}
        own = Path(sysconfig.get_path("purelib", "venv", vars=paths))
        (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        version = wheel.name.split("-")[1]
        variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        trial = [python, "-c", TRIAL, str(environment), version]
        sys.exit(subprocess.run(trial, cwd=folder, env=variables | {"TF_CPP_MIN_LOG_LEVEL": "3"}).returncode)


if __name__ == "__main__":
    main()
