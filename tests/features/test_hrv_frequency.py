import numpy as np
import pytest
from scipy import interpolate, signal

from physio_hqc.errors import SignalError
from physio_hqc.features import hrv_frequency
from physio_hqc.features._hrv_frequency import COLUMNS
from physio_hqc.features._hrv_spectra import (
    Bands,
    _burg,
    _periodogram,
    band_weights,
    model_shares,
)

BANDS_HZ = Bands((0.0033, 0.04), (0.04, 0.15), (0.15, 0.40))
OPEN = dict.fromkeys(COLUMNS, (0, 0, 0, 0))


def example_d():
    times = [0.0]
    for _ in range(375):
        t = times[-1]
        rr = 800 + 40 * np.sin(2 * np.pi * 0.1 * t) + 20 * np.sin(2 * np.pi * 0.25 * t)
        times.append(t + rr / 1000)
    return np.array(times)


def lifelike(n, seed=0):
    rng = np.random.default_rng(seed)
    slow, fast = (np.cumsum(rng.standard_normal(n)) * step for step in (0.06, 0.08))
    times = [0.0]
    for a, b, noise in zip(slow, fast, rng.standard_normal(n), strict=True):
        t = times[-1]
        rr = 0.85 + 0.04 * np.sin(0.63 * t + a) + 0.02 * np.sin(1.57 * t + b) + 0.004 * noise
        times.append(t + rr)
    return np.array(times)


def slow_welch(times, window, segment_s=256.0, detrend="linear"):
    """One window at a time: spline over the whole series, SciPy's Welch, fine integration."""
    rr, at = 1000 * np.diff(times), times[1:]
    spline = interpolate.CubicSpline(at, rr)
    grid = at[0] + np.arange(int((at[-1] - at[0]) * 4) + 1) / 4
    inside = at[(times[:-1] >= window[0]) & (at <= window[1])]
    grid = grid[(grid >= inside[0]) & (grid <= inside[-1])]
    frequency, density = signal.welch(
        spline(grid), 4, "hann", nperseg=min(grid.size, int(segment_s * 4)), detrend=detrend
    )
    powers = []
    for low, high in BANDS_HZ:
        fine = np.linspace(low, high, 20001)
        powers.append(np.trapezoid(np.interp(fine, frequency, density), fine))
    return powers


def test_example_c_even_grid():
    t = np.arange(1200) / 4
    x = 40 * np.sin(2 * np.pi * 0.1 * t) + 20 * np.sin(2 * np.pi * 0.25 * t)
    taper = signal.get_window("hann", 1200)
    powers = (_periodogram(x[None], taper) @ band_weights(np.fft.rfftfreq(1200, 0.25), BANDS_HZ))[0]
    assert powers[1] == pytest.approx(800, abs=0.05)
    assert powers[2] == pytest.approx(200, abs=0.05)


def test_example_d_welch():
    row = hrv_frequency(example_d()).iloc[0]
    assert row["HRV_LF"] == pytest.approx(799.7, abs=0.1)
    assert row["HRV_HF"] == pytest.approx(198.1, abs=0.1)
    assert row["HRV_LFHF"] == pytest.approx(799.7 / 198.1, rel=1e-3)
    assert row["HRV_LFnu"] == pytest.approx(80.15, abs=0.05)
    assert row["HRV_HFnu"] == pytest.approx(100 - row["HRV_LFnu"])
    assert row["HRV_LnHF"] == pytest.approx(np.log(198.1), abs=1e-3)


def test_example_d_lomb():
    row = hrv_frequency(example_d(), method="lomb").iloc[0]
    assert row["HRV_LF"] == pytest.approx(793.3, rel=0.01)
    assert row["HRV_HF"] == pytest.approx(200.7, rel=0.01)


@pytest.mark.parametrize("method", ["welch", "lomb", "ar"])
def test_all_methods_agree_on_a_lifelike_series(method):
    times = lifelike(800)
    rr = 1000 * np.diff(times)
    row = hrv_frequency(times, method=method, gates=OPEN).iloc[0]
    assert row["HRV_TP"] == pytest.approx(rr.var(), rel=0.1)
    welch = hrv_frequency(times, gates=OPEN).iloc[0]
    assert row["HRV_LF"] == pytest.approx(welch["HRV_LF"], rel=0.1)
    assert row["HRV_HF"] == pytest.approx(welch["HRV_HF"], rel=0.1)


