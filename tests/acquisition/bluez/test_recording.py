"""A session recorded through BlueZ: bleak's own backend, a real bluetoothd, virtual wearables."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

if "PHYSIO_BLUEZ" not in os.environ:
    pytest.skip("needs a real bluetoothd; test_machine.py runs it", allow_module_level=True)
pytest.importorskip("bumble")

from bumble.transport import open_transport

from physio_hqc import open_session
from physio_hqc.acquisition import (
    RecordingPlan,
    RecordingResult,
    load_device_profile,
    record_session,
)
from physio_hqc.acquisition.ble import BleSource
from physio_hqc.acquisition.ble.discovery import FoundDevice, find_devices
from physio_hqc.acquisition.source import SourceOptions
from physio_hqc.acquisition.virtual import (
    SentLog,
    VirtualAir,
    VirtualCuff,
    VirtualEdaBand,
    VirtualPolarH10,
)
from physio_hqc.protocol import parse_protocol

pytestmark = pytest.mark.bluez

DESIGN = """
name: bluez
title: One minute
phases:
  - {name: baseline, role: baseline, duration_s: 30}
  - {name: speech, role: task, duration_s: 30}
baseline: {phase: baseline}
"""
LIMIT_S = 180.0
LOG = logging.getLogger(__name__)
STRAP, BAND = "B1ABCDEF", "31"
GONE_AT_S, GONE_FOR_S = 15.0, 6.0
MEASURED_AT_S = (5.0, 40.0)


@dataclass
class Story:
    """What happened in the machine."""

    path: Path
    found: list[FoundDevice] = field(default_factory=list)
    begun: float = 0.0
    result: RecordingResult | None = None
    sent: dict[str, SentLog] = field(default_factory=dict)
    drops: list[tuple[float, float]] = field(default_factory=list)
    writes: list[tuple[float, str, bytes]] = field(default_factory=list)
    streaming_after: bool = True


async def powered_adapter(limit_s: float = 60.0) -> None:
    """Wait until BlueZ has an adapter that is switched on."""
    from dbus_fast import BusType, Message
    from dbus_fast.aio import MessageBus

    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    question = Message(
        destination="org.bluez",
        path="/",
        interface="org.freedesktop.DBus.ObjectManager",
        member="GetManagedObjects",
    )
    try:
        async with asyncio.timeout(limit_s):
            while True:
                answer = await bus.call(question)
                objects: dict[str, Any] = answer.body[0] if answer and answer.body else {}
                adapters = [o["org.bluez.Adapter1"] for o in objects.values() if _ADAPTER in o]
                if any(adapter["Powered"].value for adapter in adapters):
                    return
                await asyncio.sleep(0.1)
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()


_ADAPTER = "org.bluez.Adapter1"


async def play(story: Story) -> None:
    """Find three devices, record them for a minute, lose the strap in between."""
    strap, band, cuff = VirtualPolarH10(STRAP), VirtualEdaBand(BAND), VirtualCuff(measuring_s=3.0)
    begun = asyncio.Event()

    async def happen() -> None:
        await begun.wait()
        story.begun = time.monotonic()
        tasks.extend(asyncio.create_task(measure(at)) for at in MEASURED_AT_S)
        await asyncio.sleep(GONE_AT_S)
        await strap.drop()
        await asyncio.sleep(GONE_FOR_S)
        await strap.come_back()

    async def measure(at: float) -> None:
        await asyncio.sleep(story.begun + at - time.monotonic())
        await cuff.measure()

    tasks: list[asyncio.Task[None]] = [asyncio.create_task(happen())]
    async with await open_transport("vhci") as transport, VirtualAir() as air:
        await air.plug_into(transport)
        await powered_adapter()
        LOG.info("the adapter is on")
        for peripheral in (strap, band, cuff):
            await air.add(peripheral)
        story.found = await find_devices(4.0)
        LOG.info("found %s", [device.name for device in story.found])
        sources = [
            BleSource(
                load_device_profile("polar_h10"),
                options=SourceOptions(serial=STRAP, streams=("ecg", "acc", "rr", "hr")),
            ),
            BleSource(load_device_profile("nordic_uart_eda")),
            BleSource(load_device_profile("blood_pressure")),
        ]
        plan = RecordingPlan(
            out=story.path,
            protocol=parse_protocol(DESIGN),
            sources=tuple(sources),
            participant_id="P01",
            override_after_s=60.0,
        )
        story.result = await record_session(plan, on_log=LOG.info, on_begin=begun.set)
        await asyncio.gather(*tasks)
        story.sent = {**strap.sent, **band.sent, **cuff.sent}
        story.drops, story.writes = strap.drops, strap.writes
        story.streaming_after = strap.is_streaming("ecg") or band.is_streaming


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    told = Story(tmp_path_factory.mktemp("bluez") / "P01.h5")
    asyncio.run(asyncio.wait_for(play(told), LIMIT_S))
    for name, log in told.sent.items():
        delivered = len(log.packets(delivered=True))
        LOG.info("%s: %d packets made, %d delivered", name, len(log), delivered)
    return told


def stored(story: Story, name: str) -> np.ndarray[Any, Any]:
    """Samples as the device said them: the scale of the profile taken out again."""
    profiles = [load_device_profile(n) for n in ("polar_h10", "nordic_uart_eda", "blood_pressure")]
    scale = next(s.scale for p in profiles for s in p.streams if s.name == name)
    with open_session(story.path) as session:
        return np.asarray(session.streams[name].samples / scale)


def test_the_three_devices_are_found_and_recognized(story):
    found = {device.name: device for device in story.found}
    assert found[f"Polar H10 {STRAP}"].profiles[0] == "polar_h10"
    assert found[f"EDA Band {BAND}"].profiles[0] == "nordic_uart_eda"
    assert found["Virtual Cuff"].profiles[0] == "blood_pressure"


def test_the_session_ends_cleanly(story):
    assert story.result is not None
    assert story.result.complete
    assert not story.streaming_after
    stops = [data.hex() for _, _, data in story.writes[-2:]]
    assert sorted(stops) == ["0300", "0302"]
    with open_session(story.path) as session:
        assert session.closed
        assert session.duration > 60


@pytest.mark.parametrize("name", ["ecg", "acc", "rr", "eda"])
def test_every_sample_that_was_delivered_is_in_the_file(story, name):
    expected = story.sent[name].samples(delivered=True)
    recorded = stored(story, name)
    assert len(recorded) == len(expected)
    assert np.allclose(recorded, expected, atol=1e-6, rtol=0)


def test_what_is_missing_was_made_while_the_strap_was_away(story):
    log = story.sent["ecg"]
    missing = log.packets(delivered=False)
    ((gone, back),) = story.drops
    assert back - gone == pytest.approx(GONE_FOR_S, abs=1.0)
    assert GONE_FOR_S * 130 / 73 - 2 < len(missing) < (GONE_FOR_S + 15) * 130 / 73
    assert all(gone - 1 < packet.t_host for packet in missing)
    with open_session(story.path) as session:
        segments = session.streams["ecg"].segments
    breaks = segments["t_start"].to_numpy()[1:] - segments["t_end"].to_numpy()[:-1]
    # A strap that is stopped and started again drops the frame that it had begun.
    frame = 73 / 130.273
    assert len(missing) * frame - 0.1 < breaks.sum() < (len(missing) + 1) * frame + 0.1


def test_sample_times_are_those_of_the_truth(story):
    log = story.sent["ecg"].packets(delivered=True)
    last = np.array([packet.t_host for packet in log])
    with open_session(story.path) as session:
        times = session.streams["ecg"].times
        rate = session.streams["ecg"].measured_sfreq
    ends = times[np.cumsum([len(packet.samples) for packet in log]) - 1]
    # The file's second 0 is at another reading of the monotonic clock; spread is what counts.
    offset = ends - last
    assert np.abs(offset - np.median(offset)).max() < 0.1
    assert rate == pytest.approx(130.273, rel=2e-3)


def test_cuff_readings_came_by_indication(story):
    log = story.sent["cuff"].packets(delivered=True)
    assert len(log) == len(MEASURED_AT_S)
    recorded = stored(story, "cuff")
    assert np.allclose(recorded, np.concatenate([packet.samples for packet in log]))


def test_loss_and_return_are_told(story):
    with open_session(story.path) as session:
        events: pd.DataFrame = session.events
    system = events[events["kind"] == "system"]
    text = " ".join(system["label"])
    assert "lost" in text
    assert list(events[events["kind"] == "phase"]["label"]) == ["baseline", "speech"]
