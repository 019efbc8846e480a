import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import SignalError
from physio_hqc.signals import correct_beats
from physio_hqc.signals.beats import KINDS, _classify, plain_beats

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
