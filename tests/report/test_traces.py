"""Thinned traces lose no extreme and bridge no gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.report import _traces
from physio_hqc.report._traces import array_trace, display_range, stream_trace
from physio_hqc.session import SessionWriter, open_session


@given(
    n=st.integers(0, 3000),
    n_bins=st.integers(1, 200),
    seed=st.integers(0, 2**31),
    missing=st.floats(0, 1),
)
@settings(deadline=None, max_examples=60)
def test_array_trace_keeps_the_extremes_of_every_bin(n, n_bins, seed, missing):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 100, n))
    values = rng.normal(size=n)
    values[rng.uniform(size=n) < missing] = np.nan
    trace = array_trace(times, values, n_bins)
    assert len(trace.times) <= 2 * n_bins
    shown, given_ = trace.values[:, 0], values
    if np.isfinite(given_).any():
        assert np.nanmax(shown) == np.nanmax(given_)
        assert np.nanmin(shown) == np.nanmin(given_)
    else:
        assert not np.isfinite(shown).any()
    if n > 2 * n_bins:
        edges = np.linspace(times[0], np.nextafter(times[-1], np.inf), n_bins + 1)
        for k in range(n_bins):
            inside = given_[(times >= edges[k]) & (times < edges[k + 1])]
            inside = inside[np.isfinite(inside)]
            expected = [inside.min(), inside.max()] if inside.size else [np.nan, np.nan]
            np.testing.assert_array_equal(shown[2 * k : 2 * k + 2], expected)


@pytest.fixture
def stream(tmp_path):
    """50 Hz for a minute, with one spike, and nothing from 20 to 40 s."""
    path = tmp_path / "s.h5"
    times = np.arange(0, 60, 0.02)
    values = np.sin(times)
    values[555] = 9.0
    with SessionWriter(path) as writer:
        writer.add_stream("x", modality="resp", units="a.u.", sfreq=50.0)
        # 7 ms after the second, so that no sample lies on the edge of a bin.
        writer.append_segment("x", values[times < 20], 0.007)
        writer.append_segment("x", values[times >= 40], 40.007)
    with open_session(path) as session:
        yield session.streams["x"]


@pytest.mark.parametrize("n_bins", [10, 100, 5000])
def test_stream_trace_keeps_spike_and_gap(stream, n_bins):
    trace = stream_trace(stream, 0.0, 60.0, n_bins)
    assert np.nanmax(trace.values) == 9.0
    np.testing.assert_allclose(trace.gaps, [[20.0, 40.0]], atol=0.021)
    inside = (trace.times > 26) & (trace.times < 34)
    assert inside.any()
    assert np.isnan(trace.values[inside]).all()


def test_stream_trace_is_the_same_in_small_pieces(stream, monkeypatch):
    whole = stream_trace(stream, 0.0, 60.0, 100)
    monkeypatch.setattr(_traces, "_PIECE", 50)
    pieces = stream_trace(stream, 0.0, 60.0, 100)
    np.testing.assert_array_equal(whole.values, pieces.values)


@pytest.mark.parametrize("spike", [0, 599, 600, 601, 2999])
def test_no_sample_is_lost_between_pieces(tmp_path, monkeypatch, spike):
    monkeypatch.setattr(_traces, "_PIECE", 50)
    path = tmp_path / "s.h5"
    values = np.zeros(3000)
    values[spike] = 9.0
    with SessionWriter(path) as writer:
        writer.add_stream("x", modality="resp", units="a.u.", sfreq=50.0)
        writer.append_segment("x", values, 0.0)
    with open_session(path) as session:
        trace = stream_trace(session.streams["x"], 0.0, session.duration, 100)
    assert np.nanmax(trace.values) == 9.0


def test_display_range_ignores_a_lone_spike_and_says_so():
    values = np.concatenate([np.sin(np.arange(5000) / 10), [500.0]])
    low, high, clipped = display_range(values)
    assert clipped
    assert -3 < low < -1
    assert 1 < high < 3
    assert display_range(np.array([1.0, 2.0]))[2] is False
    assert display_range(np.array([np.nan])) is None
    low, high, _ = display_range(np.full(10, 3.0))
    assert low < 3 < high
