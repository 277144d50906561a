"""Writing files and folders so that a reader never sees half of one.

Idea: the new content grows under a hidden name beside its target (same folder, so the same file
system) and takes the target's name by one rename when it is complete. Whatever happens to the
process, the target's name stands for nothing, for the complete old content, or for the complete new one.

Hidden names are ``.tmp-<machine>-<pid>-<n>.<name>`` (content that grows) and ``.old-...`` (a replaced folder
on its way out). Each write removes from the folder of its target what dead writers of any target left there:
those of this machine whose process has ended, and those of other machines in which nothing has changed for a
day, since nobody can ask another machine for its processes. A folder cannot be replaced by one rename, so a
process killed between the two renames leaves the name free and the old folder under ``.old-...``; the next
write puts it back first.

Paths with a scheme, such as "gs://bucket/vae.keras", go through TensorFlow's file systems, see
`core.remote_files`.

This guards against the death of a process, not against loss of power (nothing is flushed to the disk).
"""

import contextlib
import itertools
import os
import re
import shutil
import socket
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "UnwritablePathError",
    "check_path",
    "exists",
    "hidden_name",
    "is_remote",
    "make_writable",
    "reading",
    "replacing_directory",
    "replacing_file",
    "working_directory",
]

# A hidden name that nothing has changed in for so long, in seconds, is no living writer's.
_DEAD_AFTER = 24 * 60 * 60

_numbers = itertools.count()
_in_use: set[Path] = set()  # hidden names of this process: its own pid does not tell them from leftovers


class UnwritablePathError(ValueError, OSError):
    """A path cannot be written to: a wrong argument, or a disk that is full or gone."""


class Leftover(NamedTuple):
    """What a hidden name says.

    Args:
        kind: "tmp" for content that grew, "old" for a folder that was replaced.
        machine: where its writer ran.
        pid: the process that wrote.
        name: of the target.
    """

    kind: str
    machine: str
    pid: int
    name: str

    @classmethod
    def parse(cls, name: str) -> "Leftover | None":
        """The parts of a file's name; None for one that is not hidden in this way."""
        match = re.fullmatch(r"\.(tmp|old)-([0-9a-f]{8})-(\d+)-\d+\.(.+)", name, re.DOTALL)
        return None if match is None else cls(match[1], match[2], int(match[3]), match[4])

    def is_dead(self, changed: Callable[[], float]) -> bool:
        """Whether its writer has ended.

        Args:
            changed: gives the time of its last change, in seconds since 1970; asked only if needed.
        """
        if self.machine == this_machine():
            return not _runs(self.pid)
        return time.time() - changed() > _DEAD_AFTER


def this_machine() -> str:
    """Eight digits that tell machines apart, and containers, which number their processes by themselves."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return f"{zlib.crc32(f'{socket.gethostname()} {numbering}'.encode()):08x}"


def hidden_name(name: str, kind: str = "tmp") -> str:
    """A name that nobody else takes, for content on its way to or from `name`."""
    return f".{kind}-{this_machine()}-{os.getpid()}-{next(_numbers)}.{name}"


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path has a scheme, as in "gs://bucket/vae.keras"."""
    return "://" in os.fspath(path)


def check_path(path: str | os.PathLike) -> str:
    """The path as a string.

    Raises:
        ValueError: for "gs:/bucket", which `pathlib` makes of "gs://bucket": it would name a local folder.
    """
    path = os.fspath(path)
    shortened = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", path)
    if shortened:
        raise ValueError(
            f"A remote path must be a string with '://'; received {path!r}, as `pathlib` shortens it. "
            f"Pass '{shortened[1]}://{path[shortened.end() :]}'."
        )
    return path


def exists(path: str | os.PathLike) -> bool:
    """Whether there is a file or folder at a path, local or with a scheme."""
    path = check_path(path)
    if not is_remote(path):
        return os.path.exists(path)
    from keras_genmod.core.remote_files import remote_exists

    return remote_exists(path)


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[Path]:
    """A local path with the content of a file or folder, for readers that know local files alone.

    Args:
        path: local, or with a scheme.

    Returns:
        A context manager that gives the path itself, or a copy that is removed afterwards.

    Raises:
        FileNotFoundError: there is nothing at a remote `path`.

    Cost: a remote path is copied whole.
    """
    path = check_path(path)
    if not is_remote(path):
        yield Path(path)
        return
    from keras_genmod.core.remote_files import local_copy

    with local_copy(path) as copy:
        yield copy


