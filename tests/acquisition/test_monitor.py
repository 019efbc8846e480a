"""The stream monitor against streams whose truth is known."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from physio_hqc.acquisition.monitor import StreamMonitor, reading_text
from physio_hqc.acquisition.source import StreamInfo
from physio_hqc.session.format import BlockFlag

H10 = StreamInfo("ecg", "ecg", "mV", 130.0, dtype="int32", scale=0.001)
EDA = StreamInfo("eda", "eda", "µS", 16.0, dtype="uint16", scale=0.001)


def ecg_mv(times, bpm=72.0):
    """Spikes with a T wave, `bpm` a minute."""
    phase = np.mod(times, 60.0 / bpm) - 0.2
    return np.exp(-((phase / 0.012) ** 2)) + 0.2 * np.exp(-(((phase - 0.25) / 0.05) ** 2))


def h10_packets(seconds, rate=130.27, start=0.0, n=73, signal=ecg_mv):
    """(t_device of the last sample, samples in µV) of every frame."""
    noise = np.random.default_rng(1)
    last = np.arange(n, int(seconds * rate) + 1, n)
    for stop in last:
        times = np.arange(stop - n, stop) / rate
        yield start + times[-1], np.round(1000 * signal(times) + noise.normal(0, 5, n)).astype("i4")


def test_h10_stream_rate_heart_rate_quality():
    monitor = StreamMonitor(H10, "polar_h10")
    jitter = np.random.default_rng(0).uniform(0.05, 0.25, 100)
    for (t, samples), delay in zip(h10_packets(30.0), jitter, strict=False):
        monitor.packet(samples, t + delay, t + 5e8)
    view = monitor.view(t + delay + 0.2)
    assert view.rate == pytest.approx(130.27, abs=0.01)
    assert view.value == "72 /min"
    assert view.quality > 0.9
    assert (view.n_gaps, view.gap_s, view.alive) == (0, 0.0, True)
    assert 0.0 <= view.lag_s < 0.2
    assert view.n_samples == 73 * int(30 * 130.27 / 73)
    assert monitor.alerts(t + 0.5) == ()


@pytest.mark.parametrize("burst", [1, 4, 10])
def test_rate_by_arrivals_withstands_bursts(burst):
    monitor = StreamMonitor(EDA, "band")
    noise = np.random.default_rng(burst)
    for k in range(0, 300, burst):
        t = (k + burst) * 0.25 + noise.uniform(0, 0.05)
        for i in range(burst):
            monitor.packet([4000] * 4, t + 0.001 * i)
    assert monitor.view(t + 0.1).rate == pytest.approx(16.0, rel=0.03)


def test_rate_that_is_off_is_seen():
    monitor = StreamMonitor(H10, "polar_h10")
    for t, samples in h10_packets(20.0, rate=118.0):
        monitor.packet(samples, t, t)
    assert monitor.view(t + 0.1).rate == pytest.approx(118.0, abs=0.1)


def test_no_rate_before_there_is_enough():
    monitor = StreamMonitor(H10, "polar_h10")
    assert monitor.view(5.0).rate is None
    assert not monitor.view(5.0).alive
    for t, samples in h10_packets(1.5):
        monitor.packet(samples, t, t)
    assert monitor.view(t).rate is None
    assert monitor.view(t).alive


def test_repeated_packets_count_once():
    monitor = StreamMonitor(H10, "polar_h10")
    n = 0
    for t, samples in h10_packets(20.0):
        n += samples.size
        monitor.packet(samples, t, t)
        monitor.packet(samples, t + 0.01, t)
    view = monitor.view(t)
    assert view.n_samples == n
    assert view.n_gaps == 0
    assert view.rate == pytest.approx(130.27, abs=0.05)


def test_same_stamp_with_other_samples_is_another_packet():
    monitor = StreamMonitor(EDA, "band")
    monitor.packet([1, 2, 3, 4], 0.0, 0.0)
    monitor.packet([5, 6, 7, 8], 0.1, 0.0)
    assert monitor.view(0.1).n_samples == 8


def test_lost_packets_are_gaps_of_the_right_length():
    monitor = StreamMonitor(H10, "polar_h10")
    for k, (t, samples) in enumerate(h10_packets(40.0)):
        if k not in (10, 11, 30):
            monitor.packet(samples, t + 0.1, t)
    view = monitor.view(t + 0.2)
    assert view.n_gaps == 2
    assert view.gap_s == pytest.approx(3 * 73 / 130.0, abs=0.02)


def test_reordered_packets_are_no_gaps():
    monitor = StreamMonitor(H10, "polar_h10")
    packets = list(h10_packets(30.0))
    for k in range(4, len(packets) - 1, 7):
        packets[k], packets[k + 1] = packets[k + 1], packets[k]
    for k, (t_device, samples) in enumerate(packets):
        monitor.packet(samples, 0.56 * k, t_device)
    view = monitor.view(0.56 * k)
    assert (view.n_gaps, view.gap_s) == (0, pytest.approx(0.0, abs=1e-9))
    assert view.quality > 0.9
    assert view.rate == pytest.approx(130.27, abs=0.1)


def test_growing_lag_is_an_alarm_and_constant_delay_is_not():
    steady, growing = (StreamMonitor(H10, "polar_h10") for _ in range(2))
    alarms = []
    for t, samples in h10_packets(60.0):
        steady.packet(samples, t + 15.0, t)
        growing.packet(samples, t + 0.1 * t, t)
        growing.view(1.1 * t)
        if not alarms and growing.alerts(1.1 * t):
            alarms.append((t, growing.alerts(1.1 * t)[0]))
    assert steady.view(t + 15.0).lag_s == pytest.approx(0.0, abs=0.02)
    assert steady.alerts(t + 15.0) == ()
    assert growing.view(1.1 * t).lag_s == pytest.approx(0.1 * t, abs=0.4)
    at, alert = alarms[0]
    assert 10.0 < at < 20.0
    assert alert.urgent
    assert "LATE" in alert.text


def test_drifting_clock_is_no_lag():
    """+100 ppm for an hour are 0.36 s between the clocks, none of it delay."""
    monitor = StreamMonitor(EDA, "band")
    for k in range(3600):
        monitor.packet([4000 + k % 5] * 16, k * (1 + 100e-6), float(k))
    assert monitor.view(3600.4).lag_s < 0.05


def test_lag_that_stands_still_above_the_fastest_is_shown():
    monitor = StreamMonitor(EDA, "band")
    for k in range(60):
        monitor.packet([4000 + k] * 16, k + (2.0 if k > 20 else 0.0), float(k))
    assert monitor.view(62.0).lag_s == pytest.approx(2.0, abs=0.01)
    assert not monitor.is_late(62.0)


@pytest.mark.parametrize("jump", [-1000.0, 5000.0])
def test_clock_restart_begins_a_new_epoch(jump):
    monitor = StreamMonitor(H10, "polar_h10")
    for k, (t, samples) in enumerate(h10_packets(60.0)):
        monitor.packet(samples, t + 0.1, t + (jump if k > 40 else 0.0))
    view = monitor.view(t + 0.2)
    assert view.lag_s == pytest.approx(0.0, abs=0.02)
    assert (view.n_gaps, view.gap_s) == (0, 0.0)
    assert view.rate == pytest.approx(130.27, abs=0.1)


def test_stalled_radio_is_lag_and_neither_gap_nor_restart():
    monitor = StreamMonitor(H10, "polar_h10")
    for t, samples in h10_packets(40.0):
        arrival = 26.0 if 20.0 < t < 26.0 else t
        monitor.packet(samples, arrival + 0.1, t)
    view = monitor.view(t + 0.2)
    assert (view.n_gaps, view.gap_s) == (0, 0.0)
    assert view.lag_s < 0.05


@pytest.mark.parametrize("device", [True, False])
def test_lost_strap_is_silent_then_a_gap(device):
    monitor = StreamMonitor(H10, "polar_h10")
    flags = 0
    for t, samples in h10_packets(40.0):
        if 20.0 < t < 32.0:
            flags = BlockFlag.RECONNECT
            continue
        if t > 32.0 and flags:
            view = monitor.view(t - 0.6)
            assert not view.alive
            assert view.n_gaps == 1
            assert view.gap_s == pytest.approx(11.5, abs=0.7)
            assert view.quality == 0.0
            (alert,) = monitor.alerts(t - 0.6)
            assert alert.urgent
            assert alert.text in ("ECG LOST 11 s", "ECG LOST 12 s")
        monitor.packet(samples, t + 0.1, t if device else math.nan, flags)
        flags = 0
    view = monitor.view(t + 0.2)
    assert view.alive
    assert view.n_gaps == 1
    assert view.gap_s == pytest.approx(12.0, abs=0.7)
    assert monitor.alerts(t + 0.2) == ()
    assert view.rate == pytest.approx(130.27, rel=0.01)


def test_reconnect_with_a_restarted_clock_is_one_gap():
    monitor = StreamMonitor(H10, "polar_h10")
    flag = BlockFlag.RECONNECT
    for t, samples in h10_packets(40.0):
        if t < 20.0:
            monitor.packet(samples, t, t + 100.0)
        elif t > 30.0:
            monitor.packet(samples, t, t - 30.0, flag)
            flag = 0
    view = monitor.view(t)
    assert view.n_gaps == 1
    assert view.gap_s == pytest.approx(10.0, abs=0.7)


def test_silence_without_device_times_is_a_gap_and_a_late_burst_fills_it():
    lost, late = StreamMonitor(EDA, "band"), StreamMonitor(EDA, "band")
    for k in range(80):
        t = 0.25 * (k + 1)
        if not 40 <= k < 60:
            lost.packet([4000] * 4, t)
            late.packet([4000] * 4, t)
        elif k == 59:
            for i in range(20):
                late.packet([4000] * 4, t + 0.001 * i)
    view = lost.view(20.0)
    assert (view.n_gaps, view.gap_s) == (1, pytest.approx(5.0))
    view = late.view(20.0)
    assert (view.n_gaps, view.gap_s) == (0, pytest.approx(0.0, abs=0.1))


def test_loose_strap_is_poor_and_becomes_an_alert():
    flat, noise = StreamMonitor(H10, "a"), StreamMonitor(H10, "b")
    rng = np.random.default_rng(3)
    for t, samples in h10_packets(30.0):
        for monitor in (flat, noise):
            bad = np.zeros(73, int) if monitor is flat else rng.normal(0, 800, 73).astype(int)
            monitor.packet(samples if t < 10 else bad, t, t)
            monitor.view(t)
    for monitor, what in ((flat, "flat"), (noise, "beats")):
        view = monitor.view(t)
        assert view.quality < 0.2
        assert what in view.quality_reason or "artefact" in view.quality_reason
        assert view.value == ""
        assert any(alert.urgent and "POOR" in alert.text for alert in monitor.alerts(t))


def test_values_of_irregular_streams():
    rr = StreamMonitor(StreamInfo("rr", "rr", "s", 0.0, scale=1 / 1024), "polar_h10")
    for k in range(30):
        rr.readings([0.8 * k], [round(0.8 * 1024)], 0.8 * k)
    view = rr.view(0.8 * k + 0.1)
    assert (view.value, view.alive, view.n_samples) == ("75 /min", True, 30)
    assert view.rate == pytest.approx(75.0, rel=0.06)
    assert not rr.view(0.8 * k + 6).alive
    info = StreamInfo("cuff", "cuff", "mmHg,mmHg,mmHg,1/min", 0.0, awaited=False)
    cuff = StreamMonitor(info, "omron")
    assert cuff.view(0.0).value == ""
    cuff.readings([10.0], [[128.0, 82.0, 97.0, 71.0]], 12.0)
    assert cuff.view(500.0).value == "128/82 71"
    assert cuff.view(500.0).alive
    assert cuff.alerts(500.0) == ()


@pytest.mark.parametrize(
    ("modality", "units", "row", "text"),
    [
        ("cuff", "mmHg,mmHg,mmHg,1/min", (128.0, 82.0, math.nan, math.nan), "128/82"),
        ("cuff", "mmHg,mmHg,mmHg,1/min", (math.nan, 82.0, math.nan, 60.0), "–/82 60"),
        ("temp", "°C", (33.14,), "33.1 °C"),
        ("acc", "g", (0.0, 3.0, 4.0), "5.00 g"),
        ("other", "1/min", (71.6,), "72 /min"),
        ("other", "mmHg", (151.25,), "151.2 mmHg"),
    ],
)
def test_reading_text(modality, units, row, text):
    assert reading_text(modality, units, row) == text


def test_pressure_wave_value():
    info = StreamInfo("bp", "bp", "mmHg", 100.0)
    monitor = StreamMonitor(info, "finapres")
    t = np.arange(0, 20, 0.01)
    phase = np.mod(t, 0.9) / 0.9
    wave = 75 + 47 * np.where(phase < 0.12, np.sin(phase / 0.12 * np.pi / 2), 0)
    wave = np.where(phase >= 0.12, 75 + 47 * np.exp(-(phase - 0.12) * 3.5), wave)
    for k in range(0, 2000, 10):
        monitor.packet(wave[k : k + 10], (k + 9) / 100)
    view = monitor.view(20.0)
    systole, diastole = map(int, view.value.split("/"))
    assert systole == pytest.approx(122, abs=2)
    assert diastole == pytest.approx(77, abs=3)


def test_strip_keeps_peaks_and_shows_gaps():
    monitor = StreamMonitor(H10, "polar_h10")
    for k, (t, samples) in enumerate(h10_packets(12.0)):
        if k != 15:
            monitor.packet(samples, t, t)
    values, sfreq = monitor.strip(8.0)
    assert sfreq == 65.0
    assert values.size == 520
    gap_s = np.isnan(values).sum() / sfreq
    assert gap_s == pytest.approx(73 / 130, abs=0.05)
    assert np.nanmax(values) > 0.9
    values, _ = monitor.strip(8.0, now=t + 5.0)
    assert np.isnan(values[-int(4.9 * sfreq) :]).all()
    assert np.isfinite(values[: int(2 * sfreq)]).any()
    early = StreamMonitor(H10, "polar_h10")
    early.packet(np.arange(65), 0.5, 0.5)
    values, sfreq = early.strip(4.0)
    assert values.size / sfreq == 4.0
    assert np.isfinite(values).sum() / sfreq == pytest.approx(0.5, abs=0.02)
    assert np.isfinite(values[-1])
    assert StreamMonitor(EDA, "band").strip(5.0)[1] == 16.0
    info = StreamInfo("rr", "rr", "s", 0.0)
    assert StreamMonitor(info, "x").strip(5.0)[0].size == 0


odd_samples = hnp.arrays(
    np.float64, st.integers(0, 300), elements=st.floats(allow_nan=True, allow_infinity=True)
)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["ecg", "eda", "bp", "acc", "other"]),
    st.lists(
        st.tuples(odd_samples, st.floats(0, 5), st.floats(-1e6, 1e6) | st.just(math.nan),
                  st.integers(0, 31)),
        max_size=12,
    ),
)  # fmt: skip
def test_nothing_that_arrives_makes_it_raise(modality, packets):
    monitor = StreamMonitor(StreamInfo("x", modality, "u", 100.0), "odd")
    now = 0.0
    for samples, wait, t_device, flags in packets:
        now += wait
        with np.errstate(all="ignore"):
            monitor.packet(samples, now, t_device, flags)
            view = monitor.view(now)
            monitor.alerts(now)
            monitor.strip(6.0, now)
        assert view.quality is None or 0 <= view.quality <= 1
        assert view.n_gaps >= 0
        assert view.gap_s >= 0
        assert view.rate is None or view.rate >= 0
    assert view.n_samples >= 0 if packets else True


def test_memory_is_bounded():
    monitor = StreamMonitor(StreamInfo("ecg", "ecg", "mV", 1000.0), "x")
    for k in range(3000):
        monitor.packet(np.full(50, float(k)), 0.05 * k, 0.05 * k)
    assert len(monitor._ring) == 20_000
    assert len(monitor._pace._rows) <= 202
    assert len(monitor._pace._lags) <= 64


def test_sixteen_streams_of_1000_hz_cost_little():
    """20 s of 16 ECG streams, 20 packets a second each, 4 views a second."""
    signal = ecg_mv(np.arange(0, 20, 0.001))
    monitors = [StreamMonitor(StreamInfo(f"e{k}", "ecg", "mV", 1000.0), "x") for k in range(16)]
    monitors[0].packet(signal, 0.0)
    monitors[0].view(0.1)
    begin = time.process_time()
    for k in range(400):
        now = 20.0 + 0.05 * (k + 1)
        for monitor in monitors:
            monitor.packet(signal[50 * k : 50 * k + 50], now, now)
        if k % 5 == 0:
            for monitor in monitors:
                monitor.view(now)
    share = (time.process_time() - begin) / 20.0
    assert share < 0.15
