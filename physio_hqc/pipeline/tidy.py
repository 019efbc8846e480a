"""Wide feature tables to the tidy table, with quality, cautions and what they withhold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.features import FEATURES
from physio_hqc.pipeline.config import QualitySettings

SPEECH_HF_CAUTION = (
    "speech lowers breathing below 0.15 Hz; HF is not interpretable as vagal without respiration"
)
SPEECH_LF_CAUTION = "speech lowers breathing below 0.15 Hz, so LF holds respiratory variation"

_IN_BAND = r"^HRV_(HF\w*|LnHF|LFHF|LFnu?|VHF)$|^(HRV_)?RSA_PorgesBohrer$"
_HF_POWER = re.compile(_IN_BAND)
_HF_TYPE = re.compile(_IN_BAND + r"|^(HRV_)?RSA_P2T_(Mean|SD)$")
_LF_TYPE = re.compile(r"^HRV_(LF|LnLF)$")


# Our choice: beats at the edges of what is left out then begin to weigh on RMSSD.
_FULL_SHARE = 0.9


@dataclass(frozen=True)
class Wide:
    """Features of all windows and the quality of the streams that they came from.

    Attributes
    ----------
    features : DataFrame
        One row per window, one column per feature; ``attrs["reasons"]``.
    quality, usable_share : ndarray, shape (m,)
        NaN where it is not known.
    """

    features: pd.DataFrame
    quality: NDArray[np.float64]
    usable_share: NDArray[np.float64]


@dataclass(frozen=True)
class Breathing:
    """What is known of breathing in each window.

    Attributes
    ----------
    share : ndarray, shape (m,)
        Of breathing inside the HF band; NaN where it is not known.
    recorded : bool
        Whether respiration was recorded, not read from the heart.
    least : float
        Share from which HF needs no caution.
    """

    share: NDArray[np.float64]
    recorded: bool
    least: float

    @property
    def in_band(self) -> NDArray[np.bool_]:
        """Windows in which breathing is known to stay inside the band."""
        return np.asarray(self.share >= self.least)

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Windows in which recorded breathing leaves the band."""
        return np.asarray(self.recorded & (self.share < self.least))


def tidy_features(
    wides: Sequence[Wide],
    windows: pd.DataFrame,
    settings: QualitySettings,
    who: dict[str, str],
    breathing: Breathing | None = None,
) -> pd.DataFrame:
    """One row per window and feature, in the order of the windows and of the catalog.

    Parameters
    ----------
    wides : sequence of Wide
        All over the same windows.
    windows : DataFrame
        As `derive_windows` returns them.
    settings : QualitySettings
        Below which quality a value is flagged, below which usable share it is withheld.
    who : dict
        session, participant, condition.
    breathing : Breathing, optional
        Lifts the caution on speech, or adds one.

    Returns
    -------
    DataFrame
        The columns of ``features.csv``.
    """
    blocks = [_block(wide, windows, settings, breathing) for wide in wides]
    table = pd.concat([_no_rows(), *blocks], ignore_index=True)
    order = {name: number for number, name in enumerate(FEATURES)}
    rank = table["feature"].map(order).fillna(len(order))
    table = table.iloc[np.lexsort((rank.to_numpy(), table["row"].to_numpy()))]
    places = table["row"].to_numpy()
    for column in ("window", "kind", "onset", "duration"):
        table[column] = windows[column].to_numpy()[places]
    table["unit"] = table["feature"].map({name: info.unit for name, info in FEATURES.items()})
    return table.drop(columns="row").assign(**who).reset_index(drop=True)


def _no_rows() -> pd.DataFrame:
    """Table without rows, so that a session without features has the right columns."""
    return pd.DataFrame(
        {
            "row": pd.Series(dtype=np.int64),
            "feature": pd.Series(dtype=object),
            "value": pd.Series(dtype=np.float64),
            "quality": pd.Series(dtype=np.float64),
            "reason": pd.Series(dtype=object),
        }
    )


