import numpy as np
import pytest

from physio_hqc.errors import SignalError
from physio_hqc.features import GATES, hrv, hrv_frequency, hrv_nonlinear, hrv_time
from physio_hqc.features._catalog_hrv import CATALOG
from physio_hqc.features._hrv_gates import Gate


def beats(n=900, seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(0.8 + 0.04 * np.sin(np.arange(n) * 0.5) + 0.02 * rng.standard_normal(n))


def test_hrv_is_its_domains_side_by_side():
    times, windows = beats(), [[0, 300], [100, 420], [0, 5]]
    table = hrv(times, windows)
    for part in (hrv_time, hrv_frequency, hrv_nonlinear):
        alone = part(times, windows)
        for column in alone.columns:
            np.testing.assert_array_equal(table[column], alone[column])
            assert table.attrs["reasons"][column] == alone.attrs["reasons"][column]
    assert list(hrv(times, windows, domains=["time"]).columns) == list(
        hrv_time(times, windows).columns
    )


def test_every_column_is_in_the_catalog_and_has_a_gate():
    columns = set(hrv(beats(), [[0, 300]]).columns)
    assert columns == {info.name for info in CATALOG} == set(GATES)
    assert all(info.unit and info.description and "doi:" in info.source for info in CATALOG)


def test_a_value_is_missing_exactly_when_a_reason_stands_alone():
    times = np.concatenate([beats(400), 400 + beats(500)])
    onset = np.arange(-50, 900, 23.0)
    length = np.resize([3, 20, 50, 100, 260, 700, 0], onset.size)
    table = hrv(times, np.column_stack([onset, onset + length]))
    for column in table.columns:
        for value, text in zip(table[column], table.attrs["reasons"][column], strict=True):
            assert np.isnan(value) == (text != "" and not text.startswith("flag: "))
            assert not np.isinf(value)


def test_no_windows_give_no_rows():
    table = hrv(beats(), np.empty((0, 2)))
    assert table.shape == (0, len(GATES))


def test_gates_can_be_changed():
    times = beats(60)
    assert np.isnan(hrv(times)["HRV_LF"][0])
    assert np.isfinite(hrv(times, gates={"HRV_LF": (30, 20)})["HRV_LF"][0])
    assert Gate(30, 20).minimum_n == 2
    for wrong in ({"HRV_Nothing": (1, 1)}, {"HRV_LF": (1,)}):
        with pytest.raises(SignalError, match="gates"):
            hrv(times, gates=wrong)


@pytest.mark.parametrize("domains", [["spectral"], "time", []])
def test_unknown_domains_are_refused(domains):
    with pytest.raises(SignalError, match="domains"):
        hrv(beats(), domains=domains)


def test_input_is_not_changed():
    times = beats(400)
    times.flags.writeable = False
    windows = np.array([[0.0, 200.0]])
    windows.flags.writeable = False
    hrv(times, windows)


def test_a_day_of_windows_agrees_with_windows_taken_alone():
    times = beats(108_000)
    onset = np.arange(2870) * 30.0
    windows = np.column_stack([onset, onset + 300])
    table = hrv(times, windows, domains=["time", "frequency"])
    assert table["HRV_LF"].notna().all()
    for row in (0, 1, 1435, 2869):
        alone = hrv(times, windows[row : row + 1], domains=["time", "frequency"])
        np.testing.assert_allclose(
            table.loc[row].to_numpy(), alone.loc[0].to_numpy(), rtol=1e-6, equal_nan=True
        )


@pytest.mark.parametrize(
    ("columns", "recommended_s", "minimum_s"),
    [
        (("ECG_Rate_Mean", "HRV_MeanNN"), 30, 10),
        (("HRV_RMSSD", "HRV_pNN50", "HRV_SD1"), 60, 30),
        (("HRV_SDNN", "HRV_SD2", "HRV_HF"), 120, 60),
        (("HRV_LF", "HRV_LFHF", "HRV_SampEn"), 240, 120),
        (("HRV_DFA_alpha1",), 240, 240),
        (("HRV_VLF", "HRV_HTI", "HRV_TINN"), 1200, 1200),
    ],
)
def test_each_index_knows_how_long_a_window_it_needs(columns, recommended_s, minimum_s):
    times = np.concatenate([[0.0], beats(2000)])
    lengths = [minimum_s - 5, minimum_s + 1, recommended_s - 5, recommended_s + 1]
    table = hrv(times, [[0, length] for length in lengths], method="welch")
    for column in columns:
        reasons = table.attrs["reasons"][column]
        assert np.isnan(table[column][0])
        assert f"needs {minimum_s} s" in reasons[0]
        assert np.isfinite(table[column][1])
        assert np.isfinite(table[column][3])
        if recommended_s > minimum_s:
            assert f"{recommended_s} s recommended" in reasons[2]
        assert "s recommended" not in reasons[3]
