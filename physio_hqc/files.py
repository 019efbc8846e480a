"""Files and folders that appear whole or not at all, and locks between processes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from physio_hqc.errors import OutputError

_LONGEST_NAME = 200  # bytes of a name that still has room for what a hidden sibling adds
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def hidden_sibling(path: Path, end: str) -> Path:
    """Name a file or folder beside `path` that listings leave out.

    Parameters
    ----------
    path : Path
    end : str
        What it is for, such as ``"lock"``.

    Returns
    -------
    Path
        ``.NAME.end``; a long name is shortened, because file systems allow 255 bytes.

    Examples
    --------
    >>> hidden_sibling(Path("derivatives/p01"), "lock").name
    '.p01.lock'
    """
    name = path.name
    if len(os.fsencode(name)) > _LONGEST_NAME:
        # Two long names that begin alike must not share a sibling.
        mark = uuid.uuid5(uuid.NAMESPACE_URL, name).hex
        name = os.fsencode(name)[:64].decode("utf-8", "ignore") + mark
    return path.with_name(f".{name}.{end}")


def new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Refuse the name of a file that cannot be made, before any work is done for nothing.

    Parameters
    ----------
    path : path-like
    overwrite : bool
        Let it exist.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If it is a folder or no name of a file, or exists (without `overwrite`).

    Examples
    --------
    >>> new_file("n" * 300 + ".h5")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.OutputError: nnn...h5 cannot be written (File name too long); choose another name
    """  # noqa: E501 - a message stands on one line
    target = Path(path)
    found = _found_at(target)
    if found is None:
        return target
    with output_errors(target):
        if stat.S_ISDIR(found.st_mode) or target.is_dir():
            raise OutputError(f"{target} is a folder: name a file")
    if not overwrite:
        raise OutputError(f"{target} exists already: choose another name, or --overwrite it")
    return target


def folder_in(folder: str | os.PathLike[str], name: str) -> Path:
    """Folder of one session in a folder of results.

    Parameters
    ----------
    folder : path-like
        Folder of the results of all sessions, which need not exist.
    name : str
        The session's name.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the session's name would make it another folder, such as ``..``, or no folder at all.

    Examples
    --------
    >>> folder_in("derivatives", "p01").as_posix()
    'derivatives/p01'
    >>> folder_in("derivatives", "..")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.OutputError: '..' cannot be the name of a session's folder: rename its file
    """
    if name in ("", ".", "..") or name != Path(name).name or not _is_text(name):
        raise OutputError(f"{name!r} cannot be the name of a session's folder: rename its file")
    place = Path(folder) / name
    _found_at(place)
    return place


def _found_at(path: Path) -> os.stat_result | None:
    """What stands under a name; refuse one that nothing could stand under."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        name = str(path).replace("\0", "\\0")
        raise OutputError(f"{name} cannot be written ({reason}); choose another name") from error


def _is_text(name: str) -> bool:
    """Whether tables can hold it: a file's name may be bytes that are no letters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Write a file under a hidden name, and give it its own once it is whole.

    Parameters
    ----------
    path : Path
        The file to make or replace; its folder is made where it is missing.

    Yields
    ------
    Path
        The hidden file to write.

    Raises
    ------
    OutputError
        If it cannot be written. Then, and after any other exception, `path` is as it was.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "table.csv"
    >>> with replaced_file(path) as part:
    ...     _ = part.write_text("a,b")
    >>> path.read_text()
    'a,b'
    """
    _found_at(path)
    part = _fresh(path)
    with output_errors(path, part):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"{path} is a folder: choose another name")
        try:
            yield part
            _sync(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under a hidden name, and give it its own once it is whole.

    Parameters
    ----------
    path : Path
        The folder to make or replace; what it held is gone afterwards.

    Yields
    ------
    Path
        The hidden folder, empty.

    Raises
    ------
    OutputError
        If it cannot be written. Then, and after any other exception, `path` is as it was.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "tables"
    >>> with replaced_folder(path) as part:
    ...     _ = (part / "a.csv").write_text("1")
    >>> [file.name for file in path.iterdir()]
    ['a.csv']
    """
    _found_at(path)
    part, old = _fresh(path), _fresh(path)
    with output_errors(path, part, old):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file: a folder of that name is needed")
        try:
            part.mkdir()
            yield part
            exchange_folders(path, part, old)
        finally:
            remove_folder(part)
            if path.exists():
                remove_folder(old)


