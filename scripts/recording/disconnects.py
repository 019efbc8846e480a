"""Virtual devices that vanish and come back: what was delivered is recorded, once."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from recording.air import ble_source, recorded, stored
from recording.common import Bench, Outcome, percentile

_BACK_S = 30.0
# A packet that was made this shortly before the loss may have been on its way.
_ON_ITS_WAY_S = 0.25
_ALL = ("ecg", "acc", "rr")


def run(bench: Bench, *, quick: bool = False, n: int | None = None) -> Outcome:
    """Lose the connections of three virtual devices again and again in one session."""
    return asyncio.run(_run(bench, n or (9 if quick else 100)))


async def _run(bench: Bench, n: int) -> Outcome:
    from physio_hqc.acquisition.virtual import VirtualAir, VirtualEdaBand, VirtualPolarH10

    out = bench.folder / "disconnects.h5"
    outcome = Outcome("disconnects")
    lost: list[_Loss] = []
    async with VirtualAir() as air:
        straps = [VirtualPolarH10("1A2B3C4D"), VirtualPolarH10("5E6F7A8B")]
        devices = [*straps, VirtualEdaBand("07")]
        for device in devices:
            await air.add(device)
        sources = [
            *(ble_source("polar_h10", s.serial, air.backend, _ALL) for s in straps),
            ble_source("nordic_uart_eda", "", air.backend),
        ]
        async with recorded(bench, out, sources) as recording:
            shares = [len(range(k, n, len(devices))) for k in range(len(devices))]
            works = asyncio.gather(
                *(
                    _lose(bench, device, share, lost, n)
                    for device, share in zip(devices, shares, strict=True)
                )
            )
            done, _ = await asyncio.wait([recording, works], return_when="FIRST_COMPLETED")
            works.cancel()
            for work in done:
                work.result()
            await asyncio.sleep(1.0)
    _judge(outcome, out, n, devices, lost)
    return outcome


class _Loss:
    """One lost connection."""

    def __init__(self, device: Any, t: float) -> None:
        self.device = device
        self.t = t
        self.back = float("nan")
        self.flowing = float("nan")


async def _lose(bench: Bench, device: Any, n: int, lost: list[_Loss], total: int) -> None:
    """Let one device vanish and come back `n` times, at random moments."""
    dice = random.Random(device.name)
    await _flow(device, time.monotonic())
    for _ in range(n):
        await asyncio.sleep(dice.uniform(0.0, 2.0))
        loss = _Loss(device, time.monotonic())
        lost.append(loss)
        await device.drop(unnoticed_s=dice.choice([0.0, dice.uniform(0.0, 0.6)]))
        await asyncio.sleep(dice.uniform(0.0, 1.5))
        await device.come_back()
        loss.back = time.monotonic()
        loss.flowing = await _flow(device, loss.back)
        bench.advance(sum(one.flowing > 0 for one in lost), total, "lost connections")


async def _flow(device: Any, since: float) -> float:
    """Wait until every stream delivers again; NaN if that takes too long."""
    try:
        async with asyncio.timeout(_BACK_S):
            while not all(_flows(log, since) for log in device.sent.values()) or not device.sent:
                await asyncio.sleep(0.02)
    except TimeoutError:
        return float("nan")
    return time.monotonic()


def _flows(log: Any, since: float) -> bool:
    return any(p.delivered and p.t_sent > since for p in list(log)[-8:])


def _judge(outcome: Outcome, out: Path, n: int, devices: list[Any], lost: list[_Loss]) -> None:
    back = [loss.flowing - loss.back for loss in lost if loss.flowing > 0]
    outcome.add("connections made again", f"{len(back)} of {n}", "all", len(back) == n)
    n_sent = n_recorded = n_missing = n_twice = n_outside = 0
    for number, device in enumerate(devices):
        for name, log in device.sent.items():
            stream = f"{name}_2" if number == 1 else name
            sent, got = log.samples(delivered=True), stored(out, stream)
            n_sent += len(log.samples())
            n_recorded += len(got)
            if not np.array_equal(np.squeeze(sent), np.squeeze(got)):
                outcome.notes.append(f"{stream}: {len(sent)} delivered, {len(got)} recorded")
                n_missing += max(1, len(sent) - len(got))
                n_twice += max(0, len(got) - len(sent))
            n_outside += _outside(device, log, lost)
    outcome.add(
        "samples delivered but not recorded as sent",
        f"{n_missing} of {n_recorded}",
        "0",
        n_missing == 0 and n_recorded > 0,
    )
    outcome.add("samples recorded twice", str(n_twice), "0", n_twice == 0)
    outcome.add("packets missing that were not sent while down", str(n_outside), "0", not n_outside)
    outcome.numbers = {"back_s": back, "n_sent": n_sent, "n_recorded": n_recorded}
    flagged = _reconnect_flags(out)
    wanted = len([loss for loss in lost if loss.device is devices[0]])
    outcome.add("gaps flagged in the ECG", f"{flagged} of {wanted}", "all", flagged == wanted)
    outcome.notes.append(
        f"{n_sent} samples made, {n_recorded} recorded, {n_sent - n_recorded} made while down; "
        f"flowing again {percentile(back, 50):.2f} s (median), {percentile(back, 95):.2f} s "
        "(95th percentile) after the device was back"
    )


def _outside(device: Any, log: Any, lost: list[_Loss]) -> int:
    """Packets that were not delivered although the connection stood."""
    spans = [(loss.t - _ON_ITS_WAY_S, loss.flowing) for loss in lost if loss.device is device]
    delivered = [p.t_host for p in log if p.delivered]
    first, last = (delivered[0], delivered[-1]) if delivered else (np.inf, -np.inf)
    return sum(
        not p.delivered
        and first < p.t_host < last
        and not any(begin <= p.t_host <= end for begin, end in spans)
        for p in log
    )


def _reconnect_flags(out: Path) -> int:
    from physio_hqc.session import BlockFlag, open_session

    with open_session(out) as session:
        flags = session.streams["ecg"].blocks["flags"]
    return int(np.count_nonzero(flags & int(BlockFlag.RECONNECT)))
