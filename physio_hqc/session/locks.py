"""Who writes a session file: a lock that ends with its process, however that ends.

HDF5 gives its own lock up as soon as a file may be read while it grows, so a recorder holds one
more: on a byte far behind the end of the session file. Nothing is left behind that could be stale.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from pathlib import Path
from typing import Final

_BYTE: Final = 1 << 62
_TAKEN: Final = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


def lock_for_writing(descriptor: int) -> bool:
    """Take the writer's lock of an open file; False if another writer has it.

    Parameters
    ----------
    descriptor : int
        Open for writing. Closing it releases the lock.

    Returns
    -------
    bool
        True as well on a file system that knows no locks.
    """
    try:
        _lock(descriptor)
    except OSError as error:
        return error.errno not in _TAKEN
    return True


def is_being_written(path: Path) -> bool:
    """Tell whether some process holds the writer's lock of a file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.session import SessionWriter
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> with SessionWriter(path):
    ...     is_being_written(path)
    True
    >>> is_being_written(path)
    False
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    try:
        return _is_locked(descriptor)
    except OSError as error:
        return error.errno in _TAKEN
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _is_locked(descriptor: int) -> bool:
        _lock(descriptor)
        return False

else:
    import fcntl

    # Locks of the open file description where there are any: the older kind is lost as soon as
    # the same process closes the file once more, as HDF5 does.
    _SET: Final = getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK)
    _GET: Final = getattr(fcntl, "F_OFD_GETLK", fcntl.F_GETLK)
    _BSD: Final = sys.platform == "darwin" or "bsd" in sys.platform

    def _request() -> bytes:
        kind, whence = fcntl.F_WRLCK, os.SEEK_SET
        if _BSD:
            return struct.pack("qqihh", _BYTE, 1, 0, kind, whence)
        return struct.pack("hhqqi4x", kind, whence, _BYTE, 1, 0)

    def _lock(descriptor: int) -> None:
        fcntl.fcntl(descriptor, _SET, _request())

    def _is_locked(descriptor: int) -> bool:
        answer = fcntl.fcntl(descriptor, _GET, _request())
        kind = struct.unpack("qqihh", answer)[3] if _BSD else struct.unpack("hhqqi4x", answer)[0]
        return bool(kind != fcntl.F_UNLCK)
