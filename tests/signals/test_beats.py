import time
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.signals import correct_beats
from physio_hqc.signals.beats import (
    KINDS,
    _classify,
    _pad_breaks,
    _running_median,
    _thresholds,
    plain_beats,
)

INDEX = np.arange(120)
EVEN_RR = np.round(800 + 15 * np.sin(2 * np.pi * INDEX / 7) + 8 * np.cos(2 * np.pi * INDEX / 3.3))


def changed(at, by):
    rr = EVEN_RR.copy()
    for place, change in zip(at, by, strict=True):
        rr[place] += change
    return rr


LOST = np.concatenate([EVEN_RR[:60], [EVEN_RR[60] + EVEN_RR[61]], EVEN_RR[62:]])
EXTRA = np.concatenate([EVEN_RR[:60], [300, EVEN_RR[60] - 300], EVEN_RR[61:]])


def times_of(rr_ms):
    return np.concatenate([[0.0], np.cumsum(rr_ms)]) / 1000


def classes_of(rr_ms):
    code = _classify(np.diff(times_of(rr_ms), prepend=np.nan)).code
    found = {kind: np.flatnonzero(code == KINDS.index(kind)).tolist() for kind in KINDS[1:]}
    return (
        found["ectopic"],
        found["missed"],
        found["extra"],
        sorted(found["long"] + found["short"]),
    )


def neurokit_classes(rr_ms):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        info, _ = neurokit2.signal_fixpeaks(
            np.round(times_of(rr_ms) * 1000).astype(int),
            sampling_rate=1000,
            method="kubios",
            iterative=False,
        )
    return tuple([int(i) for i in info[k]] for k in ("ectopic", "missed", "extra", "longshort"))


def rmssd(rr_s):
    return np.sqrt(np.nanmean(np.diff(rr_s) ** 2)) * 1000


def test_the_even_series_is_the_published_one():
    assert EVEN_RR[57:64].tolist() == [811, 808, 812, 797, 777, 790, 807]


@pytest.mark.parametrize(
    ("rr", "expected"),
    [
        (EVEN_RR, ([], [], [], [])),
        (LOST, ([], [61], [], [])),
        (EXTRA, ([], [], [61], [62])),
        (changed([60, 61], [-250, 250]), ([62], [], [], [61])),
        (changed([60], [400]), ([], [], [], [61])),
        (changed([60], [-300]), ([], [], [], [61])),
        (changed([60, 61], [-40, 40]), ([62], [], [], [61])),
    ],
)
def test_intervals_are_classed_as_in_the_worked_example(rr, expected):
    assert classes_of(rr) == expected
    assert neurokit_classes(rr) == expected


@pytest.mark.parametrize("seed", range(6))
def test_classes_agree_with_neurokit_on_planted_errors(seed):
    rng = np.random.default_rng(seed)
    rr = 800 + 40 * np.sin(np.arange(400) * 0.6) + 8 * rng.standard_normal(400)
    times = times_of(rr)
    places = np.arange(60, 360, 25) + rng.integers(0, 8, 12)
    times[places[:4]] -= 0.25
    times = np.delete(times, places[4:8])
    times = np.sort(np.append(times, times[places[8:]] + 0.33))
    rr_ms = np.diff(np.round(times * 1000))
    assert classes_of(rr_ms) == neurokit_classes(rr_ms)


def test_a_lost_beat_comes_back_midway():
    beats = correct_beats(times_of(LOST))
    assert beats.kind[61] == "missed"
    assert beats.times_s[61] == pytest.approx(48.825)
    assert beats.n_corrected == 1
    assert np.count_nonzero(beats.kind != "normal") == 1
    assert beats.raw_index[61] == -1


def test_an_extra_beat_goes_and_nothing_else_changes():
    beats = correct_beats(times_of(EXTRA))
    assert beats.kind[61] == "extra"
    assert beats.n_corrected == 1
    np.testing.assert_allclose(beats.times_s, times_of(EVEN_RR), atol=1e-9)
    assert beats.raw_times_s.size == beats.times_s.size + 1


@pytest.mark.parametrize("shift", [-250, -40, 250])
def test_a_displaced_beat_is_moved_and_its_neighbors_stay(shift):
    truth = times_of(EVEN_RR)
    beats = correct_beats(times_of(changed([60, 61], [shift, -shift])))
    assert beats.kind[61] == "ectopic"
    assert beats.n_corrected == 1
    assert beats.times_s[61] == pytest.approx((truth[60] + truth[62]) / 2)
    np.testing.assert_allclose(np.delete(beats.times_s, 61), np.delete(truth, 61), atol=1e-9)


