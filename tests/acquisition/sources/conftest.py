"""A sink that keeps everything, and LSL kept on the loopback interface."""

import asyncio
import atexit
import math
import os
import selectors
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from physio_hqc.session import SessionWriter

# liblsl reads its configuration when it is first used: this comes before any test.
_FOLDER = Path(tempfile.mkdtemp(prefix="physio-hqc-lsl-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_CONFIG = _FOLDER / "lsl_api.cfg"
_CONFIG.write_text(
    Path(__file__).with_name("lsl_api.cfg").read_text() + f"SessionID = test_{os.getpid()}\n"
)
os.environ["LSLAPICFG"] = str(_CONFIG)


class Collector:
    """A sink as the recorder has one: all that was delivered, in order of delivery."""

    def __init__(self) -> None:
        self.clock = time.monotonic
        self.origin = self.clock()
        self.packets: list[tuple] = []
        self.values: list[tuple] = []
        self.events: list[tuple] = []
        self.states: list[tuple[str, str]] = []
        self.known: dict = {}
        self.troubles: Counter[str] = Counter()
        self.texts: list[str] = []
        self.rooms = 0
        self.pause_s = 0.0

    def now(self) -> float:
        return self.clock() - self.origin

    def packet(self, stream, samples, t_received, t_device=math.nan, flags=0) -> None:
        self.packets.append((stream, np.array(samples), t_received, t_device, int(flags)))

    def readings(self, stream, times_s, samples, t_received, flags=0) -> None:
        self.values.append((stream, np.array(times_s), np.array(samples), t_received, int(flags)))

    def event(self, kind, label, onset, *, duration=0.0, payload=None) -> None:
        self.events.append((kind, label, onset, duration, payload or {}))

    def state(self, state, text="") -> None:
        self.states.append((state, text))

    def facts(self, **facts) -> None:
        self.known.update(facts)

    def trouble(self, kind, text) -> None:
        self.troubles[kind] += 1
        self.texts.append(text)

    async def room(self) -> None:
        self.rooms += 1
        if self.pause_s:
            pause, self.pause_s = self.pause_s, 0.0
            await asyncio.sleep(pause)

    def of(self, stream):
        return [packet for packet in self.packets if packet[0] == stream]

    def samples(self, stream) -> np.ndarray:
        return np.concatenate([packet[1] for packet in self.of(stream)])

    def read(self, stream) -> tuple[np.ndarray, np.ndarray]:
        parts = [part for part in self.values if part[0] == stream]
        return np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])

    def write(self, path, infos) -> None:
        """Write what was delivered as a session file, as a recorder does."""
        with SessionWriter(path) as writer:
            for info in infos:
                writer.add_stream(
                    info.name, modality=info.modality, units=info.units, sfreq=info.sfreq,
                    dtype=info.dtype, channels=info.channels or None, scale=info.scale,
                    offset=info.offset, device=info.device,
                )  # fmt: skip
            for name, samples, t_received, t_device, flags in self.packets:
                assert writer.append(name, samples, t_received, t_device, flags)
            for name, times, samples, t_received, flags in self.values:
                writer.append_irregular(name, times, samples, t_received, flags)
            for kind, label, onset, duration, payload in self.events:
                writer.add_event(onset, kind, label, duration=duration, payload=payload)


class _NoWaiting(selectors.DefaultSelector):
    """Where a loop would wait for a timer, its clock is put forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        if timeout is not None and timeout > 0:
            self.now += timeout
            timeout = 0
        return super().select(timeout)


class _FastLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._waits = _NoWaiting()
        super().__init__(self._waits)

    def time(self) -> float:
        return self._waits.now


@pytest.fixture
def fast():
    """Run a source to its end on a clock that does not make anyone wait."""

    def run(source, collector):
        async def go():
            infos = await source.streams()
            collector.clock = asyncio.get_running_loop().time
            collector.origin = collector.clock()
            await source.run(collector)
            return {info.name: info for info in infos}

        with asyncio.Runner(loop_factory=_FastLoop) as runner:
            return runner.run(go())

    return run


@pytest.fixture
def collector() -> Collector:
    return Collector()
