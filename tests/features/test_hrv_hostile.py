"""Whatever is passed in: a table in which every NaN has its reason, or a `SignalError`."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.features import GATES, hrv

METHODS = ("welch", "lomb", "ar", "neurokit")
OPEN = dict.fromkeys(GATES, (0, 0, 0, 0))
RNG = np.random.default_rng(0)
LIFELIKE = np.cumsum(0.8 + 0.03 * RNG.standard_normal(500))
SERIES = {
    "none": [],
    "one": [1.0],
    "two": [1.0, 1.8],
    "integers": list(range(400)),
    "whole numbers": np.arange(400, dtype=np.int16),
    "half precision": np.arange(300, dtype=np.float16),
    "Series": pd.Series(LIFELIKE, index=np.arange(500)[::-1]),
    "constant": np.arange(500) * 0.75,
    "clock": 1.7e9 + LIFELIKE,
    "far": 1e15 + np.arange(400.0),
    "as far as numbers go": [-1e300, 0.0, 1e300],
    "as near as numbers go": np.cumsum(np.full(300, 5e-324)),
    "microseconds apart": np.cumsum(RNG.uniform(1e-9, 1e-3, 500)),
    "all lengths": np.cumsum(RNG.choice([1e-6, 0.8, 2.9], 600)),
    "full of gaps": np.cumsum(RNG.choice([0.8, 5, 12, 1000], 600)),
    "one gap of 30 years": np.concatenate([LIFELIKE, 1e9 + LIFELIKE]),
}
WINDOWS = (
    None,
    [],
    [[0, 300]],
    [[0, 60], [10, 10], [1000, 2000], [-300, -10]],
    [[-1e308, 1e308], [5e8, 6e8], [0, 1e-300]],
    [[1.7e9, 1.7e9 + 300]],
)


def check(table):
    for column in table.columns:
        values, texts = table[column].to_numpy(), table.attrs["reasons"][column]
        assert not np.isinf(values).any(), column
        told = [text != "" and not text.startswith("flag: ") for text in texts]
        assert np.isnan(values).tolist() == told, column


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SERIES)
def test_odd_series_and_windows_give_values_or_reasons(name, method):
    for windows in WINDOWS:
        for gates in (None, OPEN):
            table = hrv(SERIES[name], windows, method=method, gates=gates)
            assert len(table) == (1 if windows is None else len(windows))
            check(table)


@pytest.mark.parametrize(
    "times",
    [
        [0, np.nan, 1],
        [0, 1, np.inf],
        [0, 1, 1, 2],
        [3, 2, 1],
        [[0, 1], [2, 3]],
        ["a", "b"],
        [1j, 2],
        None,
        pd.date_range("2020", periods=5, freq="s"),
    ],
)
def test_what_is_no_row_of_beat_times_is_refused(times):
    with pytest.raises(SignalError, match="peak_times_s"):
        hrv(times)


@pytest.mark.parametrize(
    "options",
    [
        {"max_rr_s": np.nan},
        {"max_rr_s": "x"},
        {"gates": {"HRV_LF": 5}},
        {"gates": {"HRV_LF": ("a", "b")}},
        {"gates": {"HRV_LF": (np.nan, 1)}},
        {"gates": {"HRV_LF": (1, 1, np.nan)}},
        {"gates": {"HRV_LF": (-1, 1)}},
        {"gates": [1]},
        {"max_corrected": "x"},
        {"flag_corrected": None},
        {"domains": None},
        {"domains": [["time"]]},
    ],
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(SignalError, match=next(iter(options))):
        hrv(LIFELIKE, **options)


def test_limits_without_end_withhold_everything():
    table = hrv(LIFELIKE, gates={"HRV_LF": (np.inf, np.inf, np.inf, np.inf)})
    assert "needs inf s" in table.attrs["reasons"]["HRV_LF"][0]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(1e-7, 30.0), max_size=120),
    st.floats(-1e9, 1e9),
    st.lists(st.tuples(st.floats(-20, 400), st.floats(0, 400)), max_size=4),
    st.sampled_from(METHODS),
    st.booleans(),
)
def test_any_beats_and_windows_give_values_or_reasons(rr, origin, windows, method, is_open):
    times = np.unique(origin + np.cumsum(rr))
    bounds = np.array([[origin + onset, origin + onset + length] for onset, length in windows])
    check(hrv(times, bounds.reshape(-1, 2), method=method, gates=OPEN if is_open else None))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_the_same_input_gives_the_same_bytes(seed):
    times = np.cumsum(np.random.default_rng(seed).uniform(0.4, 1.4, 300))
    windows = [[0, 100], [50, 250]]
    first, second = (hrv(times, windows, gates=OPEN) for _ in range(2))
    assert first.to_numpy().tobytes() == second.to_numpy().tobytes()
    assert first.attrs == second.attrs