def test_two_and_three_lost_beats_come_back():
    truth = times_of(EVEN_RR)
    for n_lost in (2, 3):
        beats = correct_beats(np.delete(truth, np.arange(60, 60 + n_lost)), max_rr_s=4)
        assert np.flatnonzero(beats.kind == "missed").tolist() == list(range(60, 60 + n_lost))
        assert np.abs(beats.times_s - truth).max() < 0.03


@pytest.mark.parametrize("rr", [0.8, 0.35, 1.7])
def test_an_even_series_is_left_alone(rr):
    beats = correct_beats(np.arange(200) * rr)
    assert beats.n_corrected == 0
    assert set(beats.kind) == {"normal"}


def test_a_lost_beat_in_a_perfectly_even_series_is_found():
    beats = correct_beats(np.delete(np.arange(100) * 0.8, 50))
    assert beats.kind[50] == "missed"
    assert beats.times_s[50] == pytest.approx(40.0)


@pytest.mark.parametrize("kind", ["displaced", "lost", "extra"])
@pytest.mark.parametrize("sd_ms", [8, 20])
def test_rmssd_after_correction_is_within_two_percent_of_the_truth(kind, sd_ms):
    errors = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        i = np.arange(420)
        rr = 0.8 + 0.03 * np.sin(0.5 * i) + sd_ms / 1000 * np.sin(1.26 * i)
        truth = np.cumsum(rr + 0.3 * sd_ms / 1000 * rng.standard_normal(420))
        places = np.sort(rng.choice(np.arange(10, 410, 10), 8, replace=False))
        planted = truth.copy()
        if kind == "displaced":
            planted[places] -= 0.25
        elif kind == "lost":
            planted = np.delete(truth, places)
        else:
            planted = np.sort(np.append(truth, truth[places] + rng.uniform(0.25, 0.45, 8)))
        fixed = correct_beats(planted)
        errors.append(rmssd(fixed.rr_s[1:]) / rmssd(np.diff(truth)) - 1)
    assert np.mean(np.abs(errors)) < 0.02


def test_nothing_is_judged_or_moved_across_a_gap():
    times = np.delete(times_of(EVEN_RR), [60, 61])
    gap = [(times[59] + 0.1, times[60] - 0.1)]
    beats = correct_beats(times, gaps=gap)
    assert beats.n_corrected == 0
    assert np.flatnonzero(np.isnan(beats.rr_s)).tolist() == [0, 60]


def test_gaps_touching_a_beat_or_empty_break_only_what_they_overlap():
    times = [0.0, 1.0, 2.0, 3.0]
    assert np.isnan(plain_beats(times, gaps=[[1.0, 2.0]]).rr_s).tolist() == [
        True,
        False,
        True,
        False,
    ]
    assert np.isnan(plain_beats(times, gaps=[[0.2, 0.4], [0.3, 2.5]]).rr_s).tolist() == [
        True,
        True,
        True,
        True,
    ]
    assert np.isnan(plain_beats(times, gaps=[]).rr_s).sum() == 1
    assert np.isnan(plain_beats(times, gaps=[[8, 9]]).rr_s).sum() == 1


def test_an_interval_over_the_limit_is_a_gap():
    times = np.append(np.arange(40) * 0.8, 40 * 0.8 + 5)
    assert np.isnan(correct_beats(times).rr_s[-1])
    assert np.isfinite(plain_beats(times, max_rr_s=10).rr_s[-1])


def test_few_beats_are_corrected_only_when_grossly_wrong():
    assert correct_beats([0, 0.8, 1.65, 2.4, 3.3, 4.0]).n_corrected == 0
    few = np.arange(12) * 0.8
    assert correct_beats(np.delete(few, 6)).kind[6] == "missed"


@pytest.mark.parametrize("n", range(5))
def test_hardly_any_beats(n):
    beats = correct_beats(np.arange(n) * 0.8)
    assert beats.times_s.size == n
    assert beats.rr_s.size == n
    assert beats.n_corrected == 0


@pytest.mark.parametrize("wrong", [[1.0, 1.0], [2.0, 1.0], [0.0, np.nan], [[0.0, 1.0]], ["a"]])
def test_wrong_times_are_refused(wrong):
    with pytest.raises(SignalError, match="peak_times_s"):
        correct_beats(wrong)


