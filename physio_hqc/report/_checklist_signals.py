"""Checklists on what was recorded from the heart, the skin and by pressure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from physio_hqc.report._checklist import Entry, by_authors, without_sessions, yes
from physio_hqc.report._study_facts import (
    StudyFacts,
    band,
    between,
    code,
    count_of,
    finite,
    fixed,
    length,
    listed,
    md,
    number_in,
    numbers,
    spread,
)
from physio_hqc.report._study_text_signals import (
    corrected_per_phase,
    eda_lost,
    is_simulated,
    mean_pressure,
    readings_per_phase,
    stream_sentence,
)

_HEART = "Methods: Heart beats and heart rate variability"
_SIMULATED = "simulated here"
_INSTRUCTIONS = "planned instructions: Participants and setting"


def _device(facts: StudyFacts, item: str, *modalities: str) -> Entry:
    """Say with what a modality was recorded; a device without a name is for the authors."""
    sentences = [stream_sentence(facts, m) for m in modalities if facts.with_modality(m)]
    text = " ".join(sentences)
    if is_simulated(facts):
        return _worn(facts, item)
    if "does not name" in text:
        return by_authors(item, "the recording does not name the device in every session")
    return yes(item, text)


def _worn(facts: StudyFacts, item: str, hint: str = "") -> Entry:
    """An item on how a device was worn, which only the authors know; a simulation has none."""
    return by_authors(item, _SIMULATED if is_simulated(facts) else hint)


def planned_instructions(facts: StudyFacts) -> str:
    """Say what the protocol told participants, phase by phase."""
    parts = [
        f"{code(phase.get('name', ''))}: “{md(phase['instructions'])}”"
        for protocol in facts.protocols[:1]
        for phase in protocol.get("phases") or ()
        if isinstance(phase, Mapping) and phase.get("instructions")
    ]
    return "; ".join(parts)


# ------------------------------------------------------------------------------- heart


def heart(facts: StudyFacts) -> list[Entry] | str:
    """Heart rate and heart rate variability."""
    if not facts.with_stage("heart"):
        if facts.from_table:
            return without_sessions(facts, "heart beats", "were", "ECG_", "HRV_", "RSA_", "PPG_")
        return "Does not apply: no ECG and no beat intervals were recorded."
    return [
        _device(facts, "Device, brand, model, firmware (GRAPH 2a)", "ecg", "rr"),
        _worn(facts, "Electrode type and configuration, skin preparation (GRAPH 2a)"),
        yes("Sampling rate, nominal and measured (GRAPH 2b)", _rates(facts, "ecg")),
        yes("Length of the recording and of the windows analysed (GRAPH 2b)", _lengths(facts)),
        _start_times(facts),
        yes(
            "Filtering (GRAPH 2b)",
            "none before detection, which uses the energy of the slope in the QRS band (4–25 Hz)"
            if facts.with_modality("ecg")
            else "none: the device sent intervals",
        ),
        _worn(facts, "Filters and detector inside the device"),
        _worn(facts, "Posture and movement (GRAPH 2b)", _planned(facts)),
        yes("R-peak detection and sub-sample placement (GRAPH 3a)", _HEART),
        yes("Resampling of RR intervals (GRAPH 3a)", _resampling(facts)),
        yes(
            "Identification of artefacts, algorithm or manual (GRAPH 3b)",
            "algorithm (Lipponen & Tarvainen, 2019); no inspection by hand in the software",
        ),
        yes("Data loss and its reasons (GRAPH 3c)", _heart_loss(facts)),
        yes("Cleaning, percentage of corrected beats (GRAPH 3d)", _corrected(facts)),
        yes("Metrics and software (GRAPH 4a)", _metrics(facts)),
        yes("Logarithmic transformation (GRAPH 4a)", _logs(facts)),
        yes("Frequency bands (GRAPH 4b)", _bands(facts)),
        by_authors(
            "Interpretation of the bands (GRAPH 4b)",
            "LF/HF is not accepted as an index of sympathovagal balance",
        ),
        yes("Spectral method, segments, detrending", _spectrum(facts)),
        yes("Respiration: recorded or inferred", _breathing(facts)),
        yes("Speech in the windows", _speech(facts)),
        yes("Windows shorter than recommended are marked", _short(facts)),
        _worn(facts, "Validation of the device against a reference ECG"),
        by_authors(
            "Factors that act on HRV: body mass, fitness, caffeine, nicotine, medication, "
            "menstrual cycle, sleep"
        ),
    ]


def _rates(facts: StudyFacts, modality: str) -> str:
    nominal, measured = [], []
    for session in facts.sessions:
        for _, stream in session.used_streams():
            if stream.get("modality") == modality:
                nominal.append(f"{number_in(stream.get('nominal_sfreq_hz')):g} Hz")
                measured.append(number_in(stream.get("estimated_sfreq_hz")))
    if not nominal:
        return "none: beat intervals, each with its own time" if modality == "ecg" else ""
    return f"nominal {facts.differing(nominal)}; measured {between(measured, 'Hz', 2)}"


def _lengths(facts: StudyFacts) -> str:
    lasted = [session.number("input", "duration_s") / 60 for session in facts.sessions]
    rows = facts.windows
    parts = []
    if len(finite(lasted)):
        parts.append(f"sessions {spread(lasted, 'min', 1)}")
    if "kind" in rows:
        parts += [
            f"{code(name)} {length(float(np.median(finite(group['duration']))))}"
            for name, group in rows[rows["kind"] == "phase"].groupby("window", sort=False)
        ]
    return "; ".join(parts)


def _start_times(facts: StudyFacts) -> Entry:
    """Time of day, where the run records hold it."""
    item = "Time of day of the sessions (GRAPH 2b)"
    starts = sorted(
        str(s.at("input", "started_utc"))[11:16]
        for s in facts.sessions
        if s.at("input", "started_utc")
    )
    if not starts or is_simulated(facts):
        return _worn(facts, item)
    return yes(item, f"sessions began between {md(starts[0])} and {md(starts[-1])} UTC")


def _planned(facts: StudyFacts) -> str:
    """Point to the instructions of the protocol, where it has any."""
    return _INSTRUCTIONS if planned_instructions(facts) else ""


def _resampling(facts: StudyFacts) -> str:
    used = facts.setting("hrv", "frequency_method")
    if not facts.any_feature("HRV_HF", "HRV_LF", "HRV_VLF"):
        return "none: no spectrum was computed"
    parts = {"welch": "4 Hz, cubic splines", "ar": "4 Hz, cubic splines", "lomb": "none"}
    return listed(dict.fromkeys(parts.get(str(name), md(name)) for name in used))


def _heart_loss(facts: StudyFacts) -> str:
    gaps = [
        float(stream.get("gaps_total_s") or 0)
        for session in facts.sessions
        for _, stream in session.used_streams()
        if stream.get("modality") == "ecg"
    ]
    left_out = [s.number("stages", "heart", "artifacts_s") for s in facts.with_stage("heart")]
    parts = []
    if gaps:
        parts.append(f"gaps in {sum(g > 0 for g in gaps)} of {count_of(len(gaps), 'ECG stream')}")
    known = finite(left_out)
    if len(known):
        parts.append(
            f"stretches of artefact in {int((known > 0).sum())} of "
            f"{count_of(len(known), 'session')} ({fixed(float(known.sum()), 1)} s in all)"
        )
    unsearched: dict[str, float] = {}
    for session in facts.with_stage("heart"):
        reasons = session.stage("heart").get("not_searched_s", {})
        for reason, seconds in reasons.items() if isinstance(reasons, dict) else ():
            unsearched[str(reason)] = unsearched.get(str(reason), 0.0) + float(seconds)
    parts += [f"not searched, {md(r)}: {fixed(s, 1)} s" for r, s in sorted(unsearched.items())]
    return "; ".join(parts)


def _corrected(facts: StudyFacts) -> str:
    table = corrected_per_phase(facts)
    if not len(table):
        return ""
    parts = [
        f"{code(row.window)} {fixed(row.median, 2)} % ({between([row.low, row.high], '', 2)})"
        for row in table.itertuples()
    ]
    return f"median (range) per phase: {'; '.join(parts)}"


def _metrics(facts: StudyFacts) -> str:
    names = sorted(n for n in facts.features if n.startswith(("HRV_", "ECG_", "RSA_")))
    return ", ".join(code(name) for name in names)


def _logs(facts: StudyFacts) -> str:
    names = [n for n in ("HRV_LnHF", "HRV_lnRMSSD") if n in facts.features]
    outcomes = dict.fromkeys(facts.column("statistics", "outcome").astype(str))
    tested = [name for name in outcomes if name.startswith("ln ") or name in names]
    if not names and not tested:
        return "none"
    return (
        f"computed: {listed(code(n) for n in names) or 'none'}; tested: "
        f"{listed(code(n) for n in tested) or 'none'}"
    )


def _bands(facts: StudyFacts) -> str:
    parts = [
        f"{key[:-3].upper()} {facts.said('hrv', key, band)}"
        for name, key in (("HRV_VLF", "vlf_hz"), ("HRV_LF", "lf_hz"), ("HRV_HF", "hf_hz"))
        if name in facts.features
    ]
    if not parts:
        return "no spectrum was computed"
    return "; ".join(parts)


def _spectrum(facts: StudyFacts) -> str:
    if not facts.any_feature("HRV_HF", "HRV_LF", "HRV_VLF"):
        return "no spectrum was computed"
    return f"{facts.said('hrv', 'frequency_method', lambda x: md(x))}; {_HEART}"


def _breathing(facts: StudyFacts) -> str:
    belt, inferred = len(facts.with_stage("resp")), len(facts.with_stage("respiration"))
    total = count_of(len(facts.sessions), "session")
    parts = [f"recorded in {belt} of {total}"] if belt else [f"not recorded ({total})"]
    if inferred:
        parts.append(f"rate inferred from the heart in {inferred}")
    return "; ".join(parts)


def _speech(facts: StudyFacts) -> str:
    if not facts.phase_names:
        return ""
    names = listed(code(name) for name in facts.speech_phases)
    return f"speech in {names}" if names else "no phase with speech"


def _short(facts: StudyFacts) -> str:
    n = facts.reasons_with("recommended", ("phase", "phase_last", "interaction"))
    return f"{count_of(n, 'window')} with at least one value below its recommended length, flagged"


# ------------------------------------------------------------------------------- skin


def skin(facts: StudyFacts) -> list[Entry] | str:
    """Electrodermal activity."""
    sessions = facts.with_stage("eda")
    if not sessions:
        if facts.from_table:
            return without_sessions(facts, "electrodermal activity", "was", "EDA_", "SCR_")
        return "Does not apply: no EDA was recorded."
    criterion = facts.differing(
        [f"{s.number('stages', 'eda', 'scr_amplitude_min_us'):g} µS" for s in sessions]
    )
    method = facts.differing([md(s.stage("eda").get("decomposition", "")) for s in sessions])
    silent = sum(s.number("stages", "eda", "n_scr") == 0 for s in sessions)
    latency = facts.said("eda", "scr_latency_s", lambda x: f"{x[0]:g}–{x[1]:g} s")
    return [
        _device(facts, "Device, model, firmware", "eda"),
        _worn(
            facts, "Exosomatic or endosomatic, DC or AC, constant voltage or current, and its value"
        ),
        _worn(facts, "Range and resolution of the device in µS, calibration"),
        _worn(facts, "Electrode type, area, electrolyte (gel) and its concentration"),
        _worn(facts, "Recording site and hand, preparation of the skin"),
        _worn(facts, "Room temperature and humidity"),
        _worn(facts, "Time between attaching electrodes and recording"),
        yes("Sampling rate, nominal and measured", _rates(facts, "eda")),
        yes("Unit", "µS"),
        yes("Decomposition into tonic and phasic part, parameters", f"{method}; Methods"),
        yes("Definition of skin conductance level", "mean of the tonic part in the window"),
        yes("Amplitude criterion of responses", f"{criterion}, absolute"),
        yes("Rise time and latency windows", f"rise 0.5–5 s; responses to events: {latency}"),
        yes("Kind of responses", "spontaneous and evoked alike, as rate per minute"),
        yes("Amplitude or magnitude", "mean amplitude over the responses that occurred, not zeros"),
        yes(
            "Non-responders", f"{silent} of {count_of(len(sessions), 'session')} without a response"
        ),
        yes("Transformation and range correction", "none"),
        yes(
            "Artefact rule and share lost",
            f"{spread(eda_lost(sessions), '%', 2)} lost; rules in Methods",
        ),
    ]


# ------------------------------------------------------------------------------- pressure


def pressure(facts: StudyFacts) -> list[Entry] | str:
    """Blood pressure."""
    cuff, wave = facts.with_stage("cuff"), facts.with_stage("bp")
    if not cuff and not wave:
        if facts.from_table:
            return without_sessions(facts, "blood pressure", "was", "CUFF_", "BP_", "BRS_")
        return "Does not apply: no blood pressure was recorded."
    kinds = []
    if cuff:
        kinds.append(f"intermittent (cuff) in {len(cuff)} sessions")
    if wave:
        kinds.append(f"continuous waveform in {len(wave)} sessions")
    entries = [
        yes("Intermittent or continuous", listed(kinds)),
        _worn(facts, "Principle: auscultatory, oscillometric, volume clamp, tonometry"),
        _device(facts, "Device and model", "cuff", "bp"),
        _worn(facts, "Validation protocol of the model, calibration of this device"),
        _worn(facts, "Arm or finger, cuff size and how it was chosen"),
        _worn(
            facts, "Position: seated, back and feet supported, cuff at heart level", _planned(facts)
        ),
        _worn(facts, "Rest before the first reading, room, food, caffeine, nicotine, exercise"),
    ]
    if cuff:
        entries += _cuff(facts)
    if wave:
        entries += _wave(facts)
    return entries


def _cuff(facts: StudyFacts) -> list[Entry]:
    table = readings_per_phase(facts)
    taken = ""
    if len(table):
        taken = "; ".join(
            f"{code(row.window)} {row.taken_median:g} taken, {row.valid_median:g} valid (medians)"
            for row in table.itertuples()
        )
    readings = facts.of_analysed("cuff")
    invalid = ""
    if "valid" in readings:
        n = int((~readings["valid"].astype(bool)).sum())
        invalid = f"{numbers(n)} of {count_of(len(readings), 'reading')} not valid; rule in Methods"
    first = [
        bool(s.at("protocol", "baseline", "discard_first_cuff")) for s in facts.with_stage("cuff")
    ]
    discarded = (
        "first baseline reading discarded" if any(first) else "no reading discarded by position"
    )
    return [
        yes("Number of readings per phase", taken),
        yes("Interval between readings", _interval(facts)),
        yes("Rule for invalid readings, how many", invalid),
        yes("Readings discarded by design", discarded),
        yes("Talking during readings", _talking(facts)),
        yes("Mean arterial pressure", _map(facts)),
        yes("Aggregation over readings", "mean of the valid readings of a window"),
        _worn(facts, "Who or what started the readings; observers, blinding, rounding"),
    ]


def _interval(facts: StudyFacts) -> str:
    """Time between readings of a phase."""
    rows = facts.of_analysed("cuff")
    if not {"session", "window", "time_s"} <= set(rows.columns):
        return ""
    inside = rows[rows["window"].fillna("").astype(str) != ""].sort_values(["session", "time_s"])
    apart = inside.groupby(["session", "window"])["time_s"].diff()
    known = finite(apart)
    return f"{spread(known, 's', 0)} within a phase" if len(known) else "one reading per phase"


def _talking(facts: StudyFacts) -> str:
    readings = facts.of_analysed("cuff")
    if "window" not in readings:
        return ""
    n = int(readings["window"].isin(facts.speech_phases).sum())
    return f"{numbers(n)} of {count_of(len(readings), 'reading')} were taken in phases with speech"


def _map(facts: StudyFacts) -> str:
    return mean_pressure(facts).removesuffix(".") or "not analysed"


def _wave(facts: StudyFacts) -> list[Entry]:
    sessions = facts.with_stage("bp")
    shares = [
        100 * s.number("stages", "bp", "n_valid") / s.number("stages", "bp", "n_beats")
        for s in sessions
        if s.number("stages", "bp", "n_beats") > 0
    ]
    return [
        yes("Sampling rate, nominal and measured", _rates(facts, "bp")),
        yes("Definition of SBP, DBP, MAP of a pulse", "Methods: Blood pressure"),
        yes(
            "Pulses left out", f"valid pulses per session {spread(shares, '%', 1)}; rule in Methods"
        ),
        _worn(facts, "Height correction, physiological calibration of the device"),
        yes(
            "Baroreflex sensitivity: method and parameters",
            "Methods: Blood pressure" if facts.any_feature("BRS_") else "not computed",
        ),
    ]
