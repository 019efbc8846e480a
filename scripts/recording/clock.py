"""Drifting clocks, late packets, bursts: reconstructed times against the truth."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from recording.air import ble_source, origin_s, recorded
from recording.common import Bench, Outcome, percentile

WITHIN_MS = 5.0
JITTER_S = 0.2
_HABITS = (
    {"ppm": 100.0, "clock": True, "packet": 73},
    {"ppm": -100.0, "clock": True, "packet": 73},
    {"ppm": 100.0, "clock": False, "packet": 13},
    {"ppm": -100.0, "clock": False, "packet": 13},
)


def run(bench: Bench, *, quick: bool = False) -> Outcome:
    """Record straps with wrong clocks and late packets, tag meanwhile, compare with the truth."""
    # How early the earliest packet is decides what can be known: in a sixth of the time there are
    # a sixth of the packets, which tell as much of a sixth of the jitter.
    return asyncio.run(_run(bench, *((30.0, JITTER_S / 6) if quick else (180.0, JITTER_S))))


async def _run(bench: Bench, seconds: float, jitter_s: float) -> Outcome:
    from physio_hqc.acquisition.virtual import Faults, VirtualAir, VirtualPolarH10

    out = bench.folder / "clock.h5"
    wearables = [_Wearable(seed, jitter_s=jitter_s, **habit) for seed, habit in enumerate(_HABITS)]
    async with VirtualAir() as air:
        straps = [
            VirtualPolarH10(
                f"0000000{seed}", faults=Faults(drift_ppm=ppm, jitter_s=jitter_s, seed=seed)
            )
            for seed, ppm in ((1, 100.0), (2, -100.0))
        ]
        for strap in straps:
            await air.add(strap)
        sources = [ble_source("polar_h10", s.serial, air.backend, ("ecg",)) for s in straps]
        async with recorded(bench, out, [*sources, *(w.source() for w in wearables)]) as recording:
            tags = asyncio.create_task(asyncio.to_thread(_tag, bench, out, seconds))
            done, _ = await asyncio.wait([recording, tags], return_when="FIRST_COMPLETED")
            truth = tags.result() if tags in done else recording.result()
    outcome = Outcome("clock")
    named = {
        f"virtual H10, {s.faults.drift_ppm:+.0f} ppm, {jitter_s * 1e3:.0f} ms jitter": s
        for s in straps
    }
    named |= {wearable.title: wearable for wearable in wearables}
    _judge_times(outcome, out, named)
    _judge_tags(outcome, out, truth)
    return outcome


class _Wearable:
    """A strap whose packets also come in bursts: the link stands still and then catches up.

    Every sample is its own number. Now and then a packet comes at once, as on any real link; that
    is what tells a late packet from a clock that is behind.
    """

    def __init__(self, seed: int, *, jitter_s: float, ppm: float, clock: bool, packet: int) -> None:
        self.title = (
            f"{packet}-sample packets, {ppm:+.0f} ppm, {jitter_s * 1e3:.0f} ms jitter, bursts"
            f"{'' if clock else ', no clock of its own'}"
        )
        self.sfreq = 130.27 * (1 + ppm * 1e-6)
        self.packet, self.clock, self.jitter_s = packet, clock, jitter_s
        self.dice = random.Random(seed)
        self.started = float("nan")

    def true_times(self, n: int) -> np.ndarray:
        """Session times at which the first `n` samples were taken."""
        return self.started + np.arange(1, n + 1) / self.sfreq

    def source(self) -> Any:
        """What delivers it."""
        from physio_hqc.acquisition import Source, StreamInfo

        wearable = self

        class Late(Source):
            name = "wearable"

            async def streams(self) -> tuple[StreamInfo, ...]:
                return (StreamInfo("ecg", "ecg", "mV", 130.0, dtype="int32", scale=0.001),)

            async def run(self, sink: Any) -> None:
                sink.state("connected")
                await wearable.deliver(sink)

        return Late()

    async def deliver(self, sink: Any) -> None:
        """Deliver until cancelled."""
        self.started, arrival = sink.now(), 0.0
        standstill = self.dice.uniform(3.0, 8.0)
        for first in itertools.count(0, self.packet):
            values = np.arange(first, first + self.packet, dtype=np.int32)
            taken = (first + self.packet) / self.sfreq
            arrival = max(arrival, taken + self.dice.uniform(0.0, self.jitter_s))
            if taken > standstill:
                arrival = max(arrival, standstill + self.dice.uniform(0.5, 2.0))
                standstill = arrival + self.dice.uniform(3.0, 8.0)
            await asyncio.sleep(max(0.0, self.started + arrival - sink.now()))
            own = 7000.0 + (first + self.packet) / 130.27 if self.clock else math.nan
            sink.packet("ecg", values, sink.now(), own)


def _tag(bench: Bench, out: Path, seconds: float) -> list[tuple[str, float]]:
    """Tag at random moments, and keep the true ones, in s of the monotonic clock."""
    from physio_hqc.acquisition.control import Tagger

    dice, truth = random.Random(1), []
    begin = time.monotonic()
    while not list(bench.folder.glob("physio_hqc/*.json")):
        bench.sleep(0.01)
    with Tagger(out) as tagger:
        while (now := time.monotonic()) - begin < seconds:
            label = f"tag {len(truth)}"
            truth.append((label, time.monotonic()))
            tagger.mark(label)
            bench.advance(now - begin, seconds, "recording")
            bench.sleep(dice.uniform(0.0, 0.2))
    return truth


def _judge_times(outcome: Outcome, out: Path, straps: dict[str, Any]) -> None:
    from physio_hqc.session import open_session

    with open_session(out) as session:
        origin = origin_s(session.t0_unix_ns)
        for number, (habit, strap) in enumerate(straps.items(), 1):
            stream = session.streams["ecg" if number == 1 else f"ecg_{number}"]
            own = isinstance(strap, _Wearable)
            true = strap.true_times(stream.n_samples) if own else _true_times(strap) - origin
            if len(true) != stream.n_samples:
                counts = f"{stream.n_samples} recorded, {len(true)} delivered"
                outcome.add(f"ECG, {habit}", counts, "as many", False)
                continue
            error_ms = np.abs(stream.times - true) * 1e3
            worst = percentile(error_ms, 95)
            outcome.add(
                f"ECG, {habit}",
                f"{worst:.2f} ms (largest {error_ms.max():.2f} ms, n {len(true)})",
                f"<= {WITHIN_MS:g} ms",
                worst <= WITHIN_MS,
            )
            outcome.numbers[habit] = worst


def _true_times(strap: Any) -> np.ndarray:
    """When each delivered sample was taken, in s of the monotonic clock."""
    step = strap.clock.host_span(1.0 / strap.sfreq)
    return np.concatenate(
        [
            p.t_host - step * np.arange(len(p.samples) - 1, -1, -1)
            for p in strap.sent["ecg"].packets(delivered=True)
        ]
    )


def _judge_tags(outcome: Outcome, out: Path, truth: list[tuple[str, float]]) -> None:
    from physio_hqc.session import open_session

    with open_session(out) as session:
        events, origin = session.events, origin_s(session.t0_unix_ns)
    marks = events[events["kind"] == "marker"]
    stored = dict(zip(marks["label"], marks["onset"], strict=True))
    late_ms = [(stored.get(label, np.inf) + origin - true) * 1e3 for label, true in truth]
    worst = max(map(abs, late_ms))
    outcome.add(
        "tags, all of them",
        f"{worst:.2f} ms (median {np.median(late_ms):.3f} ms, n {len(truth)})",
        f"<= {WITHIN_MS:g} ms",
        worst <= WITHIN_MS,
    )
    outcome.numbers["tags_ms"] = worst
