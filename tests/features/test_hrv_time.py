import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.features import hrv, hrv_frequency, hrv_nonlinear, hrv_time
from physio_hqc.features._hrv_time import COLUMNS, _tinn
from physio_hqc.signals.beats import plain_beats

OPEN = dict.fromkeys(COLUMNS, (0, 0, 0, 0))
RR_A = np.array([800, 810, 790, 860, 800, 750, 820, 815, 805, 850])


def times_of(rr_ms):
    return np.concatenate([[0.0], np.cumsum(rr_ms)]) / 1000


def reference(rr):
    """The definitions, one window at a time, for intervals that all touch."""
    change = np.diff(rr)
    counts = np.bincount((rr / 7.8125 + 1e-9).astype(int))
    median = np.median(rr)
    return {
        "HRV_MeanNN": rr.mean(),
        "HRV_SDNN": rr.std(ddof=1),
        "HRV_RMSSD": np.sqrt((change**2).mean()),
        "HRV_SDSD": change.std(ddof=1),
        "HRV_CVNN": rr.std(ddof=1) / rr.mean(),
        "HRV_MedianNN": median,
        "HRV_MadNN": 1.4826 * np.median(np.abs(rr - median)),
        "HRV_IQRNN": np.subtract(*np.percentile(rr, [75, 25])),
        "HRV_pNN50": 100 * np.mean(np.abs(change) > 50 + 1e-6),
        "HRV_pNN20": 100 * np.mean(np.abs(change) > 20 + 1e-6),
        "HRV_MinNN": rr.min(),
        "HRV_MaxNN": rr.max(),
        "HRV_HTI": rr.size / counts.max(),
        "ECG_Rate_Mean": 60000 / rr.mean(),
    }


def test_example_a():
    row = hrv_time(times_of(RR_A), gates=OPEN).iloc[0]
    expected = {
        "HRV_MeanNN": 810,
        "ECG_Rate_Mean": 74.0741,
        "HRV_SDNN": 30.6413,
        "HRV_RMSSD": 45.3995,
        "HRV_SDSD": 47.7915,
        "HRV_pNN50": 33.333,
        "HRV_pNN20": 55.556,
        "HRV_HTI": 5.0,
    }
    for column, value in expected.items():
        assert row[column] == pytest.approx(value, rel=2e-5), column


def test_example_b_the_triangle_is_fitted_on_both_sides():
    exact = np.concatenate(
        [np.full(40 - 5 * abs(k), (100 + k + 0.5) * 7.8125) for k in range(-8, 9)]
    )
    assert exact.size == 320
    assert _tinn(exact) == 125.0
    assert _tinn(np.append(exact, [600, 610, 1000])) == 125.0
    shuffled = np.random.default_rng(0).permutation(exact)
    row = hrv_time(times_of(shuffled), gates=OPEN).iloc[0]
    assert row["HRV_TINN"] == 125.0
    assert row["HRV_HTI"] == 8.0


def brute_tinn(rr):
    """Every left and right limit tried; the squared error over all bins."""
    bins = np.floor(rr / 7.8125 + 1e-9).astype(int)
    places = np.arange(bins.min() - 1, bins.max() + 2)
    counts = np.array([(bins == place).sum() for place in places])
    apex = int(np.argmax(counts))
    best, width = np.inf, 0
    for left in range(apex):
        for right in range(apex + 1, places.size):
            knots = [places[0] - 1, places[left], places[apex], places[right], places[-1] + 1]
            triangle = np.interp(places, knots, [0, 0, counts[apex], 0, 0])
            error = ((triangle - counts) ** 2).sum()
            if error < best - 1e-9:
                best, width = error, right - left
    return width * 7.8125


@pytest.mark.parametrize("seed", range(12))
def test_tinn_is_the_best_of_all_triangles(seed):
    rng = np.random.default_rng(seed)
    rr = rng.normal(800, rng.uniform(5, 60), 400)
    rr[: rng.integers(0, 20)] += rng.uniform(-200, 400)
    assert _tinn(rr) == brute_tinn(rr)


def test_real_intervals_equal_neurokit_where_the_definitions_agree(shared_data):
    rr = np.load(shared_data / "rr" / "SampleNNISeriesShort.npy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        theirs = neurokit2.hrv_time(np.round(times_of(rr) * 1000).astype(int), 1000).iloc[0]
    ours = hrv_time(times_of(rr), gates=OPEN).iloc[0]
    for name in ("MeanNN", "SDNN", "RMSSD", "SDSD", "CVNN", "MedianNN", "MadNN", "IQRNN"):
        assert ours[f"HRV_{name}"] == pytest.approx(theirs[f"HRV_{name}"], rel=1e-9), name
    for name in ("MinNN", "MaxNN", "HTI"):
        assert ours[f"HRV_{name}"] == pytest.approx(theirs[f"HRV_{name}"], rel=1e-9), name
    n = rr.size
    for name in ("pNN50", "pNN20"):
        assert ours[f"HRV_{name}"] == pytest.approx(theirs[f"HRV_{name}"] * n / (n - 1), rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.floats(-5, 80), st.floats(5, 90)), min_size=1, max_size=12),
)
def test_many_windows_equal_one_at_a_time(seed, windows):
    rr = np.round(np.random.default_rng(seed).normal(800, 60, 110), 1)
    times = times_of(rr)
    bounds = np.array([(onset, onset + length) for onset, length in windows])
    table = hrv_time(times, bounds, gates=OPEN)
    for (onset, offset), (_, row) in zip(bounds, table.iterrows(), strict=True):
        inside = (times[:-1] >= onset - 1e-9) & (times[1:] <= offset + 1e-9)
        if inside.sum() < 3:
            continue
        for column, value in reference(rr[inside]).items():
            assert row[column] == pytest.approx(value, rel=1e-9, abs=1e-9), column


