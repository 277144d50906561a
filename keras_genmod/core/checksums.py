"""Checksums of HDF5 files, so that damaged weights are noticed before they are used.

An HDF5 file states in its header where it ends, and HDF5 ignores what follows. There stands one line of
text with the SHA-256 of all bytes before it: the file stays one that any reader of HDF5 reads. A file that
ends where its header says has no checksum and is taken as it is; any other without a right line is damaged.

HDF5's own checksum, Fletcher-32, is no help against blocks of zeros: theirs is zero.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from typing import BinaryIO

__all__ = ["DamagedFileError", "add_checksum", "check_archive", "check_checksum", "unreadable"]

_MARK = b"\nkeras_genmod sha256 "
_LENGTH = len(_MARK) + 2 * hashlib.sha256().digest_size + 1
_PIECE = 2**20
# Where the header of each version states the end of the file, as 8 bytes (HDF5 File Format
# Specification, "Disk Format: Level 0A - Format Signature and Superblock").
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}


class DamagedFileError(OSError, ValueError):
    """A file does not hold what was written. `BackupAndRestore` then tries the backup before."""


def add_checksum(path: str | os.PathLike) -> None:
    """Appends the checksum of a complete HDF5 file to it.

    Args:
        path: the file.

    Cost: one reading of the file.
    """
    line = _line(path, os.path.getsize(path))
    with open(path, "ab") as file:
        file.write(line)


def check_checksum(path: str | os.PathLike) -> None:
    """Compares an HDF5 file with its checksum, if it has one.

    Args:
        path: the file.

    Raises:
        DamagedFileError: if the file is not what was written, or ends too early.

    Cost: one reading of the file.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        end = _stated_end(file)
        file.seek(max(size - _LENGTH, 0))
        line = file.read()
    if not line.startswith(_MARK) and end in (size, None):
        return
    if line != _line(path, size - _LENGTH):
        raise DamagedFileError(_message(path))


def check_archive(archive: zipfile.ZipFile) -> None:
    """Compares all parts of an open `.keras` file with their checksums.

    Python itself compares only what is read from beginning to end, and HDF5 jumps.

    Raises:
        DamagedFileError: if a part is not what was written.

    Cost: one reading of the file.
    """
    try:
        bad = archive.testzip()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        bad = error
    if bad is not None:
        raise DamagedFileError(_message(archive.filename or "the archive"))


def unreadable(path: str | os.PathLike, error: Exception) -> DamagedFileError:
    """The error of a file that cannot be read at all, because of `error`."""
    return DamagedFileError(
        f"The file {os.fspath(path)!r} is damaged or cannot be read ({type(error).__name__}: {error}). "
        "Nothing was loaded. Copy it again from where it was written, or use an earlier file."
    )


def _message(path: str | os.PathLike) -> str:
    return (
        f"The file {os.fspath(path)!r} is damaged: its bytes do not have the checksum that was written "
        "with them. Nothing was loaded. Copy it again from where it was written, or use an earlier file."
    )


def _stated_end(file: BinaryIO) -> int | None:
    """The length that the header of an HDF5 file states; None if it has no header that is known."""
    header = file.read(64)
    at = _END_AT.get(header[8]) if header.startswith(_SIGNATURE) and len(header) == 64 else None
    return None if at is None else int.from_bytes(header[at : at + 8], "little")


def _line(path: str | os.PathLike, size: int) -> bytes:
    """The line that follows the first `size` bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            digest.update(piece)
            size -= len(piece)
    return _MARK + digest.hexdigest().encode() + b"\n"
