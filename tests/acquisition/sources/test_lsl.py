"""Real LSL outlets on the loopback interface: every sample, at its time, also after a loss."""

import asyncio
import builtins
import contextlib
import itertools
import sys

import numpy as np
import pytest

from physio_hqc.acquisition.source import SourceOptions
from physio_hqc.acquisition.sources import make_source
from physio_hqc.acquisition.sources.lsl import LslSource
from physio_hqc.errors import ConfigError, RecordingError
from physio_hqc.session import BlockFlag

pylsl = pytest.importorskip("pylsl", reason='needs the extra "lsl"')

_NUMBER = itertools.count()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """On one computer outlets answer at once."""
    monkeypatch.setattr("physio_hqc.acquisition.sources.lsl._SETTLED_S", 0.5)
    monkeypatch.setattr("physio_hqc.acquisition.sources.lsl._FORGET_S", 1.5)
    monkeypatch.setattr("physio_hqc.acquisition.sources.lsl._RECOVERY_S", 1.5)


@pytest.fixture
def tag():
    """A word that only the outlets of this test carry."""
    return f"t{next(_NUMBER)}"


def _outlet(tag, name, kind, count=1, sfreq=100.0, form="float32", labels=(), **how):
    source_id = how.pop("source_id", f"{tag}_{name}")
    info = pylsl.StreamInfo(name, kind, count, sfreq, form, source_id)
    info.desc().append_child_value("tag", tag)
    channels = info.desc().append_child("channels") if labels else None
    for label, unit, channel_kind in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", unit)
        channel.append_child_value("type", channel_kind)
    return pylsl.StreamOutlet(info, **how)


def _source(tag, extra="", **options):
    return make_source(f"lsl:desc/tag='{tag}'{extra}", SourceOptions(**options))


@contextlib.asynccontextmanager
async def _running(source, collector):
    """Run a source until the block is left."""
    infos = await source.streams()
    task = asyncio.create_task(source.run(collector))
    try:
        await _until(lambda: collector.states or task.done())
        yield {info.name: info for info in infos}
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _until(condition, seconds=8.0):
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, "did not happen in time"
        await asyncio.sleep(0.01)


def test_numbers_of_all_kinds_arrive_one_by_one(tag, collector):
    rng = np.random.default_rng(0)
    forms = {
        "int8": rng.integers(-128, 128, (300, 2)).astype(np.int8),
        "int16": rng.integers(-32768, 32768, (300, 1)).astype(np.int16),
        "int32": rng.integers(-(2**31), 2**31, (300, 3)).astype(np.int32),
        "int64": rng.integers(-(2**62), 2**62, (300, 1)),
        "float32": rng.normal(size=(300, 8)).astype(np.float32),
        "double64": rng.normal(size=(300, 2)),
    }
    names = {form: f"raw {form}" for form in forms}

    async def go():
        outlets = {
            form: _outlet(tag, names[form], "misc", values.shape[1], 300.0, form)
            for form, values in forms.items()
        }
        stamps = {form: [] for form in forms}
        async with _running(_source(tag), collector) as infos:
            for first in range(0, 300, 30):
                for form, values in forms.items():
                    now = pylsl.local_clock()
                    stamps[form].append(now)
                    outlets[form].push_chunk(np.ascontiguousarray(values[first : first + 30]), now)
                await asyncio.sleep(0.1)
            await _until(lambda: all(_count(collector, n) >= 300 for n in infos))
        return infos, stamps

    infos, stamps = asyncio.run(go())
    for form, values in forms.items():
        name = f"raw_{form}"
        sent = collector.samples(name)
        assert infos[name].modality == "other"
        assert sent.dtype == infos[name].dtype == values.dtype
        np.testing.assert_array_equal(sent.reshape(values.shape), values)
        device = np.array([packet[3] for packet in collector.of(name)])
        # Every packet carries the sender's own stamp of its last sample, nothing corrected.
        assert all(min(abs(stamp - np.array(stamps[form]))) < 1e-9 for stamp in device)
        shift = collector.now() - pylsl.local_clock()
        delay = np.array([packet[2] for packet in collector.of(name)]) - shift - device
        assert delay.min() >= 0
        assert np.quantile(delay, 0.95) < 0.1
        assert not any(packet[4] for packet in collector.of(name))
    assert not collector.troubles


