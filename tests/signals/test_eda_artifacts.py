"""What does not come from the skin: found, left out, and said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from physio_hqc.errors import SignalError
from physio_hqc.signals.eda import decompose_eda, detect_scrs, eda_artifacts, eda_quality


class Simulated:
    """Skin conductance with biexponential responses of 0.05 µS and more at known times."""

    def __init__(self, sfreq, *, per_minute=4.0, seed=0):
        rng = np.random.default_rng([seed, sfreq])
        starts = np.cumsum(3 + rng.exponential(60 / per_minute - 3, int(30 * per_minute)))
        starts = starts[(starts > 5) & (starts < 590)]
        self.onset, self.peak = starts, starts + 1.13
        self.time = np.arange(600 * sfreq) / sfreq
        self.tonic = 6 - 0.002 * self.time + 0.3 * np.sin(self.time / 38)
        self.signal = self.tonic + 0.002 * rng.standard_normal(self.time.size)
        heights = np.clip(0.2 * np.exp(0.6 * rng.standard_normal(starts.size)), 0.05, 2)
        for start, height in zip(starts, heights, strict=True):
            after = np.clip(self.time - start, 0, 40)
            self.signal += 2.7086 * height * (np.exp(-after / 2) - np.exp(-after / 0.7))


def f1_score(found, true):
    """Match each true time to the nearest free found time within a second."""
    free = list(found)
    hits = 0
    for time in true:
        best = min(free, key=lambda x: abs(x - time), default=np.inf)
        if abs(best - time) <= 1:
            free.remove(best)
            hits += 1
    return 2 * hits / (len(found) + len(true))


def burst(signal, first, last, sfreq, size, rng):
    """Add a swelling and fading oscillation of 0.5 to 1.5 Hz."""
    time = np.arange(last - first) / sfreq
    wave = sum(
        np.sin(2 * np.pi * rate * time + rng.uniform(0, 6)) for rate in rng.uniform(0.5, 1.5, 3)
    )
    signal[first:last] += size * wave * np.sin(np.pi * time * sfreq / (last - first))


def spike(signal, first, last, sfreq, size, rng):
    signal[first : first + max(1, sfreq // 4)] += 2 * size * rng.choice([-1, 1])


def step(signal, first, last, sfreq, size, rng):
    signal[first:] += 2 * size * rng.choice([-1, 1])


def dropout(signal, first, last, sfreq, size, rng):
    signal[first:last] = 0.0


def loose(signal, first, last, sfreq, size, rng):
    signal[first:last] -= 3 * size * np.sin(np.pi * np.arange(last - first) / (last - first)) ** 2


KINDS = {kind.__name__: kind for kind in (burst, spike, step, dropout, loose)}


def disturb(simulated, sfreq, kind, seed=0, per_minute=2):
    """Return the signal with disturbances of 2 to 5 s, and where they are (k, 2) in s."""
    rng = np.random.default_rng(seed)
    signal = simulated.signal.copy()
    minutes = simulated.time[-1] / 60
    onsets = np.sort(rng.uniform(5, 60 * minutes - 10, int(per_minute * minutes)))
    onsets = onsets[np.append(True, np.diff(onsets) > 8)]
    where = np.column_stack([onsets, onsets + rng.uniform(2, 5, onsets.size)])
    for first, last in (where * sfreq).astype(int):
        KINDS[kind](signal, first, last, sfreq, 0.3, rng)
    return signal, where


def inside(stretches, times):
    return (
        (stretches["onset_s"].to_numpy() <= np.asarray(times)[:, None])
        & (np.asarray(times)[:, None] < stretches["offset_s"].to_numpy())
    ).any(axis=1)


@pytest.mark.parametrize("sfreq", [4, 32, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_disturbances_are_found_and_not_counted(kind, sfreq):
    simulated = Simulated(sfreq, seed=4)
    signal, where = disturb(simulated, sfreq, kind)
    stretches = eda_artifacts(signal, sfreq)
    hit = [
        ((stretches["onset_s"] < last + 0.5) & (stretches["offset_s"] > first - 0.5)).any()
        for first, last in where
    ]
    assert np.mean(hit) >= 0.9
    quality = eda_quality(signal, sfreq).iloc[0]
    assert quality["quality"] < 0.95
    assert quality["reason"]
    for given_signal in (signal, decompose_eda(signal, sfreq)[1]):
        found = detect_scrs(given_signal, sfreq)
        assert len(found) <= 1.25 * simulated.peak.size
        # Beside the disturbances nothing is lost.
        beside = found[~inside(stretches, found["peak_s"]) & ~inside(stretches, found["onset_s"])]
        true = simulated.peak[
            ~inside(stretches, simulated.peak) & ~inside(stretches, simulated.onset)
        ]
        assert f1_score(beside["peak_s"], true) >= 0.8


@pytest.mark.parametrize("sfreq", [4, 100])
def test_level_beside_a_disturbance_is_true(sfreq):
    simulated = Simulated(sfreq, per_minute=3, seed=6)
    for kind in ("burst", "dropout", "step"):
        signal, _ = disturb(simulated, sfreq, kind, per_minute=1)
        tonic, phasic = decompose_eda(signal, sfreq)
        assert (tonic + phasic) == pytest.approx(
            sum(decompose_eda(signal, sfreq, method="highpass")), abs=1e-9
        )
        beside = ~inside(eda_artifacts(signal, sfreq), simulated.time)
        error = tonic - simulated.tonic - (signal - simulated.signal)
        assert np.median(np.abs(error[beside])) < 0.02, kind
        assert np.abs(error[beside].mean()) < 0.03, kind


def test_a_step_is_no_response():
    rng = np.random.default_rng(0)
    for sfreq in (4, 32, 1000):
        signal = 5 + 0.001 * rng.standard_normal(120 * sfreq)
        signal[60 * sfreq :] += 0.5
        assert detect_scrs(signal, sfreq).empty
        tonic, phasic = decompose_eda(signal, sfreq)
        assert detect_scrs(phasic, sfreq).empty
        assert tonic[[58 * sfreq, 62 * sfreq]] == pytest.approx([5, 5.5], abs=0.02)
        stretches = eda_artifacts(signal, sfreq)
        assert stretches["reason"].tolist() == ["movement"]
        assert stretches["onset_s"][0] < 60 < stretches["offset_s"][0]


def test_rules_of_kleckner():
    sfreq = 8
    signal = 5 + 0.05 * np.sin(np.arange(200 * sfreq) / 40)
    signal[50 * sfreq : 60 * sfreq] = 0.04  # out of range
    signal[120 * sfreq] = 61.0
    signal[160 * sfreq] += 2.6  # 10.4 µS/s
    stretches = eda_artifacts(signal, sfreq)
    table = {
        reason: rows[["onset_s", "offset_s"]].to_numpy()
        for reason, rows in stretches.groupby("reason")
    }
    outside = table["outside 0.05 to 60 µS"]
    assert outside == pytest.approx(np.array([[45, 65], [115, 125.1]]), abs=0.2)
    fast = table["changes faster than 10 µS/s"]
    assert fast[-1] == pytest.approx([155, 165], abs=0.6)
    # Stretches of different reasons do not overlap, and windows see them.
    assert (stretches["onset_s"].to_numpy()[1:] >= stretches["offset_s"].to_numpy()[:-1]).all()
    windows = [[45, 65], [70, 110], [156, 164]]
    quality = eda_quality(signal, sfreq, windows)
    assert quality["usable_share"].tolist() == pytest.approx([0, 1, 0])
    assert quality["range_share"].tolist() == pytest.approx([1, 0, 0])
    assert quality["slope_share"].tolist() == pytest.approx([0, 0, 1])
    narrow = eda_artifacts(signal, sfreq, around_s=0)
    assert narrow["offset_s"].sub(narrow["onset_s"]).max() == pytest.approx(10)


def test_parts_make_up_the_window():
    rng = np.random.default_rng(1)
    simulated = Simulated(32, seed=7)
    signal, _ = disturb(simulated, 32, "burst", per_minute=4)
    signal[2000:2500] = np.nan
    signal[8000:9000] = 5.0
    signal[12000:12100] = 0.0
    onsets = rng.uniform(0, 500, 50)
    table = eda_quality(signal, 32, np.column_stack([onsets, onsets + 60]))
    shares = table.filter(like="_share").to_numpy()
    assert shares.sum(axis=1) == pytest.approx(1, abs=2e-3)
    assert table["quality"].to_numpy() == pytest.approx(table["usable_share"])
    assert (shares >= 0).all()
    for kind in ("missing", "movement", "flat", "range"):
        assert (table[f"{kind}_share"] > 0).any()


def test_clock_of_the_recording():
    signal = 2 + 0.1 * np.sin(np.arange(400) / 30)
    signal[200:240] = 0.0
    later = eda_artifacts(signal, 4, times_s=1000 + np.arange(400) / 4)
    here = eda_artifacts(signal, 4)
    assert (later["onset_s"] - here["onset_s"]).tolist() == [1000.0] * len(here)


@pytest.mark.parametrize(
    "options",
    [
        {"slope_max": 0},
        {"flat_s": -1},
        {"around_s": -1},
        {"around_s": np.inf},
        {"range_us": (5, 1)},
    ],
)
def test_bad_options(options):
    for function in (eda_artifacts, eda_quality):
        with pytest.raises(SignalError, match=next(iter(options))):
            function(np.ones(100), 4, **options)


@settings(deadline=None, max_examples=60)
@given(
    arrays(
        np.float64,
        st.integers(0, 400),
        elements=st.floats(-1e7, 1e7) | st.sampled_from([np.nan, np.inf, 0.0, 5.0, 5.1]),
    ),
    st.sampled_from([0.5, 1.0, 4.0, 15.0, 64.0, 2000.0]),
)
def test_any_array(signal, sfreq):
    signal.setflags(write=False)
    stretches = eda_artifacts(signal, sfreq)
    assert (stretches["offset_s"] > stretches["onset_s"]).all()
    quality = eda_quality(signal, sfreq)
    assert quality.filter(like="_share").apply(lambda share: share.between(0, 1)).all(axis=None)
    first, second = (decompose_eda(signal, sfreq) for _ in range(2))
    assert np.array_equal(first, second, equal_nan=True)
    assert detect_scrs(first[1], sfreq).equals(detect_scrs(second[1], sfreq))