def test_wrong_gaps_are_refused():
    with pytest.raises(SignalError, match="gaps"):
        correct_beats([0.0, 1.0], gaps=[[2.0, 1.0]])


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.integers(20, 4000), max_size=150),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)), max_size=3),
)
def test_any_series_ends_and_the_account_of_beats_balances(rr_ms, gaps):
    times = np.cumsum(np.array(rr_ms, dtype=float)) / 1000
    bounds = [[start, start + length] for start, length in gaps]
    beats = correct_beats(times, gaps=bounds)
    kept = beats.raw_index[beats.raw_index >= 0]
    moved = np.count_nonzero(beats.times_s[beats.raw_index >= 0] != times[kept])
    inserted = np.count_nonzero(beats.raw_index < 0)
    assert (np.diff(kept) > 0).all()
    assert (np.diff(beats.times_s) > 0).all()
    assert beats.n_corrected == moved + inserted + times.size - kept.size
    assert (beats.kind[beats.raw_index < 0] != "normal").all()
    assert (beats.n_corrected == 0) == (set(beats.kind) <= {"normal"})
    finite = np.isfinite(beats.rr_s)
    np.testing.assert_allclose(
        beats.rr_s[finite], np.diff(beats.times_s, prepend=np.nan)[finite], rtol=1e-12
    )
    raw = plain_beats(times, gaps=bounds)
    n_breaks = np.count_nonzero(np.isnan(raw.rr_s))
    assert np.count_nonzero(np.isnan(beats.rr_s)) == n_breaks


def test_a_beat_that_is_put_back_where_it_was_is_not_called_corrected():
    rr_ms = np.array([20, 20, 20, 20, 20, 20, 264, 1917, 1917, 20])
    beats = correct_beats(np.cumsum(rr_ms) / 1000)
    np.testing.assert_array_equal(beats.times_s, np.cumsum(rr_ms) / 1000)
    assert beats.n_corrected == 0
    assert set(beats.kind) == {"normal"}


def planted(seed, n=400):
    """Beats of any rate and breathing with premature, displaced, lost and extra ones; whole ms."""
    rng = np.random.default_rng(seed)
    base, deep, noise = rng.uniform(500, 1100), rng.uniform(5, 60), rng.uniform(2, 25)
    rr = base + deep * np.sin(np.arange(n) * rng.uniform(0.3, 2.2)) + noise * rng.standard_normal(n)
    rr += np.cumsum(rng.standard_normal(n)) * rng.uniform(0, 3)
    times = times_of(np.maximum(rr, 300))
    places = np.arange(20, n - 20, 25)
    places += rng.integers(0, 8, places.size)
    kind = rng.integers(0, 5, places.size)
    times[places[kind == 0]] -= rng.uniform(0.12, 0.35) * base / 1000
    times[places[kind == 1]] += rng.uniform(-0.2, 0.2, (kind == 1).sum()) * base / 1000
    at = places[kind == 3]
    extra = times[at] + rng.uniform(0.2, 0.8, at.size) * np.diff(times)[at]
    times = np.sort(np.append(np.delete(times, places[kind == 2]), extra))
    return np.round(times * 1000) / 1000


