"""The server's configuration says what it was told, in its own format, and never what a server refuses."""

import re
from pathlib import Path

import pytest

from keras_genmod.serving import write_models_config

TOKEN = re.compile(r'\s*(?:([a-z_]+)\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?\d+))|([a-z_]+)\s*\{|(\}))\s*')


def read_by_hand(text):
    """The text format as far as this file uses it: field -> list of values."""
    text.encode("ascii")
    root, position = {}, 0
    stack = [root]
    while position < len(text):
        match = TOKEN.match(text, position)
        assert match, text[position : position + 40]
        position = match.end()
        field, string, number, message, _ = match.groups()
        if message:
            stack[-1].setdefault(message, []).append({})
            stack.append(stack[-1][message][-1])
        elif field:
            value = int(number) if number else unescape(string)
            stack[-1].setdefault(field, []).append(value)
        else:
            stack.pop()
    assert stack == [root]
    return root


def unescape(string):
    text = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), string.encode())
    return re.sub(rb'\\(["\\])', rb"\1", text).decode()


def read_by_proto(text):
    """The same form, read with the server's own message type."""
    messages = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    from google.protobuf import text_format

    config = text_format.Parse(text, messages.ModelServerConfig())
    return to_lists(config)


def to_lists(message):
    lists = {}
    for field, value in message.ListFields():
        if field.message_type and field.message_type.GetOptions().map_entry:
            lists[field.name] = [{"key": [key], "value": [value[key]]} for key in value]
        elif field.message_type:
            values = value if hasattr(value, "add") else [value]
            lists[field.name] = [to_lists(one) for one in values]
        else:
            repeated = not isinstance(value, str | int)
            lists[field.name] = list(value) if repeated else [value]
    return lists


@pytest.fixture(params=[read_by_hand, read_by_proto], ids=["by hand", "by protobuf"])
def read(request):
    def read(path):
        (models,) = request.param(path.read_text())["model_config_list"]
        return {model["name"][0]: model for model in models.get("config", [])}

    return read


def make_versions(folder, *versions):
    for version in versions:
        (folder / version).mkdir(parents=True)
        (folder / version / "saved_model.pb").touch()
    return folder


@pytest.fixture
def folder(tmp_path):
    """A model with versions 1, 2, 3 and 10, and things beside them that are none."""
    make_versions(tmp_path / "vae", "1", "2", "3", "10", "best", "-4", ".tmp-1-0.11")
    (tmp_path / "vae" / "notes.txt").touch()
    return tmp_path / "vae"


def test_by_default_a_model_is_served_in_its_latest_version(read, folder, tmp_path):
    other = make_versions(tmp_path / "others" / "gan", "00000123")
    write_models_config(tmp_path / "models.config", {"vae": folder, "gan-2.b_1": other})
    assert read(tmp_path / "models.config") == {
        "vae": {"name": ["vae"], "base_path": [str(folder)], "model_platform": ["tensorflow"]},
        "gan-2.b_1": {"name": ["gan-2.b_1"], "base_path": [str(other)], "model_platform": ["tensorflow"]},
    }


@pytest.mark.parametrize(
    ("choice", "policy"),
    [
        ({"versions": {"vae": [10, 2, 2]}}, {"specific": [{"versions": [2, 10]}]}),
        ({"versions": {"vae": "all"}}, {"all": [{}]}),
        ({"num_latest": {"vae": 2}}, {"latest": [{"num_versions": [2]}]}),
        ({"num_latest": {"vae": 100}}, {"latest": [{"num_versions": [100]}]}),
    ],
)
def test_chosen_versions(choice, policy, read, folder, tmp_path):
    write_models_config(tmp_path / "models.config", {"vae": folder, "same": folder}, **choice)
    models = read(tmp_path / "models.config")
    assert models["vae"]["model_version_policy"] == [policy]
    assert "model_version_policy" not in models["same"]


@pytest.mark.parametrize(
    ("choice", "labels"),
    [
        ({}, {"stable": 10}),
        ({"versions": {"vae": [1, 3]}}, {"stable": 1, "canary": 3, "new": 3}),
        ({"versions": {"vae": "all"}}, {"old": 1}),
        ({"num_latest": {"vae": 2}}, {"stable": 3, "canary": 10}),
    ],
)
def test_labels_stand_for_versions_that_are_served(choice, labels, read, folder, tmp_path):
    write_models_config(tmp_path / "models.config", {"vae": folder}, labels={"vae": labels}, **choice)
    entries = read(tmp_path / "models.config")["vae"]["version_labels"]
    assert {entry["key"][0]: entry["value"][0] for entry in entries} == labels


