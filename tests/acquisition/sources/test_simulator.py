"""A simulated participant, live: the same samples as offline, at their times."""

import asyncio
import tracemalloc

import numpy as np
import pytest

from physio_hqc.acquisition.source import SourceOptions
from physio_hqc.acquisition.sources import make_source
from physio_hqc.acquisition.sources.simulator import DEVICE_EPOCH_S, parse_config
from physio_hqc.errors import ConfigError
from physio_hqc.session import open_session
from physio_hqc.simulate import simulate_session


async def _run(source, collector):
    infos = await source.streams()
    await source.run(collector)
    return {info.name: info for info in infos}


def _simulate(text, collector, fast=None):
    source = make_source(f"simulator:{text}")
    infos = fast(source, collector) if fast else asyncio.run(_run(source, collector))
    return source, infos


def test_live_is_what_the_offline_simulation_writes(collector, tmp_path, fast):
    text = "seed=3,condition=alone,time_scale=0.02,streams=ecg+bp+cuff+eda+resp,duration_s=30"
    _, infos = _simulate(text, collector, fast)
    offline = simulate_session(
        tmp_path / "off.h5", seed=3, condition="alone", time_scale=0.02,
        streams=("ecg", "bp", "cuff", "eda", "resp"),
    )  # fmt: skip
    with open_session(offline.path) as session:
        assert set(infos) == set(session.streams)
        for name, info in infos.items():
            stream = session.streams[name]
            assert (info.modality, info.units, info.sfreq) == (name, stream.units, stream.sfreq)
            if name == "cuff":
                continue
            sent = collector.samples(name)
            assert sent.dtype == info.dtype
            assert len(sent) == pytest.approx(30 * info.sfreq, abs=0.1 * info.sfreq + 1)
            np.testing.assert_array_equal(sent * info.scale, stream.samples[: len(sent)])
        times, values = collector.read("cuff")
        assert len(values) > 1
        early = session.streams["cuff"].times < 30
        start = collector.of("ecg")[0][2] - 24 / 250
        np.testing.assert_array_equal(
            values, session.streams["cuff"].samples[early].astype(np.float32)
        )
        np.testing.assert_allclose(times - start, session.streams["cuff"].times[early], atol=0.02)
    assert [state for state, _ in collector.states] == ["connected", "ended"]


def test_packets_come_in_time_on_the_clock_of_the_device(collector):
    source, infos = _simulate("streams=ecg+eda,time_scale=0.02,duration_s=1.5", collector)
    for name in ("ecg", "eda"):
        packets = collector.of(name)
        ends = np.cumsum([len(packet[1]) for packet in packets]) - 1
        stamps = np.array([packet[3] for packet in packets])
        np.testing.assert_allclose(stamps, DEVICE_EPOCH_S + ends / infos[name].sfreq, atol=1e-9)
        late = np.array([p[2] for p in packets]) - source.started_s - ends / infos[name].sfreq
        assert late.min() > -1e-3
        assert np.median(late) < 0.02  # more only where the computer is busy with other things


def test_drift_and_jitter_of_the_devices(collector, fast):
    text = "streams=ecg,time_scale=0.05,duration_s=30,drift_ppm=10000,jitter_ms=80,seed=2"
    source, _ = _simulate(text, collector, fast)
    packets = collector.of("ecg")
    ends = np.cumsum([len(packet[1]) for packet in packets]) - 1
    stamps = np.array([packet[3] for packet in packets]) - DEVICE_EPOCH_S
    received = np.array([packet[2] for packet in packets]) - source.started_s
    np.testing.assert_allclose(stamps, ends / 250, atol=1e-9)
    late = received - stamps / 1.01  # one percent fast: the host waits less for the same count
    assert late.min() > -1e-9
    assert 0.07 < late.max() < 0.081
    assert np.all(np.diff(received) >= 0)
    # The participant's body does not know of the device's clock: R peaks stay where they are.
    from physio_hqc.signals import detect_r_peaks

    peaks = detect_r_peaks(collector.samples("ecg") * 0.0005, 252.5) / 252.5
    true = source.truth.beat_times_s
    true = true[(true > 0.5) & (true < 29)]
    assert max(abs(peaks - beat).min() for beat in true) < 0.012


