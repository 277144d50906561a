"""What the tests of one row share: its models, and a process that answers from exports."""

import subprocess
import tempfile
from pathlib import Path
from unittest import mock

import pytest

import keras_genmod as kg
from keras_genmod import testing
from keras_genmod.serving import runner


class Rows:
    """The models of the row whose promises are tried; another row's are let go."""

    def __init__(self):
        self._row = None

    def of(self, case, **options):
        if self._row is None or self._row.case is not case:
            self._row = testing.Row(case, **options)
        return self._row


@pytest.fixture(scope="module")
def rows():
    return Rows()


@pytest.fixture
def row(case, rows, strategy, loader):
    """The row of a case, with the session's strategy and one process for all exports."""
    return rows.of(case, strategy=strategy, verify=loader.verify)


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

    def verify(self, path):
        """`kg.serving.verify` of an export by this process."""
        with mock.patch.object(runner, "subprocess", self):
            return kg.serving.verify(path)

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
