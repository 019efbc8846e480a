"""The sending end of the control socket: find a running recording and tell it something."""

# pathlib takes longer to import than a recording takes to be found.
# ruff: noqa: PTH110

from __future__ import annotations

import os
import socket
import threading
import time
from types import TracebackType
from typing import Any, Self

from physio_hqc.acquisition._control_wire import (
    MAX_LINE,
    Registration,
    check_command,
    connect,
    is_gone,
    parse_object,
    registrations,
    to_line,
)
from physio_hqc.errors import RecordingError


def send_command(
    target: str | os.PathLike[str],
    action: str,
    label: str = "",
    payload: dict[str, Any] | None = None,
    *,
    monotonic_ns: int | None = None,
    timeout_s: float = 2.0,
) -> dict[str, Any]:
    """Tell a running recording something, once.

    Parameters
    ----------
    target : str or path-like
        Path of the session file, its name with or without suffix, the session id, or the
        participant id.
    action : str
        ``start``, ``stop``, ``mark``, ``note``, ``next``, ``end`` or ``status``.
    label : str
        Label of the interaction window or marker, or the text of a note; 250 bytes at most, a
        note 2000.
    payload : dict, optional
        What belongs to the event; 3000 bytes of JSON at most.
    monotonic_ns : int, optional
        When it happened (`time.monotonic_ns()`); now by default.
    timeout_s : float
        How long to wait for the answer.

    Returns
    -------
    dict
        The recording's answer; ``onset`` is the stored time in seconds since its start.

    Raises
    ------
    RecordingError
        If no running recording, or more than one, fits the target, or it refuses the command.

    Examples
    --------
    >>> from physio_hqc.acquisition import send_command
    >>> send_command("nobody_records_this", "mark", "slide_3")
    Traceback (most recent call last):
    physio_hqc.errors.RecordingError: ...
    """
    stamp = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
    check_command(action, label, {} if payload is None else payload)
    with Tagger(target, timeout_s=timeout_s) as tagger:
        return tagger.send(action, label, payload, monotonic_ns=stamp)


