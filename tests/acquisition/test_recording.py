"""A whole session: sources, pre-flight, protocol, tags, and the file."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physio_hqc import open_session
from physio_hqc.acquisition import (
    Recording,
    RecordingPlan,
    RecordingResult,
    record_session,
)
from physio_hqc.acquisition.control import Tagger, send_command
from physio_hqc.acquisition.source import Sink, Source, StreamInfo
from physio_hqc.errors import OutputError, RecordingError
from physio_hqc.protocol import parse_protocol

DESIGN = """
name: short
title: A short protocol
conditions: [{label: support, meaning: x}, {label: alone, meaning: x}]
phases:
  - {name: baseline, role: baseline, duration_s: 0.6, cuff_at_s: [0.2]}
  - {name: speech, role: task, duration_s: 0.5, speech: true, ratings: [stress]}
interactions: [{label: laughter}]
ratings: [{name: stress, min: 1, max: 7}]
baseline: {phase: baseline}
"""
RATE = 250.0


class Counter(Source):
    """A source whose samples are their own index, 25 at a time, ten times a second."""

    def __init__(
        self, name: str = "counter", *, sfreq: float = RATE, silent_s: float = 0.0
    ) -> None:
        self.name, self._sfreq, self._silent_s = name, sfreq, silent_s
        self.sent = 0
        self.stopped = False

    async def streams(self) -> tuple[StreamInfo, ...]:
        return (StreamInfo("ecg", "ecg", "mV", self._sfreq, dtype="int32", scale=0.001),)

    async def run(self, sink: Sink) -> None:
        sink.state("connected")
        sink.facts(battery=88, serial="0042")
        await asyncio.sleep(self._silent_s)
        size = round(self._sfreq / 10)
        begin = time.monotonic()
        try:
            while True:
                await asyncio.sleep(
                    max(0.0, begin + (self.sent + size) / self._sfreq - time.monotonic())
                )
                samples = np.arange(self.sent, self.sent + size)
                self.sent += size
                sink.packet("ecg", samples, sink.now(), self.sent / self._sfreq)
        finally:
            self.stopped = True


class Broken(Counter):
    """A source that cannot be used."""

    async def run(self, sink: Sink) -> None:
        sink.state("searching")
        raise RecordingError("Bluetooth is switched off: switch it on")


Screen = Callable[[Recording], Coroutine[Any, Any, None]]


def record(
    path: Path, *sources: Source, screen: Screen | None = None, **plan: Any
) -> RecordingResult:
    complete = RecordingPlan(
        out=path / "p01.h5",
        protocol=parse_protocol(DESIGN),
        sources=sources,
        participant_id="P01",
        condition="support",
        **plan,
    )
    return asyncio.run(record_session(complete, screen=screen))


def labels(path: Path, kind: str) -> list[str]:
    with open_session(path / "p01.h5") as session:
        events = session.events
        return [str(label) for label in events[events["kind"] == kind]["label"]]


def test_a_session_runs_by_itself_and_every_sample_is_there(tmp_path: Path) -> None:
    source = Counter()
    result = record(tmp_path, source)
    assert (result.complete, result.reason) == (True, "the protocol is over")
    assert source.stopped
    with open_session(tmp_path / "p01.h5") as session:
        assert session.closed
        assert (session.participant_id, session.condition) == ("P01", "support")
        ecg = session.streams["ecg"]
        np.testing.assert_allclose(ecg.samples, np.arange(source.sent) * 0.001)
        assert ecg.device["battery"] == 88
        phases = session.windows("phase")
        assert session.protocol == parse_protocol(DESIGN).to_yaml()
    assert result.n_samples["ecg"] == source.sent
    assert phases["label"].tolist() == ["baseline", "speech"]
    np.testing.assert_allclose(phases["duration"], [0.6, 0.5], atol=1e-9)
    np.testing.assert_allclose(phases["onset"].diff()[1], 0.6, atol=1e-9)


def test_the_protocol_waits_until_the_stream_flows(tmp_path: Path) -> None:
    record(tmp_path, Counter(silent_s=1.0))
    with open_session(tmp_path / "p01.h5") as session:
        first = session.streams["ecg"].times[0]
        begun = session.windows("phase")["onset"][0]
    assert 1.0 < first < begun


def test_an_override_starts_without_and_is_recorded(tmp_path: Path) -> None:
    record(tmp_path, Counter(silent_s=60.0), override_after_s=0.3)
    with open_session(tmp_path / "p01.h5") as session:
        events = session.events
        assert session.streams["ecg"].n_samples == 0
    payload = events[events["label"] == "protocol started"]["payload"].iloc[0]
    assert "ecg has not arrived yet" in payload["overridden"][0]


def test_the_experimenters_commands_are_events_at_the_time_of_the_key(tmp_path: Path) -> None:
    said: list[str] = []

    async def screen(recording: Recording) -> None:
        while recording.begin(override=True):
            await asyncio.sleep(0.02)
        t = recording.now()
        said.append(recording.start_window("laughter", at=t))
        said.append(recording.start_window("laughter"))
        said.append(recording.mark("door", at=t + 0.05))
        said.append(recording.note("looks pale", at=t + 0.06))
        said.append(recording.cuff_reading(128, 82, 71, at=t + 0.07))
        said.append(recording.cuff_reading(60, 82))
        said.append(recording.next_phase(at=t + 0.1))
        said.append(recording.toggle_window("laughter", at=t + 0.2))
        said.append(recording.stop_window("laughter"))
        said.append(recording.rate("stress", 9))
        while not recording.view().ratings_due:
            await asyncio.sleep(0.02)
        said.append(recording.rate("stress", 5))

    record(tmp_path, Counter(), screen=screen, begin="key", wait_for_ratings=True)
    assert [bool(text) for text in said] == [
        *(False, True, False, False, False, True, False, False, True, True, False)
    ]
    with open_session(tmp_path / "p01.h5") as session:
        events = session.events.set_index("label")
        cuff = session.streams["cuff"]
        times, values = cuff.read()
        phases = session.windows("phase")
    begun = phases["onset"][0]
    window = events.loc["laughter"]
    assert window["payload"] == {"condition": "support"}
    np.testing.assert_allclose(window["duration"], 0.2, atol=1e-6)
    np.testing.assert_allclose(events.loc["door", "onset"] - window["onset"], 0.05, atol=1e-6)
    np.testing.assert_allclose(phases["duration"][0], window["onset"] + 0.1 - begun, atol=1e-6)
    np.testing.assert_allclose(times - window["onset"], [0.07], atol=1e-6)
    np.testing.assert_array_equal(values, [[128, 82, math.nan, 71]])
    assert events.loc["looks pale", "kind"] == "note"
    assert events.loc["stress", "payload"] == {"value": 5, "phase": "speech", "min": 1, "max": 7}
    assert "phase ended early" in events.index


def test_another_program_tags_it(tmp_path: Path) -> None:
    stamps: list[tuple[float, float]] = []

    async def screen(recording: Recording) -> None:
        while recording.state == "preflight":
            await asyncio.sleep(0.02)

        def stimulus() -> None:
            with Tagger(tmp_path / "p01.h5") as tagger:
                before = recording.now()
                onset = tagger.start("laughter", {"partner": "C2"})
                stamps.append((before, onset))
                tagger.mark("slide 1")
                tagger.stop("laughter")

        await asyncio.to_thread(stimulus)

    record(tmp_path, Counter(), screen=screen, override_after_s=0.2)
    assert labels(tmp_path, "marker") == ["slide 1"]
    with open_session(tmp_path / "p01.h5") as session:
        window = session.windows("interaction").iloc[0]
    before, onset = stamps[0]
    assert 0.0 <= onset - before < 0.005
    assert window["onset"] == pytest.approx(onset, abs=1e-9)


def test_stopping_closes_phases_windows_and_file(tmp_path: Path) -> None:
    async def screen(recording: Recording) -> None:
        while recording.begin(override=True):
            await asyncio.sleep(0.02)
        recording.start_window("laughter")
        await asyncio.sleep(0.2)
        recording.stop()

    result = record(tmp_path, Counter(), screen=screen, begin="key")
    assert not result.complete
    with open_session(tmp_path / "p01.h5") as session:
        assert session.closed
        assert session.events["duration"].notna().all()
    assert "recording ended" in labels(tmp_path, "system")


def test_two_sources_with_a_stream_of_the_same_name_both_keep_theirs(tmp_path: Path) -> None:
    first, second = Counter("strap"), Counter("strap", sfreq=100.0)
    record(tmp_path, first, second, override_after_s=0.2)
    with open_session(tmp_path / "p01.h5") as session:
        assert session.streams["ecg"].n_samples == first.sent
        assert session.streams["ecg_2"].n_samples == second.sent
        sources = set(session.events["source"])
    assert {"strap", "strap_2"} <= sources


def test_a_source_that_cannot_be_used_ends_pre_flight_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="Bluetooth is switched off"):
        record(tmp_path, Broken())
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_ends_does_not_stop_the_others(tmp_path: Path) -> None:
    class OneSecond(Counter):
        async def run(self, sink: Sink) -> None:
            try:
                await asyncio.wait_for(super().run(sink), 0.8)
            except TimeoutError:
                raise RecordingError("the cable was pulled") from None

    whole, short = Counter("a"), OneSecond("b")
    result = record(tmp_path, whole, short, override_after_s=0.5)
    assert result.complete
    with open_session(tmp_path / "p01.h5") as session:
        assert session.streams["ecg"].n_samples == whole.sent
        assert session.streams["ecg_2"].n_samples == short.sent < whole.sent
        assert "ended" in session.events.query("source == 'b'")["label"].tolist()


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "p01.h5").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        record(tmp_path, Counter())
    assert (tmp_path / "p01.h5").read_bytes() == b"precious"


def test_malformed_deliveries_are_counted_and_cost_nothing_else(tmp_path: Path) -> None:
    class Sloppy(Counter):
        async def run(self, sink: Sink) -> None:
            sink.packet("ecg", np.zeros((3, 3)), sink.now())
            sink.packet("eeg", [1], sink.now())
            sink.packet("ecg", ["a"], sink.now())
            sink.packet("ecg", [], sink.now())
            await super().run(sink)

    source = Sloppy()
    result = record(tmp_path, source, override_after_s=0.2)
    assert result.troubles == {"malformed": 3}
    with open_session(tmp_path / "p01.h5") as session:
        assert session.streams["ecg"].n_samples == source.sent


def test_a_recording_that_never_began_leaves_no_file_in_the_way(tmp_path: Path) -> None:
    async def screen(recording: Recording) -> None:
        await asyncio.sleep(0.4)
        recording.stop()

    result = record(tmp_path, Counter(silent_s=60.0), screen=screen, begin="key")
    assert not result.complete
    assert list(tmp_path.iterdir()) == []


def test_nobody_to_override_means_that_a_broken_source_ends_pre_flight(tmp_path: Path) -> None:
    class Late(Broken):
        async def run(self, sink: Sink) -> None:
            await asyncio.sleep(0.5)
            await super().run(sink)

    with pytest.raises(RecordingError, match="Bluetooth is switched off"):
        record(tmp_path, Counter("a"), Late("b"))
    with open_session(tmp_path / "p01.h5") as session:
        assert session.closed
        assert session.streams["ecg"].n_samples > 0


def test_a_source_that_is_over_before_the_protocol_can_start_ends_it(tmp_path: Path) -> None:
    class Short(Counter):
        async def run(self, sink: Sink) -> None:
            sink.state("connected")
            sink.packet("ecg", np.arange(25), sink.now(), 0.1)

    with pytest.raises(RecordingError, match="ended before the protocol could start"):
        record(tmp_path, Short())


def test_another_program_asks_how_it_stands_and_cannot_skip_a_phase_by_a_slip(
    tmp_path: Path,
) -> None:
    told: list[dict[str, Any]] = []
    refused: list[str] = []

    async def screen(recording: Recording) -> None:
        while recording.state == "preflight":
            await asyncio.sleep(0.02)

        def stimulus() -> None:
            told.append(send_command(tmp_path / "p01.h5", "status"))
            with pytest.raises(RecordingError) as caught:
                send_command(tmp_path / "p01.h5", "next")
            refused.append(str(caught.value))

        await asyncio.to_thread(stimulus)

    record(tmp_path, Counter(), screen=screen, override_after_s=0.2)
    assert (told[0]["phase"], told[0]["participant"]) == ("baseline", "P01")
    assert 0.0 < told[0]["phase_left_s"] <= 0.6
    assert "began only" in refused[0]


def test_a_cancelled_recording_is_closed_cleanly(tmp_path: Path) -> None:
    async def run() -> None:
        plan = RecordingPlan(
            out=tmp_path / "p01.h5",
            protocol=parse_protocol(DESIGN),
            sources=(Counter(),),
        )
        task = asyncio.create_task(record_session(plan))
        await asyncio.sleep(0.5)
        task.cancel()
        result = await task
        assert result.reason == "interrupted"

    asyncio.run(run())
    with open_session(tmp_path / "p01.h5") as session:
        assert session.closed