def test_paths_are_absolute_whatever_their_letters(read, tmp_path, monkeypatch):
    odd = 'vä "e" \\1\\ \t'
    make_versions(tmp_path / odd, "1")
    monkeypatch.chdir(tmp_path)
    write_models_config("models.config", {"vae": odd})
    assert read(Path("models.config"))["vae"]["base_path"] == [str(tmp_path / odd)]
    write_models_config("models.config", {"vae": odd}, mounted_at="/srv/models/")
    assert read(Path("models.config"))["vae"]["base_path"] == [f"/srv/models/{odd}"]


def test_the_versions_that_are_not_served_may_be_incomplete(read, folder, tmp_path):
    (folder / "10" / "saved_model.pb").unlink()
    with pytest.raises(ValueError, match="'vae' .*saved_model.pb.*vae/10' without it"):
        write_models_config(tmp_path / "models.config", {"vae": folder})
    write_models_config(tmp_path / "models.config", {"vae": folder}, versions={"vae": [3]})
    assert read(tmp_path / "models.config")["vae"]["model_version_policy"] == [
        {"specific": [{"versions": [3]}]}
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": {}}, "`models` must be a non-empty dict"),
        ({"models": ["vae"]}, "`models` must be a non-empty dict"),
        ({"models": {"": "vae"}}, "A model's name must consist of letters.*received ''"),
        ({"models": {"a/b": "vae"}}, "appears in URLs; received 'a/b'"),
        ({"models": {"a:b": "vae"}}, "received 'a:b'"),
        ({"models": {"vae\n": "vae"}}, r"received 'vae\\n'"),
        ({"models": {"vae": "nowhere"}}, "must exist and contain version.*nowhere"),
        ({"models": {"vae": "vae/1"}}, "vae/1'. It is itself an export: pass its parent"),
        ({"models": {"vae": "."}}, "must exist and contain version"),
        ({"versions": {"gan": [1]}}, r"`versions` must be a dict with names of \['vae'\]"),
        ({"labels": [("vae", 1)]}, r"`labels` must be a dict with names of \['vae'\]"),
        ({"versions": {"vae": [4]}}, r"folders, \[1, 2, 3, 10\].*received \[4\]"),
        ({"versions": {"vae": []}}, r"received \[\]"),
        ({"versions": {"vae": 3}}, "list of versions or 'all'; received 3"),
        ({"versions": {"vae": "3"}}, "list of versions or 'all'; received '3'"),
        ({"versions": {"vae": [1.5]}}, "integer of at least 0; received 1.5"),
        ({"num_latest": {"vae": 0}}, "integer of at least 1; received 0"),
        ({"num_latest": {"vae": 1}, "versions": {"vae": [1]}}, "not in both"),
        ({"labels": {"vae": {"stable": 3}}}, r"versions that are served, \[10\]; received 'stable' for 3"),
        ({"labels": {"vae": {"stable": 4}}, "versions": {"vae": "all"}}, "received 'stable' for 4"),
        ({"labels": {"vae": {"stable": True}}}, "integer of at least 0; received True"),
        ({"labels": {"vae": {"stable": "10"}}}, "integer of at least 0; received '10'"),
        ({"labels": {"vae": {"my label": 10}}}, "A label must consist of letters"),
        ({"labels": {"vae": "stable"}}, "`labels` of 'vae' must be a dict"),
        ({"mounted_at": "models"}, "`mounted_at` must be an absolute path"),
        (
            {"path": "sub/models.config", "mounted_at": "/models"},
            "must be below the folder of `path`, '.*/sub'",
        ),
    ],
)
def test_what_a_server_would_refuse_is_refused_and_nothing_written(
    arguments, message, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("models.config").write_text("earlier")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        write_models_config(**{"path": "models.config", "models": {"vae": folder}, **arguments})
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("models.config").read_text() == "earlier"


def test_an_interrupted_write_leaves_the_earlier_file(folder, tmp_path, monkeypatch):
    def write_half(file, text, **options):
        with open(file, "w") as stream:
            stream.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    write_models_config(tmp_path / "models.config", {"vae": folder})
    before = (tmp_path / "models.config").read_text()
    monkeypatch.setattr(Path, "write_text", write_half)
    with pytest.raises(KeyboardInterrupt):
        write_models_config(tmp_path / "models.config", {"vae": folder}, versions={"vae": [1]})
    assert (tmp_path / "models.config").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models.config", "vae"]
