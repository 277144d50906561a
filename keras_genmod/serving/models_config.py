"""The file that tells a model server which models and versions to serve, and where they are.

It is a TensorFlow Serving `ModelServerConfig` message in the text format of protocol buffers. The server
reads it when started with `--model_config_file`.

Reference: TensorFlow Serving's guide "Tensorflow Serving Configuration".
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import tensorflow as tf

from keras_genmod.core.checks import check_integer
from keras_genmod.core.files import check_path, exists, is_remote, replacing_file

__all__ = ["write_models_config"]

# Names appear in URLs, as in /v1/models/<name>/labels/<label>:predict.
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def write_models_config(
    path: str | os.PathLike,
    models: Mapping[str, str | os.PathLike],
    *,
    versions: Mapping[str, Collection[int] | str] | None = None,
    num_latest: Mapping[str, int] | None = None,
    labels: Mapping[str, Mapping[str, int]] | None = None,
    mounted_at: str | None = None,
) -> None:
    """Writes the configuration of a model server that serves several models, or chosen versions.

    If neither `versions` nor `num_latest` names a model, the server serves its latest version and switches to
    later versions as they appear. With `--model_config_file_poll_wait_seconds=60` a server reads the file
    again every minute and then serves exactly what the new file lists.

    Clients may request a label instead of a version, so the version behind "stable" can change without
    changing the clients. Start a server whose configuration has labels with
    `--allow_version_labels_for_unavailable_models=true`, because no version is loaded at that time.

    Args:
        path: The file to write; an existing file is replaced.
        models: Model name -> folder that contains its version folders, such as "serving/vae" or
            "gs://bucket/vae". Names consist of letters, digits, `_`, `-` and `.`.
        versions: Model name -> the versions to serve, or "all".
        num_latest: Model name -> number of latest versions to serve.
        labels: Model name -> label -> version. Each version must be one that is served.
        mounted_at: Where the server finds the folder of `path`, such as "/models" in a container. The
            models' folders must then be below the folder of `path`. By default the server sees the same
            paths.

    Raises:
        ValueError: If an argument is not as described, or a version to be served is not a SavedModel, which
            the server could not load. Nothing is written in this case.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     version = Path(folder, "vae", "3")
        ...     version.mkdir(parents=True)
        ...     (version / "saved_model.pb").touch()  # in place of `model.export(version)`
        ...     config = Path(folder, "models.config")
        ...     write_models_config(config, {"vae": f"{folder}/vae"}, mounted_at="/models")
        ...     print(config.read_text())
        model_config_list {
          config {
            name: "vae"
            base_path: "/models/vae"
            model_platform: "tensorflow"
          }
        }
    """
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            f"`models` must be a non-empty dict, model name -> folder of its versions; received {models!r}. "
            "Pass one entry per model, such as {'vae': 'serving/vae'}."
        )
    choices = {"versions": versions or {}, "num_latest": num_latest or {}, "labels": labels or {}}
    for argument, choice in choices.items():
        if not isinstance(choice, Mapping) or not set(choice) <= set(models):
            raise ValueError(
                f"`{argument}` must be a dict with names of {list(models)} as keys; received {choice!r}. "
                "Use the names in `models`."
            )
    lines = []
    for name, folder in models.items():
        _check_name("A model's name", name)
        base_path = _base_path(path, folder, mounted_at)
        fields = _model_lines(
            name,
            folder,
            base_path,
            versions=(versions or {}).get(name),
            num_latest=(num_latest or {}).get(name),
            labels=(labels or {}).get(name),
        )
        lines += ["config {", *_indent(fields), "}"]
    with replacing_file(path) as temporary:
        text = "\n".join(["model_config_list {", *_indent(lines), "}", ""])
        temporary.write_text(text, encoding="ascii")


def _model_lines(
    name: str,
    folder: str | os.PathLike,
    base_path: str,
    versions: Collection[int] | str | None,
    num_latest: int | None,
    labels: Mapping[str, int] | None,
) -> Iterator[str]:
    """The fields of one model, checked against the contents of its folder."""
    existing = _version_folders(folder)
    served, policy = _policy(name, existing, versions, num_latest)
    for version in served:
        if not exists(os.path.join(existing[version], "saved_model.pb")):
            raise ValueError(
                f"Each served version of {name!r} must contain `saved_model.pb`; received "
                f"{existing[version]!r} without it, which a server fails to load. Export the model "
                "there, remove the folder, or choose other `versions`."
            )
    yield f"name: {_quote(name)}"
    yield f"base_path: {_quote(base_path)}"
    yield 'model_platform: "tensorflow"'
    if policy:
        yield from ["model_version_policy {", *_indent(policy), "}"]
    if labels is None:
        return
    if not isinstance(labels, Mapping):
        raise ValueError(
            f"`labels` of {name!r} must be a dict, label -> version; received {labels!r}. "
            "Write them as {'stable': 1}."
        )
    for label, version in labels.items():
        _check_name("A label", label)
        if check_integer(f"The version of {label!r}", version, minimum=0) not in served:
            raise ValueError(
                f"A label of {name!r} must stand for one of the versions that are served, {served}; received "
                f"{label!r} for {version!r}. Choose one of these, or add the version to `versions`."
            )
        yield from ["version_labels {", *_indent([f"key: {_quote(label)}", f"value: {version}"]), "}"]


def _policy(
    name: str, existing: Mapping[int, str], versions: Collection[int] | str | None, num_latest: int | None
) -> tuple[list[int], list[str]]:
    """The versions that would be served now, and the lines of the version policy."""
    if versions is not None and num_latest is not None:
        raise ValueError(
            f"{name!r} must be in `versions` or in `num_latest`, not in both; received versions={versions!r} "
            f"and num_latest={num_latest!r} for it. Remove one."
        )
    if num_latest is not None:
        check_integer(f"num_latest[{name!r}]", num_latest)
        return sorted(existing)[-num_latest:], ["latest {", *_indent([f"num_versions: {num_latest}"]), "}"]
    if versions is None:
        return [max(existing)], []
    if isinstance(versions, str) and versions == "all":
        return sorted(existing), ["all {", "}"]
    if isinstance(versions, str) or not isinstance(versions, Collection):
        raise ValueError(
            f"`versions` of {name!r} must be a list of versions or 'all'; received {versions!r}. "
            "Pass integers, such as [1, 2]."
        )
    chosen = sorted({check_integer(f"versions[{name!r}]", version, minimum=0) for version in versions})
    if not chosen or not set(chosen) <= set(existing):
        raise ValueError(
            f"`versions` of {name!r} must be some of the existing version folders, {sorted(existing)}; "
            f"received {versions!r}. Export the missing ones, or choose others."
        )
    return chosen, ["specific {", *_indent([f"versions: {version}" for version in chosen]), "}"]


def _version_folders(folder: str | os.PathLike) -> dict[int, str]:
    """Version -> path of every folder that a server considers a version."""
    folder = check_path(folder)
    names = []
    if exists(folder) and tf.io.gfile.isdir(folder):
        # A bucket's folders end in a slash.
        names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    found = {int(name): os.path.join(folder, name) for name in names if re.fullmatch("[0-9]+", name)}
    if not found:
        advice = "Export to a folder in it that is named by an integer, such as 'serving/vae/1'."
        if exists(os.path.join(folder, "saved_model.pb")):
            advice = "It is itself an export: pass its parent, and name the export by an integer."
        raise ValueError(
            f"The folder of a model must exist and contain version folders, which are named by integers; "
            f"received {folder!r}. {advice}"
        )
    return found


def _base_path(path: str | os.PathLike, folder: str | os.PathLike, mounted_at: str | None) -> str:
    """The model's folder as the server sees it, an absolute path, since a server refuses relative ones."""
    if is_remote(folder):
        return os.fspath(folder)  # the same on every machine
    absolute = Path(os.path.abspath(folder))
    if mounted_at is None:
        return str(absolute)
    if not PurePosixPath(mounted_at).is_absolute():
        raise ValueError(
            f"`mounted_at` must be an absolute path; received {mounted_at!r}. Pass the path on the server, "
            "such as '/models'."
        )
    if is_remote(path):
        raise ValueError(
            f"With `mounted_at`, `path` and the models' folders must be local; received {os.fspath(path)!r}. "
            "Omit `mounted_at`, or write the file to the folder that the server mounts."
        )
    root = Path(os.path.abspath(path)).parent
    if not absolute.is_relative_to(root):
        raise ValueError(
            f"With `mounted_at`, each model's folder must be below the folder of `path`, {str(root)!r}; "
            f"received {str(absolute)!r}. Write the file to a folder above all models."
        )
    return str(PurePosixPath(mounted_at, *absolute.relative_to(root).parts))


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} must consist of letters, digits, `_`, `-` and `.`, since it appears in URLs; "
            f"received {name!r}. Choose another name."
        )


def _indent(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _quote(text: str) -> str:
    """A string in the text format, in ASCII; other bytes become octal escapes."""
    escapes = {'"': r"\"", "\\": r"\\"}
    characters = (
        escapes.get(chr(byte), chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
        for byte in os.fsencode(text)
    )
    return f'"{"".join(characters)}"'
