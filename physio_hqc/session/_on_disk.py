"""Where a session file stands on the disk: created whole, locked, replaced, let go."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Final

import h5py

from physio_hqc.errors import OutputError
from physio_hqc.files import hidden_sibling
from physio_hqc.session.locks import is_being_written, lock_for_writing

_BINARY: Final = getattr(os, "O_BINARY", 0)
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY
_NO_LINKS: Final = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES)


class FileOnDisk:
    """The file of one writer, and the lock that keeps other writers away.

    Parameters
    ----------
    path : Path
        Its name in the end.
    atomic : bool
        Keep it hidden until `publish`.
    """

    def __init__(self, path: Path, *, atomic: bool) -> None:
        self.path = path
        self._atomic = atomic
        self._target = hidden_sibling(path, f"{os.getpid()}.part") if atomic else path
        self._descriptor = -1
        self._guard = threading.Lock()

    def claim(self, image: bytes, *, overwrite: bool) -> None:
        """Create the file, whole, so that no other writer takes its name.

        Raises
        ------
        OutputError
            If it exists (without `overwrite`), or another writer has it.
        """
        if self.path.exists() or self.path.is_symlink():
            self._refuse_existing(overwrite)
        if self._atomic:
            self.replace(image)
            return
        if overwrite and self.path.exists():
            self._take_over(image)
            return
        self._create_whole(image)

    def _create_whole(self, image: bytes) -> None:
        """Make the file appear whole under its name: a kill at any moment leaves it so, or not."""
        fresh = self._fresh_sibling()
        descriptor = os.open(fresh, _NEW, 0o666)
        try:
            _write_all(descriptor, image)
            lock_for_writing(descriptor)
            os.link(fresh, self.path)
        except FileExistsError:
            os.close(descriptor)
            self._refuse_existing(overwrite=False)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LINKS:
                raise
            descriptor = self._create_in_place(image)
        finally:
            fresh.unlink(missing_ok=True)
        self._descriptor = descriptor

    def _create_in_place(self, image: bytes) -> int:
        """The same on a file system without hard links, where it is empty for a moment."""
        try:
            descriptor = os.open(self.path, _NEW, 0o666)
        except FileExistsError:
            self._refuse_existing(overwrite=False)
            raise
        lock_for_writing(descriptor)
        _write_all(descriptor, image)
        return descriptor

    def _fresh_sibling(self) -> Path:
        return hidden_sibling(self.path, f"{uuid.uuid4().hex[:8]}.new")

    def _refuse_existing(self, overwrite: bool) -> None:
        if is_being_written(self.path):
            raise OutputError(f"{self.path} is being recorded right now: choose another name")
        if not overwrite:
            raise OutputError(f"{self.path} exists already: choose another name, or --overwrite it")

    def _take_over(self, image: bytes) -> None:
        """Replace an existing file, unless another writer is about to do the same."""
        old = os.open(self.path, os.O_RDWR | _BINARY)
        try:
            if not lock_for_writing(old):
                raise OutputError(f"{self.path} is being recorded right now: choose another name")
            self.replace(image)
        finally:
            os.close(old)

    def replace(self, image: bytes) -> None:
        """Put a file of this content in the place of the one that is there.

        Whoever opens it, or finds it after a crash, sees the one or the other, whole.
        """
        fresh = self._fresh_sibling()
        descriptor = os.open(fresh, _NEW, 0o666)
        try:
            _write_all(descriptor, image)
            lock_for_writing(descriptor)
            if os.name == "nt":
                # Windows renames no open file: there the old file is written over.
                os.close(descriptor)
                descriptor = os.open(self._target, os.O_RDWR | os.O_CREAT | _BINARY)
                _write_all(descriptor, image)
                fresh.unlink()
            else:
                fresh.replace(self._target)
        except BaseException:
            os.close(descriptor)
            fresh.unlink(missing_ok=True)
            raise
        self._swap_descriptor(descriptor)

    def open_growing(self) -> h5py.File:
        """Open it for writing in such a way that it can be read meanwhile."""
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
        # Our own lock does what HDF5's would. Network folders carry that one out as a lock of the
        # whole file, and so would take ours for somebody else's. The reader goes without as well:
        # both can have the file open in one process only if they agree.
        access.set_file_locking(False, False)
        # Marked as growing at once: there is no moment at which a crash leaves it marked otherwise.
        how = h5py.h5f.ACC_RDWR | h5py.h5f.ACC_SWMR_WRITE
        return h5py.File(h5py.h5f.open(os.fsencode(self._target), how, access))

    def sync(self) -> None:
        """Have the file system write it to the disk; from any thread.

        Raises
        ------
        OSError
            If the disk is full or fails.
        """
        with self._guard:
            if self._descriptor < 0:
                return
            # One of its own: the writer may close the file in the meantime.
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def publish(self) -> None:
        """Give it its name, once it is closed."""
        self.release()
        if self._atomic:
            self._target.replace(self.path)

    def discard(self) -> None:
        """Let go of it: a hidden file goes, one under its name stays as it is."""
        self.release()
        if self._atomic:
            with contextlib.suppress(OSError):
                self._target.unlink(missing_ok=True)

    def release(self) -> None:
        """Give up the lock."""
        self._swap_descriptor(-1)

    def _swap_descriptor(self, new: int) -> None:
        """Take another descriptor, which holds the lock; `sync` may run in another thread."""
        with self._guard:
            old, self._descriptor = self._descriptor, new
        if old >= 0:
            os.close(old)


def _write_all(descriptor: int, content: bytes) -> None:
    """Write the whole content of a file."""
    os.ftruncate(descriptor, 0)
    view, at = memoryview(content), 0
    os.lseek(descriptor, 0, os.SEEK_SET)
    while at < len(view):
        at += os.write(descriptor, view[at:])


def let_go(file: h5py.File) -> None:
    """Close an HDF5 file whose disk takes no more, leaving it on the disk as it is.

    HDF5 insists on writing what it holds, at the latest when the process ends, and crashes when
    that fails. So it gets another file to write to: one that takes everything and keeps nothing,
    and has no limit of size; on systems without it, one that is deleted.
    """
    endless = Path("/dev/zero")
    is_there = endless.is_char_device()
    with endless.open("r+b", buffering=0) if is_there else tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), file.id.get_vfd_handle())
        file.close()
