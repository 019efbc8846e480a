"""One session from its file to its tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import SignalError
from physio_hqc.files import folder_in
from physio_hqc.pipeline.config import PipelineConfig, load_pipeline_config
from physio_hqc.pipeline.provenance import (
    fingerprint,
    input_hash,
    session_facts,
    settings_of,
    software,
    stream_facts,
    window_facts,
)
from physio_hqc.pipeline.ratings import ratings_of
from physio_hqc.pipeline.result import TABLES, SessionResult
from physio_hqc.pipeline.schema import conform, empty_table
from physio_hqc.pipeline.session_windows import baseline_windows, protocol_of, windows_of
from physio_hqc.pipeline.store import load_result, stored_provenance, write_results
from physio_hqc.pipeline.streams import choose_streams
from physio_hqc.pipeline.tidy import Breathing, Wide, tidy_features
from physio_hqc.protocol import Protocol, load_protocol
from physio_hqc.reactivity import feature_courses, reactivity_scores, with_rate_pressure
from physio_hqc.session import Session, Stream, import_notes, open_session

if TYPE_CHECKING:
    from physio_hqc.pipeline.parts import Part

FloatArray = NDArray[np.float64]
Progress = Callable[[str], None]
Config = PipelineConfig | str | Path | None


def process_session(
    path: str | os.PathLike[str],
    config: Config = None,
    *,
    out_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> SessionResult:
    """Process one session: beats, components, features per window, quality and reactivity.

    A session is processed with what it has; tables of streams that it lacks have no rows.

    Parameters
    ----------
    path : path-like
        A session file.
    config : PipelineConfig, str, Path or None
        Settings, or the name or file of settings; the shipped ``default`` if None.
    out_dir : path-like, optional
        Folder of the results of all sessions, such as ``derivatives``; this session's tables,
        their data dictionaries and provenance.json go into ``out_dir/<session>``, whole or not
        at all. Without it nothing is written. If that folder already holds the results of the
        same input, configuration and version, they are read back and nothing is computed.
    progress : callable, optional
        Called with the name of each stage when it begins.

    Returns
    -------
    SessionResult

    Raises
    ------
    SessionFileError
        If the file is missing, damaged, or is a vendor file that must be imported first.
    ConfigError
        If the settings or the session's protocol are wrong.
    OutputError
        If the results cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc import process_session
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> session = simulate_session(folder / "p01.h5", seed=1, time_scale=0.05, streams=["cuff"])
    >>> result = process_session(session.path, out_dir=folder / "derivatives")
    >>> result.out_dir.name, result.up_to_date, len(result.tables["beats"])
    ('p01', False, 0)
    >>> process_session(session.path, out_dir=folder / "derivatives").up_to_date
    True
    """
    source = Path(path)
    run = _Run.prepare(config, progress)
    run.begin("reading")
    with open_session(source) as session:
        sha256 = input_hash(source)
        folder = None if out_dir is None else folder_in(out_dir, session.name)
        if folder is not None and run.is_current(folder, sha256):
            return replace(load_result(folder), path=source)
        return _process(session, run, sha256, folder)


def is_up_to_date(
    path: str | os.PathLike[str], config: Config, out_dir: str | os.PathLike[str]
) -> bool:
    """Tell whether ``out_dir/<session>`` holds the results of this input, config and version.

    Costs one pass over the bytes of the session file and of the tables.

    Parameters
    ----------
    path : path-like
        A session file.
    config : PipelineConfig, str, Path or None
        As for :func:`process_session`.
    out_dir : path-like
        Folder of the results of all sessions.

    Returns
    -------
    bool

    Raises
    ------
    SessionFileError
        If the session file cannot be read.
    ConfigError
        If the settings are wrong.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.pipeline import is_up_to_date, process_session
    >>> from physio_hqc.simulate import simulate_session
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> path = simulate_session(folder / "p01.h5", time_scale=0.05, streams=["cuff"]).path
    >>> before = is_up_to_date(path, None, folder)
    >>> _ = process_session(path, out_dir=folder)
    >>> before, is_up_to_date(path, None, folder)
    (False, True)
    """
    source = Path(path)
    run = _Run.prepare(config, None)
    return run.is_current(folder_in(out_dir, source.stem), input_hash(source))


@dataclass(frozen=True)
class _Run:
    """Settings of one run, what is reported while it goes on, and what it noticed."""

    config: PipelineConfig
    fallback: Protocol | None
    settings: dict[str, Any]
    progress: Progress | None
    notices: list[str]

    @classmethod
    def prepare(cls, config: Config, progress: Progress | None) -> _Run:
        """Resolve the settings."""
        settings = config if isinstance(config, PipelineConfig) else load_pipeline_config(config)
        fallback = load_protocol(settings.protocol) if settings.protocol else None
        return cls(settings, fallback, settings_of(settings, fallback), progress, [])

    def begin(self, stage: str) -> None:
        """Say that a stage begins."""
        if self.progress is not None:
            self.progress(stage)

    def is_current(self, folder: Path, sha256: str) -> bool:
        """Whether the folder holds whole results of this input and these settings."""
        stored = stored_provenance(folder)
        return stored is not None and stored.get("fingerprint") == fingerprint(
            sha256, self.settings
        )


def _process(session: Session, run: _Run, sha256: str, folder: Path | None) -> SessionResult:
    """Compute everything and, with a folder, write it."""
    if not session.closed:
        run.notices.append(
            "the file was never closed: it is being recorded, and what had arrived is processed"
            if session.recording
            else "the file was never closed: what was recorded until it broke off is processed"
        )
    run.notices.extend(import_notes(session))
    protocol = protocol_of(session, run.fallback)
    windows = windows_of(session, protocol, run.config, run.notices)
    found = _found(session, run, windows, protocol)
    run.begin("features")
    stages = {name: part.facts for name, part in found.items()}
    tables = _tables(session, run, windows, protocol, found, stages)
    provenance = _provenance(session, run, sha256, protocol, windows, found, stages)
    if folder is not None:
        run.begin("writing")
        provenance = write_results(folder, tables, provenance)
    traces = {"eda": found["eda"].trace} if "eda" in found else {}
    return SessionResult(
        name=session.name,
        path=session.path,
        out_dir=folder,
        up_to_date=False,
        tables=tables,
        windows=tables["windows"],
        provenance=provenance,
        traces={name: trace for name, trace in traces.items() if trace is not None},
    )


def _found(
    session: Session, run: _Run, windows: pd.DataFrame, protocol: Protocol | None
) -> dict[str, Part]:
    """Process every stream that is there into the parts heart, bp, cuff, eda and resp."""
    found: dict[str, Part] = {}
    streams = choose_streams(session, run.notices)
    if not streams:
        held = ", ".join(session.streams) or "none"
        run.notices.append(
            f"nothing to process: no ECG, RR, pressure, EDA or respiration (streams: {held})"
        )
    for modality, stream in streams.items():
        name = "heart" if modality in ("ecg", "rr") else modality
        run.begin(f"{name} ({stream.name})")
        try:
            found[name] = _part(modality, stream, run, windows, protocol, found.get("heart"))
        except SignalError as error:
            run.notices.append(f"stream '{stream.name}' is left out: {error}")
    return found


def _part(
    modality: str,
    stream: Stream,
    run: _Run,
    windows: pd.DataFrame,
    protocol: Protocol | None,
    heart: Part | None,
) -> Part:
    """Process one stream as its modality asks."""
    # What computes is loaded when there is something to compute: it takes half a second.
    from physio_hqc.pipeline import breathing, pressure, skin
    from physio_hqc.pipeline import heart as of_heart

    given = (stream, _bounds(windows), run.config, run.notices)
    if modality == "ecg":
        return of_heart.heart_from_ecg(*given)
    if modality == "rr":
        return of_heart.heart_from_intervals(*given)
    if modality == "bp":
        return pressure.pressure_from_waveform(*given, heart=heart)
    if modality == "cuff":
        discarded = _discarding(windows, protocol)
        return pressure.pressure_from_cuff(*given, discard_first_in=discarded)
    if modality == "resp":
        return breathing.breathing_from_belt(*given)
    return skin.skin_from_eda(*given)


def _discarding(windows: pd.DataFrame, protocol: Protocol | None) -> FloatArray:
    """Baseline phases, onset and offset (k, 2), whose first cuff reading does not count."""
    if protocol is None or not protocol.baseline.discard_first_cuff:
        return np.empty((0, 2))
    is_rest = (windows["kind"] == "phase") & (windows["phase"] == protocol.baseline.phase)
    return _bounds(windows[is_rest])


def _bounds(windows: pd.DataFrame) -> FloatArray:
    """Onset and offset of every window, (m, 2), in s."""
    onset = windows["onset"].to_numpy(dtype=np.float64)
    return np.column_stack([onset, onset + windows["duration"].to_numpy(dtype=np.float64)])


def _tables(
    session: Session,
    run: _Run,
    windows: pd.DataFrame,
    protocol: Protocol | None,
    found: dict[str, Part],
    stages: dict[str, Any],
) -> dict[str, pd.DataFrame]:
    """Return every table of the results, without rows where the session lacks the stream."""
    who = {
        "session": session.name,
        "participant": session.participant_id,
        "condition": session.condition,
    }
    wides = [Wide(part.features, *part.judgement) for part in found.values()]
    if run.config.pressure.baroreflex and {"heart", "bp"} <= found.keys():
        wides.append(_baroreflex(found["heart"], found["bp"], windows, run.config))
    known = _breathing(found, windows, run.config, wides, stages)
    tidy = with_rate_pressure(tidy_features(wides, windows, run.config.quality, who, known))
    cuff = _cuff(found, windows)
    in_hf = False if known is None else known.in_band
    tables = {
        "windows": windows.assign(breathing_in_hf=in_hf),
        "features": tidy,
        "quality": _quality(found, windows),
        "reactivity": _reactivity(tidy, windows, cuff.assign(**who), protocol, run),
        "scr_latency": _responses(session, found, run.config),
        "cuff": cuff,
        "ratings": ratings_of(session.events, windows, protocol, run.notices),
    }
    of_part = {"beats": "heart", "pressure_beats": "bp", "scr": "eda", "breaths": "resp"}
    for name, part in of_part.items():
        tables[name] = found[part].table if part in found else empty_table(name)
    return {name: conform(tables[name], name) for name in TABLES}


def _breathing(
    found: dict[str, Part],
    windows: pd.DataFrame,
    config: PipelineConfig,
    wides: list[Wide],
    stages: dict[str, Any],
) -> Breathing | None:
    """Add breathing and respiratory sinus arrhythmia to the features; say where it stays in HF."""
    heart, belt = found.get("heart"), found.get("resp")
    if heart is None and belt is None:
        return None
    from physio_hqc.pipeline.breathing import arrhythmia_of, breathing_from_heart

    if belt is not None:
        wide, (_, usable) = belt.features, belt.judgement
    elif heart is not None:
        estimated = breathing_from_heart(heart, _bounds(windows), config)
        stages["respiration"] = estimated.facts
        wide, (quality, usable) = estimated.features, heart.judgement
        wides.append(Wide(wide, quality, usable))
    if heart is not None:
        wides.append(Wide(arrhythmia_of(heart, belt, _bounds(windows), config), *heart.judgement))
    share = wide["RSP_HF_Share"].to_numpy(dtype=np.float64)
    share = np.where(usable < config.quality.min_usable_share, np.nan, share)
    return Breathing(share, belt is not None, config.hrv.min_breathing_in_hf)


def _cuff(found: dict[str, Part], windows: pd.DataFrame) -> pd.DataFrame:
    """Cuff readings and the phase that each was taken in."""
    if "cuff" not in found:
        return empty_table("cuff")
    readings = found["cuff"].table
    phases = windows[windows["kind"] == "phase"]
    bounds, times = _bounds(phases), readings["time_s"].to_numpy(dtype=np.float64)
    inside = (times[:, None] >= bounds[:, 0]) & (times[:, None] < bounds[:, 1])
    names = np.append(phases["window"].to_numpy(dtype=object), "")
    first = np.where(inside.any(axis=1), inside.argmax(axis=1) if len(phases) else 0, len(phases))
    return readings.assign(window=names[first])


def _responses(session: Session, found: dict[str, Part], config: PipelineConfig) -> pd.DataFrame:
    """Skin conductance responses to tagged events."""
    if "eda" not in found:
        return empty_table("scr_latency")
    from physio_hqc.pipeline.skin import responses_to

    return responses_to(session.events, found["eda"], config)


def _baroreflex(heart: Part, pressure: Part, windows: pd.DataFrame, config: PipelineConfig) -> Wide:
    """Baroreflex sensitivity; it is as good as the worse of its two streams."""
    from physio_hqc.pipeline.pressure import baroreflex_from

    wide = baroreflex_from(heart, pressure, _bounds(windows), config)
    worse = (
        np.minimum(of_heart, of_pressure)
        for of_heart, of_pressure in zip(heart.judgement, pressure.judgement, strict=True)
    )
    return Wide(wide, *worse)


def _quality(found: dict[str, Part], windows: pd.DataFrame) -> pd.DataFrame:
    """Quality of every stream in every window, one below the other."""
    place = windows[["window", "kind", "onset", "duration"]]
    rows = [
        pd.concat([place, part.quality.reset_index(drop=True)], axis=1).assign(stream=part.stream)
        for part in found.values()
    ]
    return pd.concat(rows, ignore_index=True) if rows else empty_table("quality")


def _reactivity(
    tidy: pd.DataFrame,
    windows: pd.DataFrame,
    cuff: pd.DataFrame,
    protocol: Protocol | None,
    run: _Run,
) -> pd.DataFrame:
    """Reactivity of the windows of the kinds asked for."""
    names = baseline_windows(windows, protocol, run.config, run.notices)
    if not names or tidy.empty:
        return empty_table("reactivity")
    settings = run.config
    wanted = tidy["kind"].isin(settings.reactivity.kinds) | tidy["window"].isin(names)
    readings = protocol.baseline.min_cuff_readings if protocol else None
    return reactivity_scores(
        tidy[wanted],
        baseline=names,
        quality_min=settings.quality.min_quality,
        min_readings=readings or settings.pressure.cuff_min_readings,
        min_task_readings=settings.reactivity.min_task_readings,
        courses=feature_courses(tidy, windows, cuff=cuff),
    )


def _provenance(
    session: Session,
    run: _Run,
    sha256: str,
    protocol: Protocol | None,
    windows: pd.DataFrame,
    found: dict[str, Part],
    stages: dict[str, Any],
) -> dict[str, Any]:
    """Everything that the numbers came from, as plain data that is the same on every run."""
    used = {part.stream for part in found.values()}
    return {
        **run.settings,
        "fingerprint": fingerprint(sha256, run.settings),
        **software(),
        "input": session_facts(session, sha256),
        "protocol": None if protocol is None else protocol.model_dump(mode="json"),
        "windows": window_facts(windows),
        "streams": {
            name: stream_facts(stream, name in used) for name, stream in session.streams.items()
        },
        "stages": stages,
        "notices": run.notices,
    }