class Tagger:
    """A lasting connection to a running recording, for stimulus programs.

    The moment of a tag is the moment of the call, whatever the way to the recorder takes. It can
    be used from several threads, and connects again if the recorder closed an idle connection.

    Parameters
    ----------
    target : str or path-like
        As in :func:`send_command`.
    timeout_s : float
        How long to wait for an answer.

    Raises
    ------
    RecordingError
        If no running recording, or more than one, fits the target.

    Examples
    --------
    >>> with Tagger("P01.h5") as tagger:                       # doctest: +SKIP
    ...     tagger.start("support", {"partner": "A"})
    ...     tagger.mark("picture 12")
    ...     tagger.stop("support")
    """

    def __init__(self, target: str | os.PathLike[str], *, timeout_s: float = 2.0) -> None:
        self._target = os.fspath(target)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._registration, self._connection = _find(self._target, timeout_s)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def file(self) -> str:
        """Path of the session file that is being recorded."""
        return self._registration.file

    def start(self, label: str, payload: dict[str, Any] | None = None) -> float:
        """Open an interaction window now; its onset in seconds since the recording's start."""
        return self._onset("start", label, payload, time.monotonic_ns())

    def stop(self, label: str, payload: dict[str, Any] | None = None) -> float:
        """Close an interaction window now; the time in seconds since the recording's start."""
        return self._onset("stop", label, payload, time.monotonic_ns())

    def mark(self, label: str, payload: dict[str, Any] | None = None) -> float:
        """Set a marker now; its onset in seconds since the recording's start."""
        return self._onset("mark", label, payload, time.monotonic_ns())

    def note(self, text: str) -> float:
        """Write a note now; its onset in seconds since the recording's start."""
        return self._onset("note", text, None, time.monotonic_ns())

    def send(
        self,
        action: str,
        label: str = "",
        payload: dict[str, Any] | None = None,
        *,
        monotonic_ns: int | None = None,
    ) -> dict[str, Any]:
        """Send any command and return the recording's answer.

        Raises
        ------
        RecordingError
            If the recording refuses it, has ended, or does not answer in time.
        """
        stamp = time.monotonic_ns() if monotonic_ns is None else monotonic_ns
        content = {} if payload is None else payload
        check_command(action, label, content)
        request = {"action": action, "label": label, "payload": content, "monotonic_ns": stamp}
        with self._lock:
            return self._exchange(to_line(request))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _onset(self, action: str, label: str, payload: dict[str, Any] | None, stamp: int) -> float:
        onset = self.send(action, label, payload, monotonic_ns=stamp).get("onset")
        return float("nan") if onset is None else float(onset)

    def _exchange(self, line: bytes) -> dict[str, Any]:
        try:
            if self._is_closed():
                self._reconnect()
            self._connection.sendall(line)
            reply = parse_object(self._read_line())
        except TimeoutError:
            # What comes later would be taken for the answer to the next command.
            self._connection.close()
            raise RecordingError(
                f"the recording of {self.file} did not answer within {self._timeout_s:g} s: "
                "look in its log whether the tag was stored"
            ) from None
        except OSError as error:
            self._connection.close()
            raise RecordingError(
                f"the connection to the recording of {self.file} broke off "
                f"({error.strerror or error}): look in its log whether the tag was stored"
            ) from None
        if reply.get("ok") is not True:
            raise RecordingError(str(reply.get("error", "the recording gave no reason")))
        result = reply.get("result")
        return result if isinstance(result, dict) else {}

    def _is_closed(self) -> bool:
        """Whether the other end closed while nothing was going on."""
        if self._connection.fileno() < 0:
            return True
        self._connection.setblocking(False)
        try:
            return self._connection.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._connection.settimeout(self._timeout_s)

    def _reconnect(self) -> None:
        self._connection.close()
        self._received = b""
        # The path, so that another recording of the same participant is not tagged by mistake.
        self._registration, self._connection = _find(self.file, self._timeout_s)

    def _read_line(self) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.settimeout(left)
            piece = self._connection.recv(65_536)
            if not piece:
                raise ConnectionResetError("closed by the recording")
            self._received += piece
            if len(self._received) > 16 * MAX_LINE:
                raise ConnectionAbortedError("an answer without end")
        line, _, self._received = self._received.partition(b"\n")
        return line


def _find(target: str, timeout_s: float) -> tuple[Registration, socket.socket]:
    """Find the one running recording that fits, and connect to it."""
    known = registrations()
    path = os.path.realpath(target)
    fitting = [one for one in known if one.file == path] or [
        one for one in known if one.fits(target)
    ]
    alive = [(one, connection) for one in fitting if (connection := _try(one, timeout_s))]
    if len(alive) == 1:
        return alive[0]
    for _, connection in alive:
        connection.close()
    if alive:
        names = ", ".join(one.title for one, _ in alive)
        raise RecordingError(
            f"{target!r} fits {len(alive)} running recordings: {names}; give the path"
        )
    raise RecordingError(_nobody(target, path, known))


def _nobody(target: str, path: str, known: list[Registration]) -> str:
    """Say why there is nobody to talk to."""
    running = []
    for one in known:
        connection = _try(one, 0.5)
        if connection is not None:
            connection.close()
            running.append(one.title)
    finished = ", and a finished file cannot be tagged" if os.path.exists(path) else ""
    if not running:
        return f"no recording is running{finished}: start one with physio-hqc record"
    return f"{target!r} is not being recorded{finished}; running: {', '.join(running)}"


def _try(registration: Registration, timeout_s: float) -> socket.socket | None:
    """Connect, or None where the recorder has ended."""
    try:
        return connect(registration, timeout_s)
    except OSError as error:
        if is_gone(error):
            return None
        raise RecordingError(
            f"the recording of {registration.title} cannot be reached: {error.strerror or error}"
        ) from None
