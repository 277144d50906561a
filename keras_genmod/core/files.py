"""Writing files and folders so that a reader never sees half of one.

New content is written under a hidden name beside its target (in the same folder, hence on the same file
system). One rename gives it the target's name when it is complete. Whenever the process dies, the target is
missing, or complete and old, or complete and new. `core.hidden_names` removes what dead processes left.

Replacing a folder takes two renames. A process killed between them leaves the old folder under a hidden name
and the target missing; the next write restores the old folder first.

Paths with a scheme, such as "gs://bucket/vae.keras", go through TensorFlow's file systems: see
`core.remote_files`.

This protects against the death of a process, not against loss of power: nothing is flushed to the disk.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from keras_genmod.core.hidden_names import clear_leftovers, hidden_sibling, release, remove

__all__ = [
    "UnwritablePathError",
    "check_path",
    "exists",
    "is_remote",
    "make_writable",
    "reading",
    "replacing_directory",
    "replacing_file",
    "working_directory",
]


class UnwritablePathError(ValueError, OSError):
    """A path cannot be written to: the argument is wrong, or the disk is full or gone."""


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path has a scheme, as in "gs://bucket/vae.keras"."""
    return "://" in os.fspath(path)


def check_path(path: str | os.PathLike) -> str:
    """The path as a string.

    Raises:
        ValueError: For "gs:/bucket", which `pathlib` makes of "gs://bucket": it would be a local folder.
    """
    path = os.fspath(path)
    shortened = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)", path)
    if shortened:
        raise ValueError(
            f"A remote path must be a string with '://'; received {path!r}, which `pathlib` has shortened. "
            f"Pass '{shortened[1]}://{path[shortened.end() :]}'."
        )
    return path


def exists(path: str | os.PathLike) -> bool:
    """Whether a file or folder exists at a path, local or with a scheme."""
    path = check_path(path)
    if not is_remote(path):
        return os.path.exists(path)
    from keras_genmod.core.remote_files import remote_exists

    return remote_exists(path)


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[Path]:
    """A local path with the content of a file or folder, for readers that need local files.

    Args:
        path: A local path, or one with a scheme.

    Returns:
        A context manager that yields a local path itself, or a copy that is removed afterwards.

    Raises:
        FileNotFoundError: If nothing exists at a remote `path`.

    Cost: A remote path is copied completely.
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
    """Writes a file under a temporary name and renames it to `path` on success.

    The temporary name ends in the full name of `path`, so that writers which check the suffix work.

    Args:
        path: The file to write; an existing one is replaced. Missing parent folders are created. A symbolic
            link is followed, as `open` would. With a scheme, the file is written to a local disk first.

    Returns:
        A context manager that yields the temporary path, at which nothing exists yet. If the body raises,
        what it wrote is removed and an existing file stays unchanged.

    Raises:
        UnwritablePathError: If `path` is a folder or a device, or its folder cannot be written to. Raised
            before the body runs; for a remote path also afterwards, if the copy fails.

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
        # A rename would replace /dev/null by a file.
        raise UnwritablePathError(
            f"`path` must be a file; received the device or pipe {str(target)!r}. Choose another name."
        )
    with _temporary(target, Path.touch) as temporary:
        temporary.unlink()  # It only proved that the folder can be written to.
        yield temporary
        os.replace(temporary, target)


@contextlib.contextmanager
def replacing_directory(
    path: str | os.PathLike, overwrite: bool = False, *, last: str | None = None
) -> Iterator[Path]:
    """Fills a folder under a temporary name and renames it to `path` on success.

    Args:
        path: The folder to write. Missing parent folders are created. A symbolic link is followed. With a
            scheme, the folder is filled on a local disk and copied.
        overwrite: Whether an existing folder is replaced, with all its content. A remote folder never is:
            readers would see half of it for a moment.
        last: Name of the file that readers look for first: without it they ignore the folder. Remote
            folders cannot be renamed, so this file is copied last.

    Returns:
        A context manager that yields the temporary folder, which exists and is empty. If the body raises,
        it is removed and an existing folder stays unchanged.

    Raises:
        UnwritablePathError: If `path` exists and `overwrite` is false, if it is a file, or if its parent
            folder cannot be written to. Raised before the body runs; for a remote path also afterwards, if
            the copy fails.
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
    """Creates a folder and its parents, and proves that files can be written into it.

    Args:
        folder: A local path, or one with a scheme.

    Raises:
        UnwritablePathError: If no files can be written into it.
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
            f"The folder must be writable; received {folder!r} ({type(error).__name__}: "
            f"{error.strerror}). Choose another folder, or change its permissions."
        ) from error


@contextlib.contextmanager
def working_directory(target: Path) -> Iterator[Path]:
    """An empty hidden folder beside `target`, on the same file system; removed afterwards."""
    folder = hidden_sibling(target, "tmp")
    try:
        folder.mkdir()
        yield folder
    finally:
        remove(folder)
        release(folder)


def _resolve(path: str) -> Path:
    """The absolute path of the target, after removal of what killed writers left beside it."""
    target = Path(os.path.realpath(path))
    if not target.name:
        raise ValueError(f"`path` must end in a name; received {path!r}. Add the name to write.")
    if target.parent.is_dir():
        clear_leftovers(target.parent)
    return target


@contextlib.contextmanager
def _temporary(target: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """Creates a hidden sibling of `target`; after an error removes it and the parents created for it."""
    new_parents = [parent for parent in target.parents if not parent.exists()]
    temporary = hidden_sibling(target, "tmp")
    try:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            create(temporary)
        except OSError as error:
            raise UnwritablePathError(
                f"The folder of `path` must be writable; received {str(target)!r} "
                f"({type(error).__name__}: {error.strerror}). Choose another folder, or change its "
                "permissions."
            ) from error
        yield temporary
    except BaseException:
        remove(temporary)
        with contextlib.suppress(OSError):  # Another process may have put files into them.
            for parent in new_parents:
                parent.rmdir()
        raise
    finally:
        release(temporary)


def _rename_over(temporary: Path, target: Path) -> None:
    if not target.exists():
        os.rename(temporary, target)
        return
    aside = hidden_sibling(target, "old")
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except BaseException:
        os.rename(aside, target)
        raise
    else:
        remove(aside)
    finally:
        release(aside)
