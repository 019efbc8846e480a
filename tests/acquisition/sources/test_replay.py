"""A replay is the session again: every sample, every event, at the right time."""

import asyncio
import math
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from physio_hqc.acquisition.source import SourceOptions
from physio_hqc.acquisition.sources import make_source
from physio_hqc.errors import ConfigError, PhysioError, RecordingError
from physio_hqc.session import BlockFlag, SessionWriter, open_session
from physio_hqc.simulate import simulate_session


async def _run(source, collector):
    infos = await source.streams()
    await source.run(collector)
    return {info.name: info for info in infos}


def _replay(spec, collector, **options):
    return asyncio.run(_run(make_source(spec, SourceOptions(**options)), collector))


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Path:
    """A recording of a live session: jittered packets, a gap, flags, readings, events."""
    path = tmp_path_factory.mktemp("live") / "P01.h5"
    rng = np.random.default_rng(1)
    with SessionWriter(path, participant_id="P01") as writer:
        writer.add_stream(
            "ecg", modality="ecg", units="mV", sfreq=130.0, dtype="int32", scale=0.001, offset=-0.5
        )
        writer.add_stream(
            "acc", modality="acc", units="g", sfreq=50.0, dtype="int16", channels=["x", "y", "z"],
            scale=[0.001, 0.002, 0.003], offset=[0.0, 1.0, 2.0],
        )  # fmt: skip
        writer.add_stream("eda", modality="eda", units="uS", sfreq=4.0, dtype="float32")
        writer.add_stream("rr", modality="rr", units="s", sfreq=0, dtype="uint16", scale=1 / 1024)
        device = 1000.0
        for k in range(8):
            device += 73 / 130.27 + (1.5 if k == 4 else 0.0)
            flags = BlockFlag.RECONNECT if k == 4 else 0
            arrival = device - 1000 + rng.uniform(0.01, 0.2)
            ecg = rng.integers(-2000, 2000, 73)
            writer.append("ecg", ecg, arrival, device, flags)
            writer.append("acc", rng.integers(-2000, 2000, (25, 3)), arrival + 0.001)
            writer.append("eda", rng.normal(5, 1, 2).astype(np.float32), arrival + 0.002)
            writer.append_irregular(
                "rr", [arrival - 0.8, arrival], rng.integers(700, 900, 2), arrival
            )
        writer.add_event(0.5, "phase", "baseline", duration=3.0)
        writer.add_event(1.0, "interaction", "talk", duration=2.0, payload={"partner": "B"})
        writer.add_event(2.0, "marker", "möve")
        writer.add_event(2.5, "rating", "warmth", payload={"value": 5.0})
        writer.add_event(3.0, "system", "polar_h10 lost")
        writer.add_event(4.0, "interaction", "open end", duration=math.nan)
    return path


def _stored(path, name):
    with h5py.File(path) as file:
        group = file["streams"][name]
        return group["samples"][:], group["blocks"][:]


def test_what_was_recorded_live_comes_again_packet_by_packet(live, collector, tmp_path):
    infos = _replay(f"replay:{live}@20", collector)
    collector.write(tmp_path / "again.h5", infos.values())
    for name, info in infos.items():
        old, rows = _stored(live, name)
        new, again = _stored(tmp_path / "again.h5", name)
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(new, old)
        np.testing.assert_array_equal(again["n_samples"], rows["n_samples"])
        np.testing.assert_array_equal(again["flags"], rows["flags"])
        np.testing.assert_allclose(again["t_device"], rows["t_device"] / 20, rtol=1e-12)
        arrival = again["t_received"] - rows["t_received"] / 20
        assert np.ptp(arrival) < 0.05
        with open_session(live) as before, open_session(tmp_path / "again.h5") as after:
            old_stream, new_stream = before.streams[name], after.streams[name]
            np.testing.assert_array_equal(new_stream.samples, old_stream.samples)
            assert new_stream.channels == old_stream.channels
            assert new_stream.units == old_stream.units
            assert new_stream.sfreq == old_stream.sfreq * 20
            assert new_stream.device["replay_speed"] == 20
            assert info.awaited
    assert collector.states[-1][0] == "ended"


