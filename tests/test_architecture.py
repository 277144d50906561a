"""The house rules of the package, read from its source: who may import whom, and what no file holds.

The rules are functions from a source tree to a list of complaints, so that they can be tried on small
trees with one fault each: a rule that finds nothing anywhere would pass for ever.
"""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "keras_genmod"
ROOT = Path(__file__).resolve().parents[1]

# A file imports only from folders on lower floors; folders on one floor are strangers.
FLOORS = {
    "callbacks": 7,
    "explorer": 7,
    "testing": 7,
    "models": 6,
    "plots": 6,
    "applications": 5,
    "bases": 5,
    "training": 4,
    "bijectors": 4,
    "networks": 3,
    "metrics": 2,
    "data": 2,
    "samplers": 2,
    "serving": 2,
    "distributions": 1,
    "layers": 1,
    "losses": 1,
    "core": 0,
}


def read_tree(root):
    """The syntax trees of a package: `{path relative to root: ast.Module}`."""
    return {path.relative_to(root): ast.parse(path.read_text()) for path in sorted(root.rglob("*.py"))}


def imported_modules(path, tree):
    """Dotted names, from the package's root, of what the file at `path` imports from the package."""
    here = (PACKAGE, *path.with_suffix("").parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(here[: -node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == PACKAGE:
                yield node.lineno, rest.split(".")


def forbidden_imports(trees):
    """Arrows that run up, sideways, or from one family of models to another."""
    for path, tree in trees.items():
        if len(path.parts) == 1:
            continue  # The package's own `__init__.py` is above all floors.
        folder = path.parts[0]
        if folder not in FLOORS:
            yield f"{path}: folder `{folder}` has no floor; give it one in FLOORS."
            continue
        for line, (target, *inner) in imported_modules(path, tree):
            where = f"{path}:{line}"
            if target not in FLOORS:
                yield f"{where} imports the package's root; import from the folder that owns the name."
            elif target != folder and FLOORS[target] >= FLOORS[folder]:
                yield f"{where} imports `{target}`, which is not on a floor below `{folder}`."
            elif target == folder == "models" and len(path.parts) > 2 and inner[:1] != [path.parts[1]]:
                yield f"{where}: family `{path.parts[1]}` imports `{'.'.join([target, *inner])}`."


def busy_inits(trees):
    """Files `__init__.py` of folders that do more than pass names on."""
    for path, tree in trees.items():
        if path.name != "__init__.py" or len(path.parts) == 1:
            continue
        for node in tree.body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_all = isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]
            if not (is_docstring or is_all or isinstance(node, ast.Import | ast.ImportFrom)):
                yield f"{path}:{node.lineno}: only imports and `__all__` belong here."


def missing_docstrings(trees):
    """Files without a docstring at their head."""
    return [f"{path}: no module docstring." for path, tree in trees.items() if not ast.get_docstring(tree)]


def unsafe_to_load(trees):
    """`Lambda` layers and pickles: either makes a saved model a program that loading runs."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            elif isinstance(node, ast.Attribute):
                names = [node.attr]
            for name in names:
                if name in {"Lambda", "pickle", "cloudpickle", "dill"}:
                    yield f"{path}:{node.lineno} uses `{name}`."


def warnings_at_other_lines(trees):
    """Warnings that do not go through the helper that finds the user's line."""
    for path, tree in trees.items():
        for node in ast.walk(tree):
            is_warn = isinstance(node, ast.Attribute) and ast.unparse(node) == "warnings.warn"
            if is_warn and path != Path("core/user_warnings.py"):
                yield f"{path}:{node.lineno} uses `warnings.warn`; use `core.user_warnings.warn_user`."


RULES = [forbidden_imports, busy_inits, missing_docstrings, unsafe_to_load, warnings_at_other_lines]


@pytest.fixture(scope="module")
def package_trees():
    return read_tree(ROOT / PACKAGE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule, package_trees):
    complaints = list(rule(package_trees))
    assert not complaints, "\n".join(complaints)


FAULTS = {
    "up": (forbidden_imports, "layers/a.py", "from keras_genmod.training import step"),
    "up, plain import": (forbidden_imports, "core/a.py", "import keras_genmod.layers.masked"),
    "up, relative": (forbidden_imports, "networks/a.py", "from ..models import VAE"),
    "up, inside a function": (forbidden_imports, "core/a.py", "def f():\n    from ..data import load"),
    "up, folder as a name": (forbidden_imports, "core/a.py", "from keras_genmod import data"),
    "sideways": (forbidden_imports, "metrics/a.py", "from keras_genmod.data.sets import load"),
    "sideways to models": (forbidden_imports, "applications/a.py", "from ..models.flows import MAF"),
    "through the root": (forbidden_imports, "models/a.py", "from keras_genmod import VAE"),
    "the root itself": (forbidden_imports, "models/a.py", "import keras_genmod as kg"),
    "other family": (forbidden_imports, "models/flows/a.py", "from ..mixtures.gaussian import Mixture"),
    "other family, absolute": (forbidden_imports, "models/flows/a.py", "import keras_genmod.models.markov"),
    "all families": (forbidden_imports, "models/flows/a.py", "from keras_genmod import models"),
    "unknown folder": (forbidden_imports, "helpers/a.py", "import numpy"),
    "function in an init": (busy_inits, "layers/__init__.py", '"""Layers."""\ndef f():\n    return 1'),
    "constant in an init": (busy_inits, "models/flows/__init__.py", "SIZE = 3"),
    "no docstring": (missing_docstrings, "core/a.py", "import numpy"),
    "lambda layer": (unsafe_to_load, "layers/a.py", "import keras\nkeras.layers.Lambda(abs)"),
    "lambda layer by name": (unsafe_to_load, "layers/a.py", "from keras.layers import Lambda"),
    "warning at a line of its own": (warnings_at_other_lines, "core/a.py", "warnings.warn('x')"),
    "pickle": (unsafe_to_load, "data/a.py", "import pickle"),
    "from pickle": (unsafe_to_load, "data/a.py", "from pickle import loads"),
}


@pytest.mark.parametrize(("rule", "path", "source"), FAULTS.values(), ids=FAULTS)
def test_a_rule_finds_its_fault(rule, path, source, tmp_path):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    (complaint,) = rule(read_tree(tmp_path))
    assert complaint.startswith(path)


def test_the_rules_allow_what_the_design_allows(tmp_path):
    allowed = {
        "__init__.py": '"""Root."""\nfrom keras_genmod.models import VAE\n__version__ = "1"',
        "layers/__init__.py": '"""Layers."""\nfrom .masked import MaskedDense\n__all__ = ["MaskedDense"]',
        "layers/masked.py": '"""Masks."""\nimport keras\nfrom ..core import checks',
        "models/__init__.py": '"""Models."""\nfrom .flows import MAF\n__all__ = ["MAF"]',
        "models/flows/maf.py": '"""MAF."""\nfrom keras_genmod.layers import Mask\nfrom .nice import NICE',
        "models/flows/iaf.py": '"""IAF."""\nfrom keras_genmod.models.flows.maf import A\nfrom . import b',
    }
    for path, source in allowed.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    trees = read_tree(tmp_path)
    assert [complaint for rule in RULES for complaint in rule(trees)] == []


def test_public_names_exist_once():
    package = importlib.import_module(PACKAGE)
    assert len(set(package.__all__)) == len(package.__all__)
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


def modules():
    """All modules of the package, imported."""
    package = importlib.import_module(PACKAGE)
    for info in pkgutil.walk_packages(package.__path__, prefix=f"{PACKAGE}."):
        yield importlib.import_module(info.name)


def test_modules_list_their_public_names():
    for module in modules():
        is_folder = hasattr(module, "__path__")  # A folder may leave its names to its files.
        assert is_folder or hasattr(module, "__all__"), f"{module.__name__} has no `__all__`."
        names = getattr(module, "__all__", ())
        assert [name for name in names if not hasattr(module, name)] == [], module.__name__


def bare_methods(cls):
    """Public methods of a class with a docstring neither here nor above, and unknown to Keras."""
    foreign = [base for base in cls.__mro__ if not base.__module__.startswith(PACKAGE)]
    for name, value in vars(cls).items():
        is_function = inspect.isfunction(value) or isinstance(value, classmethod | staticmethod)
        is_override = any(hasattr(base, name) for base in foreign)
        if is_function and not name.startswith("_") and not is_override:
            if not inspect.getdoc(getattr(cls, name)):
                yield f"{cls.__module__}.{cls.__qualname__}.{name}"


def test_public_methods_are_documented():
    """Ruff checks functions and classes, but does not know what a method inherits."""
    values = [getattr(module, name) for module in modules() for name in getattr(module, "__all__", ())]
    classes = {value for value in values if inspect.isclass(value) and value.__module__.startswith(PACKAGE)}
    assert sorted(name for cls in classes for name in bare_methods(cls)) == []


def test_another_keras_backend_is_refused_with_the_way_out():
    # Keras imports its other backends only beside their own packages, so here it only claims to use one.
    script = f"""
import keras
keras.backend.backend = keras.config.backend = lambda: "jax"
try:
    import {PACKAGE}
except (ImportError, RuntimeError) as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    for word in ("KERAS_BACKEND", "tensorflow", "jax"):
        assert word in run.stdout
