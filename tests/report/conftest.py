"""Sessions and results made by hand, so that every number in a report is known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from physio_hqc.pipeline.result import SessionResult
from physio_hqc.pipeline.schema import COLUMNS, conform, empty_table
from physio_hqc.session import SessionWriter

DURATION = 240.0
PHASES = (
    ("baseline", "baseline", 0.0, 60.0, False),
    ("preparation", "preparation", 60.0, 60.0, False),
    ("speech", "task", 120.0, 60.0, True),
    ("recovery", "recovery", 180.0, 60.0, False),
)
UNITS = {
    "ECG_Rate_Mean": "1/min",
    "HRV_RMSSD": "ms",
    "HRV_HF": "ms²",
    "HRV_LnHF": "ln(ms²)",
    "HRV_DFA_alpha1": "1",
    "BP_SBP_Mean": "mmHg",
    "BP_DBP_Mean": "mmHg",
    "CUFF_SBP_Mean": "mmHg",
    "EDA_Tonic_Mean": "µS",
    "SCR_Rate": "1/min",
}
ALL_STREAMS = ("ecg", "bp", "cuff", "eda", "resp")


def ecg_at(times: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """One narrow bell of 1 mV per beat."""
    nearest = peaks[np.clip(np.searchsorted(peaks, times), 0, len(peaks) - 1)]
    before = peaks[np.clip(np.searchsorted(peaks, times) - 1, 0, len(peaks) - 1)]
    distance = np.minimum(np.abs(times - nearest), np.abs(times - before))
    return np.exp(-0.5 * (distance / 0.012) ** 2)


@pytest.fixture(scope="session")
def write_session(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a session file of four minutes."""

    def write(
        name: str = "p01",
        *,
        streams: tuple[str, ...] = ALL_STREAMS,
        label: str = "speech",
        gap: bool = False,
        tagged: bool = True,
        close: bool = True,
        **header: Any,
    ) -> Path:
        path = tmp_path_factory.mktemp("session") / f"{name}.h5"
        fields = {"participant_id": "P01", "condition": "support", "t0_unix_ns": 1705309200 * 10**9}
        writer = SessionWriter(path, **{**fields, **header})
        times = np.arange(0, DURATION, 0.01)
        peaks = np.arange(0.5, DURATION, 0.8)
        rates = {"ecg": 100.0, "bp": 50.0, "eda": 10.0, "resp": 10.0}
        units = {"ecg": "mV", "bp": "mmHg", "eda": "µS", "resp": "a.u."}
        for stream in streams:
            if stream == "cuff":
                writer.add_stream(
                    "cuff", modality="cuff", units="mmHg,mmHg,mmHg,1/min", sfreq=0,
                    channels=["SBP", "DBP", "MAP", "HR"],
                )  # fmt: skip
            else:
                writer.add_stream(stream, modality=stream, units=units[stream], sfreq=rates[stream])
        for stream in streams:
            if stream == "cuff":
                writer.append_irregular(
                    "cuff",
                    [30.0, 90.0, 150.0],
                    [[120, 80, 93, 70], [128, 84, 99, 75], [140, 90, 107, 82]],
                )
                continue
            t = times[:: round(100 / rates[stream])]
            values = {
                "ecg": ecg_at(t, peaks),
                "bp": 100 + 20 * np.sin(2 * np.pi * (t - 0.3) / 0.8),
                "eda": 5 + 0.2 * np.sin(t / 20),
                "resp": np.sin(2 * np.pi * t / 4),
            }[stream]
            if gap and stream == "ecg":
                writer.append_segment(stream, values[t < 100], 0.0)
                writer.append_segment(stream, values[t >= 130], 130.0)
            else:
                writer.append_segment(stream, values, 0.0)
        if tagged:
            for phase, _, onset, length, _ in PHASES:
                said = label if phase == "speech" else phase
                writer.add_event(onset, "phase", said, duration=length)
            writer.add_event(125.0, "interaction", "with_partner", duration=40.0)
            writer.add_event(33.0, "marker", "door")
            writer.add_event(200.0, "note", "participant coughs")
        if close:
            writer.close()
        else:
            writer.flush()
            writer._file.close()
        return path

    return write


