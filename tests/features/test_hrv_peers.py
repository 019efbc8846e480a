"""Every column that NeuroKit2 has too: equal to it, or listed here with the reason."""

import warnings

import numpy as np
import pytest

from physio_hqc.features import GATES, hrv, hrv_frequency, hrv_nonlinear

OPEN = dict.fromkeys(GATES, (0, 0, 0, 0))
DIFFERENT = {
    "HRV_pNN50": "it divides the count of differences by the number of intervals",
    "HRV_pNN20": "it divides the count of differences by the number of intervals",
    "HRV_TINN": "its search never resets the right limit",
    "HRV_TP": "it adds ULF and all power up to 0.5 Hz",
    "HRV_LFn": "a share of its HRV_TP",
    "HRV_HFn": "a share of its HRV_TP",
    "HRV_DFA_alpha1": "its boxes are 4 to 11 and overlap",
    "HRV_DFA_alpha2": "its boxes are 12 to a tenth of the record and overlap",
}
SAME = {
    *("HRV_MeanNN", "HRV_SDNN", "HRV_RMSSD", "HRV_SDSD", "HRV_CVNN", "HRV_MedianNN"),
    *("HRV_MadNN", "HRV_IQRNN", "HRV_MinNN", "HRV_MaxNN", "HRV_HTI"),
    *("HRV_VLF", "HRV_LF", "HRV_HF", "HRV_LFHF", "HRV_LnHF"),
    *("HRV_SD1", "HRV_SD2", "HRV_SD1SD2", "HRV_S", "HRV_SampEn", "HRV_ApEn"),
}


def simulated(seed, seconds=300.0):
    """Beats at 50 to 120 per min with a slow wave and strong breathing at any rate, whole ms."""
    rng = np.random.default_rng(seed)
    mean = 60 / rng.uniform(50, 120)
    breathing = rng.uniform(0.16, 0.35)
    slow, fast = rng.uniform(0.01, 0.04) * mean, rng.uniform(0.02, 0.08) * mean
    noise = rng.uniform(0.001, 0.01)
    times, drift = [0.0], np.zeros(2)
    while times[-1] < seconds:
        now = times[-1]
        drift += 0.1 * rng.standard_normal(2)
        rr = mean + slow * np.sin(2 * np.pi * 0.095 * now + drift[0])
        rr += fast * np.sin(2 * np.pi * breathing * now + drift[1])
        times.append(now + rr + noise * rng.standard_normal())
    return np.round(np.array(times), 3)


def neurokit(times, *functions, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        samples = np.round(times * 1000).astype(int)
        rows = [getattr(neurokit2, name)(samples, 1000, **options).iloc[0] for name in functions]
    return {column: value for row in rows for column, value in row.items()}


@pytest.mark.parametrize("seed", range(3))
def test_all_common_columns_are_equal_or_listed(seed):
    times = simulated(seed)
    theirs = neurokit(times, "hrv_time", "hrv_nonlinear")
    theirs |= neurokit(times, "hrv_frequency", normalize=False)
    ours = hrv(times, method="neurokit", gates=OPEN).iloc[0]
    common = set(ours.index) & set(theirs)
    assert common == SAME | set(DIFFERENT)
    for column in SAME:
        assert ours[column] == pytest.approx(theirs[column], rel=1e-9), column
    n = times.size - 1
    for column in ("HRV_pNN50", "HRV_pNN20"):
        assert ours[column] * (n - 1) == pytest.approx(theirs[column] * n, rel=1e-9)
    powers = [theirs[f"HRV_{band}"] for band in ("ULF", "VLF", "LF", "HF", "VHF")]
    assert theirs["HRV_TP"] == pytest.approx(np.nansum(powers), rel=1e-9)
    assert ours["HRV_TP"] == pytest.approx(sum(powers[1:4]), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_dfa_equals_neurokit_with_our_boxes(seed):
    times = simulated(seed, seconds=600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurokit2

        rr = 1000 * np.diff(times)
        expected = [
            neurokit2.fractal_dfa(rr, scale=scale, overlap=False)[0]
            for scale in (np.arange(4, 17), np.arange(16, 65))
        ]
    row = hrv_nonlinear(times).iloc[0]
    assert row["HRV_DFA_alpha1"] == pytest.approx(expected[0], rel=1e-9)
    assert row["HRV_DFA_alpha2"] == pytest.approx(expected[1], rel=1e-9)


@pytest.mark.parametrize("first_seed", range(0, 60, 20))
def test_band_powers_are_neurokits_at_its_settings(first_seed):
    for seed in range(first_seed, first_seed + 20):
        times = simulated(seed)
        theirs = neurokit(times, "hrv_frequency", normalize=False)
        ours = hrv_frequency(times, method="neurokit", gates=OPEN).iloc[0]
        for column in ("HRV_VLF", "HRV_LF", "HRV_HF", "HRV_LFHF"):
            assert ours[column] == pytest.approx(theirs[column], rel=1e-6), (seed, column)


def test_each_window_has_the_powers_of_its_own_beats():
    times = simulated(3, seconds=700)
    windows = [[0, 300], [120.3, 420.3], [300, 400]]
    table = hrv_frequency(times, windows, method="neurokit", gates=OPEN)
    for (onset, offset), (_, row) in zip(windows, table.iterrows(), strict=True):
        inside = times[(times >= onset) & (times <= offset)]
        theirs = neurokit(inside - inside[0], "hrv_frequency", normalize=False)
        assert row["HRV_HF"] == pytest.approx(theirs["HRV_HF"], rel=1e-6)
        assert row["HRV_LF"] == pytest.approx(theirs["HRV_LF"], rel=1e-6)


def test_the_default_is_near_neurokit_on_average():
    # Segments, limits and splines differ (see Notes of hrv_frequency), without bias but for HF,
    # of which quadratic splines lose more.
    shares = []
    for seed in range(40):
        times = simulated(seed)
        theirs = neurokit(times, "hrv_frequency", normalize=False)
        ours = hrv_frequency(times).iloc[0]
        shares.append([ours[c] / theirs[c] for c in ("HRV_LF", "HRV_HF")])
    low, high = np.median(shares, axis=0)
    assert low == pytest.approx(1, abs=0.03)
    assert high == pytest.approx(1.01, abs=0.02)
