"""Responses to events: against a plain loop, and the reasons."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.features import FEATURES, scr_latency
from physio_hqc.signals import detect_scrs


def table_of(onsets):
    onsets = np.asarray(onsets, dtype=float)
    return pd.DataFrame(
        {
            "onset_s": onsets,
            "peak_s": onsets + 1,
            "amplitude": 0.1 + 0.01 * np.arange(onsets.size),
            "rise_time_s": np.ones(onsets.size),
        }
    )


def test_first_response_in_the_window():
    scrs = table_of([11.0, 13.0, 25.0, 40.5, 64.0, 90.0])
    table = scr_latency(scrs, [10.0, 12.5, 21.0, 39.8, 60.0, 100.0])
    # At 12.5 the response at 13 comes too early; the limits count.
    assert table["SCR_Latency"].tolist() == pytest.approx(
        [1.0, np.nan, 4.0, np.nan, 4.0, np.nan], nan_ok=True
    )
    assert table["SCR_Amplitude"].tolist() == pytest.approx(
        [0.1, np.nan, 0.12, np.nan, 0.14, np.nan], nan_ok=True
    )
    lacking = "no SCR begins 1 to 4 s after the event"
    assert table.attrs["reasons"]["SCR_Latency"] == ["", lacking, "", lacking, "", lacking]
    short = scr_latency(scrs, [10.0, 21.0], window=(0.5, 3))
    assert short["SCR_Latency"].isna().tolist() == [False, True]


def test_reasons():
    scrs = table_of([12.0, 52.0])
    scrs.loc[1, "rise_time_s"] = np.nan
    table = scr_latency(
        scrs,
        [10.0, 9.0, np.nan, 30.0, 50.0, 97.0, -5.0],
        artifacts=[(33.9, 40.0), (52.5, 53.0)],
        span=(0.0, 100.0),
    )
    reasons = table.attrs["reasons"]
    assert reasons["SCR_Latency"] == [
        "flag: the SCR follows another event, too",
        "flag: the SCR follows another event, too",
        "the event has no time",
        "artifact in the latency window",
        "",
        "not recorded in the latency window",
        "not recorded in the latency window",
    ]
    assert reasons["SCR_RiseTime"][4] == "no peak of its own"
    assert table["SCR_Amplitude"][4] == pytest.approx(0.11)


def test_known_latencies_are_found():
    rng = np.random.default_rng(0)
    events = 10 + 15.0 * np.arange(20)
    latency = rng.uniform(1.4, 3.0, 20)
    time = np.arange(0, 330, 1 / 32)
    signal = 5 + 0.001 * rng.standard_normal(time.size)
    for onset in events + latency:
        after = np.clip(time - onset, 0, None)
        signal += 2.7086 * 0.3 * (np.exp(-after / 2) - np.exp(-after / 0.7))
    table = scr_latency(detect_scrs(signal, 32), events)
    assert table["SCR_Latency"].to_numpy() == pytest.approx(latency, abs=0.2)
    assert table["SCR_Amplitude"].to_numpy() == pytest.approx(0.3, rel=0.03)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0, 100), max_size=30),
    st.lists(st.floats(-5, 110) | st.just(np.nan), max_size=20),
)
def test_like_a_plain_loop(onsets, events):
    table = scr_latency(table_of(onsets), events)
    for row, event in enumerate(events):
        after = sorted(x for x in onsets if event + 1.0 <= x <= event + 4.0)
        expected = after[0] - event if after else np.nan
        assert table["SCR_Latency"][row] == pytest.approx(expected, nan_ok=True)
    for column, texts in table.attrs["reasons"].items():
        missing = table[column].isna().to_numpy()
        assert all(texts[row] for row in np.flatnonzero(missing))


def test_described_in_the_catalog():
    table = scr_latency(table_of([]), [])
    assert len(table) == 0
    assert set(table.columns) <= set(FEATURES)


@pytest.mark.parametrize("window", [(4, 1), (-1, 2), (1, np.inf), 3, ("a", 2)])
def test_bad_windows(window):
    with pytest.raises(SignalError, match="window"):
        scr_latency(table_of([1.0]), [0.0], window=window)


def test_bad_tables():
    with pytest.raises(SignalError, match="lacks"):
        scr_latency(pd.DataFrame({"onset_s": [1.0]}), [0.0])
    with pytest.raises(SignalError):
        scr_latency(table_of([1.0]), [[0.0]])
