"""Hidden names for content that is being written, and removal of what dead writers left.

Hidden names are ``.tmp-<machine>-<pid>-<n>.<name>`` for content being written and ``.old-...`` for a folder
being replaced. Before it starts, each write removes from the target's folder what dead writers left there,
whatever their target. A writer of this machine is dead if its process has ended. A writer of another machine,
whose processes cannot be queried, is dead if its content has not changed for a day.
"""

import contextlib
import functools
import itertools
import os
import re
import shutil
import socket
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Leftover",
    "clear_leftovers",
    "hidden_name",
    "hidden_sibling",
    "release",
    "remove",
    "this_machine",
]

# Content of another machine that has not changed for this many seconds has no living writer.
_DEAD_AFTER = 24 * 60 * 60

_numbers = itertools.count()
# The hidden names that this process is writing. Its pid alone does not identify them: an earlier process
# with the same number may have left files.
_in_use: set[Path] = set()


class Leftover(NamedTuple):
    """The parts of a hidden name.

    Args:
        kind: "tmp" for content that was being written, "old" for a folder that was being replaced.
        machine: Identifies the machine that its writer ran on, as `this_machine` does.
        pid: Number of the writer's process.
        name: Name of the target.
    """

    kind: str
    machine: str
    pid: int
    name: str

    @classmethod
    def parse(cls, name: str) -> "Leftover | None":
        """The parts of a file's name, or None if it is not a hidden name of this form."""
        match = re.fullmatch(r"\.(tmp|old)-([0-9a-f]{8})-(\d+)-\d+\.(.+)", name, re.DOTALL)
        return None if match is None else cls(match[1], match[2], int(match[3]), match[4])

    def is_dead(self, changed: Callable[[], float]) -> bool:
        """Whether its writer has ended.

        Args:
            changed: Returns the time of its last change, in seconds since 1970. Called only if needed.
        """
        if self.machine == this_machine():
            return not _runs(self.pid)
        return time.time() - changed() > _DEAD_AFTER


def this_machine() -> str:
    """Eight hexadecimal digits that identify the machine, or the container with its own process numbers."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return f"{zlib.crc32(f'{socket.gethostname()} {numbering}'.encode()):08x}"


def hidden_name(name: str, kind: str = "tmp") -> str:
    """A unique hidden name for content that will become `name`, or that was `name`."""
    return f".{kind}-{this_machine()}-{os.getpid()}-{next(_numbers)}.{name}"


def clear_leftovers(folder: Path) -> None:
    """Removes what dead writers left in a folder, and restores folders whose replacement failed midway."""
    # Errors are ignored: what remains is hidden, the next write tries again, and another process may be
    # removing the same files.
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            path, leftover = folder / name, Leftover.parse(name)
            if leftover is None or path in _in_use:
                continue
            with contextlib.suppress(OSError):
                if not leftover.is_dead(functools.partial(_last_change, path)):
                    continue
                target = folder / leftover.name
                if leftover.kind == "old" and not target.exists():
                    os.rename(path, target)
                else:
                    remove(path)


def _last_change(path: Path) -> float:
    """The time of the last change to a file, or to anything in a folder, in seconds since 1970."""
    return max(one.lstat().st_mtime for one in [path, *path.rglob("*")])


def _runs(pid: int) -> bool:
    """Whether another process with this number is alive."""
    if pid == os.getpid():
        return False  # This process's own files are in `_in_use`; an earlier one had the same number.
    if os.name == "nt":
        return True  # On Windows `os.kill` would end the process.
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def hidden_sibling(target: Path, kind: str) -> Path:
    """A unique hidden path beside `target`, protected from this process's own removals until `release`."""
    sibling = target.with_name(hidden_name(target.name, kind))
    _in_use.add(sibling)
    return sibling


def release(path: Path) -> None:
    """Ends the protection of a path from `hidden_sibling`."""
    _in_use.discard(path)


def remove(path: Path) -> None:
    """Removes a file or folder if it exists."""
    # Errors are ignored: what remains is hidden, and the next write tries again.
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
