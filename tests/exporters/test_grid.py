"""One even grid for segments with starts and rates of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc import open_session
from physio_hqc.errors import OutputError
from physio_hqc.exporters._grid import grid_rate, on_grid, sample_places, stretches_of
from physio_hqc.exporters.content import read_content
from physio_hqc.importers._places import Stretch


@settings(deadline=None)
@given(st.data())
def test_every_sample_once_at_the_nearest_free_point(data):
    sfreq = data.draw(st.sampled_from([1.0, 4.0, 250.0, 1000 / 3]))
    at, stretches = data.draw(st.floats(0, 1e4)), []
    for _ in range(data.draw(st.integers(1, 5))):
        n, slow = data.draw(st.integers(0, 2000)), data.draw(st.sampled_from([0, 1e-5, 3e-4, 0.04]))
        stretches.append(Stretch(n, at, sfreq * (1 - slow)))
        at += (n + data.draw(st.floats(1, 50))) / stretches[-1].sfreq
    places = sample_places(stretches, sfreq)
    assert places.size == sum(s.n for s in stretches)
    assert (np.diff(places) > 0).all()
    times = np.concatenate([s.t_start + np.arange(s.n) / s.sfreq for s in stretches])
    assert np.abs(places / sfreq - times).max(initial=0) <= 0.501 / sfreq + 1e-9


def test_exact_times_are_the_samples_themselves():
    places = sample_places([Stretch(1_000_000, 3.0, 1000 / 3)], 1000 / 3, 3.0)
    np.testing.assert_array_equal(places, np.arange(1_000_000))


def test_what_touches_moves_on_and_nothing_is_lost():
    assert sample_places([Stretch(3, 0.0, 1.0), Stretch(3, 2.4, 1.0)], 1.0).tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]


def test_fillers_repeat_and_gaps_stay(live):
    with open_session(live.path) as session:
        stream = read_content(session).streams["ecg"]
        grid = on_grid(stream)
        samples = stream.samples
        found = sample_places(stretches_of(stream), grid.sfreq, grid.start_s)
        np.testing.assert_array_equal(grid.places, found)
        laid = grid.spread(samples)
        np.testing.assert_array_equal(laid[grid.places], samples)
        assert np.isnan(laid).sum() == np.diff(grid.gaps, axis=1).sum() > 59 * 250
        faster = on_grid(stream, stream.sfreq * 1.001, start_s=0.0)
        again = faster.spread(samples)
        free = np.setdiff1d(np.arange(faster.n), faster.places)
        fillers = free[~np.isnan(again[free])]
        assert fillers.size == faster.n_fillers > 200
        np.testing.assert_array_equal(again[fillers], again[fillers - 1])
        assert grid_rate(stream) == pytest.approx(250.01, rel=1e-5)
        with pytest.raises(OutputError, match="slower"):
            on_grid(stream, 249.0)
        with pytest.raises(OutputError, match="begins before"):
            on_grid(stream, start_s=100.0)