@pytest.mark.parametrize("detrend", ["linear", "constant"])
@pytest.mark.parametrize("length", [60, 120, 300, 560])
def test_many_windows_equal_the_slow_reference(length, detrend):
    times = lifelike(1500)
    onset = np.arange(0, times[-1] - length, 97.3)
    windows = np.column_stack([onset, onset + length])
    table = hrv_frequency(times, windows, gates=OPEN, detrend=detrend)
    expected = np.array([slow_welch(times, window, detrend=detrend) for window in windows])
    got = table[["HRV_VLF", "HRV_LF", "HRV_HF"]].to_numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def beats_with(sines, noise=0.0, seed=0, mean=800.0, seconds=300):
    """Beats whose intervals (ms) follow sines of given frequency (Hz) and amplitude (ms)."""
    rng = np.random.default_rng(seed)
    phases = rng.uniform(0, 2 * np.pi, len(sines))
    times = [0.0]
    while times[-1] < seconds:
        rr = mean + noise * rng.standard_normal()
        for (frequency, amplitude), phase in zip(sines, phases, strict=True):
            rr += amplitude * np.sin(2 * np.pi * frequency * times[-1] + phase)
        times.append(times[-1] + rr / 1000)
    return np.array(times)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("frequency", "amplitude"), [(0.07, 30), (0.1, 40), (0.12, 5)])
def test_ar_counts_a_pure_sine_in_full(frequency, amplitude, seed):
    table = hrv_frequency(beats_with([(frequency, amplitude)], seed=seed), method="ar")
    assert table["HRV_LF"][0] == pytest.approx(amplitude**2 / 2, rel=0.02)
    assert table["HRV_HF"][0] < 0.01 * amplitude**2


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_ar_counts_two_sines_each_in_full(noise, seed):
    times = beats_with([(0.1, 40), (0.25, 20)], noise, seed)
    row = hrv_frequency(times, method="ar").iloc[0]
    assert row["HRV_LF"] == pytest.approx(800, rel=0.02)
    assert row["HRV_HF"] == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize("frequency", [0.02, 0.05, 0.1, 0.1499, 0.25, 0.39])
def test_a_line_on_an_even_grid_has_its_power_to_2_percent(frequency):
    x = 40 * np.sin(2 * np.pi * frequency * np.arange(1200) / 4 + 0.3)[None]
    shares = model_shares(_burg(x - x.mean())[0], BANDS_HZ)[0]
    band = [low <= frequency < high for low, high in BANDS_HZ]
    assert shares[band][0] * x.var() == pytest.approx(800, rel=0.02)


def test_model_shares_equal_a_fine_integration():
    rng = np.random.default_rng(1)
    x = np.stack([signal.lfilter([1], [1, -r, 0.7], rng.standard_normal(1200)) for r in (1, 1.6)])
    model, _ = _burg(x)
    frequency = np.linspace(0, 2, 200_001)
    for row, shares in zip(model, model_shares(model, BANDS_HZ), strict=True):
        _, response = signal.freqz([1], row, worN=2 * np.pi * frequency / 4)
        density = np.abs(response) ** 2
        total = np.trapezoid(density, frequency)
        for share, (low, high) in zip(shares, BANDS_HZ, strict=True):
            fine = np.linspace(low, high, 20_001)
            part = np.trapezoid(np.interp(fine, frequency, density), fine)
            assert share == pytest.approx(part / total, rel=1e-5)


def test_a_model_without_poles_is_white():
    model = np.zeros((1, 17))
    model[0, 0] = 1
    shares = model_shares(model, BANDS_HZ)[0]
    np.testing.assert_allclose(shares, np.diff(BANDS_HZ, axis=1)[:, 0] / 2, rtol=1e-9)


