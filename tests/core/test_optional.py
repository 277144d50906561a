"""Optional packages: the module where it is there, and what to install where it is not."""

import json
import os.path
import sys

import pytest

from keras_genmod.core.optional import optional_module


def test_the_module_itself():
    assert optional_module("json", what="A test") is json
    assert optional_module("os.path", what="A test") is os.path


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("no_such_package", "no_such_package"),
        ("no_such_package.part.of_it", "no_such_package"),
        # Installed by another name than it is imported by.
        ("sklearn", "scikit-learn"),
        ("sklearn.mixture", "scikit-learn"),
    ],
)
def test_a_missing_package_is_named_as_it_is_installed(name, package, monkeypatch):
    for known in [known for known in sys.modules if known.split(".")[0] == name.split(".")[0]]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, name.split(".")[0], None)  # As if it were not installed.
    with pytest.raises(ImportError) as raised:
        optional_module(name, what="The inception score")
    assert str(raised.value) == f"The inception score needs {package}: `pip install {package}`."
    assert isinstance(raised.value.__cause__, ImportError)


def test_a_missing_package_of_an_extra_is_installed_by_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "no_such_package", None)
    with pytest.raises(
        ImportError, match=r"A test needs no_such_package: `pip install keras_genmod\[some\]`"
    ):
        optional_module("no_such_package", what="A test", extra="some")
