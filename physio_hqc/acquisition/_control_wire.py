"""What both ends of the control socket share: commands, checks, and where recordings are found.

One JSON object a line, in both directions. Only the light part of the standard library is used
here, because the sender is a command that has to be quick.
"""

# pathlib takes longer to import than a recording takes to be found.
# ruff: noqa: PTH102, PTH103, PTH105, PTH108, PTH110, PTH118, PTH119, PTH122, PTH208

from __future__ import annotations

import errno
import json
import math
import os
import socket
import stat
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

from physio_hqc.errors import RecordingError

Action = Literal["start", "stop", "mark", "next", "end", "note", "status"]
Transport = Literal["unix", "tcp"]

ACTIONS: tuple[str, ...] = get_args(Action)
LABELED = ("start", "stop", "mark", "note")

MAX_LINE = 16_384  # bytes of one request or reply
MAX_LABEL_BYTES = 250  # the session file keeps 256
MAX_NOTE_BYTES = 2_000
MAX_PAYLOAD_BYTES = 3_000  # the session file keeps 4096, and the recorder adds its own remarks
MAX_DEPTH = 20
_MAX_REGISTRATION = 65_536
_MAX_SOCKET_PATH = 100  # bytes; the smallest system limit is 104
_BREAKS = frozenset((*range(32), *range(127, 160), 0x2028, 0x2029))


def check_command(action: object, label: object, payload: object) -> None:
    """Raise :class:`RecordingError` unless this is a command that a recording can store."""
    if action not in ACTIONS:
        raise RecordingError(f"no action {str(action)[:40]!r}; one of {', '.join(ACTIONS)}")
    if not isinstance(label, str):
        raise RecordingError("a label is text")
    if action in LABELED and not label.strip():
        raise RecordingError(f"{action} needs a label")
    limit = MAX_NOTE_BYTES if action == "note" else MAX_LABEL_BYTES
    if len(_utf8(label, "the label")) > limit:
        raise RecordingError(f"the label is longer than {limit} bytes: put the rest in the payload")
    if _BREAKS.intersection(map(ord, label)):
        raise RecordingError("the label has line breaks or control characters: leave them out")
    if not isinstance(payload, dict):
        raise RecordingError('the payload is no JSON object: write it like {"partner": "A"}')
    _check_payload(payload)


def _check_payload(payload: dict[str, Any]) -> None:
    if not payload:
        return
    if _deeper_than(payload, MAX_DEPTH):
        raise RecordingError(f"the payload is nested deeper than {MAX_DEPTH}")
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecordingError(f"the payload cannot be written as JSON: {error}") from None
    if len(_utf8(text, "the payload")) > MAX_PAYLOAD_BYTES:
        raise RecordingError(f"the payload exceeds {MAX_PAYLOAD_BYTES} bytes of JSON")


def _deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and objects are nested deeper than this, found without recursion."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list, tuple))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(inner, (dict, list, tuple)) for inner in level)


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RecordingError(f"{what} holds characters that no text has") from None


def parse_object(line: bytes) -> dict[str, Any]:
    """Read one line as a JSON object, or raise :class:`RecordingError`."""
    if len(line) > MAX_LINE:
        raise RecordingError(f"the line is longer than {MAX_LINE} bytes")
    try:
        value = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise RecordingError("the line is no JSON object") from None
    if not isinstance(value, dict):
        raise RecordingError("the line is no JSON object")
    return value


def to_line(content: dict[str, Any]) -> bytes:
    """One JSON object as a line; numbers that JSON has no word for become null."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_without_nan(content), ensure_ascii=False, default=str)
    return text.encode(errors="replace") + b"\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Registration(NamedTuple):
    """A recording that can be told something, as its recorder wrote it down."""

    name: str
    folder: str
    file: str
    session_id: str
    participant_id: str
    pid: int
    transport: Transport
    port: int = 0
    token: str = ""

    @property
    def json_path(self) -> str:
        """Where it is written down."""
        return os.path.join(self.folder, f"{self.name}.json")

    @property
    def socket_path(self) -> str:
        """The Unix socket."""
        return socket_path(self.folder, self.name)

    @property
    def title(self) -> str:
        """What people call it."""
        who = f" ({self.participant_id})" if self.participant_id else ""
        return f"{self.file}{who}"

    def fits(self, target: str) -> bool:
        """Whether this is the file's name, its stem, the session id or the participant id."""
        base = os.path.basename(self.file)
        names = (base, os.path.splitext(base)[0], self.participant_id)
        return target in names or target.lower() == self.session_id.lower()


def socket_path(folder: str, name: str) -> str:
    """Path of the Unix socket of a registration."""
    return os.path.join(folder, f"{name}.sock")


def _user_id() -> int:
    """Number of this user; -1 where the system has none."""
    return os.geteuid() if hasattr(os, "geteuid") else -1


