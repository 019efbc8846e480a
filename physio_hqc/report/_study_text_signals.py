"""From streams to features, in the words of a methods section: what was done, to how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from physio_hqc.report._study_facts import (
    SessionFacts,
    StudyFacts,
    band,
    between,
    code,
    count_of,
    finite,
    fixed,
    listed,
    md,
    number_in,
    numbers,
    percent,
    pipe_table,
    sentence,
    spread,
    total,
)
from physio_hqc.report._study_sources import Cited

MODALITIES = {
    "ecg": "the electrocardiogram (ECG)",
    "rr": "beat intervals (computed by the device)",
    "ppg": "the photoplethysmogram",
    "bp": "continuous blood pressure",
    "cuff": "intermittent (cuff) blood pressure",
    "eda": "electrodermal activity (EDA)",
    "resp": "respiration",
    "temp": "skin temperature",
    "acc": "acceleration",
}
FULL_SHARE = 0.9
"""Below this usable share of a window, processing cautions on heart rate variability."""


# ------------------------------------------------------------------------------- recording


def recording(facts: StudyFacts, cite: Cited) -> list[str]:
    """Streams, devices and rates."""
    del cite
    sentences = [stream_sentence(facts, kind) for kind in MODALITIES if facts.with_modality(kind)]
    if not sentences:
        return []
    text = " ".join(sentences)
    if is_simulated(facts):
        text = "**The signals are simulated; no person was recorded.** " + text
    return [f"{text}{_gaps(facts)}"]


def is_simulated(facts: StudyFacts) -> bool:
    """Tell whether any signal of the study comes from the simulator."""
    return any(
        _about(stream).get("name") == "simulator"
        for session in facts.sessions
        for _, stream in session.used_streams()
    )


def stream_sentence(facts: StudyFacts, modality: str) -> str:
    """Say with what and at which rate a modality was recorded, in how many sessions."""
    groups: dict[tuple[str, float], list[float]] = {}
    n_sessions = 0
    for session in facts.sessions:
        found = [s for _, s in session.used_streams() if s.get("modality") == modality]
        n_sessions += bool(found)
        # Several streams of a modality differ in name only where two devices were worn.
        for stream in found[:1]:
            key = (device_of(stream), number_in(stream.get("nominal_sfreq_hz")))
            groups.setdefault(key, []).append(number_in(stream.get("estimated_sfreq_hz")))
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    simulated = all(device == _SIMULATOR for device, _ in groups)
    parts = []
    for k, ((device, nominal), measured) in enumerate(ordered):
        part = f"{'' if simulated else device}{_rate(nominal, measured)}".strip()
        if len(groups) > 1 or n_sessions < len(facts.sessions):
            total = f" of {count_of(len(facts.sessions), 'session')}" if k == 0 else ""
            part += f" in {len(measured)}{total}"
        parts.append(part)
    name = MODALITIES[modality]
    verb = "were" if modality == "rr" else "was"
    done = "simulated" if simulated else "recorded"
    return sentence(f"{name} {verb} {done} {listed(parts)}")


def _rate(nominal: float, measured: list[float]) -> str:
    if not nominal > 0:
        return " (irregular: each value has its own time)"
    known = finite(measured)
    said = f" at a nominal {nominal:g} Hz"
    if not len(known):
        return said
    decimals = 2 if nominal >= 10 else 3
    return f"{said} (measured {between(known, 'Hz', decimals)})"


def device_of(stream: Mapping[str, Any]) -> str:
    """Say what a stream was recorded with, as far as the recording tells.

    Addresses and serial numbers stay out of it: they identify a laboratory's device.
    """
    about = _about(stream)
    name = next((str(about[k]) for k in ("title", "model", "name", "device") if about.get(k)), "")
    if name == "simulator":
        return _SIMULATOR
    maker = next((str(about[k]) for k in ("maker", "manufacturer") if about.get(k)), "")
    inside = [
        md(maker) if maker.lower() not in name.lower() else "",
        f"model {md(about['model'])}" if about.get("model") and str(about["model"]) != name else "",
        f"firmware {md(about['firmware'])}" if about.get("firmware") else "",
        f"imported from {md(about['source_format'])}" if about.get("source_format") else "",
    ]
    said = ", ".join(part for part in inside if part)
    if not name:
        return f"with a device that the recording does not name{f' ({said})' if said else ''}"
    return f"with the device “{md(name)}”{f' ({said})' if said else ''}"


def _about(stream: Mapping[str, Any]) -> Mapping[str, Any]:
    about = stream.get("device")
    return about if isinstance(about, Mapping) else {}


def _gaps(facts: StudyFacts) -> str:
    """Say how much was lost in gaps, and nothing where nothing was."""
    said = []
    for modality in ("ecg", "bp", "eda", "resp"):
        lost = [
            number_in(stream.get("gaps_total_s"))
            for session in facts.sessions
            for _, stream in session.used_streams()
            if stream.get("modality") == modality and number_in(stream.get("n_gaps")) > 0
        ]
        if lost:
            name = {"ecg": "ECG", "bp": "continuous pressure", "eda": "EDA", "resp": "respiration"}
            said.append(
                f"{name[modality]} in {count_of(len(lost), 'session')} "
                f"({spread(lost, 's', 1)} lost)"
            )
    return f" Gaps occurred in {listed(said)}." if said else " No stream had a gap."


# ------------------------------------------------------------------------------- heart


def heart(facts: StudyFacts, cite: Cited) -> list[str]:
    """R peaks, their correction, and heart rate variability."""
    sessions = facts.with_stage("heart")
    if not sessions:
        return []
    text = [_detector(facts, sessions, cite), _correction(sessions, cite)]
    blocks = [" ".join(text), *_corrected_table(facts)]
    variability = _variability(facts, cite)
    return [*blocks, variability] if variability else blocks


def _detector(facts: StudyFacts, sessions: list[SessionFacts], cite: Cited) -> str:
    names = [str(session.stage("heart").get("detector", "")) for session in sessions]
    words = []
    for name in names:
        if name == "slope energy":
            words.append(
                "R peaks were detected in the ECG as recorded, from the energy of its slope in the "
                f"QRS band (4–25 Hz; after {cite.bare('pan')}), the sequence of beats being "
                f"decided as a whole by dynamic programming {cite('viterbi')}, and placed between "
                "samples by a parabola"
            )
        elif name.startswith("intervals"):
            words.append("beat intervals were taken as the device sent them")
        else:
            words.append(f"beats were found by {md(name)}")
    text = sentence(facts.clauses(words))
    left_out = [session.number("stages", "heart", "artifacts_s") for session in sessions]
    if any(x > 0 for x in left_out):
        n = total(sessions, "stages", "heart", "n_in_artifacts")
        held = [x for x in left_out if x > 0]
        text += (
            f" Stretches whose detections had neither the usual shape {cite('orphanidou')} nor "
            f"rhythm were left out as artefact: {count_of(n, 'detection')} in "
            f"{count_of(len(held), 'session')} ({spread(held, 's', 1)})."
        )
    return text


def _correction(sessions: list[SessionFacts], cite: Cited) -> str:
    n_beats = total(sessions, "stages", "heart", "n_beats")
    n_corrected = total(sessions, "stages", "heart", "n_corrected")
    shares = [100 * session.number("stages", "heart", "corrected_share") for session in sessions]
    kinds: Counter[str] = Counter()
    for session in sessions:
        by_kind = session.stage("heart").get("corrected_by_kind", {})
        if isinstance(by_kind, Mapping):
            kinds.update({str(kind): int(count) for kind, count in by_kind.items()})
    named = listed([f"{count} {md(kind)}" for kind, count in sorted(kinds.items())])
    how_many = (
        "no beat had to be corrected"
        if not n_corrected
        else f"{numbers(n_corrected)} of {numbers(n_beats)} beats "
        f"({fixed(100 * n_corrected / n_beats, 2)} %; per session {spread(shares, '%', 2)}) were "
        f"corrected{f' ({named})' if named else ''}"
    )
    return (
        "Ectopic, missed, extra and misplaced beats were sought with the algorithm of "
        f"{cite.named('lipponen')}; {how_many}. No beat was corrected and no interval formed "
        "across a gap in the recording."
    )


def corrected_per_phase(facts: StudyFacts) -> pd.DataFrame:
    """Share of corrected beats per phase over the sessions: median, range and how many are high.

    Columns: window, n, median, low, high (percent), flagged, withheld (sessions).
    """
    rows = facts.of_analysed("quality")
    if not {"session", "window", "kind", "corrected_share"} <= set(rows.columns):
        return pd.DataFrame(columns=["window", "n", "median", "low", "high", "flagged", "withheld"])
    rows = rows[(rows["kind"] == "phase") & rows["corrected_share"].notna()]
    limits = {s.name: s for s in facts.sessions}
    flag, withhold = (
        np.array(
            [
                limits[name].number("config", "correction", key) if name in limits else default
                for name in rows["session"].astype(str)
            ],
            dtype=float,
        )
        for key, default in (("flag_above", 0.05), ("withhold_above", 0.20))
    )
    share = rows["corrected_share"].to_numpy(dtype=float)
    table = pd.DataFrame(
        {
            "window": rows["window"].astype(str).to_numpy(),
            "share": 100 * share,
            "flagged": (share > flag) & (share <= withhold),
            "withheld": share > withhold,
        }
    )
    found = table.groupby("window", sort=False).agg(
        n=("share", "size"),
        median=("share", "median"),
        low=("share", "min"),
        high=("share", "max"),
        flagged=("flagged", "sum"),
        withheld=("withheld", "sum"),
    )
    order = [name for name in facts.phase_names if name in found.index]
    return found.loc[order or list(found.index)].reset_index()


def _corrected_table(facts: StudyFacts) -> list[str]:
    table = corrected_per_phase(facts)
    if not len(table):
        return []
    flag = facts.said("correction", "flag_above", percent)
    withhold = facts.said("correction", "withhold_above", percent)
    body = [
        [
            code(row.window),
            str(row.n),
            fixed(row.median, 2),
            between([row.low, row.high], "", 2),
            str(row.flagged),
            str(row.withheld),
        ]
        for row in table.itertuples()
    ]
    head = [
        "Phase",
        "Sessions",
        "Corrected beats, median (%)",
        "Range (%)",
        f"Flagged (above {flag or '5 %'})",
        f"Withheld (above {withhold or '20 %'})",
    ]
    return ["Corrected beats per phase:", pipe_table(head, body)]


def _variability(facts: StudyFacts, cite: Cited) -> str:
    """Windows, spectra, bands and cautions of heart rate variability."""
    present = [name for name in sorted(facts.features) if name.startswith("HRV_")]
    if not present:
        return ""
    standards = cite.named("task_force")
    text = [f"Heart rate variability (HRV) follows the standards of the {standards}."]
    if "HRV_RMSSD" in present:
        text.append("Successive differences (RMSSD) rest on intervals that touch each other.")
    spectral = [name for name in present if name in _BANDED]
    if spectral:
        text += _spectra(facts, cite, spectral)
    if "HRV_SD1" in present:
        text.append(f"Poincaré indices are those of {cite.named('brennan')}.")
    if "HRV_SampEn" in present:
        text.append(
            "Sample entropy used templates of two intervals and a tolerance of 0.2 standard "
            f"deviations {cite('richman')}."
        )
    if "HRV_DFA_alpha1" in present:
        text.append(
            f"The short-term scaling exponent (DFA α1) used boxes of 4 to 16 beats {cite('peng')}."
        )
    text += _gates(present, cite)
    text.append(_beat_limits(facts))
    text.append(_speech(facts))
    return " ".join(part for part in text if part)


_SIMULATOR = "by the simulator"
_BANDED = {
    "HRV_VLF": "vlf_hz",
    "HRV_LF": "lf_hz",
    "HRV_HF": "hf_hz",
    "HRV_LnHF": "hf_hz",
}


def _spectra(facts: StudyFacts, cite: Cited, spectral: list[str]) -> list[str]:
    used = facts.setting("hrv", "frequency_method")
    how = facts.said("hrv", "frequency_method", lambda x: _spectrum(str(x), cite))
    resampled = (
        "The tachogram, each interval placed at the beat that ends it, was resampled at 4 Hz with "
        "cubic splines. "
        if "welch" in used or "ar" in used
        else ""
    )
    bands: list[str] = []
    for name, key in _BANDED.items():
        label = key[:-3].upper()
        if name in spectral and not any(text.startswith(label) for text in bands):
            bands.append(f"{label} ({facts.said('hrv', key, band)})")
    text = [f"{resampled}Power spectral density was estimated {how}."]
    text.append(f"Power (ms²) was integrated over {listed(bands)}.")
    logs = [name for name in ("HRV_LnHF", "HRV_lnRMSSD") if name in facts.features]
    if logs:
        names = listed({"HRV_LnHF": "HF power", "HRV_lnRMSSD": "RMSSD"}[name] for name in logs)
        text.append(f"Natural logarithms of {names} were computed.")
    bridged = facts.reasons_with("are bridged", ("phase", "interaction", "phase_last"))
    if bridged:
        text.append(
            "Only for spectra, gaps of up to 10 s and 5 % of a window were bridged by a straight "
            f"line ({count_of(bridged, 'window')}, flagged)."
        )
    return text


def _spectrum(method: str, cite: Cited) -> str:
    """How a spectrum was estimated."""
    if method == "welch":
        return (
            "by Welch's method (Hann segments of 256 s, or of the whole window where it is "
            f"shorter, 50 % overlap, linear trend removed from each segment; {cite.bare('welch')})"
        )
    if method == "lomb":
        return (
            "by the Lomb–Scargle periodogram of the unevenly spaced intervals (linear trend "
            f"removed; {cite.bare('laguna')})"
        )
    if method == "ar":
        return (
            "by an autoregressive model (Burg, order 16, linear trend removed, density "
            f"integrated; {cite.bare('boardman')})"
        )
    return f"by {md(method)}"


def _gates(present: list[str], cite: Cited) -> list[str]:
    """How long a window must be, for the indices that are there."""
    from physio_hqc.features import GATES

    asked = [name for name in ("HRV_RMSSD", "HRV_SDNN", "HRV_HF", "HRV_LF") if name in present]
    if not asked:
        return []
    parts = [
        f"{name.removeprefix('HRV_')} {GATES[name].minimum_s:g} s (recommended "
        f"{GATES[name].recommended_s:g} s)"
        for name in asked
    ]
    text = (
        f"Shorter windows than these gave no value: {listed(parts)}; values from windows below the "
        f"recommended length carry a caution {cite('task_force', 'laborde')}. Values of windows of "
        f"which less than {100 * FULL_SHARE:g} % was usable carry that share as a caution, as a "
        "few wrong beats then weigh more."
    )
    return [text]


def _beat_limits(facts: StudyFacts) -> str:
    flag = facts.said("correction", "flag_above", percent)
    withhold = facts.said("correction", "withhold_above", percent)
    if not flag or not withhold:
        return ""
    return (
        f"HRV of windows with more than {flag} corrected beats was flagged, with more than "
        f"{withhold} withheld."
    )


def _speech(facts: StudyFacts) -> str:
    """The caution on breathing in phases with speech, and to how many windows it applied."""
    if not facts.speech_phases:
        return ""
    if not facts.features & {"HRV_HF", "HRV_LnHF", "RSA_PorgesBohrer"}:
        return ""
    rows = facts.windows
    speaking = rows[rows["kind"].isin(("phase", "interaction")) & rows["speech"].astype(bool)]
    inside = (speaking["kind"] == "interaction").any()
    names = listed(code(name) for name in facts.speech_phases)
    least = facts.said("hrv", "min_breathing_in_hf", percent)
    known = speaking.get("breathing_in_hf", pd.Series(False, index=speaking.index)).astype(bool)
    return (
        f"Participants spoke in {names}{' and in interaction windows there' if inside else ''}. "
        "Speech moves breathing out of the HF band; HF power and "
        "respiratory sinus arrhythmia there carry the caution that they are no measure of vagal "
        f"activity, unless at least {least or '80 %'} of breathing was shown to lie inside the "
        f"band: this was so in {int(known.sum())} of {count_of(len(speaking), 'such window')}."
    )


# ------------------------------------------------------------------------------- respiration


def respiration(facts: StudyFacts, cite: Cited) -> list[str]:
    """Breathing, recorded or read from the heart, and respiratory sinus arrhythmia."""
    if not facts.sessions:
        return []
    text = []
    belt = facts.with_stage("resp")
    if belt:
        n, valid = (total(belt, "stages", "resp", key) for key in ("n_breaths", "n_valid"))
        text.append(
            f"Breaths were delimited in the recorded respiration after {cite.named('schafer')}"
            f"{_where(facts, belt)}; {numbers(valid)} of {numbers(n)} were valid."
        )
    inferred = facts.with_stage("respiration")
    if inferred:
        shares = [100 * s.number("stages", "respiration", "valid_share") for s in inferred]
        from_ecg = any(s.stage("respiration").get("source") == "ecg" for s in inferred)
        of_what = "beat intervals and of the height of the R wave" if from_ecg else "beat intervals"
        none = "Respiration was not recorded" if not belt else "Where respiration was not recorded"
        text.append(
            f"{none}{';' if not belt else ','} breathing rate was estimated from the modulation of "
            f"{of_what} {cite('charlton')}{_where(facts, inferred)}; stretches of 32 s with a "
            f"rate: {spread(shares, '%', 1)} per session."
        )
    if "RSA_PorgesBohrer" in facts.features:
        text.append(
            f"Respiratory sinus arrhythmia was quantified after {cite.named('porges')}; see also "
            f"{cite.named('lewis')}: intervals resampled at 2 Hz, a 21-point moving cubic "
            "polynomial removed, band-pass 0.12–0.40 Hz, mean natural logarithm of the variance "
            "of 30-s epochs."
        )
    if "RSA_P2T_Mean" in facts.features:
        text.append(
            "Peak-to-valley respiratory sinus arrhythmia was computed breath by breath "
            f"{cite('grossman')}."
        )
    return [" ".join(text)] if text else []


def _where(facts: StudyFacts, sessions: list[SessionFacts]) -> str:
    """Say in how many sessions, where it was not in all."""
    if len(sessions) == len(facts.sessions):
        return ""
    return f" in {len(sessions)} of {count_of(len(facts.sessions), 'session')}"


# ------------------------------------------------------------------------------- pressure


def pressure(facts: StudyFacts, cite: Cited) -> list[str]:
    """Blood pressure by cuff and beat by beat, and the baroreflex."""
    blocks = []
    if facts.with_stage("cuff"):
        blocks += _cuff(facts, cite)
    if facts.with_stage("bp"):
        blocks.append(_waveform(facts, cite))
    reflex = _baroreflex(facts, cite) if facts.with_stage("bp") else ""
    return [*blocks, reflex] if reflex else blocks


def _cuff(facts: StudyFacts, cite: Cited) -> list[str]:
    sessions = facts.with_stage("cuff")
    given = total(sessions, "stages", "cuff", "n_readings")
    sbp, dbp = (
        facts.said("pressure", f"{name}_mmhg", lambda x: f"{x[0]:g}–{x[1]:g} mmHg")
        for name in ("sbp", "dbp")
    )
    smallest = facts.said("pressure", "pulse_pressure_min_mmhg", lambda x: f"{x:g} mmHg")
    text = [
        (
            f"In all, {count_of(given, 'cuff reading')} were taken in "
            f"{count_of(len(sessions), 'session')}. A reading was valid if systolic (SBP) "
            f"exceeded diastolic pressure (DBP), SBP lay within {sbp}, DBP within {dbp}, and pulse "
            f"pressure was at least {smallest}."
        )
    ]
    text.append(_invalid(facts))
    first = [bool(s.at("protocol", "baseline", "discard_first_cuff")) for s in sessions]
    if any(first):
        many = "" if all(first) else f" in {sum(first)} of {count_of(len(first), 'session')}"
        text.append(f"The first baseline reading was discarded, as planned{many}.")
    text.append(f"Valid readings of a window were averaged {cite('shapiro')}.")
    text.append(mean_pressure(facts))
    table = _readings_table(facts)
    return [" ".join(part for part in text if part), *table]


def _invalid(facts: StudyFacts) -> str:
    rows = facts.of_analysed("cuff")
    if not {"valid", "reason"} <= set(rows.columns) or not len(rows):
        return ""
    wrong = rows[~rows["valid"].astype(bool)]
    if not len(wrong):
        return "All readings were valid."
    why = wrong["reason"].astype(str).value_counts()
    named = listed(f"{md(reason)} ({why[reason]})" for reason in sorted(why.index))
    return f"{numbers(len(wrong))} of {count_of(len(rows), 'reading')} were not valid: {named}."


def mean_pressure(facts: StudyFacts) -> str:
    """How mean arterial pressure came about."""
    rows = facts.of_analysed("features_long")
    if "CUFF_MAP_Mean" not in facts.features:
        return ""
    phase = rows[rows["kind"] == "phase"] if "kind" in rows.columns else rows
    computed, all_readings = (
        int(np.nansum(phase.loc[phase["feature"] == name, "value"].to_numpy(dtype=float)))
        for name in ("CUFF_MAP_Computed_N", "CUFF_N")
    )
    formula = "(SBP + 2 × DBP) / 3"
    if not computed:
        return "Mean arterial pressure (MAP) is that of the monitor."
    if computed == all_readings:
        return f"Mean arterial pressure (MAP) was computed as {formula}."
    return (
        f"Mean arterial pressure (MAP) is that of the monitor or, for {computed} of "
        f"{count_of(all_readings, 'reading')} without one, {formula}."
    )


def readings_per_phase(facts: StudyFacts) -> pd.DataFrame:
    """Cuff readings per phase and session: planned, taken, valid, required.

    Columns: window, planned (text), sessions, taken_median, taken_low, taken_high, valid_median,
    valid_low, valid_high, required (NaN where nothing requires any), short (sessions below it).
    """
    rows = facts.of_analysed("cuff")
    names = [session.name for session in facts.with_stage("cuff")]
    columns = {"session", "window", "valid"}
    if not names or not columns <= set(rows.columns) or not len(rows):
        return pd.DataFrame()
    records = {session.name: session for session in facts.sessions}
    found = []
    for phase in facts.phase_names:
        inside = rows[rows["window"].astype(str) == phase]
        taken = inside["session"].astype(str).value_counts().reindex(names, fill_value=0)
        good = inside[inside["valid"].astype(bool)]["session"].astype(str).value_counts()
        good = good.reindex(names, fill_value=0)
        required = np.array([_required(records[name], phase) for name in names], dtype=float)
        planned = finite(_planned(records[name], phase) for name in names)
        found.append(
            {
                "window": phase,
                "planned": between(planned, "", 0) if len(planned) else "not planned",
                "sessions": len(names),
                **{f"taken_{k}": float(v) for k, v in _three(taken).items()},
                **{f"valid_{k}": float(v) for k, v in _three(good).items()},
                "required": _needed(required, facts, phase),
                "short": int((good.to_numpy(dtype=float) < required).sum()),
            }
        )
    return pd.DataFrame(found)


def _needed(required: np.ndarray, facts: StudyFacts, phase: str) -> str:
    """Valid readings that a phase needs; only the baseline cannot be scored with fewer."""
    if not np.isfinite(required).any():
        return "–"
    said = between(required, "", 0)
    baselines = {str(protocol.get("baseline", {}).get("phase")) for protocol in facts.protocols}
    return said if phase in baselines else f"{said}, else flagged"


def _three(counts: pd.Series) -> dict[str, float]:
    return {"median": counts.median(), "low": counts.min(), "high": counts.max()}


def _required(session: SessionFacts, phase: str) -> float:
    """Valid readings that a phase needs: the protocol's for its baseline, else the settings'."""
    if session.at("protocol", "baseline", "phase") == phase:
        least = session.number("protocol", "baseline", "min_cuff_readings")
        if np.isfinite(least):
            return least
    return session.number("config", "pressure", "cuff_min_readings")


def _planned(session: SessionFacts, phase: str) -> float:
    phases = session.at("protocol", "phases", default=[])
    for entry in phases if isinstance(phases, list) else []:
        if isinstance(entry, Mapping) and entry.get("name") == phase:
            planned = entry.get("cuff_at_s")
            return float(len(planned)) if isinstance(planned, list) else float("nan")
    return float("nan")


def _readings_table(facts: StudyFacts) -> list[str]:
    table = readings_per_phase(facts)
    if not len(table):
        return []

    def three(row: Any, what: str) -> str:
        low, middle, high = (getattr(row, f"{what}_{k}") for k in ("low", "median", "high"))
        return f"{low:g}" if low == high else f"{middle:g} ({low:g}–{high:g})"

    body = [
        [
            code(row.window),
            row.planned,
            three(row, "taken"),
            three(row, "valid"),
            row.required,
            f"{row.short} of {row.sessions}",
        ]
        for row in table.itertuples()
    ]
    head = [
        "Phase",
        "Planned",
        "Taken per session, median (range)",
        "Valid, median (range)",
        "Required",
        "Sessions below",
    ]
    return ["Cuff readings per phase:", pipe_table(head, body)]


def _waveform(facts: StudyFacts, cite: Cited) -> str:
    sessions = facts.with_stage("bp")
    n, valid = (total(sessions, "stages", "bp", key) for key in ("n_beats", "n_valid"))
    shares = [
        100 * s.number("stages", "bp", "n_valid") / s.number("stages", "bp", "n_beats")
        for s in sessions
        if s.number("stages", "bp", "n_beats") > 0
    ]
    why: Counter[str] = Counter()
    for session in sessions:
        reasons = session.stage("bp").get("not_valid", {})
        if isinstance(reasons, Mapping):
            why.update({str(reason): int(count) for reason, count in reasons.items()})
    named = listed(f"{md(reason)} ({numbers(count)})" for reason, count in sorted(why.items()))
    sbp, dbp = (
        facts.said("pressure", f"waveform_{name}_mmhg", lambda x: f"{x[0]:g}–{x[1]:g} mmHg")
        for name in ("sbp", "dbp")
    )
    smallest = facts.said("pressure", "pulse_pressure_min_mmhg", lambda x: f"{x:g} mmHg")
    return (
        "In continuous blood pressure each pulse gave SBP (its highest pressure), DBP (the lowest "
        "before its upstroke) and MAP (the area from foot to foot divided by its duration). "
        f"Pulses outside SBP {sbp} or DBP {dbp}, with a pulse pressure below {smallest}, or "
        f"disturbed in shape or by calibration were left out: of {numbers(n)} pulses "
        f"{numbers(valid)} were valid (per session {spread(shares, '%', 1)}"
        f"{f'; not valid: {named}' if named else ''}). Valid pulses of a window were averaged "
        f"{cite('shapiro')}."
    )


def _baroreflex(facts: StudyFacts, cite: Cited) -> str:
    text = []

    def said(name: str) -> str:
        return facts.said("pressure", name, lambda x: f"{x:g}")

    if "BRS_Sequence" in facts.features:
        lag = facts.setting("pressure", "brs_lag_beats")
        delays = listed(
            "in the same beat" if x == 0 else f"{count_of(int(x), 'beat')} later" for x in lag
        )
        text.append(
            f"by the sequence method (at least {said('brs_min_beats')} beats in which SBP changed "
            f"by at least {said('brs_sbp_step_mmhg')} mmHg and the RR interval, {delays}, by at "
            f"least {said('brs_rr_step_ms')} ms in the same direction, r > {said('brs_min_r')}; "
            f"{cite.bare('bertinieri')})"
        )
    if "BRS_xBRS" in facts.features:
        text.append(
            "by cross-correlation in 10-s stretches (xBRS, p < .01, at least "
            f"{said('xbrs_min')} estimates; {cite.bare('westerhof')})"
        )
    if facts.any_feature("BRS_TF_LF", "BRS_TF_HF"):
        text.append(
            "as the gain of the transfer function from SBP to RR intervals where their coherence "
            f"was at least {said('brs_min_coherence')} {cite('robbe')}"
        )
    return f"Baroreflex sensitivity (ms/mmHg) was estimated {listed(text)}." if text else ""


# ------------------------------------------------------------------------------- skin


def skin(facts: StudyFacts, cite: Cited) -> list[str]:
    """Skin conductance: level, responses and artefacts."""
    sessions = facts.with_stage("eda")
    if not sessions:
        return []
    methods = [_decomposition(str(s.stage("eda").get("decomposition", "")), cite) for s in sessions]
    criterion = facts.differing(
        [f"{s.number('stages', 'eda', 'scr_amplitude_min_us'):g} µS" for s in sessions]
    )
    n = total(sessions, "stages", "eda", "n_scr")
    silent = sum(session.number("stages", "eda", "n_scr") == 0 for session in sessions)
    none = (
        f"{count_of(silent, 'session')} showed none (non-responders)"
        if silent
        else "every session showed at least one"
    )
    text = (
        f"Skin conductance was separated into a tonic and a phasic part "
        f"{facts.differing(methods)}. Skin conductance level (SCL) is the mean of the tonic part "
        "(µS). A skin conductance response (SCR) had an absolute amplitude of at least "
        f"{criterion} and a rise of 0.5–5 s {cite('boucsein')}; responses riding on the decay "
        "of an earlier one were counted too. Spontaneous and evoked responses were not told "
        "apart; their rate (1/min) refers to usable signal, mean amplitudes to the responses "
        f"that occurred. In all, {count_of(n, 'response')} were found; {none}. "
        f"{_eda_artifacts(sessions, cite)}{_transformed(facts)}"
    )
    return [text]


def _decomposition(method: str, cite: Cited) -> str:
    """How tonic and phasic part were told apart."""
    if method == "deconvolution":
        return (
            "by undoing the exponential decay of responses (time constant 2 s; after "
            f"{cite.bare('benedek')}) and fitting a penalized least-squares line between them "
            f"{cite('eilers')}"
        )
    if method == "cvxeda":
        return f"by convex optimization (cvxEDA; {cite.bare('greco')})"
    if method == "highpass":
        return "by a zero-phase second-order Butterworth high-pass filter at 0.05 Hz"
    return f"by {md(method)}"


def _transformed(facts: StudyFacts) -> str:
    """Say whether skin conductance was transformed before it was tested."""
    tested = facts.column("statistics", "outcome").astype(str)
    logs = [name for name in dict.fromkeys(tested) if name.startswith(("ln EDA", "ln SCR"))]
    if logs:
        return f" Natural logarithms were tested of {listed(code(n[3:]) for n in logs)}."
    return " No transformation or range correction was applied."


def eda_lost(sessions: list[SessionFacts]) -> list[float]:
    """Percent of the EDA of each session that was lost to artefacts."""
    lost = []
    for session in sessions:
        name = str(session.stage("eda").get("stream", ""))
        stream = dict(session.used_streams()).get(name, {})
        gaps = number_in(stream.get("gaps_total_s"))
        whole = number_in(stream.get("t_end_s")) - number_in(stream.get("t_start_s"))
        whole -= gaps if np.isfinite(gaps) else 0.0
        lost.append(100 * session.number("stages", "eda", "artifacts_s") / whole)
    return lost


def _eda_artifacts(sessions: list[SessionFacts], cite: Cited) -> str:
    why: Counter[str] = Counter()
    for session in sessions:
        reasons = session.stage("eda").get("artifacts", {})
        if isinstance(reasons, Mapping):
            why.update({str(reason): int(count) for reason, count in reasons.items()})
    lost = eda_lost(sessions)
    rule = (
        "Signal outside 0.05–60 µS or changing faster than 10 µS/s (with 5 s around; "
        f"{cite.bare('kleckner')}), clipped, unchanging for 20 s, or moving as sweat cannot was "
        "left out: "
    )
    if not why:
        return f"{rule}none was found."
    named = listed(f"{md(reason)} ({numbers(count)})" for reason, count in sorted(why.items()))
    return f"{rule}{spread(lost, '%', 2)} of the recording per session; stretches: {named}."