@pytest.mark.parametrize("detrend", ["linear", "constant"])
def test_lomb_equals_scipy(detrend):
    times = lifelike(500, seed=4)
    window = (50.0, 250.0)
    table = hrv_frequency(times, [window], method="lomb", detrend=detrend, gates=OPEN)
    inside = (times[:-1] >= window[0]) & (times[1:] <= window[1])
    at, rr = times[1:][inside], 1000 * np.diff(times)[inside]
    rr = rr - (np.polyval(np.polyfit(at, rr, 1), at) if detrend == "linear" else rr.mean())
    frequency = np.arange(0.0005, 0.41, 0.0001)
    density = signal.lombscargle(at, rr, 2 * np.pi * frequency) * 2
    density *= 1000 * np.diff(times)[inside].sum() / 1000 / at.size
    for column, (low, high) in zip(("HRV_LF", "HRV_HF"), BANDS_HZ[1:], strict=True):
        band = (frequency >= low) & (frequency < high)
        expected = np.trapezoid(density[band], frequency[band])
        assert table[column][0] == pytest.approx(expected, rel=0.01)


def test_burg_equals_the_levinson_solution_of_a_known_process():
    rng = np.random.default_rng(0)
    x = signal.lfilter([1], [1, -1.2, 0.6], rng.standard_normal(20000))
    model, error = _burg(x[None])
    np.testing.assert_allclose(model[0, :3], [1, -1.2, 0.6], atol=0.03)
    assert error[0] == pytest.approx(1, abs=0.05)


def test_band_weights_integrate_a_straight_density_exactly():
    frequency = np.fft.rfftfreq(240, 0.25)
    powers = np.vstack([np.ones_like(frequency), frequency]) @ band_weights(frequency, BANDS_HZ)
    for (low, high), flat, ramp in zip(BANDS_HZ, *powers, strict=True):
        assert flat == pytest.approx(high - low)
        assert ramp == pytest.approx((high**2 - low**2) / 2, rel=1e-3)


def test_small_gaps_are_bridged_and_flagged_large_ones_withheld():
    times = lifelike(800)
    small = times[(times < 100) | (times > 104)]
    large = times[(times < 100) | (times > 130)]
    windows = [[0, 300], [300, 600]]
    bridged = hrv_frequency(small, windows)
    reasons = bridged.attrs["reasons"]["HRV_HF"]
    assert "bridged" in reasons[0]
    assert reasons[0].startswith("flag: ")
    assert reasons[1] == ""
    whole = hrv_frequency(times, windows)
    assert bridged["HRV_HF"][0] == pytest.approx(whole["HRV_HF"][0], rel=0.1)
    refused = hrv_frequency(large, windows)
    assert np.isnan(refused["HRV_HF"][0])
    assert "at most 5 %" in refused.attrs["reasons"]["HRV_HF"][0]
    lomb = hrv_frequency(large, windows, method="lomb")
    assert "left out" in lomb.attrs["reasons"]["HRV_HF"][0]
    assert lomb["HRV_HF"][0] == pytest.approx(whole["HRV_HF"][0], rel=0.2)


def test_neurokits_method_takes_no_gap_and_no_long_window():
    times = lifelike(800)
    gap = hrv_frequency(
        times[(times < 100) | (times > 104)], [[0, 300], [200, 500]], method="neurokit"
    )
    assert gap["HRV_HF"].isna().tolist() == [True, False]
    assert "at most 0 %" in gap.attrs["reasons"]["HRV_HF"][0]
    for method in ("neurokit", "lomb"):
        long = hrv_frequency(np.arange(5000) * 0.8, method=method)
        assert "over an hour" in long.attrs["reasons"]["HRV_HF"][0]


def test_a_gap_over_ten_seconds_is_never_bridged():
    times = lifelike(900)
    times = times[(times < 300) | (times > 312)]
    table = hrv_frequency(times, [[0, 700]])
    assert "over 10 s" in table.attrs["reasons"]["HRV_LF"][0]


def test_short_windows_give_hf_before_lf_and_no_vlf():
    table = hrv_frequency(lifelike(800), [[0, 50], [0, 65], [0, 130], [0, 300]])
    assert table["HRV_HF"].isna().tolist() == [True, False, False, False]
    assert table["HRV_LF"].isna().tolist() == [True, True, False, False]
    assert table["HRV_VLF"].isna().all()
    assert table.attrs["reasons"]["HRV_LF"][2] == "flag: 130 s, 240 s recommended"
    assert table.attrs["reasons"]["HRV_LF"][3] == ""


