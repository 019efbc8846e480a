"""Recognition by name and unit, unit conversion, safe names."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import RecordingError
from physio_hqc.importers.channels import (
    conversion,
    free_name,
    modality_of_stream,
    parse_unit,
    recognize,
    safe_stream_name,
    session_conversion,
)
from physio_hqc.session.format import MODALITIES


@pytest.mark.parametrize(
    ("name", "units", "modality"),
    [
        ("ECG", "mV", "ecg"),
        ("ekg", "uV", "ecg"),
        ("EKG - ERS100C", "mV", "ecg"),
        ("ECG LEAD II", "mV", "ecg"),
        ("ECG Lead I", "µV", "ecg"),
        ("ECG2", "Volts", "ecg"),
        ("ECG1-ECG2", "uV", "ecg"),
        ("I", "mV", "ecg"),
        ("II", "mV", "ecg"),
        ("aVR", "mV", "ecg"),
        ("Lead aVF", "mV", "ecg"),
        ("V", "mV", "ecg"),
        ("V5", "mV", "ecg"),
        ("MLII", "mV", "ecg"),
        ("MCL1", "mV", "ecg"),
        ("ABP", "mmHg", "bp"),
        ("ART", "mm Hg", "bp"),
        ("BP", "kPa", "bp"),
        ("NIBP100D", "mmHg", "bp"),
        ("Finapres", "mmHg", "bp"),
        ("fiAP", "mmHg", "bp"),
        ("reBAP", "mmHg", "bp"),
        ("Blood Pressure - NIBP", "mmHg", "bp"),
        ("Pressure", "mmHg", "bp"),
        ("EDA", "uS", "eda"),
        ("EDA - GSR100C", "microsiemens", "eda"),
        ("GSR", "umho", "eda"),
        ("Skin conductance", "S", "eda"),
        ("EDA", "μS", "eda"),
        ("RESP - RSP100C", "Volts", "resp"),
        ("Resp", "Ohm", "resp"),
        ("Respiration belt", "", "resp"),
        ("Pleth", "NU", "ppg"),
        ("BVP", "", "ppg"),
        ("PPG100C", "V", "ppg"),
        ("Skin temperature", "degC", "temp"),
        ("SKT100C", "Deg. F", "temp"),
        ("TEMP", "°C", "temp"),
        ("ACC X", "g", "acc"),
        ("ECG100C", "mVolts", "ecg"),
        ("ECG II", "Millivolts", "ecg"),
        ("EKGII", "uVolts", "ecg"),
        ("EDA100C-MRI", "microsiemen", "eda"),
        ("EDA", "microSiemens", "eda"),
        ("EDA", "micro-Siemens", "eda"),
        ("GSR", "uMho", "eda"),
        ("GSR", "microS", "eda"),
        ("SCL", "uS", "eda"),
        ("SC/GSR", "uS", "eda"),
        ("RSP", "V", "resp"),
        ("PPG - PPG100C-MRI", "Volts", "ppg"),
        ("finAP", "mmHg", "bp"),
        ("Accelerometer", "m/s2", "acc"),
        # the name alone, or the unit alone, is not enough
        ("ECG", "", None),
        ("ECG", "mmHg", None),
        ("ABP", "V", None),
        ("EDA", "kOhm", None),
        ("Channel 1", "mV", None),
        ("DC01", "V", None),
        ("F3", "uV", None),
        ("D2", "uV", None),
        ("SC", "V", None),
        ("SpO2", "%", None),
        # computed from another channel, or another pressure than the arterial one
        ("EDA filtered, differentiated", "microsiemens", None),
        ("ECG rate", "mV", None),
        ("Heart rate (ECG)", "BPM", None),
        ("Resp rate", "BPM", None),
        ("RESP", "1/min", None),
        ("ABP Mean", "mmHg", None),
        ("ABP Sys", "mmHg", None),
        ("CVP", "mmHg", None),
        ("Airway pressure", "cmH2O", None),
        ("Cuff pressure", "mmHg", None),
        ("SCL tonic EDA", "uS", None),
        ("", "mV", None),
    ],
)
def test_recognize(name: str, units: str, modality: str | None) -> None:
    assert recognize(name, units) == modality


def test_beat_intervals_are_recognized_only_without_a_rate() -> None:
    assert recognize("RR", "ms", 0) == "rr"
    assert recognize("IBI", "s", 0) == "rr"
    assert recognize("RR", "ms", 250.0) is None
    assert recognize("ECG", "mV", 0) is None


@pytest.mark.parametrize(
    ("units", "target", "factor", "shift"),
    [
        ("uV", "mV", 1e-3, 0),
        ("\u00b5V", "mV", 1e-3, 0),
        ("\u03bcV", "mV", 1e-3, 0),
        ("V", "mV", 1000, 0),
        ("Volts", "mV", 1000, 0),
        ("volts", "mV", 1000, 0),
        ("nV", "mV", 1e-6, 0),
        ("mV", "mV", 1, 0),
        ("mm Hg", "mmHg", 1, 0),
        ("kPa", "mmHg", 7.5006157585, 0),  # 1 mmHg = 133.322387415 Pa
        ("cmH2O", "mmHg", 0.735559, 0),
        ("S", "µS", 1e6, 0),
        ("microsiemens", "µS", 1, 0),
        ("umho", "µS", 1, 0),
        ("nS", "µS", 1e-3, 0),
        ("degC", "°C", 1, 0),
        ("K", "°C", 1, -273.15),
        ("Fahrenheit", "°C", 5 / 9, -17.7777777778),
        ("m/s2", "g", 1 / 9.80665, 0),
        ("mg", "g", 1e-3, 0),
        ("ms", "s", 1e-3, 0),
        (" [mV] ", "mV", 1, 0),
    ],
)
def test_conversion(units: str, target: str, factor: float, shift: float) -> None:
    step = conversion(units, target)
    assert step is not None
    assert step.factor == pytest.approx(factor, rel=1e-6)
    assert step.shift == pytest.approx(shift, abs=1e-6)
    assert step.as_dict()["from"] == units


def test_fahrenheit_and_kelvin_at_known_points() -> None:
    for units, value in (("F", 98.6), ("K", 310.15)):
        step = session_conversion(units, "temp")
        assert step is not None
        assert value * step.factor + step.shift == pytest.approx(37.0)


def test_decimal_factors_are_exact() -> None:
    step = conversion("uV", "mV")
    assert step is not None
    assert step.factor == 0.001


@pytest.mark.parametrize(("units", "target"), [("V", "mmHg"), ("", "mV"), ("parsec", "mV")])
def test_no_conversion(units: str, target: str) -> None:
    assert conversion(units, target) is None


def test_case_of_prefixes_is_kept() -> None:
    milli, unknown = parse_unit("mS"), parse_unit("MS")
    assert milli is not None
    assert milli.factor == 1e-3
    assert unknown is None


@pytest.mark.parametrize("stream", ["ECG", "pulse", "ecg_", "ecg_x", "", "ecg 2"])
def test_stream_names_to_map_to(stream: str) -> None:
    with pytest.raises(RecordingError, match="no stream name"):
        modality_of_stream(stream)


def test_modality_of_every_stream_name() -> None:
    for modality in MODALITIES:
        assert modality_of_stream(modality) == modality
        assert modality_of_stream(f"{modality}_12") == modality


def test_free_name_counts_on() -> None:
    assert free_name("bp", {"ecg"}) == "bp"
    assert free_name("bp", {"bp", "bp_2", "bp_4"}) == "bp_3"


@settings(deadline=None, max_examples=200)
@given(name=st.text(max_size=200), units=st.text(max_size=20))
def test_any_text_gives_a_safe_name_and_no_exception(name: str, units: str) -> None:
    slug = safe_stream_name(name)
    assert slug.isascii()
    assert slug[0].isalpha()
    assert slug.replace("_", "a").isalnum()
    assert len(slug) <= 64
    assert recognize(name, units) in {*MODALITIES, None}
    unit = parse_unit(units)
    assert unit is None or math.isfinite(unit.factor)
    with pytest.raises(RecordingError):
        modality_of_stream(slug)