def _count(collector, name):
    return sum(len(packet[1]) for packet in collector.of(name))


def test_what_the_outlets_say_decides_on_streams_and_units(tag, collector):
    async def go():
        outlets = [
            _outlet(tag, "Polar", "ECG", 1, 130.0, "int32", [("ECG", "microvolts", "ECG")]),
            _outlet(tag, "belt", "ACC", 3, 50.0, "int16", [(x, "mg", "ACC") for x in "xyz"]),
            _outlet(
                tag, "OpenSignals", "misc", 4, 100.0, "float32",
                [("nSeq", "", ""), ("EDA", "uS", "EDA"), ("ECG2", "mV", "ECG"), ("DI", "", "")],
            ),
            _outlet(tag, "beats", "RR", 1, 0.0, "int16", [("RR", "ms", "RR")]),
            _outlet(tag, "gaze-X 1", "Gaze", 2, 0.0, "float32"),
        ]  # fmt: skip
        source = _source(tag)
        infos = {info.name: info for info in await source.streams()}
        async with _running(_source(tag), collector):
            outlets[2].push_chunk(np.arange(40, dtype=np.float32).reshape(10, 4))
            now = pylsl.local_clock()
            outlets[3].push_sample([812], now)
            outlets[4].push_sample([0.5, 0.25], now)
            await _until(lambda: len(collector.values) == 2 and _count(collector, "eda") == 10)
            return infos, now, collector.now() - pylsl.local_clock()

    infos, sent_at, shift = asyncio.run(go())
    about = {n: (i.modality, i.units, i.sfreq, i.scale, i.channels) for n, i in infos.items()}
    assert about == {
        "opensignals": ("other", "", 100.0, 1.0, ("nSeq", "DI")),
        "eda": ("eda", "µS", 100.0, 1.0, ("EDA",)),
        "ecg": ("ecg", "mV", 100.0, 1.0, ("ECG2",)),
        "ecg_2": ("ecg", "mV", 130.0, 0.001, ("ECG",)),
        "rr": ("rr", "s", 0.0, 0.001, ("RR",)),
        "acc": ("acc", "g", 50.0, 0.001, ("x", "y", "z")),
        "gaze_x_1": ("other", "", 0.0, 1.0, ("1", "2")),
    }
    assert infos["eda"].awaited
    assert not infos["gaze_x_1"].awaited
    assert infos["eda"].device["name"] == "OpenSignals"
    np.testing.assert_array_equal(collector.samples("eda"), np.arange(40).reshape(10, 4)[:, 1])
    np.testing.assert_array_equal(
        collector.samples("opensignals"), np.arange(40).reshape(10, 4)[:, [0, 3]]
    )
    for name, value in (("rr", [812]), ("gaze_x_1", [[0.5, 0.25]])):
        times, values = collector.read(name)
        np.testing.assert_array_equal(values, value)
        assert times == pytest.approx([sent_at + shift], abs=0.005)


def test_markers_are_events_within_five_milliseconds(tag, collector):
    async def go():
        texts = _outlet(tag, "stim", "Markers", 1, 0.0, "string")
        pairs = _outlet(tag, "pairs", "Events", 2, 0.0, "string")
        codes = _outlet(tag, "codes", "Markers", 1, 0.0, "int32")
        sent = []
        async with _running(_source(tag), collector) as infos:
            assert not infos
            for k in range(50):
                sent.append((f"trial {k}", collector.now()))
                texts.push_sample([f"trial {k}"])
                await asyncio.sleep(0.005)
            pairs.push_sample(["begin", "naïve\u2603"])
            codes.push_sample([17])
            texts.push_sample([""])
            texts.push_sample(["x" * 5000])
            await _until(lambda: sum(e[0] == "marker" for e in collector.events) >= 54)
        return sent

    sent = asyncio.run(go())
    events = [event for event in collector.events if event[0] == "marker"]
    found = {label: onset for _, label, onset, _, _ in events}
    errors = np.array([found[label] - time for label, time in sent])
    assert abs(errors).max() < 0.005
    payloads = {label: payload for _, label, _, _, payload in events}
    assert payloads["begin, naïve\u2603"] == {
        "stream": "pairs", "values": ["begin", "naïve\u2603"],
    }  # fmt: skip
    assert payloads["17"] == {"stream": "codes"}
    assert payloads["stim"] == {"stream": "stim"}
    assert payloads["x" * 3000]["cut_from_characters"] == 5000


