"""One connection at a time: who is next, and how long it may take."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

_LATE_S = 0.5


class Turn:
    """The right to use the adapter alone.

    Attributes
    ----------
    wanted : bool
        Whether a device that has been recorded waits for it.
    """

    def __init__(self, owner: object, *, wanted: bool) -> None:
        self.owner = owner
        self.wanted = wanted
        self._deadline: asyncio.Timeout | None = None
        self._short_until = 0.0

    def want(self) -> None:
        """Say that a device that has been recorded waits: no more than the short time is left."""
        self.wanted = True
        deadline = self._deadline
        if deadline is not None and not deadline.expired():
            deadline.reschedule(max(self._short_until, asyncio.get_running_loop().time()))

    @asynccontextmanager
    async def limited(self, short_s: float, long_s: float) -> AsyncIterator[float]:
        """Give up after the long time, or after the short one as soon as somebody waits.

        Yields the time that there is. What is done in it should keep to that time by itself, as
        being cut off a little later may leave things half done.

        Raises
        ------
        TimeoutError
            When the time is over.
        """
        self._short_until = asyncio.get_running_loop().time() + short_s
        limit_s = short_s if self.wanted else max(short_s, long_s)
        async with asyncio.timeout(limit_s + _LATE_S) as deadline:
            self._deadline = deadline
            try:
                yield limit_s
            finally:
                self._deadline = None


class Turns:
    """Turns in the order in which they are asked for; devices that have been recorded come first.

    One device that never finishes connecting must not keep those from coming back that would.
    """

    def __init__(self) -> None:
        self._holder: Turn | None = None
        self._queue: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._missing: list[object] = []

    @contextmanager
    def missing(self, owner: object) -> Iterator[None]:
        """Count a device as recorded and gone, from the drop to the next link."""
        self._missing.append(owner)
        if self._holder is not None and self._holder.owner is not owner:
            self._holder.want()
        try:
            yield
        finally:
            self._missing.remove(owner)

    @asynccontextmanager
    async def turn(self, owner: object) -> AsyncIterator[Turn]:
        """Wait for a turn and have it."""
        while self._holder is not None:
            await self._wait(first=owner in self._missing)
        self._holder = Turn(owner, wanted=any(other is not owner for other in self._missing))
        try:
            yield self._holder
        finally:
            self._holder = None
            self._wake()

    async def _wait(self, *, first: bool) -> None:
        """Wait until it may be our turn."""
        ours = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (not first, next(self._numbers), ours))
        try:
            await ours
        except asyncio.CancelledError:
            if ours.done() and not ours.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        """Wake the next that waits."""
        while self._queue:
            waiting = heapq.heappop(self._queue)[-1]
            if not waiting.done():
                waiting.set_result(None)
                return
