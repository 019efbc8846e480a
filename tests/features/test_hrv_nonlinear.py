import time
import tracemalloc
import warnings

import numpy as np
import pytest

from physio_hqc.features import hrv_nonlinear, hrv_time
from physio_hqc.features._hrv_nonlinear import COLUMNS, dfa, entropies, fluctuations

OPEN = dict.fromkeys(COLUMNS, (0, 0, 0, 0))
RR_A = np.array([800, 810, 790, 860, 800, 750, 820, 815, 805, 850.0])
RR_E = "800 810 790 805 795 800 812 788 806 794 801 809 791 804 796 799 811 789 805 795"
RR_E = np.array([float(value) for value in RR_E.split()])


def times_of(rr_ms):
    return np.concatenate([[0.0], np.cumsum(rr_ms)]) / 1000


def lifelike(n, seed=0):
    rng = np.random.default_rng(seed)
    return 800 + np.cumsum(rng.normal(0, 4, n)) * 0.5 + rng.normal(0, 20, n)


def one(rr, tolerance, template=2):
    inside = np.ones((1, rr.size), dtype=bool)
    sample, approximate = entropies(rr[None], inside, inside, np.array([tolerance]), template)
    return sample[0], approximate[0]


def slow_sample_entropy(rr, tolerance, m=2):
    """Richman and Moorman by the letter."""
    n, matched = rr.size, [0, 0]
    for i in range(n - m):
        for j in range(i + 1, n - m):
            for k, length in enumerate((m, m + 1)):
                matched[k] += np.abs(rr[i : i + length] - rr[j : j + length]).max() <= tolerance
    return -np.log(matched[1] / matched[0])


def slow_approximate_entropy(rr, tolerance, m=2):
    """Pincus by the letter."""
    phi = []
    for length in (m, m + 1):
        vectors = np.array([rr[i : i + length] for i in range(rr.size - length + 1)])
        distance = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
        phi.append(np.log((distance <= tolerance).mean(axis=1)).mean())
    return phi[0] - phi[1]


def slow_dfa(rr, sizes):
    profile = np.cumsum(rr - rr.mean())
    result = []
    for size in sizes:
        squares = []
        for box in range(rr.size // size):
            part = profile[box * size : (box + 1) * size]
            x = np.arange(size)
            squares.append((part - np.polyval(np.polyfit(x, part, 1), x)) ** 2)
        result.append(np.sqrt(np.mean(squares)))
    return np.polyfit(np.log(sizes), np.log(result), 1)[0]


def test_example_a():
    row = hrv_nonlinear(times_of(RR_A), gates=OPEN).iloc[0]
    assert row["HRV_SD1"] == pytest.approx(33.7937, abs=1e-4)
    assert row["HRV_SD2"] == pytest.approx(27.0994, abs=1e-4)
    assert row["HRV_S"] == pytest.approx(2877.03, abs=0.01)
    assert row["HRV_SD1SD2"] == pytest.approx(33.7937 / 27.0994, rel=1e-5)


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [(4.5, 0.105361), (4.0, 0.105361), (0.2 * RR_E.std(ddof=1), 0.080043)],
)
def test_example_e(tolerance, expected):
    assert one(RR_E, tolerance)[0] == pytest.approx(expected, abs=1e-6)


def test_example_f():
    x = np.array([1, 3, 2, 4, 6, 5, 7, 8.0])
    profile = np.cumsum(x - x.mean())
    assert profile.tolist() == [-3.5, -5, -7.5, -8, -6.5, -6, -3.5, 0]
    assert fluctuations(profile[None], np.array([8]), 4)[0] == pytest.approx(0.612372, abs=1e-6)


def test_noise_and_its_sum_scale_as_they_must():
    white = np.random.default_rng(0).standard_normal((1, 20000))
    inside = np.ones(white.shape, dtype=bool)
    sizes = np.unique(np.geomspace(16, 256, 20).astype(int)).tolist()
    assert dfa(white, inside, sizes)[0] == pytest.approx(0.5, abs=0.05)
    assert dfa(np.cumsum(white, axis=1), inside, sizes)[0] == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("template", [1, 2, 3])
def test_entropies_equal_the_definition(template):
    rr = lifelike(90)
    tolerance = 0.3 * rr.std(ddof=1)
    sample, approximate = one(rr, tolerance, template)
    assert sample == pytest.approx(slow_sample_entropy(rr, tolerance, template), rel=1e-12)
    assert approximate == pytest.approx(
        slow_approximate_entropy(rr, tolerance, template), rel=1e-12
    )