def tidy(path: Path) -> None:
    """Take away what is left of processes that were killed as they replaced `path`.

    Parameters
    ----------
    path : Path
        A file or folder, which must be locked: a hidden sibling that is being written would go too.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / ".table.csv.0123abcd.part").touch()
    >>> tidy(folder / "table.csv")
    >>> list(folder.iterdir())
    []
    """
    parts = [part for part in _parts(path) if not part.is_symlink()]
    folders = [part for part in parts if part.is_dir()]
    if len(folders) == 2 and not path.exists():
        # Killed while the two were exchanged: both are whole, and one of them is to be seen.
        folders.pop().rename(path)
    for part in folders:
        remove_folder(part)
    for part in parts:
        if part.is_file():
            part.unlink(missing_ok=True)


def exchange_folders(folder: Path, new: Path, old: Path) -> None:
    """Let `new` take the name of `folder`, which is then `old`.

    Parameters
    ----------
    folder, new, old : Path
        On one file system. On any interruption `folder` is back as it was.
    """
    if not folder.exists():
        new.rename(folder)
        return
    try:
        folder.rename(old)
        new.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise


def remove_folder(folder: Path) -> None:
    """Delete a folder as far as that is possible, although Ctrl-C comes in the middle.

    Parameters
    ----------
    folder : Path
        Which need not exist.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Let one process at a time work on `path`, where system and file system have locks.

    The lock ends with its process, however that ends. It is a hidden file beside `path`, gone
    when the lock is; that of a killed process stays and keeps nobody away.

    Parameters
    ----------
    path : Path
        A file or folder, which need not exist.
    wait : bool
        Wait for whoever has it; otherwise refuse.

    Raises
    ------
    OutputError
        If another process has it (without `wait`), or the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "key.csv"
    >>> with locked(path):
    ...     _ = path.write_text("mine")
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    how = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    lock = hidden_sibling(path, "lock")
    _found_at(path)
    with output_errors(path, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                fcntl.flock(handle, how)
                # Whoever held the lock before has deleted the file: then it is that of no name.
                if _is_same(handle, lock):
                    break
            except BlockingIOError:
                os.close(handle)
                raise OutputError(
                    f"{path} is being written by another process: wait for it to end"
                ) from None
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    break
                os.close(handle)
                raise
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
    try:
        yield
    finally:
        # Deleted while it is held, and only if it is ours: nobody loses a lock by it.
        with suppress(OSError):
            if _is_same(handle, lock):
                lock.unlink()
        os.close(handle)


@contextmanager
def output_errors(path: Path, *parts: Path) -> Iterator[None]:
    """Say in one line why something could not be written.

    Parameters
    ----------
    path : Path
        What is written.
    *parts : Path
        Its hidden siblings. An error that names another file is told of that one: it was to be
        read, and the place to write to is not what is wrong.

    Raises
    ------
    OutputError
        In place of an OSError.

    Examples
    --------
    >>> with output_errors(Path("table.csv")):
    ...     _ = Path("missing.h5").read_bytes()
    Traceback (most recent call last):
    ...
    physio_hqc.errors.OutputError: table.csv was not written: missing.h5 (No such file or directory)
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        other = _other_file(error, {path, *parts})
        if other is not None:
            raise OutputError(f"{path} was not written: {other} ({reason})") from error
        raise OutputError(
            f"{path} cannot be written ({reason}); choose a place that you may write to"
        ) from error


def _other_file(error: OSError, ours: set[Path]) -> Path | None:
    """Return the file an error names, unless it is ours, in one of ours, or a folder of one."""
    if not isinstance(error.filename, str | os.PathLike):
        return None
    named = Path(error.filename)
    around = {folder for path in ours for folder in path.parents}
    if named in ours | around or ours & set(named.parents):
        return None
    return named


def _fresh(path: Path) -> Path:
    return hidden_sibling(path, f"{uuid.uuid4().hex[:8]}.part")


def _parts(path: Path) -> list[Path]:
    """Siblings that have such names."""
    form = re.compile(re.escape(hidden_sibling(path, "").name) + r"[0-9a-f]{8}\.part")
    if not path.parent.is_dir():
        return []
    return sorted(item for item in path.parent.iterdir() if form.fullmatch(item.name))


def _sync(path: Path) -> None:
    """Have the system write the file to the disk before it takes its name."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
