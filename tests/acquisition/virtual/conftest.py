"""Shared by the tests of virtual peripherals, which use nothing but bleak's own interface."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("bumble")

from bleak import BleakClient

from physio_hqc.acquisition.virtual import VirtualAir, VirtualPeripheral


class Heard:
    """What came from one characteristic, and when."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.times: list[float] = []
        self._more = asyncio.Event()

    def __call__(self, _sender: object, data: bytearray) -> None:
        self.values.append(bytes(data))
        self.times.append(time.monotonic())
        self._more.set()

    async def wait(self, n: int, timeout: float = 10.0) -> list[bytes]:
        async with asyncio.timeout(timeout):
            while len(self.values) < n:
                self._more.clear()
                await self._more.wait()
        return self.values


@asynccontextmanager
async def _client(
    peripheral: VirtualPeripheral, **kwargs: object
) -> AsyncIterator[tuple[VirtualAir, BleakClient]]:
    async with VirtualAir() as air:
        await air.add(peripheral)
        async with BleakClient(peripheral.address, backend=air.backend.client, **kwargs) as client:
            yield air, client


@pytest.fixture
def connected() -> Callable[..., object]:
    """``async with connected(peripheral) as (air, client)``."""
    return _client


@pytest.fixture
def heard() -> type[Heard]:
    return Heard


@pytest.fixture(autouse=True)
def _quick_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let devices advertise often, so that no test waits for that."""
    monkeypatch.setattr(VirtualPeripheral, "usual_interval_s", 0.02)
