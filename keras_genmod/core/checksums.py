"""Checksums of HDF5 files, so that damaged weights are noticed before they are used.

The header of an HDF5 file states where the file ends, and HDF5 ignores what follows. After that end we write
one line of text with the SHA-256 of all bytes before it, so that every HDF5 reader still reads the file. A
file that ends where its header says has no checksum and is accepted. Any other file must end in a line with
the right checksum; otherwise it is damaged.

HDF5's own checksum, Fletcher-32, does not detect blocks of zeros: their checksum is zero.
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
# Offset of the 8 bytes that state the end of the file, for each version of the header (HDF5 File Format
# Specification, "Disk Format: Level 0A - Format Signature and Superblock").
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}


class DamagedFileError(OSError, ValueError):
    """A file's content differs from what was written. `BackupAndRestore` then tries the previous backup."""


def add_checksum(path: str | os.PathLike) -> None:
    """Appends a checksum to a complete HDF5 file.

    Args:
        path: Path of the file.

    Cost: The file is read once.
    """
    line = _line(path, os.path.getsize(path))
    with open(path, "ab") as file:
        file.write(line)


def check_checksum(path: str | os.PathLike) -> None:
    """Compares an HDF5 file with its checksum, if it has one.

    Args:
        path: Path of the file.

    Raises:
        DamagedFileError: If the file differs from what was written, or ends too early.

    Cost: The file is read once.
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

    Python checks only parts that are read from beginning to end, and HDF5 reads with jumps.

    Raises:
        DamagedFileError: If a part differs from what was written.

    Cost: The file is read once.
    """
    try:
        intact = archive.testzip() is None
    except (zipfile.BadZipFile, OSError, ValueError):
        intact = False
    if not intact:
        raise DamagedFileError(_message(archive.filename or "the archive"))


def unreadable(path: str | os.PathLike, error: Exception) -> DamagedFileError:
    """The error for a file that cannot be read at all; `error` is the cause."""
    return DamagedFileError(
        f"The file {os.fspath(path)!r} is damaged or cannot be read ({type(error).__name__}: {error}). "
        "Nothing was loaded. Copy the file again from its origin, or use an earlier one."
    )


def _message(path: str | os.PathLike) -> str:
    return (
        f"The file {os.fspath(path)!r} is damaged: its content does not match its checksum. Nothing was "
        "loaded. Copy it again from its origin, or use an earlier file."
    )


def _stated_end(file: BinaryIO) -> int | None:
    """The length that the header of an HDF5 file states, or None if the header is unknown."""
    header = file.read(64)
    at = _END_AT.get(header[8]) if header.startswith(_SIGNATURE) and len(header) == 64 else None
    return None if at is None else int.from_bytes(header[at : at + 8], "little")


def _line(path: str | os.PathLike, size: int) -> bytes:
    """The checksum line for the first `size` bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            digest.update(piece)
            size -= len(piece)
    return _MARK + digest.hexdigest().encode() + b"\n"
