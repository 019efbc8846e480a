"""A session recorded from virtual devices in this process, so that what was sent is known."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from recording.common import Bench


@contextlib.asynccontextmanager
async def recorded(
    bench: Bench, out: Path, sources: Sequence[Any]
) -> AsyncIterator[asyncio.Task[Any]]:
    """Record from sources while entered; ended cleanly afterwards, and the file is closed."""
    from physio_hqc.acquisition import RecordingPlan, record_session
    from physio_hqc.protocol import load_protocol

    plan = RecordingPlan(
        out=out,
        protocol=load_protocol(bench.protocol),
        sources=tuple(sources),
        participant_id="P01",
    )
    task = asyncio.create_task(record_session(plan))
    try:
        while not out.exists():
            if task.done():
                await task
            await asyncio.sleep(0.01)
        yield task
    finally:
        task.cancel()
        # Cancelled, it ends cleanly and returns how it ended.
        with contextlib.suppress(asyncio.CancelledError):
            await task


def ble_source(profile: str, serial: str, backend: Any, streams: tuple[str, ...] = ()) -> Any:
    """The source that records a virtual device."""
    from physio_hqc.acquisition import SourceOptions, make_source

    return make_source(profile, SourceOptions(serial=serial, backend=backend, streams=streams))


async def run_until_stopped(bench: Bench, work: Any) -> Any:
    """Run a coroutine; Ctrl-C and a stopping bench end it."""
    task = asyncio.ensure_future(work)
    while not task.done():
        if bench.stopping.is_set():
            task.cancel()
        await asyncio.wait([task], timeout=0.2)
    return task.result()


def stored(path: Path, stream: str) -> np.ndarray:
    """Samples as they are in the file, in the device's own numbers."""
    with h5py.File(path, "r") as file:
        return np.asarray(file[f"streams/{stream}/samples"])


def origin_s(t0_unix_ns: int) -> float:
    """Second 0 of a session on the monotonic clock, in s."""
    return (t0_unix_ns - time.time_ns() + time.monotonic_ns()) / 1e9
