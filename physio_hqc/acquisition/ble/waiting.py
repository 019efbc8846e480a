"""Small helpers to wait in asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def next_of(queue: asyncio.Queue[T], timeout_s: float) -> T | None:
    """Take the next entry of a queue; None when the time is over."""
    if not queue.empty():
        return queue.get_nowait()
    try:
        async with asyncio.timeout(max(timeout_s, 0.0)):
            return await queue.get()
    except TimeoutError:
        return None


async def shielded(work: Coroutine[Any, Any, None], limit_s: float) -> None:
    """Do something to its end although we are being cancelled, but not for longer than `limit_s`.

    A cancellation that comes meanwhile is passed on afterwards.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    give_up_at = loop.time() + limit_s
    cancelled: asyncio.CancelledError | None = None
    while not task.done() and loop.time() < give_up_at:
        try:
            await asyncio.wait({task}, timeout=give_up_at - loop.time())
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if cancelled is not None:
        raise cancelled
    if not task.cancelled():
        task.result()
