"""Reading on the even index piece by piece, compared with reading it whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SessionFileError
from physio_hqc.session import SessionWriter, open_session

STRETCHES = st.lists(
    st.tuples(st.integers(1, 200), st.floats(0, 3), st.sampled_from([9.9, 10.0, 10.05])),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(STRETCHES, st.integers(1, 300), st.booleans())
def test_pieces_together_are_the_filled_stream(tmp_path_factory, stretches, length, compress):
    path = tmp_path_factory.mktemp("grid") / "p.h5"
    rng = np.random.default_rng(1)
    with SessionWriter(path) as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=10.0, compress=compress)
        at = 2.0
        for n, pause, rate in stretches:
            writer.append_segment("eda", rng.standard_normal(n), at, rate)
            at += n / rate + pause
    with open_session(path) as session:
        stream = session.streams["eda"]
        times, samples = stream.filled()
        pieces = list(stream.filled_pieces(length))
        np.testing.assert_array_equal(np.concatenate(pieces), samples)
        grid = stream.grid
        found = np.interp(np.arange(grid.n), grid.knot_index, grid.knot_s)
    np.testing.assert_allclose(found, times, atol=1e-9)
    assert (np.diff(grid.knot_s) > 0).all()


def test_packets_that_came_in_another_order(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("ecg", modality="ecg", units="mV", sfreq=100.0)
        for k in (0, 1, 3, 2, 4, 6, 7):
            samples = np.arange(100.0 * k, 100 * k + 100)
            t = k + 1.0
            writer.append("ecg", samples, 10 + t, t)
    with open_session(tmp_path / "p.h5") as session:
        stream = session.streams["ecg"]
        whole = np.concatenate(list(stream.filled_pieces(64)))
        np.testing.assert_array_equal(whole, stream.filled()[1])
    assert np.isnan(whole[500:600]).all()
    np.testing.assert_array_equal(whole[:500], np.arange(500.0))


def test_streams_of_several_channels_and_without_samples(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("acc", modality="acc", units="g", sfreq=10.0, channels=["x", "y", "z"])
        writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
        writer.append_segment("acc", np.arange(90.0).reshape(30, 3), 0.0)
    with open_session(tmp_path / "p.h5") as session:
        pieces = list(session.streams["acc"].filled_pieces(30))
        assert {piece.shape for piece in pieces} == {(10, 3)}
        np.testing.assert_array_equal(np.concatenate(pieces), session.streams["acc"].samples)
        assert list(session.streams["eda"].filled_pieces()) == []


def test_a_stream_that_is_almost_only_gap_is_refused(tmp_path):
    with SessionWriter(tmp_path / "p.h5") as writer:
        writer.add_stream("eda", modality="eda", units="µS", sfreq=100.0)
        writer.append_segment("eda", [1.0, 2.0], 0.0)
        writer.append_segment("eda", [1.0, 2.0], 1e6)
    with (
        open_session(tmp_path / "p.h5") as session,
        pytest.raises(SessionFileError, match="almost only gap"),
    ):
        list(session.streams["eda"].filled_pieces())
