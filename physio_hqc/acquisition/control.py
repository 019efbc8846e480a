"""The local socket by which other programs tag a running recording.

The recorder listens on a Unix socket in a private folder of the user (where there are none, on a
loopback port with a secret token) and writes down which file it records. A sender stamps every
command itself, on the machine's monotonic clock, so that the way to the recorder costs no
accuracy. Whatever arrives is untrusted: sizes are bounded, every value is checked, and a sender
that misbehaves only loses its own connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from physio_hqc.acquisition._control_client import Tagger, send_command
from physio_hqc.acquisition._control_parse import Command, parse_command
from physio_hqc.acquisition._control_wire import (
    MAX_LINE,
    Action,
    Registration,
    Transport,
    connect,
    make_private_folder,
    parse_object,
    remove,
    remove_stale,
    to_line,
    write_registration,
)
from physio_hqc.errors import PhysioError, RecordingError

__all__ = ["Action", "Command", "ControlServer", "Tagger", "send_command"]

_MAX_CONNECTIONS = 64
_TOKEN_TIMEOUT_S = 2.0
# A stimulus program tags a few times a second; more than this is a runaway loop, and is slowed
# down rather than refused: its stamps stay right.
_RATE = 100.0
_BURST = 200.0


class ControlServer:
    """Listens for commands while it is entered; never stands in the way of the recording.

    Parameters
    ----------
    handler : callable
        Coroutine function that carries out a :class:`Command` and returns the answer, with the
        stored ``onset``. It refuses by ``{"ok": False, "error": why}`` or by raising a
        :class:`~physio_hqc.errors.PhysioError`; the sender gets one line. Commands are handed
        over one after another, in the order of their arrival.
    file : path
        The session file that is being recorded.
    session_id, participant_id : str
        Other names by which a sender may find it.
    transport : {"unix", "tcp"}, optional
        What to listen on; by default a Unix socket where the system has them.

    Attributes
    ----------
    problem : str
        Why nobody can be listened to; "" when all is well. Entering does not raise for it: a
        recording is worth more than its tags from outside.
    """

    def __init__(
        self,
        handler: Callable[[Command], Awaitable[dict[str, Any]]],
        *,
        file: Path,
        session_id: str,
        participant_id: str,
        transport: Transport | None = None,
    ) -> None:
        self.problem = ""
        self._handler = handler
        self._about = (os.path.realpath(file), session_id, participant_id)
        self._transport: Transport = transport or ("unix" if os.name == "posix" else "tcp")
        self._registration: Registration | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._closing = False
        self._turn = asyncio.Lock()
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._listen()
        except (OSError, PhysioError) as error:
            self.problem = f"no tags from other programs: {error}"
            await self._close()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _listen(self) -> None:
        folder = make_private_folder()
        remove_stale(folder)
        file, session_id, participant_id = self._about
        registration = Registration(
            name=f"{os.getpid()}-{os.urandom(3).hex()}",
            folder=folder,
            file=file,
            session_id=session_id,
            participant_id=participant_id,
            pid=os.getpid(),
            transport=self._transport,
            token="" if self._transport == "unix" else os.urandom(16).hex(),
        )
        listening = _bind(registration)
        if self._transport == "tcp":
            registration = registration._replace(port=listening.getsockname()[1])
        self._registration = registration
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listening))
        write_registration(registration)

    async def _accept(self, listening: socket.socket) -> None:
        """Take in senders one by one.

        By hand: asyncio's own server leaks a connection that it accepts while it is being closed.
        """
        loop = asyncio.get_running_loop()
        with listening:
            while not self._closing:
                try:
                    accepted, _ = await loop.sock_accept(listening)
                except OSError:
                    # Out of file descriptors; that may pass.
                    await asyncio.sleep(0.1)
                    continue
                self._welcome(accepted)

    async def _close(self) -> None:
        registration = self._registration
        if registration is None:
            return
        if self._accepting is not None:
            self._closing = True
            try:
                # Wakes the accepting task; cancelling it could lose a connection just accepted.
                connect(registration, 0.5).close()
            except OSError:
                self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        remove(registration)
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _welcome(self, accepted: socket.socket) -> None:
        """Begin to serve a connection, if need be at the cost of the least useful one."""
        if self._closing:
            accepted.close()
            return
        if len(self._connections) >= _MAX_CONNECTIONS:
            task, _ = min(self._connections.items(), key=lambda item: item[1].worth)
            task.cancel()
        connection = _Connection(accepted)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._connections[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        # A task that was cancelled before it began has not closed its connection.
        self._connections.pop(task).socket.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A bug behind the handler: told to the loop, and the recording goes on.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a command could not be carried out", "exception": error, "task": task}
            )

    async def _serve(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            await connection.open()
            try:
                if self._is_mine(connection) and await self._knows_token(connection):
                    while await self._serve_one(connection):
                        pass
            except asyncio.CancelledError:
                connection.abort()
                raise
            finally:
                await connection.close()

    def _is_mine(self, connection: _Connection) -> bool:
        """Whether the other end is the same user, as far as the system tells."""
        if self._transport != "unix":
            return True
        user = _peer_user(connection.socket)
        return user is None or user in (0, os.geteuid())

    async def _knows_token(self, connection: _Connection) -> bool:
        if self._registration is None or self._transport == "unix":
            return True
        try:
            async with asyncio.timeout(_TOKEN_TIMEOUT_S):
                line = await connection.read_line()
            given = parse_object(line or b"").get("token")
        except (TimeoutError, RecordingError):
            return False
        expected = self._registration.token.encode()
        return isinstance(given, str) and hmac.compare_digest(
            given.encode(errors="replace"), expected
        )

    async def _serve_one(self, connection: _Connection) -> bool:
        """Answer one command; False when there will be no more."""
        try:
            line = await connection.read_line()
        except RecordingError as error:
            await connection.write({"ok": False, "error": str(error)})
            return False
        if line is None:
            return False
        arrival_ns = time.monotonic_ns()
        try:
            command = parse_command(line, arrival_ns)
            connection.worth = (True, time.monotonic())
            async with self._turn:
                if self._closing:
                    raise RecordingError("the recording has ended")
                result = await self._handler(command)
        except PhysioError as error:
            result = {"ok": False, "error": str(error)}
        if result.get("ok") is False:
            why = " ".join(str(result.get("error", "refused")).split())
            await connection.write({"ok": False, "error": why})
        else:
            answer = {key: value for key, value in result.items() if key != "ok"}
            await connection.write({"ok": True, "result": answer})
        await connection.slow_down()
        return True


class _Connection:
    """One sender: its streams, how much it may still say, and what it is worth.

    Worth is whether it ever sent a command, and when it sent the last one.
    """

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self.worth = (False, time.monotonic())
        self._credit_s = self.worth[1]
        self._credit = _BURST

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self.socket, limit=MAX_LINE)

    async def read_line(self) -> bytes | None:
        """Return the next line; None at the end, also in the middle of a line."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise RecordingError(f"the line is longer than {MAX_LINE} bytes") from None
        return line

    async def write(self, content: dict[str, Any]) -> None:
        self._writer.write(to_line(content))
        await self._writer.drain()

    async def slow_down(self) -> None:
        """Let the others have their turn; a flood waits until it is no flood any more."""
        now = time.monotonic()
        self._credit = min(_BURST, self._credit + (now - self._credit_s) * _RATE) - 1
        self._credit_s = now
        await asyncio.sleep(max(0.0, -self._credit / _RATE))

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(_TOKEN_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            # It does not read what it was sent.
            self.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


def _bind(registration: Registration) -> socket.socket:
    """Open the listening socket."""
    unix = registration.transport == "unix"
    listening = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind(registration.socket_path if unix else ("127.0.0.1", 0))
        listening.listen(128)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _peer_user(connection: socket.socket) -> int | None:
    """User at the other end of a Unix socket; None where the system does not tell."""
    if sys.platform == "linux":
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("iII", found)[1])
    if sys.platform == "darwin":
        # LOCAL_PEERCRED at the level of local sockets: struct xucred, version and then user.
        found = connection.getsockopt(0, 1, 76)
        return int(struct.unpack_from("=II", found)[1])
    return None