def test_drop_outs_are_gaps(collector, fast):
    text = "streams=ecg,noise=poor,time_scale=0.1,duration_s=160,seed=4"
    source, _ = _simulate(text, collector, fast)
    gaps = source.truth.artifacts("ecg", "dropout")
    assert np.any(gaps[:, 1] < 160)
    stamps = np.array([packet[3] for packet in collector.of("ecg")])
    begins = stamps - np.array([len(p[1]) - 1 for p in collector.of("ecg")]) / 250
    for onset, offset in gaps[gaps[:, 0] < 160] + DEVICE_EPOCH_S:
        assert not np.any((stamps > onset + 0.005) & (begins < offset - 0.005))


def test_after_the_protocol_the_participant_starts_over(collector, fast):
    text = "streams=eda+cuff,time_scale=0.0101,duration_s=40,eda_sfreq=10"
    source, _ = _simulate(text, collector, fast)
    assert source.truth.duration_s < 20
    sent = collector.samples("eda")
    once = int(source.truth.duration_s * 10)
    np.testing.assert_array_equal(sent[once + 1 : once + 5], sent[1:5])
    stamps = np.array([packet[3] for packet in collector.of("eda")])
    steps = np.array([len(packet[1]) for packet in collector.of("eda")])[1:] / 10
    assert abs(np.diff(stamps) - steps).max() <= 0.1 + 1e-9
    times, values = collector.read("cuff")
    n = len(source.truth.cuff)
    np.testing.assert_array_equal(values[n], values[0])
    assert times[n] - times[0] == pytest.approx(source.truth.duration_s)


def test_load_is_counted_samples(collector, tmp_path):
    _, infos = _simulate("load=16x1000,packet_ms=50,duration_s=1", collector)
    assert len(infos) == 16
    for name in infos:
        sent = collector.samples(name)
        assert sent.dtype == np.int32
        np.testing.assert_array_equal(sent, np.arange(1000))
    collector.write(tmp_path / "load.h5", infos.values())
    with open_session(tmp_path / "load.h5") as session:
        for stream in session.streams.values():
            np.testing.assert_array_equal(stream.samples, np.arange(1000))
            assert len(stream.segments) == 1


def test_a_long_load_needs_no_more_memory(collector):
    source = make_source("simulator:load=4x20000")

    collector.packet = lambda *_: None

    async def go():
        await source.streams()
        task = asyncio.create_task(source.run(collector))
        await asyncio.sleep(0.3)
        tracemalloc.start()
        await asyncio.sleep(1.0)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return grown

    assert asyncio.run(go()) < 200_000


def test_streams_can_be_chosen_by_the_setup(collector):
    source = make_source("simulator:time_scale=0.02", SourceOptions(streams=("eda", "cuff")))
    infos = asyncio.run(source.streams())
    assert [(info.name, info.awaited) for info in infos] == [("eda", True), ("cuff", False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed=3", "unknown key 'sed', did you mean 'seed'?"),
        ("seed", "no key=value"),
        ("seed=-1", "whole number"),
        ("seed=1,seed=2", "given twice"),
        ("streams=ecg+edaa", "did you mean 'eda'?"),
        ("streams=", "no stream ''"),
        ("noise=awful", "unknown noise"),
        ("ecg_sfreq=fast", "is a number"),
        ("ecg_sfreq=nan", "can be"),
        ("time_scale=0", "can be"),
        ("jitter_ms=-5", "can be"),
        ("load=16", "as in load=16x1000"),
        ("load=0x100", "1 to 256 streams"),
        ("load=2x1e9", "as in load"),
        ("load=2x10,streams=ecg", "load has no participant"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(text, message):
    with pytest.raises(ConfigError) as caught:
        make_source(f"simulator:{text}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["protocol=nothing_like_it", "condition=unknown", "time_scale=0.001"]
)
def test_what_the_simulation_refuses(text):
    with pytest.raises(ConfigError):
        asyncio.run(make_source(f"simulator:{text}").streams())


def test_defaults():
    assert parse_config("") == parse_config("seed=0, condition=support")