@contextlib.contextmanager
def replacing_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file under a temporary name and rename it onto `path` on success.

    The temporary name ends in the full name of `path`, so writers that look at the suffix work.

    Args:
        path: The file to write; an existing one is replaced. Missing parent folders are created. A symbolic
            link is followed, as `open` would. With a scheme, the file is written to a local disk first.

    Returns:
        A context manager that gives the temporary path; nothing exists there yet. If the body raises,
        what was written is removed and an existing file stays as it was.

    Raises:
        UnwritablePathError: `path` is a folder or a device, or its folder cannot be written to. Raised before
            the body runs. Of a remote path also afterwards, if the copy fails.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing_file(f"{folder}/scores.txt") as temporary:
        ...         _ = temporary.write_text("1.5")
        ...     Path(folder, "scores.txt").read_text()
        '1.5'
    """
    path = check_path(path)
    if is_remote(path):
        from keras_genmod.core.remote_files import replacing_remote_file

        with replacing_remote_file(path) as temporary:
            yield temporary
        return
    target = _resolve(path)
    if target.is_dir():
        raise UnwritablePathError(
            f"`path` must be a file; received the folder {str(target)!r}. Add a file name to it."
        )
    if target.exists() and not target.is_file():
        # A rename would put a file in the place of /dev/null.
        raise UnwritablePathError(
            f"`path` must be a file; received the device or pipe {str(target)!r}. Choose another name."
        )
    with _temporary(target, Path.touch) as temporary:
        temporary.unlink()  # it only proved that the folder can be written to
        yield temporary
        os.replace(temporary, target)


@contextlib.contextmanager
def replacing_directory(
    path: str | os.PathLike, overwrite: bool = False, *, last: str | None = None
) -> Iterator[Path]:
    """Fill a folder under a temporary name and rename it to `path` on success.

    Args:
        path: The folder to write. Missing parent folders are created. A symbolic link is followed. With a
            scheme, the folder is filled on a local disk and copied.
        overwrite: Whether an existing folder is replaced, with all that it holds. A remote one is not: it
            could not be done without a moment in which readers see half of it.
        last: Name of the file without which readers take the folder for no content. Remote folders have no
            rename: this file is copied last.

    Returns:
        A context manager that gives the temporary folder, which exists and is empty. If the body raises,
        it is removed and an existing folder stays as it was.

    Raises:
        UnwritablePathError: `path` exists and `overwrite` is false, is a file, or its parent folder cannot be
            written to. Raised before the body runs. Of a remote path also afterwards, if the copy fails.
    """
    path = check_path(path)
    if is_remote(path):
        from keras_genmod.core.remote_files import new_remote_directory

        with new_remote_directory(path, last=last) as temporary:
            yield temporary
        return
    target = _resolve(path)
    if target.exists() and not target.is_dir():
        raise UnwritablePathError(
            f"`path` must be a folder; received the file {str(target)!r}. Choose another name."
        )
    if target.exists() and not overwrite:
        raise UnwritablePathError(
            f"`path` must not exist yet; received the existing folder {str(target)!r}. "
            "Choose another name, or pass `overwrite=True` to replace it."
        )
    with _temporary(target, Path.mkdir) as temporary:
        yield temporary
        _rename_over(temporary, target)


def make_writable(folder: str | os.PathLike) -> None:
    """Makes a folder, with its parents, and proves that files can be written into it.

    Args:
        folder: local, or with a scheme.

    Raises:
        UnwritablePathError: they cannot.
    """
    folder = check_path(folder)
    if is_remote(folder):
        from keras_genmod.core.remote_files import make_remote_writable

        make_remote_writable(folder)
        return
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UnwritablePathError(
            f"A folder must be one that can be written to; received {folder!r} ({type(error).__name__}: "
            f"{error.strerror}). Choose another, or change the rights."
        ) from error


@contextlib.contextmanager
def working_directory(target: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target`, on the same file system, removed with what is left in it."""
    folder = _hidden_sibling(target, "tmp")
    try:
        folder.mkdir()
        yield folder
    finally:
        _remove(folder)
        _in_use.discard(folder)


def _resolve(path: str) -> Path:
    """The absolute target, after clearing up what killed writers left beside it."""
    target = Path(os.path.realpath(path))
    if not target.name:
        raise ValueError(f"`path` must end in a name; received {path!r}. Add the name to write.")
    if target.parent.is_dir():
        _clear_leftovers(target.parent)
    return target


def _clear_leftovers(folder: Path) -> None:
    # Errors are ignored: what stays is hidden, the next write tries again, and another process may be at it.
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            path, leftover = folder / name, Leftover.parse(name)
            if leftover is None or path in _in_use:
                continue
            with contextlib.suppress(OSError):
                if not leftover.is_dead(lambda path=path: _last_change(path)):
                    continue
                target = folder / leftover.name
                if leftover.kind == "old" and not target.exists():
                    os.rename(path, target)
                else:
                    _remove(path)


def _last_change(path: Path) -> float:
    """Time of the last change of a file, or of anything in a folder, in seconds since 1970."""
    return max(one.lstat().st_mtime for one in [path, *path.rglob("*")])


def _runs(pid: int) -> bool:
    """Whether another process of this number is alive."""
    if pid == os.getpid():
        return False  # ours are in `_in_use`: this one is of an earlier process with our number
    if os.name == "nt":
        return True  # there `os.kill` would end the process
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _temporary(target: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """Create a hidden sibling of `target`; after an error remove it, and the parents made for it."""
    new_parents = [parent for parent in target.parents if not parent.exists()]
    temporary = _hidden_sibling(target, "tmp")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            create(temporary)
        except OSError as error:
            raise UnwritablePathError(
                f"The folder of `path` must be one that can be written to; received {str(target)!r} "
                f"({type(error).__name__}: {error.strerror}). Choose another place or change the rights."
            ) from error
        yield temporary
    except BaseException:
        _remove(temporary)
        with contextlib.suppress(OSError):  # not ours alone any more
            for parent in new_parents:
                parent.rmdir()
        raise
    finally:
        _in_use.discard(temporary)


def _rename_over(temporary: Path, target: Path) -> None:
    if not target.exists():
        os.rename(temporary, target)
        return
    aside = _hidden_sibling(target, "old")
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(aside, target)
        raise
    else:
        _remove(aside)
    finally:
        _in_use.discard(aside)


def _hidden_sibling(target: Path, kind: str) -> Path:
    sibling = target.with_name(hidden_name(target.name, kind))
    _in_use.add(sibling)
    return sibling


def _remove(path: Path) -> None:
    # Errors are ignored: what stays is hidden, and the next write tries again.
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
