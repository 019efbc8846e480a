import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.signals import _checks


@pytest.mark.parametrize(
    "given_as",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], dtype=np.int16),
        np.array([1, 2, 3], dtype=np.uint8),
        np.array([1, 2, 3], dtype=np.float32),
        pd.Series([1, 2, 3], index=[7, 8, 9]),
        np.array([True, True, True]) * [1, 2, 3],
    ],
)
def test_as_signal_accepts_what_holds_numbers(given_as):
    got = _checks.as_signal(given_as)
    assert got.dtype == np.float64
    assert got.tolist() == [1.0, 2.0, 3.0]


def test_as_signal_copies_and_leaves_the_input_alone():
    x = np.array([1.0, np.inf])
    x.flags.writeable = False
    got = _checks.as_signal(x)
    got[0] = 5
    assert x.tolist() == [1.0, np.inf]
    assert np.isnan(got[1])


def test_as_signal_takes_masked_samples_as_missing():
    got = _checks.as_signal(np.ma.masked_array([1, 2, 3], mask=[False, True, False]))
    assert np.isnan(got).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "wrong", [[[1, 2]], 3.0, ["a", "b"], np.array([1j]), [None, [1]], np.array(["2020"], "M8[D]")]
)
def test_as_signal_refuses(wrong):
    with pytest.raises(SignalError, match="ecg"):
        _checks.as_signal(wrong, "ecg")


@pytest.mark.parametrize("wrong", [0, -1, np.nan, np.inf, "fast", None, [1, 2]])
def test_check_sfreq_refuses(wrong):
    with pytest.raises(SignalError, match="sfreq"):
        _checks.check_sfreq(wrong)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 4))
def test_finite_runs_equal_a_walk_over_the_samples(present, min_len):
    x = np.where(np.array(present, dtype=bool), 1.0, np.nan)
    expected, start = [], None
    for i, finite in enumerate([*present, False]):
        if finite and start is None:
            start = i
        if not finite and start is not None:
            expected += [[start, i]] if i - start >= min_len else []
            start = None
    got = _checks.finite_runs(x, min_len)
    assert got.shape == (len(expected), 2)
    assert got.tolist() == expected


def test_as_times():
    assert _checks.as_times(None, 3, 2.0).tolist() == [0.0, 0.5, 1.0]
    assert _checks.as_times([5, 6], 2, 1.0).tolist() == [5.0, 6.0]
    for wrong in ([1.0], [2.0, 1.0], [1.0, np.nan], [1.0, 1.0]):
        with pytest.raises(SignalError, match="times_s"):
            _checks.as_times(wrong, 2, 1.0)
