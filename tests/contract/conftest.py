"""Models that the promises of one row share, each with steps that are traced once.

Tracing a step takes a hundred times as long as the three steps of an epoch. So tests that only look at a
trained model train the same one, every time anew from its start.
"""

import subprocess
import tempfile
from pathlib import Path

import keras
import pytest

import keras_genmod as kg
from keras_genmod.serving import runner


class Restarted:
    """A compiled model that is trained from the same start as often as it is asked to.

    Its start is the value of everything that a run changes: weights, the state of the noise and the
    optimizers' slots.
    """

    def __init__(self, model, *optimizers):
        model.compile(*optimizers)
        self.model = model
        slots = [variable for optimizer in model._optimizers() for variable in optimizer.variables]
        self._start = [(variable, variable.numpy()) for variable in [*model.variables, *slots]]

    def trained(self, data, *, batch_size=8, epochs=1, **options):
        """The model, trained from its start; `history` holds the logs."""
        for variable, value in self._start:
            variable.assign(value)
        self.history = self.model.fit(
            *data, batch_size=batch_size, epochs=epochs, verbose=0, **options
        ).history
        return self.model


class Row:
    """What the tests of one row have made so far; another row's is let go."""

    def __init__(self):
        self.case = None

    def once(self, case, name, make):
        """What `make` gives, made once for all tests of a row."""
        if case is not self.case:
            self.case, self._made = case, {}
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


@pytest.fixture(scope="module")
def row():
    return Row()


@pytest.fixture
def full(case, row):
    """The model of a row as users train it: float32, with its noise and its default optimizers."""
    return row.once(case, "full", lambda: Restarted(case.build(7)))


@pytest.fixture
def twin(case, row):
    """Another model of the same seed."""
    return row.once(case, "twin", lambda: Restarted(case.build(7)))


@pytest.fixture
def exact(case, row, float64):
    """The noiseless model of a row in float64: other ways to compute it differ by roundings alone."""
    return row.once(case, "exact", lambda: Restarted(case.noiseless(7), keras.optimizers.SGD(0.005)))


class Loader:
    """The process of a model server that `serving.runner` starts for each export, started once for all.

    A failure ends it, and the next export starts another one.
    """

    def __init__(self):
        self._child = None

    def run(self, command, *, env, **_):
        """Stands for `subprocess.run` of the same command."""
        python, isolated, script, folder, numpy = command
        if self._child is None:
            own = str(Path(__file__).with_name("loader.py"))
            self._errors = tempfile.TemporaryFile("w+")
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
            self._child = subprocess.Popen(
                [python, isolated, own, script, numpy], env=env, text=True, **pipes
            )
        print(folder, file=self._child.stdin, flush=True)
        if self._child.stdout.readline():
            return subprocess.CompletedProcess(command, 0, stderr="")
        return subprocess.CompletedProcess(command, *self.end())

    def end(self):
        """Ends the process: its code and its errors."""
        if self._child is None:
            return 0, ""
        child, self._child = self._child, None
        child.communicate()
        with self._errors as errors:
            errors.seek(0)
            return child.returncode, errors.read()


@pytest.fixture(scope="session")
def loader():
    loader = Loader()
    yield loader
    loader.end()


@pytest.fixture
def verify(loader, monkeypatch):
    """`kg.serving.verify` with one process for all exports."""
    monkeypatch.setattr(runner, "subprocess", loader)
    return kg.serving.verify


def pytest_itemcollected(item):
    """Keeps the tests of a row in one process, whose models they share."""
    if _is_of_a_row(item):
        name = f"{item.module.__name__.rpartition('.')[2]}: {item.callspec.params['case'].name}"
        item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Runs those of a module row after row."""
    names = {}
    for number, item in enumerate(items):
        if _is_of_a_row(item):
            names.setdefault(item.module, []).append(number)
    for numbers in names.values():
        own = [items[number] for number in numbers]
        own.sort(key=lambda item: item.callspec.params["case"].name)
        for number, item in zip(numbers, own, strict=True):
            items[number] = item


def _is_of_a_row(item):
    """Whether a test is one of a row of the contract; all tests of the suite are asked."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "case" in callspec.params and "row" in item.fixturenames
