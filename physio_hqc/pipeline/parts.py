"""What processing one stream gives, and what the modules for each kind of stream share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.signals import Beats
from physio_hqc.signals._clock import Clock

FloatArray = NDArray[np.float64]

QUALITY_PARTS = (
    *("missing_share", "flat_share", "clipped_share", "range_share", "slope_share"),
    *("movement_share", "corrected_share", "unlike_share", "template_r", "valid_share"),
)
"""What quality is made of; each stream has some of them."""


@dataclass(frozen=True)
class Part:
    """What one stream gave.

    Attributes
    ----------
    stream : str
        Its name.
    quality : DataFrame
        One row per window: quality, usable_share, `QUALITY_PARTS`, corrected_kinds, n_beats,
        reason.
    features : DataFrame
        One row per window, one column per feature; ``attrs["reasons"]``.
    table : DataFrame
        Beats, pressure beats, responses or breaths; empty where there is no such table.
    facts : dict
        Settings and counts for the provenance.
    beats : Beats or None
        Of the heart.
    r_heights : ndarray or None
        Of the R wave at each detected beat; None where beats are not from an ECG.
    artifacts : DataFrame or None
        Stretches that are left out: onset_s, offset_s, reason.
    span : tuple of float
        First and last time of the stream in s.
    trace : DataFrame or None
        For display.
    """

    stream: str
    quality: pd.DataFrame
    features: pd.DataFrame
    table: pd.DataFrame
    facts: dict[str, Any]
    beats: Beats | None = None
    r_heights: FloatArray | None = None
    artifacts: pd.DataFrame | None = None
    span: tuple[float, float] = (-np.inf, np.inf)
    trace: pd.DataFrame | None = None

    @property
    def beat_series(self) -> Beats | FloatArray:
        """Beats of the heart, or their times."""
        if self.beats is not None:
            return self.beats
        times: FloatArray = self.table["time_s"].to_numpy(dtype=np.float64)
        return times

    @property
    def judgement(self) -> tuple[FloatArray, FloatArray]:
        """Quality and usable share per window."""
        quality = self.quality["quality"].to_numpy(dtype=np.float64)
        return quality, self.quality["usable_share"].to_numpy(dtype=np.float64)


def with_all_parts(quality: pd.DataFrame) -> pd.DataFrame:
    """Quality table with all columns; NaN for what a stream has not."""
    columns = ["quality", "usable_share", *QUALITY_PARTS, "corrected_kinds", "n_beats", "reason"]
    quality = quality.assign(corrected_kinds=quality.get("corrected_kinds", ""))
    missing = [column for column in columns if column not in quality.columns]
    return quality.assign(**dict.fromkeys(missing, np.nan))[columns]


def on_clock(table: pd.DataFrame, clock: Clock, columns: tuple[str, ...]) -> pd.DataFrame:
    """Bring times counted in samples / rate to session time."""
    moved = {
        column: clock.times_of(table[column].to_numpy(dtype=np.float64) * clock.rate)
        for column in columns
    }
    return table.assign(**moved)


def how_often(texts: pd.Series) -> dict[str, int]:
    """How often each text occurs, in the order of the alphabet."""
    return {str(text): int(n) for text, n in texts.value_counts().sort_index().items()}