def windows_table(*, label: str = "speech", n_sliding: int = 0) -> pd.DataFrame:
    """Four phases, the end of the first, one interaction window, and sliding windows."""
    rows = [
        (name, "phase", label if name == "speech" else name, onset, length, name, role, speech)
        for name, role, onset, length, speech in PHASES
    ]
    rows.append(
        ("baseline_last_30s", "phase_last", "baseline", 30.0, 30.0, "baseline", "baseline", False)
    )
    rows.append(
        ("with_partner", "interaction", "with_partner", 125.0, 40.0, "speech", "task", True)
    )
    for k in range(n_sliding):
        onset = (DURATION - 30) * k / max(n_sliding, 1)
        rows.append((f"slide_{k:03d}", "sliding", "x", onset, 30.0, "", "", 120 <= onset < 180))
    names = ["window", "kind", "label", "onset", "duration", "phase", "role", "speech"]
    return pd.DataFrame(rows, columns=names)


def fitted(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Bring a table made by hand to the columns of the result table, the rest empty."""
    empty = {"text": "", "number": np.nan, "truth": False}
    missing = [column for column in COLUMNS[name] if column.name not in table]
    return conform(table.assign(**{c.name: empty[c.dtype] for c in missing}), name)


def value_of(feature: str, window: str) -> float:
    """A number that belongs to this feature and window alone."""
    base = {"HRV_LnHF": 6.0, "EDA_Tonic_Mean": 5.0, "SCR_Rate": 4.0}.get(feature, 80.0)
    return base + 0.01 * (sum(map(ord, feature)) % 97) + 0.1 * (sum(map(ord, window)) % 53)


@pytest.fixture(scope="session")
def make_result() -> Callable[..., SessionResult]:
    """Return a function that makes the result of a session by hand."""

    def make(
        path: Path,
        *,
        streams: tuple[str, ...] = ALL_STREAMS,
        windows: pd.DataFrame | None = None,
        label: str = "speech",
        n_sliding: int = 20,
    ) -> SessionResult:
        table = windows_table(label=label, n_sliding=n_sliding) if windows is None else windows
        tables = {"windows": fitted(table, "windows")}
        tables["features"] = _features(tables["windows"], streams)
        tables["reactivity"] = _reactivity(tables["features"])
        tables["quality"] = _quality(tables["windows"], streams)
        tables["beats"] = _beats() if "ecg" in streams else empty_table("beats")
        tables["pressure_beats"] = (
            _pressure_beats() if "bp" in streams else empty_table("pressure_beats")
        )
        tables["scr"] = _scr() if "eda" in streams else empty_table("scr")
        times = np.arange(0, DURATION, 0.125)
        tonic = 5 + 0.1 * np.sin(times / 20)
        trace = pd.DataFrame(
            {"time_s": times, "eda": tonic + 0.1, "tonic": tonic, "phasic": 0.1 + 0 * times}
        )
        return SessionResult(
            name=path.stem,
            path=path,
            out_dir=None,
            up_to_date=False,
            tables=tables,
            windows=tables["windows"],
            provenance=_provenance(streams),
            traces={"eda": trace} if "eda" in streams else {},
        )

    return make


def _features(windows: pd.DataFrame, streams: tuple[str, ...]) -> pd.DataFrame:
    needs = {"ECG": "ecg", "HRV": "ecg", "BP": "bp", "CUFF": "cuff", "EDA": "eda", "SCR": "eda"}
    rows = []
    for window in windows.itertuples():
        for feature, unit in UNITS.items():
            if needs[feature.split("_")[0]] not in streams:
                continue
            value, reason = value_of(feature, window.window), ""
            if feature == "HRV_DFA_alpha1":
                value, reason = np.nan, "75 beats, needs 300"
            if feature == "HRV_RMSSD" and window.window == "preparation":
                reason = "flag: 42 s, 60 s recommended"
            rows.append(
                {
                    "session": "p01", "participant": "P01", "condition": "support",
                    "window": window.window, "kind": window.kind, "onset": window.onset,
                    "duration": window.duration, "feature": feature, "value": value, "unit": unit,
                    "quality": 1.0, "reason": reason,
                }
            )  # fmt: skip
    return fitted(pd.DataFrame(rows), "features") if rows else empty_table("features")


def _reactivity(features: pd.DataFrame) -> pd.DataFrame:
    base = features[features["window"] == "baseline_last_30s"].set_index("feature")["value"]
    rows = features[features["kind"].isin(["phase", "interaction"])].copy()
    if base.empty or rows.empty:
        return empty_table("reactivity")
    rows["baseline"] = rows["feature"].map(base)
    rows["delta"] = rows["value"] - rows["baseline"]
    rows["percent"] = 100 * rows["delta"] / rows["baseline"]
    rows["baseline_window"] = "baseline_last_30s"
    rows = rows.assign(baseline_n=1.0, baseline_s=30.0, baseline_readings=np.nan, readings=np.nan)
    return fitted(rows, "reactivity")


def _quality(windows: pd.DataFrame, streams: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        {
            "stream": stream, "window": w.window, "kind": w.kind, "onset": w.onset,
            "duration": w.duration, "quality": 0.97,
            "usable_share": 0.72 if stream == "ecg" and w.window == "speech" else 1.0,
            "corrected_share": 0.02 if stream == "ecg" else np.nan, "n_beats": 75.0,
            "reason": "28 % missing" if stream == "ecg" and w.window == "speech" else "",
        }
        for stream in streams if stream != "resp"
        for w in windows.itertuples()
    ]  # fmt: skip
    return fitted(pd.DataFrame(rows), "quality") if rows else empty_table("quality")


def _beats() -> pd.DataFrame:
    times = np.arange(0.5, DURATION, 0.8)
    rr = np.full(len(times), 0.8)
    rr[0] = np.nan
    kind = np.full(len(times), "normal", dtype=object)
    kind[[40, 41, 100, 150, 200]] = ["ectopic", "long", "missed", "extra", "short"]
    table = pd.DataFrame({"time_s": times, "rr_s": rr, "kind": kind, "source": "ecg"})
    return fitted(table, "beats")


def _pressure_beats() -> pd.DataFrame:
    feet = np.arange(0.1, DURATION, 0.8)
    valid = np.ones(len(feet), dtype=bool)
    valid[10] = False
    table = pd.DataFrame(
        {
            "foot_s": feet,
            "systole_s": feet + 0.4,
            "SBP": 120.0,
            "DBP": 80.0,
            "MAP": 95.0,
            "PP": 40.0,
        }
    ).assign(valid=valid, reason=np.where(valid, "", "flat"))
    return fitted(table, "pressure_beats")


def _scr() -> pd.DataFrame:
    onset = np.array([10.0, 70.0, 130.0])
    table = pd.DataFrame({"onset_s": onset, "peak_s": onset + 1.5, "amplitude": [0.1, 0.2, 0.3]})
    return fitted(table.assign(rise_time_s=1.5, half_recovery_s=np.nan), "scr")


def _provenance(streams: tuple[str, ...]) -> dict[str, Any]:
    stages: dict[str, Any] = {
        "ecg": {
            "stream": "ecg", "detector": "slope energy", "n_beats": 300, "n_corrected": 5,
            "corrected_by_kind": {"ectopic": 1, "extra": 1, "long": 1, "missed": 1, "short": 1},
        },
        "bp": {"stream": "bp", "n_beats": 300, "n_valid": 299, "not_valid": {"flat": 1}},
        "cuff": {"stream": "cuff", "n_readings": 3, "n_used": 3},
        "eda": {
            "stream": "eda", "decomposition": "highpass", "scr_amplitude_min_us": 0.02, "n_scr": 3,
        },
    }  # fmt: skip
    return {
        "package": {"name": "physio-hqc", "version": "9.9.9"},
        "fingerprint": "abcdef0123456789",
        "python": "3.11.0",
        "libraries": {"numpy": "2.0.0"},
        "config": {"report": {"ecg_strip_s": 8.0, "ecg_strips": 4, "max_points": 2000}},
        "input": {"file": "p01.h5", "sha256": "0" * 64},
        "protocol": {"name": "lepore_1993", "title": "A speech"},
        "stages": {("heart" if k == "ecg" else k): v for k, v in stages.items() if k in streams},
        "notices": ["stream 'ecg2' is left out"],
    }


@pytest.fixture(scope="session")
def with_tables() -> Callable[..., SessionResult]:
    """Return a function that replaces tables of a result."""

    def change(result: SessionResult, **tables: pd.DataFrame) -> SessionResult:
        return replace(result, tables={**result.tables, **tables})

    return change


@pytest.fixture(scope="session")
def windows_of() -> Callable[..., pd.DataFrame]:
    """Return the function that makes windows."""
    return windows_table


@pytest.fixture(scope="session")
def value() -> Callable[[str, str], float]:
    """Return the function that tells which number was put in."""
    return value_of


@pytest.fixture(scope="session")
def study_made() -> ModuleType:
    """Return the module that makes studies by hand."""
    spec = spec_from_file_location("study_made", Path(__file__).with_name("study_made.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
