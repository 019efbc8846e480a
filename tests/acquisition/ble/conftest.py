"""A source that runs beside a test, and waits short enough for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from physio_hqc.acquisition import DeviceProfile, SourceOptions, load_device_profile
from physio_hqc.acquisition._collect import Collector
from physio_hqc.acquisition.ble import BleSource, BleTiming

FAST = BleTiming(
    settle_s=0.2,
    hint_s=1.0,
    reply_s=1.0,
    silence_s=2.0,
    backoff_s=0.05,
    backoff_max_s=0.2,
    stop_s=3.0,
)


class Running:
    """A source at work."""

    def __init__(self, source: BleSource, sink: Collector) -> None:
        self.source = source
        self.sink = sink
        self.task = asyncio.create_task(source.run(sink))

    async def until(self, reached: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait for something; a source that fails meanwhile fails the test with its error."""
        waiting = asyncio.create_task(self.sink.until(reached, timeout_s))
        try:
            await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not waiting.done():
                waiting.cancel()
            result = (await asyncio.gather(waiting, return_exceptions=True))[0]
        if self.task.done() and not self.task.cancelled():
            self.task.result()
        if isinstance(result, Exception):
            raise AssertionError(
                f"not reached: {self.sink.states[-3:]} {self.sink.trouble_texts[-5:]}"
            ) from result

    async def stop(self) -> None:
        """Cancel it, as a recording does at its end."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


Runner = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def _running(
    profile: DeviceProfile | str, backend: Any, *, timing: BleTiming = FAST, **options: Any
) -> AsyncIterator[Running]:
    chosen = load_device_profile(profile) if isinstance(profile, str) else profile
    source = BleSource(chosen, options=SourceOptions(backend=backend, **options), timing=timing)
    running = Running(source, Collector())
    try:
        yield running
    finally:
        await running.stop()


@pytest.fixture
def running() -> Runner:
    """Run a source beside the test: ``async with running("polar_h10", air.backend) as run``."""
    return _running


@pytest.fixture
def fast() -> BleTiming:
    """Waits that `running` uses."""
    return FAST
