"""Which features stand first, what they are called, and which carry the caution on speech."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from physio_hqc.pipeline.tidy import SPEECH_HF_CAUTION


@dataclass(frozen=True)
class Headline:
    """A measure that stands in the overview, and the feature it is."""

    name: str
    short: str
    feature: str


HEADLINES: tuple[Headline, ...] = (
    Headline("Heart rate", "HR", "ECG_Rate_Mean"),
    Headline("RMSSD", "RMSSD", "HRV_RMSSD"),
    Headline("ln HF power", "ln HF", "HRV_LnHF"),
    Headline("SBP, continuous", "SBP", "BP_SBP_Mean"),
    Headline("DBP, continuous", "DBP", "BP_DBP_Mean"),
    Headline("SBP, cuff", "SBP cuff", "CUFF_SBP_Mean"),
    Headline("DBP, cuff", "DBP cuff", "CUFF_DBP_Mean"),
    Headline("Skin conductance level", "SCL", "EDA_Tonic_Mean"),
    Headline("SCR rate", "SCR rate", "SCR_Rate"),
)

_FREQUENCY = r"^HRV_(ULF|VLF|LF\w*|HF\w*|VHF|TP|LnHF|LnLF)$"
_NONLINEAR = r"^HRV_(SD1|SD2|SD1SD2|S|SampEn|ApEn|DFA\w*)$"
FAMILIES: tuple[tuple[str, str], ...] = (
    (r"^ECG_", "Heart rate"),
    (_FREQUENCY, "Heart rate variability, frequency domain"),
    (_NONLINEAR, "Heart rate variability, nonlinear"),
    (r"^HRV_", "Heart rate variability, time domain"),
    (r"^(HRV_)?RSA_", "Respiratory sinus arrhythmia"),
    (r"^RSP_", "Respiration"),
    (r"^CUFF_", "Blood pressure, cuff"),
    (r"^BP_", "Blood pressure, beat to beat"),
    (r"^X?BRS_", "Baroreflex"),
    (r"^(EDA_|SCR_)", "Electrodermal activity"),
)

_RESPIRATORY = re.compile(
    r"^HRV_(HF\w*|LnHF|LFHF|LFn\w*|VHF)$|^(HRV_)?RSA_(PorgesBohrer|P2T_Mean|P2T_SD)$"
)

SPEECH_CAUTION = (
    "speech moves breathing below 0.15 Hz: HF power and what is derived from it are not "
    "interpretable as vagal activity in this phase without a check of respiration"
)
_SAID_IN_BOX = (SPEECH_CAUTION, SPEECH_HF_CAUTION)


def is_said_in_box(caution: str) -> bool:
    """Whether a caution says no more than the box on speech, which stands at every table."""
    return caution in _SAID_IN_BOX


def family(feature: str) -> str:
    """Heading under which a feature stands in a table."""
    return next((name for pattern, name in FAMILIES if re.search(pattern, feature)), "Other")


def speech_matters(windows: pd.DataFrame) -> pd.Series:
    """Whether the caution on speech holds for each window: respiration may have shown otherwise."""
    speech = windows["speech"].astype(bool)
    if "breathing_in_hf" not in windows:
        return speech
    return speech & ~windows["breathing_in_hf"].astype(bool)


def needs_speech_caution(feature: str, speech: bool) -> bool:
    """Whether a value rests on breathing in its usual band while the participant spoke.

    Examples
    --------
    >>> needs_speech_caution("HRV_HF", True), needs_speech_caution("HRV_RMSSD", True)
    (True, False)
    """
    return bool(speech) and _RESPIRATORY.search(feature) is not None


def present_headlines(table: pd.DataFrame, column: str = "value") -> list[Headline]:
    """Headline measures that are known (not NaN) in any row."""
    known = set(table.loc[table[column].notna(), "feature"])
    return [headline for headline in HEADLINES if headline.feature in known]


def compared_windows(reactivity: pd.DataFrame, windows: pd.DataFrame) -> list[str]:
    """Windows that are set against the baseline: whole phases, else interaction windows.

    The phase that the baseline was taken from is left out.
    """
    resting = set(windows.loc[windows["role"] == "baseline", "window"])
    for kind in ("phase", "interaction", "phase_last"):
        rows = reactivity[(reactivity["kind"] == kind) & ~reactivity["window"].isin(resting)]
        if len(rows):
            ordered = rows.sort_values("onset", kind="stable")["window"]
            return list(dict.fromkeys(ordered))
    return []