def test_at_normal_speed_time_base_and_packets_are_the_same(live, collector, tmp_path, fast):
    infos = fast(make_source(f"replay:{live}"), collector)
    collector.write(tmp_path / "again.h5", infos.values())
    with open_session(live) as before, open_session(tmp_path / "again.h5") as after:
        for name in ("ecg", "acc", "eda"):
            old, new = before.streams[name].times, after.streams[name].times
            np.testing.assert_allclose(new, old, atol=1e-7)
            assert len(before.streams[name].segments) == len(after.streams[name].segments)
        old, new = before.streams["rr"].times, after.streams["rr"].times
        np.testing.assert_allclose(np.diff(new), np.diff(old), atol=1e-9)
    received = [packet[2] for packet in collector.of("ecg")]
    due = _stored(live, "ecg")[1]["t_received"]
    np.testing.assert_allclose(received, due, atol=1e-9)


def test_events_come_as_what_they_were_but_phases_as_markers(live, collector):
    _replay(f"replay:{live}@20", collector)
    start = collector.events[1][2] - 1.0 / 20
    found = [(kind, label, payload) for kind, label, _, _, payload in collector.events]
    assert found == [
        ("marker", "baseline", {"replayed": "phase"}),
        ("interaction", "talk", {"partner": "B"}),
        ("marker", "möve", {}),
        ("rating", "warmth", {"value": 5.0}),
        ("marker", "polar_h10 lost", {"replayed": "system"}),
        ("interaction", "open end", {}),
    ]
    onsets = [event[2] for event in collector.events]
    np.testing.assert_allclose(np.array(onsets) - start, np.array([0.5, 1, 2, 2.5, 3, 4]) / 20)
    assert collector.events[1][3] == pytest.approx(2.0 / 20)
    assert math.isnan(collector.events[5][3])


def test_a_simulated_file_is_cut_into_short_packets_at_true_time(collector, tmp_path):
    simulated = simulate_session(
        tmp_path / "sim.h5", time_scale=0.02, streams=("ecg", "cuff", "eda"), seed=5
    )
    infos = _replay(f"replay:{simulated.path}@20", collector)
    for name in ("ecg", "eda"):
        lengths = {len(packet[1]) for packet in collector.of(name)}
        # A tenth of a second of the replay, at twenty times the rate.
        assert max(lengths) == round(0.1 * infos[name].sfreq)
        np.testing.assert_array_equal(collector.samples(name), _stored(simulated.path, name)[0])
        ends = np.cumsum([len(packet[1]) for packet in collector.of(name)]) - 1
        stamps = np.array([packet[3] for packet in collector.of(name)])
        np.testing.assert_allclose(stamps, ends / infos[name].sfreq, atol=1e-9)
        late = np.array([packet[2] for packet in collector.of(name)]) - stamps
        assert np.ptp(late) < 0.05
    times, values = collector.read("cuff")
    with open_session(simulated.path) as session:
        cuff = session.streams["cuff"]
        np.testing.assert_array_equal(values, cuff.samples.astype(np.float32))
        np.testing.assert_allclose(np.diff(times), np.diff(cuff.times) / 20, atol=1e-9)
    assert infos["cuff"].awaited is False
    collector.write(tmp_path / "again.h5", infos.values())
    with open_session(tmp_path / "again.h5") as again, open_session(simulated.path) as session:
        new, old = again.streams["ecg"], session.streams["ecg"]
        np.testing.assert_array_equal(new.samples, old.samples)
        np.testing.assert_allclose(np.diff(new.times), np.diff(old.times) / 20, atol=1e-6)


def test_gaps_of_a_file_stay_gaps(collector, tmp_path):
    with SessionWriter(tmp_path / "gap.h5") as writer:
        writer.add_stream("eda", modality="eda", units="uS", sfreq=100.0)
        writer.append_segment("eda", np.arange(500.0), 1.0, sfreq=100.5)
        writer.append_segment("eda", np.arange(77.0), 9.0)
    infos = _replay(f"replay:{tmp_path / 'gap.h5'}@50", collector)
    collector.write(tmp_path / "again.h5", infos.values())
    with open_session(tmp_path / "gap.h5") as old, open_session(tmp_path / "again.h5") as new:
        a, b = old.streams["eda"].segments, new.streams["eda"].segments
        assert list(a["stop"]) == list(b["stop"]) == [500, 577]
        assert list(b["reason"]) == list(a["reason"])
        # Arrivals within a tenth of a second leave the drift of the clocks open to 500 ppm.
        np.testing.assert_allclose(np.diff(b["t_start"]), np.diff(a["t_start"]) / 50, rtol=6e-4)
        np.testing.assert_allclose(b["sfreq"] / 50, a["sfreq"], rtol=6e-4)
    assert [p[4] for p in collector.of("eda") if p[4]] == [int(BlockFlag.GAP_BEFORE)]


