"""Files and folders whose path has a scheme, such as "gs://bucket/vae.keras": written locally, then copied.

Every scheme that TensorFlow has a file system for (`tf.io.gfile`) works: "gs://", "hdfs://", "file://",
"ram://", and those that packages such as tensorflow-io add. HDF5, zip archives and SavedModels need files
with random access, which buckets do not offer, so they are written on a local disk first.

A file is copied to a hidden name, its length is compared, and a rename makes it visible. Buckets cannot
rename folders: a folder's files are copied under their own names, and the file that makes it readable comes
last.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from keras_genmod.core.files import UnwritablePathError
from keras_genmod.core.hidden_names import Leftover, hidden_name

__all__ = [
    "local_copy",
    "make_remote_writable",
    "new_remote_directory",
    "remote_exists",
    "replacing_remote_file",
]

# The errors that TensorFlow's file systems raise.
_ERRORS = (tf.errors.OpError, OSError)


@contextlib.contextmanager
def replacing_remote_file(path: str) -> Iterator[Path]:
    """`files.replacing_file` for a path with a scheme."""
    folder, name = _split(path)
    hidden = tf.io.gfile.join(folder, hidden_name(name))
    with _unwritable(path):
        if tf.io.gfile.isdir(path):
            raise UnwritablePathError(
                f"`path` must be a file; received the folder {path!r}. Add a file name to it."
            )
        tf.io.gfile.makedirs(folder)
        _clear_leftovers(folder)
        # This proves that the path can be written to before the work begins.
        _write_empty(hidden)
    try:
        with tempfile.TemporaryDirectory() as local:
            temporary = Path(local, name)
            yield temporary
            with _unwritable(path):
                _copy(temporary, hidden)
                tf.io.gfile.rename(hidden, path, overwrite=True)
    except BaseException:
        with contextlib.suppress(*_ERRORS):
            tf.io.gfile.remove(hidden)
        raise


@contextlib.contextmanager
def new_remote_directory(path: str, *, last: str | None = None) -> Iterator[Path]:
    """`files.replacing_directory` for a path with a scheme, which must not exist yet."""
    path = path.rstrip("/")
    folder, name = _split(path)
    with _unwritable(path):
        if tf.io.gfile.exists(path):
            raise UnwritablePathError(
                f"`path` must not exist yet; received the existing {path!r}. A remote folder is never "
                "replaced, because readers would see half of it for a moment. Write to another name, such "
                "as the next version, or remove the folder yourself first."
            )
    make_remote_writable(folder)
    with tempfile.TemporaryDirectory() as local:
        temporary = Path(local, name)
        temporary.mkdir()
        yield temporary
        files = [file.relative_to(temporary) for file in sorted(temporary.rglob("*")) if file.is_file()]
        files.sort(key=lambda file: str(file) == last)
        try:
            with _unwritable(path):
                for file in files:
                    target = tf.io.gfile.join(path, *file.parts)
                    tf.io.gfile.makedirs(os.path.dirname(target))
                    _copy(temporary / file, target)
        except BaseException:
            with contextlib.suppress(*_ERRORS):
                tf.io.gfile.rmtree(path)
            raise


def make_remote_writable(folder: str) -> None:
    """`files.make_writable` for a path with a scheme."""
    with _unwritable(folder):
        tf.io.gfile.makedirs(folder)
        probe = tf.io.gfile.join(folder, hidden_name("probe"))
        _write_empty(probe)
        tf.io.gfile.remove(probe)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """A copy of a remote file or folder, removed afterwards.

    Raises:
        FileNotFoundError: If nothing exists at `path`.
        OSError: If it cannot be read.
    """
    path = path.rstrip("/")
    _, name = _split(path)
    with tempfile.TemporaryDirectory() as local:
        copy = Path(local, name)
        if not remote_exists(path):
            raise FileNotFoundError(f"There is no file {path!r}.")
        try:
            if not tf.io.gfile.isdir(path):
                tf.io.gfile.copy(path, str(copy))
            else:
                for folder, _, names in tf.io.gfile.walk(path):
                    here = Path(copy, *folder[len(path) :].strip("/").split("/"))
                    here.mkdir(parents=True, exist_ok=True)
                    for one in names:
                        tf.io.gfile.copy(tf.io.gfile.join(folder, one), str(here / one))
        except tf.errors.OpError as error:
            raise _unreadable(path, error) from error
        yield copy


def remote_exists(path: str) -> bool:
    """Whether a file or folder exists at a path with a scheme.

    Raises:
        OSError: If TensorFlow cannot tell, for example because it does not know the scheme.
    """
    try:
        return tf.io.gfile.exists(path)
    except tf.errors.OpError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: tf.errors.OpError) -> OSError:
    return OSError(
        f"{path!r} must be a path that TensorFlow can read; received the error {type(error).__name__}: "
        f"{error.message}. Check the scheme and the permissions, or copy the files to a local folder."
    )


def _split(path: str) -> tuple[str, str]:
    folder, name = os.path.split(path)
    if not name:
        raise ValueError(f"`path` must end in a name; received {path!r}. Add the name to write.")
    if folder.endswith(":"):
        # Of "ram://name" the slashes went too, and "ram:" is a local folder.
        folder = path.removesuffix(name)
    return folder, name


@contextlib.contextmanager
def _unwritable(path: str) -> Iterator[None]:
    try:
        yield
    except UnwritablePathError:
        raise
    except _ERRORS as error:
        reason = getattr(error, "message", None) or str(error)
        raise UnwritablePathError(
            f"`path` must be a path that TensorFlow can write to; received {path!r} "
            f"({type(error).__name__}: {reason}). Check the scheme and the permissions, or write to a local "
            "folder and copy it yourself."
        ) from error


def _write_empty(path: str) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(b"")


def _copy(source: Path, target: str) -> None:
    tf.io.gfile.copy(str(source), target, overwrite=True)
    arrived, sent = tf.io.gfile.stat(target).length, source.stat().st_size
    if arrived != sent:
        raise OSError(f"{arrived} of {sent} bytes arrived")


def _clear_leftovers(folder: str) -> None:
    """Removes what killed writers left in a folder: all of it is incomplete."""
    with contextlib.suppress(*_ERRORS):
        for name in tf.io.gfile.listdir(folder):
            leftover = Leftover.parse(name.rstrip("/"))
            path = tf.io.gfile.join(folder, name)
            # A file of this process may belong to another of its threads; a later process removes it.
            if leftover is None or leftover.pid == os.getpid():
                continue
            with contextlib.suppress(*_ERRORS):
                if leftover.is_dead(functools.partial(_last_change, path)):
                    tf.io.gfile.remove(path)


def _last_change(path: str) -> float:
    """The time of the last change to a file, in seconds since 1970."""
    return tf.io.gfile.stat(path).mtime_nsec / 1e9
