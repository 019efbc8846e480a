"""What the overview and the other sections say of a session, gathered once as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from physio_hqc.report._features import compared_windows, speech_matters
from physio_hqc.report._traces import stream_gaps
from physio_hqc.report._verdict import verdict, worst

if TYPE_CHECKING:
    from physio_hqc.pipeline.result import SessionResult
    from physio_hqc.session import Session, Stream

_CHECKED = ("phase", "interaction", "phase_last", "sliding")


@dataclass(frozen=True)
class StreamFacts:
    """One row of the table on data quality; NaN for what is not known."""

    name: str
    modality: str
    nominal_hz: float
    measured_hz: float
    n_samples: int
    n_gaps: int
    gap_s: float
    usable: float
    quality: float
    n_beats: int
    corrected: float
    verdict: str


@dataclass(frozen=True)
class Facts:
    """A session and its results, with what several sections need of them."""

    session: Session
    result: SessionResult

    @property
    def windows(self) -> pd.DataFrame:
        """Windows that features were computed over."""
        return self.result.windows

    @cached_property
    def drawn(self) -> pd.DataFrame:
        """Windows to be shown along the session; none stands for a session without any tag.

        Where nothing is tagged, features are computed over one window that nobody tagged.
        """
        is_phase = self.windows["kind"] == "phase"
        tagged = (self.session.events["kind"] == "phase").any()
        return self.windows if tagged else self.windows[~is_phase]

    @cached_property
    def phases(self) -> pd.DataFrame:
        """Tagged phases in order of onset."""
        rows = self.drawn[self.drawn["kind"] == "phase"]
        return rows.sort_values("onset", kind="stable")

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """Tagged interaction windows in order of onset."""
        rows = self.windows[self.windows["kind"] == "interaction"]
        return rows.sort_values("onset", kind="stable")

    def table(self, name: str) -> pd.DataFrame:
        """Return a result table by its name."""
        return self.result.tables[name]

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol that was applied: name, title, phases; empty without one."""
        found = self.provenance.get("protocol")
        return found if isinstance(found, dict) else {}

    @cached_property
    def baseline_window(self) -> str:
        """Name of the window that reactivity was taken against; empty if there is none."""
        named = self.table("reactivity")["baseline_window"]
        named = named[named.astype(str) != ""]
        return str(named.iloc[0]) if len(named) else ""

    @cached_property
    def speech(self) -> dict[str, bool]:
        """Whether the caution on speech holds, by window."""
        return dict(zip(self.windows["window"], speech_matters(self.windows), strict=True))

    @cached_property
    def compared(self) -> list[str]:
        """Windows that the overview sets against the baseline; all phases without one."""
        found = compared_windows(self.table("reactivity"), self.windows)
        if found:
            return found
        whole = self.windows[self.windows["kind"] == "phase"]
        source = whole if len(whole) else self.interactions
        return [name for name in source["window"] if name != self.baseline_window]

    def stream_of(self, modality: str) -> Stream | None:
        """Return the stream of a modality that was processed: the first that has samples."""
        streams = [s for s in self.session.streams.values() if s.modality == modality]
        chosen = self.processed_streams.get(modality)
        if chosen in self.session.streams and self.session.streams[chosen].n_samples:
            return self.session.streams[chosen]
        return next((s for s in streams if s.n_samples), None)

    @cached_property
    def processed_streams(self) -> dict[str, str]:
        """Modality to the name of the stream that quality was judged for."""
        names = dict.fromkeys(self.table("quality")["stream"])
        streams = self.session.streams
        return {streams[name].modality: name for name in reversed(names) if name in streams}

    @cached_property
    def streams(self) -> list[StreamFacts]:
        """Facts on every stream; those with a verdict come first."""
        rows = [self._stream_facts(stream) for stream in self.session.streams.values()]
        return sorted(rows, key=lambda row: (row.verdict == "not checked", row.name))

    @cached_property
    def verdict(self) -> str:
        """Verdict on the worst of the processed streams."""
        return worst([row.verdict for row in self.streams])

    @cached_property
    def cuff(self) -> pd.DataFrame:
        """Cuff readings: time_s, SBP, DBP, MAP, HR; without rows if there are none."""
        from physio_hqc.pipeline.streams import read_cuff

        stream = self.stream_of("cuff")
        if stream is None or stream.sfreq:
            return pd.DataFrame({name: [] for name in ("time_s", "SBP", "DBP", "MAP", "HR")})
        return read_cuff(stream, [])

    @property
    def provenance(self) -> dict[str, Any]:
        """What the numbers came from."""
        return self.result.provenance

    def setting(self, section: str, name: str, default: float) -> float:
        """Return a number of the pipeline's settings, or the default."""
        config = self.provenance.get("config", {})
        part = config.get(section, {}) if isinstance(config, dict) else {}
        value = part.get(name, default) if isinstance(part, dict) else default
        return float(value) if isinstance(value, int | float) else default

    def _stream_facts(self, stream: Stream) -> StreamFacts:
        gaps = stream_gaps(stream)
        usable, quality, corrected = judged(self.table("quality"), stream.name)
        n_beats = -1
        if stream.modality in ("ecg", "rr") and math.isfinite(usable):
            beats = self.table("beats")
            beats = beats[beats["kind"] != "artifact"]
            n_beats = len(beats)
            corrected = float((beats["kind"] != "normal").mean()) if n_beats else math.nan
        elif stream.modality == "bp" and math.isfinite(usable):
            n_beats = len(self.table("pressure_beats"))
        elif stream.modality == "cuff":
            n_beats = stream.n_samples
        return StreamFacts(
            name=stream.name,
            modality=stream.modality,
            nominal_hz=stream.sfreq,
            measured_hz=stream.measured_sfreq if stream.sfreq else math.nan,
            n_samples=stream.n_samples,
            n_gaps=len(gaps),
            gap_s=float((gaps[:, 1] - gaps[:, 0]).sum()),
            usable=usable if stream.n_samples else 0.0,
            quality=quality,
            n_beats=n_beats,
            corrected=corrected,
            verdict=verdict(usable, quality, corrected) if stream.n_samples else "poor",
        )


def judged(quality: pd.DataFrame, stream: str) -> tuple[float, float, float]:
    """Usable share, quality and share of corrected beats of a stream, weighted by window length.

    They are taken over one kind of windows, phases if there are any, because windows of
    different kinds cover the same seconds.
    """
    rows = quality[quality["stream"] == stream]
    for kind in (*_CHECKED, *dict.fromkeys(rows["kind"])):
        chosen = rows[(rows["kind"] == kind) & (rows["duration"] > 0)]
        if len(chosen):
            return (
                _weighted(chosen, "usable_share"),
                _weighted(chosen, "quality"),
                _weighted(chosen, "corrected_share"),
            )
    return math.nan, math.nan, math.nan


def _weighted(rows: pd.DataFrame, column: str) -> float:
    """Mean over windows, weighted by their length; NaN if no window has a value."""
    values = rows[column].to_numpy(dtype=float)
    weights = rows["duration"].to_numpy(dtype=float)
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan
