"""Writing files and folders so that a reader never sees half of one.

Idea: the new content grows under a hidden name beside its target (same folder, so the same file
system) and takes the target's name by one rename when it is complete. Whatever happens to the
process, the target's name stands for nothing, for the complete old content, or for the complete new one.

Hidden names are ``.tmp-<pid>-<n>.<name>`` (content that grows) and ``.old-<pid>-<n>.<name>`` (a replaced
folder on its way out). The next write to the same target removes those whose process has died. A folder
cannot be replaced by one rename, so a process killed between the two renames leaves the name free and
the old folder under ``.old-...``; the next write puts it back first.

This guards against the death of a process, not against loss of power (nothing is flushed to the disk),
and it tells dead processes from living ones on one machine only.
"""

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["replacing_directory", "replacing_file"]

_numbers = itertools.count()
_in_use: set[Path] = set()  # hidden names of this process: its own pid does not tell them from leftovers


@contextlib.contextmanager
def replacing_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file under a temporary name and rename it onto `path` on success.

    The temporary name ends in the full name of `path`, so writers that look at the suffix work.

    Args:
        path: The file to write; an existing one is replaced. Missing parent folders are created. A symbolic
            link is followed, as `open` would.

    Returns:
        A context manager that gives the temporary path; nothing exists there yet. If the body raises,
        what was written is removed and an existing file stays as it was.

    Raises:
        ValueError: `path` is a folder, is not local, or its folder cannot be written to. Raised before
            the body runs.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing_file(f"{folder}/scores.txt") as temporary:
        ...         _ = temporary.write_text("1.5")
        ...     Path(folder, "scores.txt").read_text()
        '1.5'
    """
    target = _resolve(path)
    if target.is_dir():
        raise ValueError(
            f"`path` must be a file; received the folder {str(target)!r}. Add a file name to it."
        )
    with _temporary(target, Path.touch) as temporary:
        temporary.unlink()  # it only proved that the folder can be written to
        yield temporary
        os.replace(temporary, target)


@contextlib.contextmanager
def replacing_directory(path: str | os.PathLike, overwrite: bool = False) -> Iterator[Path]:
    """Fill a folder under a temporary name and rename it to `path` on success.

    Args:
        path: The folder to write. Missing parent folders are created. A symbolic link is followed.
        overwrite: Whether an existing folder is replaced, with all that it holds.

    Returns:
        A context manager that gives the temporary folder, which exists and is empty. If the body raises,
        it is removed and an existing folder stays as it was.

    Raises:
        ValueError: `path` exists and `overwrite` is false, is a file, is not local, or its parent
            folder cannot be written to. Raised before the body runs.
    """
    target = _resolve(path)
    if target.exists() and not target.is_dir():
        raise ValueError(f"`path` must be a folder; received the file {str(target)!r}. Choose another name.")
    if target.exists() and not overwrite:
        raise ValueError(
            f"`path` must not exist yet; received the existing folder {str(target)!r}. "
            "Choose another name, or pass `overwrite=True` to replace it."
        )
    with _temporary(target, Path.mkdir) as temporary:
        yield temporary
        _rename_over(temporary, target)


def _resolve(path: str | os.PathLike) -> Path:
    """The absolute target, after clearing up what killed writers of it left."""
    if "://" in os.fspath(path):
        raise ValueError(
            f"`path` must be local; received {os.fspath(path)!r}. Write to a local folder and copy it there."
        )
    target = Path(os.path.realpath(path))
    if not target.name:
        raise ValueError(f"`path` must end in a name; received {os.fspath(path)!r}. Add the name to write.")
    if target.parent.is_dir():
        _clear_leftovers(target)
    return target


def _clear_leftovers(target: Path) -> None:
    hidden_name = re.compile(r"\.(tmp|old)-(\d+)-\d+\." + re.escape(target.name))
    for name in os.listdir(target.parent):
        match = hidden_name.fullmatch(name)
        leftover = target.with_name(name)
        if not match or leftover in _in_use or _runs(int(match[2])):
            continue
        if match[1] == "old" and not target.exists():
            os.rename(leftover, target)
        else:
            _remove(leftover)


def _runs(pid: int) -> bool:
    """Whether another process of this number is alive."""
    if pid == os.getpid():
        return False  # ours are in `_in_use`: this one is of an earlier process with our number
    if os.name == "nt":
        return True  # there `os.kill` would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
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
            raise ValueError(
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
    sibling = target.with_name(f".{kind}-{os.getpid()}-{next(_numbers)}.{target.name}")
    _in_use.add(sibling)
    return sibling


def _remove(path: Path) -> None:
    # Errors are ignored: what stays is hidden, and the next write tries again.
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