def test_real_intervals_equal_neurokit(shared_data):
    rr = np.load(shared_data / "rr" / "SampleNNISeriesShort.npy").astype(float)
    row = hrv_nonlinear(times_of(rr)).iloc[0]
    tolerance = 0.2 * rr.std(ddof=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        options = {"delay": 1, "dimension": 2, "tolerance": tolerance}
        sample = neurokit2.entropy_sample(rr, **options)[0]
        approximate = neurokit2.entropy_approximate(rr, **options)[0]
    assert row["HRV_SampEn"] == pytest.approx(sample, rel=1e-9)
    assert row["HRV_ApEn"] == pytest.approx(approximate, rel=1e-9)
    assert row["HRV_DFA_alpha1"] == pytest.approx(slow_dfa(rr, np.arange(4, 17)), rel=1e-9)
    assert row["HRV_DFA_alpha2"] == pytest.approx(slow_dfa(rr, np.arange(16, 65)), rel=1e-9)


def test_many_windows_equal_one_at_a_time():
    rr = lifelike(900, seed=3)
    times = times_of(rr)
    windows = np.array([[0, 250], [100, 380], [0, 700], [300, 310], [33, 290]])
    table = hrv_nonlinear(times, windows, gates=OPEN)
    for (onset, offset), (_, row) in zip(windows, table.iterrows(), strict=True):
        inside = (times[:-1] >= onset) & (times[1:] <= offset)
        alone = hrv_nonlinear(times_of(rr[inside]), gates=OPEN).iloc[0]
        for column in COLUMNS:
            assert row[column] == pytest.approx(alone[column], rel=1e-7, nan_ok=True), column
        if inside.sum() > 70:
            expected = slow_dfa(rr[inside], np.arange(16, 65))
            assert row["HRV_DFA_alpha2"] == pytest.approx(expected, rel=1e-7)


def test_nothing_is_paired_across_a_gap():
    rr = lifelike(600, seed=5)
    times = times_of(rr)
    times[300:] += 20
    row = hrv_nonlinear(times, [[0, times[-1]]], gates=OPEN).iloc[0]
    change = np.delete(np.diff(np.delete(rr, 299)), 298)
    assert row["HRV_SD1"] == pytest.approx(change.std(ddof=1) / np.sqrt(2), rel=1e-9)
    tolerance = 0.2 * np.delete(rr, 299).std(ddof=1)
    parts = [rr[:299], rr[300:]]
    short, long = 0, 0
    starts = [part[i : i + 3] for part in parts for i in range(part.size - 2)]
    vectors = np.array(starts)
    for i in range(len(vectors)):
        near = np.abs(vectors[i + 1 :] - vectors[i]) <= tolerance
        short += near[:, :2].all(axis=1).sum()
        long += near.all(axis=1).sum()
    assert row["HRV_SampEn"] == pytest.approx(np.log(short / long), rel=1e-9)


def test_dfa_is_flagged_when_a_gap_is_closed_and_withheld_when_it_is_large():
    times = times_of(lifelike(600, seed=5))
    small, large = times.copy(), times.copy()
    small[300:] += 5
    large[300:] += 60
    for moved, word in ((small, "closed"), (large, "at most 5 %")):
        text = hrv_nonlinear(moved).attrs["reasons"]["HRV_DFA_alpha1"][0]
        assert word in text


def test_gates_of_entropy_and_dfa():
    times = times_of(np.full(700, 800.0) + np.random.default_rng(0).normal(0, 20, 700))
    table = hrv_nonlinear(times, [[0, 100], [0, 150], [0, 300], [0, 400]])
    assert table["HRV_SampEn"].isna().tolist() == [True, False, False, False]
    assert table["HRV_DFA_alpha1"].isna().tolist() == [True, True, False, False]
    assert table.attrs["reasons"]["HRV_DFA_alpha1"][3] == ""


def test_sd1_is_sdsd_over_root_two_in_every_window():
    times = times_of(lifelike(400))
    windows = [[0, 100], [50, 250], [0, 300]]
    ratio = hrv_nonlinear(times, windows)["HRV_SD1"] / hrv_time(times, windows)["HRV_SDSD"]
    np.testing.assert_allclose(ratio, np.sqrt(0.5), rtol=1e-12)


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.8], [0, 1, 2, 3, 4], np.arange(500) * 0.75])
def test_next_to_nothing_and_constant_series_give_reasons(times):
    table = hrv_nonlinear(times)
    for column in COLUMNS:
        if np.isnan(table[column][0]):
            assert table.attrs["reasons"][column][0]


def slow_entropies(rr, joined, tolerance, m=2):
    """Both definitions for a window with breaks, template by template."""
    n = rr.size

    def vectors(length):
        kept = [i for i in range(n - length + 1) if joined[i + 1 : i + length].all()]
        return np.array([rr[i : i + length] for i in kept]).reshape(len(kept), length)

    long = vectors(m + 1)
    near = np.abs(long[:, None] - long[None]) <= tolerance + 1e-6
    pairs = near[:, :, :m].all(axis=2), near.all(axis=2)
    short_pairs, long_pairs = ((pair.sum() - len(long)) / 2 for pair in pairs)
    phi = []
    for length in (m, m + 1):
        part = vectors(length)
        distance = np.abs(part[:, None] - part[None]).max(axis=2)
        phi.append(np.log((distance <= tolerance + 1e-6).mean(axis=1)).mean())
    sample = np.log(short_pairs / long_pairs) if long_pairs else np.nan
    return sample, phi[0] - phi[1]