def test_clock_offsets_are_measured_and_kept(tag, collector, monkeypatch):
    monkeypatch.setattr("physio_hqc.acquisition.sources.lsl._ROUND_S", 0.05)

    async def go():
        outlets = [_outlet(tag, "a", "x"), _outlet(tag, "b", "x")]
        async with _running(_source(tag), collector):
            await asyncio.sleep(0.5)
        return outlets

    asyncio.run(go())
    rounds = [e for e in collector.events if e[:2] == ("system", "lsl_clock_offsets")]
    assert len(rounds) >= 4
    assert set(rounds[0][4]["offsets_s"]) == {"a", "b"}
    assert abs(rounds[0][4]["offsets_s"]["a"]) < 0.001  # the same computer, the same clock
    history = collector.known["clock_offsets"]
    assert set(history) == {"a", "b"}
    assert len(history["a"]) == len(rounds)
    assert np.all(np.diff([t for t, _ in history["a"]]) > 0)


def test_an_outlet_that_starts_late_is_waited_for(tag, collector):
    async def go():
        source = _source(tag)
        looking = asyncio.create_task(source.streams())
        await asyncio.sleep(1.2)
        assert not looking.done()
        outlet = _outlet(tag, "late", "ECG")
        assert [info.name for info in await looking] == ["late"]
        return outlet

    asyncio.run(go())


def test_an_outlet_that_appears_while_recording_is_reported(tag, collector):
    async def go():
        outlets = [_outlet(tag, "first", "x")]
        async with _running(_source(tag), collector):
            outlets.append(_outlet(tag, "second", "x"))
            await _until(lambda: collector.troubles["late_stream"])

    asyncio.run(go())
    assert collector.troubles["late_stream"] == 1
    assert "'second'" in collector.texts[0]


@pytest.mark.parametrize("source_id", ["belt 7", ""])
def test_an_outlet_that_is_restarted_goes_on(tag, collector, source_id):
    """Also one that has no source_id, which liblsl itself does not find again."""

    def start():
        how = {"source_id": source_id}
        return (
            _outlet(tag, "belt", "x", 1, 100.0, "int32", **how),
            _outlet(tag, "stim", "Markers", 1, 0.0, "string", source_id=source_id and "stim 7"),
        )

    async def go():
        belt, stim = start()
        async with _running(_source(tag), collector):
            for k in range(0, 30, 10):
                belt.push_chunk(np.arange(k, k + 10, dtype=np.int32)[:, None])
                await asyncio.sleep(0.1)
            stim.push_sample(["before"])
            await _until(lambda: _count(collector, "belt") == 30)
            await _until(lambda: any(e[1] == "before" for e in collector.events))
            del belt, stim
            await _until(lambda: collector.states[-1][0] == "lost")
            assert "belt" in collector.states[-1][1]
            belt, stim = start()
            await _until(lambda: belt.have_consumers() and stim.have_consumers(), 15)
            for k in range(30, 60, 10):
                belt.push_chunk(np.arange(k, k + 10, dtype=np.int32)[:, None])
                await asyncio.sleep(0.1)
            time = collector.now()
            stim.push_sample(["after"])
            await _until(lambda: _count(collector, "belt") == 60)
            await _until(lambda: any(e[1] == "after" for e in collector.events))
            await _until(lambda: collector.states[-1][0] == "connected")
        return time

    time = asyncio.run(go())
    np.testing.assert_array_equal(collector.samples("belt"), np.arange(60))
    flags = {int(packet[1][0]): packet[4] for packet in collector.of("belt")}
    assert flags[30] == BlockFlag.RECONNECT
    assert sum(value != 0 for value in flags.values()) == 1
    (after,) = [event for event in collector.events if event[1] == "after"]
    assert after[2] == pytest.approx(time, abs=0.005)