def test_clock_time_as_origin_changes_nothing():
    times = lifelike(500)
    plain = hrv_frequency(times, [[10, 310]])
    for origin in (1.7e9, -5000.0):
        moved = hrv_frequency(times + origin, [[10 + origin, 310 + origin]])
        assert moved["HRV_HF"][0] == pytest.approx(plain["HRV_HF"][0], rel=1e-3)


@pytest.mark.parametrize("method", ["welch", "lomb", "ar", "neurokit"])
@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.8], [0, 1, 2, 3, 4], [0, 1, 1e9, 1e9 + 1]])
def test_next_to_no_beats_give_reasons_not_numbers(times, method):
    table = hrv_frequency(times, method=method)
    assert table.isna().all().all()
    assert all(texts[0] for texts in table.attrs["reasons"].values())


@pytest.mark.parametrize("method", ["welch", "lomb", "ar", "neurokit"])
def test_constant_intervals_have_no_power_and_no_ratio(method):
    table = hrv_frequency(np.arange(500) * 0.75, method=method)
    assert table["HRV_LF"][0] == pytest.approx(0, abs=1e-6)
    assert table["HRV_HF"][0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "fft"},
        {"method": 1},
        {"detrend": "cubic"},
        {"detrend": None},
        {"gates": {"HRV_X": (1, 1)}},
        *({"segment_s": wrong} for wrong in (0, np.nan, np.inf, 1e12, "x", None)),
    ],
)
def test_unknown_options_are_refused(options):
    with pytest.raises(SignalError):
        hrv_frequency(np.arange(100) * 0.8, **options)


METHODS = pytest.mark.parametrize("method", ["welch", "lomb", "ar", "neurokit"])


@METHODS
def test_bands_can_be_set(method):
    # 40 ms at 0.1 Hz and 20 ms at 0.25 Hz: powers of 800 and 200 ms² wherever the limits lie.
    table = hrv_frequency(
        example_d(), method=method, gates=OPEN, vlf=(0, 0.07), lf=(0.2, 0.3), hf=(0.3, 0.5)
    )
    assert table["HRV_LF"][0] == pytest.approx(200, rel=0.12)
    assert table["HRV_HF"][0] < 10
    assert table["HRV_VLF"][0] < 10
    assert table["HRV_TP"][0] == pytest.approx(
        table[["HRV_VLF", "HRV_LF", "HRV_HF"]].iloc[0].sum(), rel=1e-12
    )


@METHODS
def test_power_above_the_usual_bands_is_found(method):
    times = [0.0]
    for drift in np.cumsum(0.1 * np.random.default_rng(0).standard_normal(750)):
        times.append(times[-1] + 0.4 + 0.01 * np.sin(2 * np.pi * 0.8 * times[-1] + drift))
    usual = hrv_frequency(times, method=method, gates=OPEN)
    wide = hrv_frequency(times, method=method, gates=OPEN, hf=(0.15, 1.04))
    assert usual["HRV_HF"][0] < 2
    assert wide["HRV_HF"][0] == pytest.approx(50, rel=0.25)
    np.testing.assert_allclose(usual["HRV_LF"], wide["HRV_LF"], rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("bands", "said"),
    [
        ({"lf": (0.15, 0.04)}, "lf is .*pass lower and upper limit"),
        ({"hf": (0.15, 2.5)}, "hf is .*0 to 2"),
        ({"vlf": (-0.1, 0.04)}, "vlf is"),
        ({"vlf": (np.nan, 0.04)}, "vlf is"),
        ({"lf": (0.04,)}, "lf is"),
        ({"lf": "ab"}, "lf is"),
        ({"lf": 0.04}, "lf is"),
        ({"hf": (0.12, 0.4)}, "lf reaches into hf"),
        ({"vlf": (0.0, 0.05)}, "vlf reaches into lf"),
    ],
)
def test_bands_without_meaning_are_refused(bands, said):
    with pytest.raises(SignalError, match=said):
        hrv_frequency(example_d(), **bands)