def runtime_folders() -> list[str]:
    """Private folders where recordings are written down, best first.

    All are searched, because a recorder and a stimulus program may have been started with
    different environments. The variable ``PHYSIO_HQC_RUNTIME_DIR`` names the only one instead.
    """
    only = os.environ.get("PHYSIO_HQC_RUNTIME_DIR")
    if only:
        return [os.path.join(only, "physio_hqc")]
    user = _user_id()
    if user < 0:
        return [os.path.join(os.environ.get("LOCALAPPDATA", "."), "physio_hqc", "run")]
    found = [os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"]
    folders = [f"{base.rstrip('/')}/physio_hqc" for base in found if base.startswith("/")]
    bases = [os.environ.get("TMPDIR", ""), "/tmp"]
    folders += [f"{base.rstrip('/')}/physio_hqc-{user}" for base in bases if base.startswith("/")]
    return list(dict.fromkeys(folders))


def is_private(folder: str) -> bool:
    """Whether this is a folder of this user that nobody else can enter, and no symbolic link."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode):
        return False
    return _user_id() < 0 or (found.st_uid == _user_id() and not found.st_mode & 0o077)


def make_private_folder() -> str:
    """Return the first folder that can be used, created if need be.

    Raises
    ------
    RecordingError
        If there is none.
    """
    refused = []
    for folder in runtime_folders():
        if len(os.fsencode(socket_path(folder, "4194304-ffffff"))) > _MAX_SOCKET_PATH:
            refused.append(f"{folder} is too long a path")
            continue
        try:
            if _user_id() < 0:
                os.makedirs(folder, exist_ok=True)
            else:
                os.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            refused.append(f"{folder}: {error.strerror}")
            continue
        if is_private(folder):
            return folder
        refused.append(f"{folder} is not a private folder of this user")
    raise RecordingError(f"no folder for the control socket: {'; '.join(refused)}")


def registrations(folders: list[str] | None = None) -> list[Registration]:
    """Everything that is written down, alive or not."""
    found = []
    for folder in runtime_folders() if folders is None else folders:
        if not is_private(folder):
            continue
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.endswith(".json"):
                registration = _read_registration(folder, name[:-5])
                if registration is not None:
                    found.append(registration)
    return found


def _read_registration(folder: str, name: str) -> Registration | None:
    path = os.path.join(folder, f"{name}.json")
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        mine = _user_id() < 0 or found.st_uid == _user_id()
        if not (stat.S_ISREG(found.st_mode) and mine and found.st_size <= _MAX_REGISTRATION):
            return None
        content = json.loads(os.read(handle, _MAX_REGISTRATION))
        texts = {
            key: str(content[key]) for key in ("file", "session_id", "participant_id", "token")
        }
        transport: Transport = "unix" if content["transport"] == "unix" else "tcp"
        numbers = {key: int(content[key]) for key in ("pid", "port")}
        return Registration(name, folder, transport=transport, **texts, **numbers)  # type: ignore[arg-type]  # str and int by key
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    finally:
        os.close(handle)


def write_registration(registration: Registration) -> None:
    """Write it down, at once and readable by this user only."""
    content = {
        key: getattr(registration, key)
        for key in ("file", "session_id", "participant_id", "pid", "transport", "port", "token")
    }
    part = f"{registration.json_path}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, json.dumps(content).encode())
    finally:
        os.close(handle)
    os.replace(part, registration.json_path)


def connect(registration: Registration, timeout_s: float) -> socket.socket:
    """Connect to a recording.

    Raises
    ------
    OSError
        If nobody listens there (any more).
    """
    if registration.transport == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        address: Any = registration.socket_path
    else:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = ("127.0.0.1", registration.port)
    connection.settimeout(timeout_s)
    try:
        connection.connect(address)
        if registration.transport == "tcp":
            connection.sendall(to_line({"token": registration.token}))
    except BaseException:
        connection.close()
        raise
    return connection


def is_gone(error: OSError) -> bool:
    """Whether this answer to `connect` means that the recorder has ended."""
    return error.errno in (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.ENOTSOCK)


def remove_stale(folder: str, *, now: Callable[[], float] = time.time) -> None:
    """Remove what killed recorders left in a private folder."""
    for registration in registrations([folder]):
        try:
            connect(registration, 0.5).close()
        except OSError as error:
            if is_gone(error):
                remove(registration)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        written_down = os.path.exists(os.path.splitext(path)[0] + ".json")
        try:
            # A minute: another recorder may be between its socket and its registration.
            if not written_down and now() - os.lstat(path).st_mtime > 60:
                os.unlink(path)
        except OSError:
            continue


def remove(registration: Registration) -> None:
    """Remove a registration and its socket."""
    for path in (registration.json_path, registration.socket_path):
        try:
            os.unlink(path)
        except OSError:
            continue