def test_a_restart_too_quick_to_be_seen_as_a_loss_is_flagged_all_the_same(tag, collector):
    async def go():
        belt = _outlet(tag, "belt", "x", 1, 100.0, "int32")
        async with _running(_source(tag), collector):
            belt.push_chunk(np.arange(10, dtype=np.int32)[:, None])
            await _until(lambda: _count(collector, "belt") == 10)
            del belt
            belt = _outlet(tag, "belt", "x", 1, 100.0, "int32")
            await _until(belt.have_consumers, 15)
            # The sender's computer was started again as well: its clock begins anew.
            belt.push_chunk(np.arange(10, 20, dtype=np.int32)[:, None], 5.0)
            await _until(lambda: _count(collector, "belt") == 20)

    asyncio.run(go())
    np.testing.assert_array_equal(collector.samples("belt"), np.arange(20))
    flags = [packet[4] for packet in collector.of("belt")]
    assert flags[-1] == BlockFlag.RECONNECT | BlockFlag.CLOCK_RESET
    assert not any(flags[:-1])


def test_a_pause_of_the_sender_within_a_chunk_cuts_it(tag, collector):
    async def go():
        belt = _outlet(tag, "belt", "x", 1, 100.0, "int32")
        async with _running(_source(tag), collector):
            now = pylsl.local_clock()
            samples = np.arange(20, dtype=np.int32)[:, None]
            stamps = now + np.append(np.arange(10), np.arange(10) + 300) / 100
            belt.push_chunk(samples, list(stamps))
            await _until(lambda: _count(collector, "belt") == 20)
        return stamps

    stamps = asyncio.run(go())
    np.testing.assert_array_equal(collector.samples("belt"), np.arange(20))
    device = [packet[3] for packet in collector.of("belt")]
    assert any(abs(stamp - stamps[9]) < 1e-9 for stamp in device)
    assert abs(device[-1] - stamps[-1]) < 1e-9


def test_a_recorder_that_was_held_up_gets_everything(tag, collector):
    import time

    async def go():
        belt = _outlet(tag, "belt", "x", 4, 1000.0, "int32")
        async with _running(_source(tag), collector):
            for k in range(0, 30_000, 1000):
                values = np.repeat(np.arange(k, k + 1000, dtype=np.int32)[:, None], 4, axis=1)
                belt.push_chunk(values)
            time.sleep(0.5)  # the event loop is held up on purpose
            await _until(lambda: _count(collector, "belt") == 30_000)

    asyncio.run(go())
    np.testing.assert_array_equal(collector.samples("belt")[:, 3], np.arange(30_000))


def test_queries_and_choices(tag, collector):
    async def go():
        outlets = [
            _outlet(tag, f"one{tag}", f"kind{tag}"),
            _outlet(tag, f"two{tag}", f"kind{tag}"),
            _outlet(tag, f"three{tag}", "Markers", 1, 0.0, "string"),
        ]

        async def names(spec, **options):
            source = make_source(f"lsl:{spec}", SourceOptions(**options))
            return [info.name for info in await source.streams()]

        assert await names(f"kind{tag}") == [f"one{tag}", f"two{tag}"]
        assert await names(f"name='two{tag}' or name='three{tag}'") == [f"two{tag}"]
        assert await names(f"desc/tag='{tag}'", streams=(f"two{tag}",)) == [f"two{tag}"]
        with pytest.raises(ConfigError, match="did you mean"):
            await names(f"desc/tag='{tag}'", streams=(f"tow{tag}",))
        return outlets

    asyncio.run(go())


def test_nothing_there_and_no_query(tag):
    source = LslSource(f"name='{tag}'", search_s=0.2)
    with pytest.raises(RecordingError, match=f"no LSL stream that match .*{tag}") as caught:
        asyncio.run(source.streams())
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="is no LSL query"):
        asyncio.run(LslSource("name='a' and (").streams())


def test_without_pylsl_the_way_to_get_it_is_told(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pylsl":
            raise ModuleNotFoundError("No module named 'pylsl'", name="pylsl")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "pylsl")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RecordingError, match=r'pip install "physio-hqc\[lsl\]"'):
        make_source("lsl:")