@pytest.mark.parametrize("n", [3, 5, 62, 63, 64, 65, 66, 127, 128, 129, 200])
@pytest.mark.parametrize("whole", [True, False])
def test_entropies_of_any_length_with_breaks_equal_the_definition(n, whole):
    rng = np.random.default_rng(n)
    rr = np.round(lifelike(n, seed=n), 0 if n % 2 else 3)
    joined = np.ones(n, dtype=bool) if whole else rng.random(n) > 0.05
    joined[1 : min(4, n)] = True
    tolerance = 0.2 * rr.std(ddof=1)
    # Beside other windows in one table, longer and shorter.
    width = n + 70
    rows = np.full((3, width), 1000.0)
    inside, unbroken = np.zeros((2, 3, width), dtype=bool)
    rows[0], inside[0], unbroken[0] = lifelike(width), True, True
    rows[1, :n], inside[1, :n], unbroken[1, :n] = rr, True, joined
    rows[2, :3], inside[2, :3], unbroken[2, :3] = rr[:3], True, True
    sample, approximate = entropies(rows, inside, unbroken, np.array([8.0, tolerance, 1.0]))
    expected = slow_entropies(rr, joined, tolerance)
    assert sample[1] == pytest.approx(expected[0], rel=1e-12, nan_ok=True)
    assert approximate[1] == pytest.approx(expected[1], rel=1e-9, abs=1e-12)


def test_whole_milliseconds_make_ties_that_match():
    # Every difference is a whole number, and so is the tolerance.
    rr = np.random.default_rng(0).integers(780, 821, 300).astype(float)
    joined = np.ones(300, dtype=bool)
    assert one(rr, 5.0) == pytest.approx(slow_entropies(rr, joined, 5.0), rel=1e-12)
    assert one(rr, 5.0)[0] == pytest.approx(one(rr, 5.4)[0], rel=1e-12)
    assert one(rr, 5.0)[0] != one(rr, 4.9)[0]


def test_a_night_in_one_window_equals_neurokit_and_takes_little_memory():
    rr = lifelike(12_000, seed=1)
    tracemalloc.start()
    row = hrv_nonlinear(times_of(rr)).iloc[0]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20e6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        tolerance = 0.2 * rr.std(ddof=1)
        expected = neurokit2.entropy_sample(rr, delay=1, dimension=2, tolerance=tolerance)[0]
    assert row["HRV_SampEn"] == pytest.approx(expected, rel=1e-9)


def test_windows_longer_than_two_days_have_no_entropy():
    times = np.cumsum(0.8 + 0.02 * np.random.default_rng(0).standard_normal(200_100))
    table = hrv_nonlinear(times)
    assert "over 200000 intervals" in table.attrs["reasons"]["HRV_SampEn"][0]
    assert np.isfinite(table["HRV_DFA_alpha2"][0])


@pytest.mark.parametrize("rate", [75, 120])
def test_a_day_of_sliding_windows_takes_a_moment(rate):
    rng = np.random.default_rng(rate)
    i = np.arange(rate * 60 * 24 + 200)
    times = np.cumsum(60 / rate * (1 + 0.05 * np.sin(0.5 * i) + 0.02 * rng.standard_normal(i.size)))
    onset = np.arange(2870) * 30.0
    began = time.perf_counter()
    table = hrv_nonlinear(times, np.column_stack([onset, onset + 300]))
    # 0.3 s and 0.6 s on a quiet machine; the limit leaves room for a busy one.
    assert time.perf_counter() - began < 3
    assert table.notna().all().all()
    for row in (0, 1435, 2869):
        alone = hrv_nonlinear(times, [[onset[row], onset[row] + 300]]).iloc[0]
        np.testing.assert_allclose(table.loc[row], alone, rtol=1e-9)


def test_dfa_of_short_windows_beside_long_ones_equals_the_definition():
    rr = lifelike(1200, seed=8)
    lengths = (70, 400, 1200)
    rows = np.full((3, 1200), 5.0)
    inside = np.arange(1200) < np.array(lengths)[:, None]
    rows[inside] = np.concatenate([rr[:length] for length in lengths])
    for boxes in (range(4, 17), range(16, 65)):
        expected = [slow_dfa(rr[:length], np.array(boxes)) for length in lengths]
        np.testing.assert_allclose(dfa(rows, inside, boxes), expected, rtol=1e-9)