def _block(
    wide: Wide, windows: pd.DataFrame, settings: QualitySettings, breathing: Breathing | None
) -> pd.DataFrame:
    """Long form of one wide table."""
    names = np.array(wide.features.columns, dtype=object)
    n_windows, n_features = wide.features.shape
    values = wide.features.to_numpy(dtype=np.float64)
    reasons = np.array(
        [wide.features.attrs["reasons"][name] for name in names], dtype=object
    ).reshape(n_features, n_windows)
    values, reasons = _judged(values, reasons.T.copy(), wide, settings)
    _caution_holes(values, reasons, names, wide.usable_share)
    _caution_breathing(reasons, names, windows["speech"].to_numpy(dtype=bool), breathing)
    return pd.DataFrame(
        {
            "row": np.repeat(np.arange(n_windows), n_features),
            "feature": np.tile(names, n_windows),
            "value": values.ravel(),
            "quality": np.repeat(wide.quality, n_features),
            "reason": reasons.ravel(),
        }
    )


def _judged(
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    wide: Wide,
    settings: QualitySettings,
) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """Withhold values of windows without enough signal, flag those of poor quality."""
    withheld = wide.usable_share < settings.min_usable_share
    for row in np.flatnonzero(withheld).tolist():
        share = 100 * wide.usable_share[row]
        text = f"{share:.0f} % usable signal, needs {100 * settings.min_usable_share:.0f} %"
        present = np.isfinite(values[row])
        reasons[row, present] = text
        values[row, present] = np.nan
    for row in np.flatnonzero(~withheld & (wide.quality < settings.min_quality)).tolist():
        present = np.isfinite(values[row])
        text = f"quality {wide.quality[row]:.2f} is below {settings.min_quality:g}"
        reasons[row, present] = [add_flag(old, text) for old in reasons[row, present]]
    return values, reasons


def _caution_holes(
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    names: NDArray[np.object_],
    usable_share: NDArray[np.float64],
) -> None:
    """Caution on variability where much of a window is missing: a few wrong beats then weigh."""
    variability = np.array([str(name).startswith("HRV_") for name in names], dtype=bool)
    for row in np.flatnonzero(usable_share < _FULL_SHARE).tolist():
        shown = variability & np.isfinite(values[row])
        text = f"{100 * usable_share[row]:.0f} % of the window usable"
        reasons[row, shown] = [add_flag(old, text) for old in reasons[row, shown]]


def _caution_breathing(
    reasons: NDArray[np.object_],
    names: NDArray[np.object_],
    speech: NDArray[np.bool_],
    breathing: Breathing | None,
) -> None:
    """Add the cautions to what breathing governs.

    In windows in which the participant speaks, unless breathing is known to stay in the band; and
    in all in which recorded breathing leaves it.
    """
    if breathing is not None:
        speech = speech & ~breathing.in_band
    for column, name in enumerate(names):
        if _HF_TYPE.search(name):
            text = SPEECH_HF_CAUTION
        elif _LF_TYPE.search(name):
            text = SPEECH_LF_CAUTION
        else:
            continue
        reasons[speech, column] = [add_flag(old, text) for old in reasons[speech, column]]
        if breathing is None or not _HF_POWER.search(name):
            continue
        for row in np.flatnonzero(breathing.outside).tolist():
            text = f"{100 * breathing.share[row]:.0f} % of breathing inside the HF band"
            reasons[row, column] = add_flag(reasons[row, column], text)


def add_flag(reason: str, text: str) -> str:
    """Add a caution to a reason.

    Examples
    --------
    >>> add_flag("", "few beats"), add_flag("flag: 70 s, 120 s recommended", "few beats")
    ('flag: few beats', 'flag: 70 s, 120 s recommended; few beats')
    >>> add_flag("12 beats, needs 30", "speech")
    '12 beats, needs 30; flag: speech'
    """
    if not reason:
        return f"flag: {text}"
    return f"{reason}; {text}" if "flag: " in reason else f"{reason}; flag: {text}"