def by_the_letter(rr, *, as_neurokit, cautious=False):
    """The published decisions, one interval after the other.

    ``as_neurokit``: the first interval is the mean of all, missing neighbors are mirrored, the
    last two intervals are not judged. ``cautious``: split or join only what it brings nearer.
    """
    rr, n = rr.copy(), rr.size
    rr[0] = np.mean(rr[1:]) if as_neurokit else np.nan
    d = np.diff(rr, prepend=np.nan)
    d[0] = np.mean(d[1:]) if as_neurokit else np.nan
    median = pd.Series(rr).rolling(11, center=True, min_periods=1).median().to_numpy()
    m = np.where(rr < median, 2, 1) * (rr - median)

    def threshold(x):
        there = np.isfinite(x)
        around = pd.Series(np.abs(x[there])).rolling(91, center=True, min_periods=1)
        result = np.full(n, np.nan)
        result[there] = 5.2 * (around.quantile(0.75) - around.quantile(0.25)).to_numpy() / 2
        return result

    limit = threshold(m)
    d, m = np.nan_to_num(d / threshold(d)), np.nan_to_num(m / limit)
    if not as_neurokit:
        d, m = d.round(6), m.round(6)

    def near(i):
        mirrored = d[-i] if i < 0 else d[2 * (n - 1) - i] if i >= n else d[i]
        return mirrored if as_neurokit or 0 <= i < n else 0.0

    def judge(j):
        pick = min if d[j] >= 0 else max
        s22 = pick(near(j + 1), near(j + 2))
        long, short = d[j] > 1 and s22 < -1, d[j] < -1 and s22 > 1
        if not (long or short or abs(m[j]) > 3):
            return None
        off = abs(rr[j] - median[j])
        joined = abs(rr[j] + (rr[j + 1] if j + 1 < n else np.nan) - median[j])
        if short and joined < limit[j] and (not cautious or joined < off):
            return "extra"
        fold = max(round(rr[j] / median[j]), 2) if cautious else 2
        part = abs(rr[j] / fold - median[j])
        if long and part < limit[j] and fold <= 4 and (not cautious or part < off):
            return "missed"
        return "longshort"

    found, i = {}, 0
    while i < (n - 2 if as_neurokit else n):
        if abs(d[i]) <= 1:
            i += 1
            continue
        s12 = (max if d[i] > 0 else min)(near(i - 1), near(i + 1))
        if (d[i] > 1 and s12 < -0.13 * d[i] - 0.17) or (d[i] < -1 and s12 > -0.13 * d[i] + 0.17):
            found[i] = "ectopic"
            i += 1
            continue
        both = abs(near(i + 1)) < abs(near(i + 2)) and i + 1 < n
        for j in (i, i + 1) if both else (i,):
            if (said := judge(j)) is not None:
                found[j] = said
            i += 1
    return found


def named(classes):
    kinds = ("ectopic", "missed", "extra", "longshort")
    return {i: kind for kind, places in zip(kinds, classes, strict=True) for i in places}


@pytest.mark.parametrize("first_seed", range(0, 80, 10))
def test_every_difference_to_neurokit_has_a_stated_reason(first_seed):
    n_found = n_differing = 0
    for seed in range(first_seed, first_seed + 10):
        times = planted(seed)
        rr_ms = np.diff(np.round(times * 1000))
        rr = np.diff(np.round(times * 1000), prepend=np.nan) / 1000
        ours, theirs = named(classes_of(rr_ms)), named(neurokit_classes(rr_ms))
        # The reading of the publication is right: with NeuroKit2's ends it gives NeuroKit2's
        # classes, with ours (and splits that must help) ours.
        assert by_the_letter(rr, as_neurokit=True) == theirs, seed
        assert by_the_letter(rr, as_neurokit=False, cautious=True) == ours, seed
        plain = by_the_letter(rr, as_neurokit=False)
        d = np.diff(rr, prepend=np.nan)
        on_limit = np.zeros(d.size, dtype=bool)
        on_limit[2:] = np.abs(np.abs(d[2:]) / _thresholds(d, np.arange(2, d.size), 0.01) - 1) < 1e-9
        for i in set(ours) | set(theirs):
            if ours.get(i) == theirs.get(i):
                continue
            n_differing += 1
            first_beats = i <= 47
            last_beats = i >= times.size - 3
            split_or_joined = {ours.get(i), plain.get(i)} & {"missed", "extra"} != set()
            tie = on_limit[i - 1 : i + 2].any()
            assert first_beats or last_beats or split_or_joined or tie, (seed, i)
        n_found += len(theirs)
    assert n_found > 100
    assert n_differing <= 0.02 * n_found


def test_a_difference_on_the_threshold_is_normal_whatever_the_clock():
    rng = np.random.default_rng(4)
    rr_ms = np.round(800 + 20 * rng.standard_normal(300))
    plain = correct_beats(times_of(rr_ms))
    for origin in (0.1, 86399.9, 1.7e5):
        moved = correct_beats(times_of(rr_ms) + origin)
        assert (moved.kind == plain.kind).all()


def deep_breathing(seed, n=400):
    """True beats whose intervals swing by 10 to 30 % with every breath."""
    rng = np.random.default_rng(seed)
    depth, rate, times = rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3), [0.0]
    while len(times) < n:
        swing = depth * np.sin(2 * np.pi * rate * times[-1])
        times.append(times[-1] + 1.0 + swing + 0.01 * rng.standard_normal())
    return np.round(np.array(times), 3)


def test_true_beats_of_deep_breathing_are_not_split_or_joined():
    ours = published = 0
    for seed in range(200):
        rr = np.diff(np.round(deep_breathing(seed) * 1000), prepend=np.nan) / 1000
        _, missed, extra, _ = classes_of(rr[1:] * 1000)
        ours += len(missed) + len(extra)
        said = by_the_letter(rr, as_neurokit=False).values()
        published += sum(kind in ("missed", "extra") for kind in said)
    assert published > 100
    assert ours <= 0.1 * published