def test_a_vendor_file_is_imported_on_the_way(collector, tmp_path):
    ecg = np.round(np.sin(np.arange(1000) / 5), 4)
    rows = "\n".join(f"{i / 100},{x}" for i, x in enumerate(ecg))
    source = tmp_path / "my täble@home.csv"
    source.write_text("time (s),ECG (mV)\n" + rows + "\n", encoding="utf-8")
    replay = make_source(f"replay:{source}@100x")
    infos = asyncio.run(_run(replay, collector))
    (info,) = infos.values()
    assert (info.name, info.modality, info.units, info.sfreq) == ("ecg", "ecg", "mV", 10_000.0)
    np.testing.assert_array_equal(collector.samples("ecg"), ecg)
    temporary = replay._session_path
    assert temporary.exists()
    del replay
    assert not temporary.parent.exists()


def test_real_file_of_another_maker(shared_data, collector):
    files = sorted(shared_data.rglob("*.edf")) + sorted(shared_data.rglob("*.xdf"))
    small = [path for path in files if path.stat().st_size < 3e6]
    if not small:
        pytest.skip("no small EDF or XDF file there")

    async def look():
        source = make_source(f"replay:{small[0]}@100")
        infos = await source.streams()
        task = asyncio.create_task(source.run(collector))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return infos

    infos = asyncio.run(look())
    assert infos
    assert collector.packets or collector.values


def test_only_the_streams_asked_for(live, collector):
    infos = _replay(f"replay:{live}@100", collector, streams=("eda",))
    assert list(infos) == ["eda"]
    assert {packet[0] for packet in collector.packets} == {"eda"}
    with pytest.raises(ConfigError, match="no stream 'edaa'; did you mean 'eda'"):
        _replay(f"replay:{live}", collector, streams=("edaa",))


def test_a_held_up_recorder_loses_nothing_and_the_clock_does_not_drift(live, collector):
    collector.pause_s = 0.3
    _replay(f"replay:{live}@20", collector)
    np.testing.assert_array_equal(collector.samples("ecg"), _stored(live, "ecg")[0])
    assert collector.rooms >= len(collector.packets)
    due = _stored(live, "ecg")[1]["t_received"] / 20
    received = np.array([packet[2] for packet in collector.of("ecg")])
    late = received - due - collector.events[0][2] + 0.5 / 20
    assert late[0] > 0.2  # was held up ...
    assert abs(late[-1]) < 0.05  # ... and is in time again at the end


def test_cancelled_in_the_middle(live, collector):
    async def go():
        source = make_source(f"replay:{live}")
        await source.streams()
        task = asyncio.create_task(source.run(collector))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert 0 < len(collector.of("ecg")) < 8


def test_an_unclosed_file_of_a_recorder_that_died(live, collector, tmp_path):
    unclosed = tmp_path / "died.h5"
    shutil.copy(live, unclosed)
    with h5py.File(unclosed, "r+") as file:
        file.attrs["closed"] = False
    _replay(f"replay:{unclosed}@100", collector)
    np.testing.assert_array_equal(collector.samples("ecg"), _stored(live, "ecg")[0])


@pytest.mark.parametrize("name", ["a b.h5", "a@b.h5", "a@7", "ü@100.h5", "c:d.h5", "x@y@z.h5"])
@pytest.mark.parametrize(("tail", "speed"), [("", 1.0), ("@7", 7.0), ("@0.5x", 0.5), ("@1e1", 10)])
def test_names_and_speeds_are_told_apart(tmp_path, live, name, tail, speed):
    shutil.copy(live, tmp_path / name)
    source = make_source(f"replay:{tmp_path / name}{tail}")
    assert source.path == tmp_path / name
    assert source.speed == speed


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("@0", "out of range"),
        ("@-1", "out of range"),
        ("@100.1", "out of range"),
        ("@inf", "out of range"),
        ("@nan", "out of range"),
        ("@fast", "is no number"),
        ("@", "is no number"),
    ],
)
def test_impossible_speeds(live, tail, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make_source(f"replay:{live}{tail}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", " ", "no_such.h5", "no_such.h5@3", r"C:\lab\P01.h5@2", "\0"])
def test_no_such_file(text):
    with pytest.raises((RecordingError, ConfigError)) as caught:
        make_source(f"replay:{text}")
    assert "\n" not in str(caught.value)


def test_what_is_no_recording_is_refused(tmp_path, collector):
    (tmp_path / "junk.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 500)
    (tmp_path / "junk.bin").write_bytes(b"\1\2\3")
    for name in ("junk.h5", "junk.bin"):
        with pytest.raises(PhysioError):
            _replay(f"replay:{tmp_path / name}", collector)