def test_differences_never_cross_a_gap():
    times = np.concatenate([times_of(np.full(50, 800.0)), 60 + times_of(np.full(50, 1000.0))])
    row = hrv_time(times, gates=OPEN).iloc[0]
    assert row["HRV_RMSSD"] == pytest.approx(0, abs=1e-6)
    assert row["HRV_MeanNN"] == pytest.approx(900)
    given_gap = plain_beats(np.arange(100) * 0.8, gaps=[[40.1, 40.2]])
    assert hrv_time(given_gap, gates=OPEN).iloc[0]["HRV_MaxNN"] == pytest.approx(800)


def test_an_interval_belongs_to_the_window_that_holds_both_its_beats():
    times = np.arange(0, 61.0)
    table = hrv_time(times, [[0, 30], [30, 60], [29.5, 60], [0, 60]], gates=OPEN)
    assert (60000 / table["HRV_MeanNN"]).tolist() == pytest.approx([60.0] * 4)
    one = hrv_time(times, [[10.5, 12.5], [10.5, 12.4]], gates=OPEN)
    assert one["HRV_MeanNN"].isna().tolist() == [False, False]
    assert hrv_time(times, [[10.5, 11.5]], gates=OPEN)["HRV_MeanNN"].isna().all()


def test_short_windows_are_flagged_then_withheld():
    times = np.arange(0, 200, 0.8)
    table = hrv_time(times, [[0, 5], [0, 20], [0, 45], [0, 90], [0, 150]])
    reasons = table.attrs["reasons"]
    assert table["HRV_MeanNN"].isna().tolist() == [True, False, False, False, False]
    assert table["HRV_RMSSD"].isna().tolist() == [True, True, False, False, False]
    assert table["HRV_SDNN"].isna().tolist() == [True, True, True, False, False]
    assert table["HRV_HTI"].isna().all()
    assert reasons["HRV_MeanNN"] == [
        "5 s usable, needs 10 s",
        "flag: 20 s, 30 s recommended",
        "",
        "",
        "",
    ]
    assert reasons["HRV_RMSSD"][2] == "flag: 45 s, 60 s recommended"
    assert reasons["HRV_SDNN"][4] == ""


def test_usable_time_counts_and_gaps_do_not():
    times = np.concatenate([np.arange(0, 40, 0.8), np.arange(100, 140, 0.8)])
    table = hrv_time(times, [[0, 140]])
    assert table.attrs["reasons"]["HRV_SDNN"] == [
        "flag: 78 s, 120 s recommended; 56 % of the window usable"
    ]


def test_corrected_beats_flag_then_withhold():
    plain = plain_beats(np.arange(401) * 0.8)
    kind = plain.kind.copy()
    kind[10:17] = "ectopic"
    kind[150:176] = "missed"
    kind[260:264] = "extra"
    beats = dataclasses.replace(plain, kind=kind)
    windows = [[0, 80], [120, 200], [200, 280]]
    table = hrv_time(beats, windows)
    reasons = table.attrs["reasons"]["HRV_RMSSD"]
    assert table["HRV_RMSSD"].isna().tolist() == [False, True, False]
    assert reasons == [
        "flag: 7 % of beats corrected",
        "26 % of beats corrected, at most 20 %",
        "",
    ]
    assert hrv_time(beats, windows, max_corrected=1.0)["HRV_RMSSD"].notna().all()
    for part in (hrv, hrv_time, hrv_frequency, hrv_nonlinear):
        texts = part(beats, windows, flag_corrected=0.08).attrs["reasons"]
        assert not any("7 % of beats" in text for column in texts.values() for text in column)
    none = hrv_time(beats, windows, flag_corrected=0.0).attrs["reasons"]["HRV_RMSSD"]
    assert none[0] == "flag: 7 % of beats corrected"


@pytest.mark.parametrize("name", ["flag_corrected", "max_corrected"])
@pytest.mark.parametrize("share", [-0.1, 5, np.nan])
def test_a_share_of_corrected_beats_lies_from_0_to_1(name, share):
    with pytest.raises(SignalError, match=f"{name} is .*0 to 1"):
        hrv_time(np.arange(100) * 0.8, **{name: share})


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.8]])
def test_next_to_no_beats_give_reasons_not_numbers(times):
    table = hrv_time(times)
    assert table.shape == (1, len(COLUMNS))
    assert table.isna().all().all()
    assert all(texts[0] for texts in table.attrs["reasons"].values())


def test_constant_intervals_have_no_log_of_rmssd():
    table = hrv_time(np.arange(0, 300) * 0.5)
    assert table["HRV_RMSSD"][0] == 0
    assert table.attrs["reasons"]["HRV_lnRMSSD"] == ["RMSSD is 0"]