def test_moving_the_beat_between_restores_rmssd_and_moving_the_next_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2
    ours, theirs = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        i = np.arange(420)
        rr = (
            0.8
            + 0.03 * np.sin(0.5 * i)
            + 0.02 * np.sin(1.26 * i)
            + 0.006 * rng.standard_normal(420)
        )
        truth = np.cumsum(rr)
        premature = truth.copy()
        premature[rng.choice(np.arange(20, 400, 10), 6, replace=False)] -= rng.uniform(0.12, 0.3)
        premature = np.round(premature, 3)
        _, moved = neurokit2.signal_fixpeaks(
            np.round(premature * 1000).astype(int), 1000, method="kubios", iterative=False
        )
        expected = rmssd(np.diff(truth))
        ours.append(rmssd(correct_beats(premature).rr_s[1:]) / expected - 1)
        theirs.append(rmssd(np.diff(moved) / 1000) / expected - 1)
    assert np.mean(np.abs(ours)) < 0.01
    assert np.mean(np.abs(theirs)) > 0.2


def test_running_median_near_breaks_is_that_of_the_values_present():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.05, 0.5):
        rr = np.append(np.nan, rng.uniform(0.3, 1.5, 80))
        rr[rng.random(81) < share] = np.nan
        _, padded = _pad_breaks(rr)
        expected = pd.Series(padded).rolling(11, center=True, min_periods=1).median().to_numpy()
        there = np.isfinite(padded)
        np.testing.assert_array_equal(_running_median(padded)[there], expected[there])


@pytest.mark.parametrize("every", [0, 25, 8])
def test_a_day_of_beats_is_corrected_at_once(every):
    rng = np.random.default_rng(0)
    i = np.arange(100_000)
    times = np.cumsum(0.8 + 0.04 * np.sin(0.5 * i) + 0.01 * rng.standard_normal(i.size))
    if every:
        places = np.arange(20, i.size - 20, every)
        times[places[::3]] -= 0.2
        times = np.sort(np.append(np.delete(times, places[1::3]), times[places[2::3]] + 0.3))
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        beats = correct_beats(times)
        spent.append(time.perf_counter() - began)
    # 0.15 s on a quiet machine; the limit leaves room for a busy one.
    assert min(spent) < 0.6
    # Where every eighth beat is wrong, the thresholds take part of the errors for variability.
    assert beats.n_corrected >= {0: 0, 25: 0.9 * i.size / 25, 8: 0.5 * i.size / 8}[every]


@pytest.mark.parametrize(
    "times",
    [
        np.array([0, 1, 2, 3]),
        [0.0, 0.8, 1.6],
        pd.Series([0.0, 0.8, 1.6], index=[9, 7, 5]),
        np.float32([0, 0.8, 1.6]),
        [-1e300, 0.0, 1e300],
        [1e15, 1e15 + 1, 1e15 + 2],
    ],
)
def test_any_row_of_ascending_numbers_is_taken(times):
    beats = correct_beats(times)
    assert beats.times_s.size == len(times)
    assert beats.n_corrected == 0


def test_read_only_input_is_taken_and_not_changed():
    times = np.delete(np.arange(100) * 0.8, 50)
    times.flags.writeable = False
    kept = times.copy()
    assert correct_beats(times).n_corrected == 1
    np.testing.assert_array_equal(times, kept)


@pytest.mark.parametrize(
    "options",
    [{"max_rr_s": wrong} for wrong in (0, -1, np.nan, np.inf, 1e9, "x", None, [1, 2])]
    + [{"max_passes": wrong} for wrong in (-1, 1.5, None, "x")]
    + [{"gaps": wrong} for wrong in ([[0, np.nan]], "x", [1, 2], [[1, 2, 3]])],
)
def test_options_without_meaning_are_refused(options):
    with pytest.raises(SignalError, match=next(iter(options))):
        correct_beats(np.arange(50) * 0.8, **options)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_any_numbers_are_taken_if_finite_and_ascending_and_else_refused(numbers):
    if np.isfinite(numbers).all() and all(a < b for a, b in pairwise(numbers)):
        beats = correct_beats(numbers)
        assert (beats.times_s[:-1] < beats.times_s[1:]).all()
    else:
        with pytest.raises(SignalError, match="peak_times_s"):
            correct_beats(numbers)
