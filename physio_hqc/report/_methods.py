"""What was done, in words that a methods section can take over, and the run record below it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from physio_hqc.report._format import DASH, clock, esc, listed, number, percent, plural
from physio_hqc.report._html import lead_in, table

if TYPE_CHECKING:
    from physio_hqc.report._facts import Facts

LIPPONEN = (
    "Lipponen J. A., Tarvainen M. P. (2019). Journal of Medical Engineering & Technology 43, 173. "
    "doi:10.1080/03091902.2019.1640306"
)
TASK_FORCE = "Task Force (1996). Circulation 93, 1043. doi:10.1161/01.CIR.93.5.1043"
QUIGLEY = "Quigley K. S. et al. (2024). Psychophysiology 61, e14604. doi:10.1111/psyp.14604"
QUINTANA = "Quintana D. S. et al. (2016). Translational Psychiatry 6, e803. doi:10.1038/tp.2016.73"
SHAPIRO = "Shapiro D. et al. (1996). Psychophysiology 33, 1. doi:10.1111/j.1469-8986.1996.tb02103.x"
BOUCSEIN = (
    "Boucsein W. et al. (2012). Psychophysiology 49, 1017. doi:10.1111/j.1469-8986.2012.01384.x"
)
BERTINIERI = "Bertinieri G. et al. (1985). Journal of Hypertension 3 (suppl. 3), S79"
GRECO = "Greco A. et al. (2016). IEEE Trans Biomed Eng 63, 797. doi:10.1109/TBME.2015.2474131"
LLABRE = (
    "Llabre M. M. et al. (1991). Psychophysiology 28, 701. doi:10.1111/j.1469-8986.1991.tb01017.x"
)
ORPHANIDOU = (
    "Orphanidou C. et al. (2015). IEEE J Biomed Health Inform 19, 832. "
    "doi:10.1109/JBHI.2014.2338351"
)
SCHAEFER = (
    "Schäfer A., Kratky K. W. (2008). Annals of Biomedical Engineering 36, 476. "
    "doi:10.1007/s10439-007-9428-1"
)
CHARLTON = (
    "Charlton P. H. et al. (2016). Physiological Measurement 37, 610. "
    "doi:10.1088/0967-3334/37/4/610"
)
PORGES = (
    "Porges S. W., Bohrer R. E. (1990). In: Principles of psychophysiology. Cambridge University "
    "Press, 708"
)
WESTERHOF = (
    "Westerhof B. E. et al. (2004). Journal of Hypertension 22, 1371. "
    "doi:10.1097/01.hjh.0000125439.28861.ed"
)
MNE = "Gramfort A. et al. (2013). Frontiers in Neuroscience 7, 267. doi:10.3389/fnins.2013.00267"

_DETECTORS = {
    "slope energy": "the energy of the slope in the QRS band (after Pan & Tompkins 1985), the "
    "sequence of beats being decided as a whole (Viterbi 1967)",
}
_DECOMPOSITIONS = {
    "highpass": "a high-pass filter at 0.05 Hz",
    "cvxeda": "cvxEDA (Greco et al. 2016)",
    "deconvolution": "deconvolution with a biexponential response",
}

_SPECTRA = {
    "welch": "Welch's method on the tachogram resampled at 4 Hz",
    "lomb": "the Lomb-Scargle periodogram",
    "ar": "an autoregressive model",
}


def methods(facts: Facts) -> str:
    """Make the HTML of the section on methods and provenance."""
    stages = facts.provenance.get("stages", {})
    stages = stages if isinstance(stages, dict) else {}
    sources = [QUIGLEY]
    texts = [_recording(facts), _windows(facts)]
    for name, write in _STAGES:
        if isinstance(stages.get(name), dict):
            text, cited = write(facts, stages[name])
            texts.append(text)
            sources += cited
    if len(facts.table("reactivity")):
        texts.append(_reactivity(facts))
        sources.append(LLABRE)
    texts.append(_software(facts))
    sources.append(MNE)
    return (
        '<div class="pq-methods">'
        + "".join(lead_in(text) for text in texts if text)
        + _corrected_table(facts)
        + '<h6 class="pq-heading">Sources</h6><ul class="pq-notes">'
        + "".join(f"<li>{esc(source)}</li>" for source in dict.fromkeys(sources))
        + "</ul></div>"
        + _record(facts)
    )


def _recording(facts: Facts) -> str:
    session = facts.session
    names = []
    for row in facts.streams:
        if not row.n_samples:
            continue
        if not row.nominal_hz:
            names.append(f"{row.name} ({plural(row.n_samples, 'value')} with times of their own)")
            continue
        gaps = (
            f"{plural(row.n_gaps, 'gap')} of {clock(row.gap_s)} in all" if row.n_gaps else "no gap"
        )
        names.append(
            f"{row.name} (nominal {row.nominal_hz:g} Hz, "
            f"estimated {row.measured_hz:.6g} Hz, {gaps})"
        )
    by = f" by {session.software}" if session.software else ""
    streams = listed(names) or "none"
    return f"Recording. {clock(session.duration)} were recorded{by}. Streams: {streams}."


def _windows(facts: Facts) -> str:
    counts = facts.windows["kind"].value_counts()
    words = {
        "phase": "whole phase",
        "phase_last": "last part of a phase",
        "interaction": "interaction window",
        "sliding": "sliding window",
    }
    many = {"phase_last": "last parts of phases"}
    said = [
        plural(int(counts[kind]), one, many.get(kind, "")) for kind, one in words.items()
        if kind in counts
    ]  # fmt: skip
    if not said:
        return ""
    return (
        f"Windows. Features were computed over {listed(said)}; a window holds its onset and not "
        "its offset."
    )


def _heart(facts: Facts, stage: dict[str, Any]) -> tuple[str, list[str]]:
    detector = str(stage.get("detector", ""))
    found = (
        f"R peaks were detected in '{stage.get('stream', '')}' by "
        f"{_DETECTORS.get(detector, detector)}"
        if detector in _DETECTORS
        else f"Beats come from '{stage.get('stream', '')}': {detector}"
    )
    kinds = stage.get("corrected_by_kind", {})
    named = [f"{count} {kind}" for kind, count in kinds.items()] if isinstance(kinds, dict) else []
    n_beats, n_corrected = _count(stage, "n_beats"), _count(stage, "n_corrected")
    share = percent(n_corrected / n_beats) if n_beats else DASH
    flag, withhold = (
        100 * facts.setting("correction", name, default)
        for name, default in (("flag_above", 0.05), ("withhold_above", 0.20))
    )
    hf = _band(facts, "hf_hz", (0.15, 0.40))
    lf = _band(facts, "lf_hz", (0.04, 0.15))
    text = (
        f"Heart. {found}. Artefacts were corrected after Lipponen & Tarvainen (2019): "
        f"{n_corrected} of {n_beats} beats ({share})"
        f"{f', namely {listed(named)}' if named else ''}. {_left_out(stage)}"
        "Nothing was corrected or differenced across a gap. Heart rate variability follows the "
        f"Task Force (1996); spectra by {_spectrum(facts)}, LF {lf} and HF {hf} Hz. "
        f"Windows with more than {flag:g} % corrected beats are flagged, HRV is withheld above "
        f"{withhold:g} %. HF power in phases of speech is reported with the caution that breathing "
        "leaves the HF band, unless respiration shows that at least "
        f"{percent(facts.setting('hrv', 'min_breathing_in_hf', 0.8))} of it stayed inside."
    )
    cited = [QUINTANA, LIPPONEN, TASK_FORCE]
    return text, [*cited, ORPHANIDOU] if _count(stage, "n_in_artifacts") else cited


def _left_out(stage: dict[str, Any]) -> str:
    """Say how much was left out as artefact; nothing if nothing was."""
    n, seconds = _count(stage, "n_in_artifacts"), stage.get("artifacts_s", 0)
    if not n or not isinstance(seconds, int | float):
        return ""
    return (
        f"{plural(n, 'detection')} in {clock(float(seconds))} of artefact, neither of the usual "
        "shape (Orphanidou et al. 2015) nor in rhythm, were left out. "
    )


def _breathing(facts: Facts, stage: dict[str, Any]) -> tuple[str, list[str]]:
    stream = f"'{stage.get('stream', '')}'"
    if stage.get("source") == "resp":
        text = (
            f"Respiration. Of {_count(stage, 'n_breaths')} breaths in {stream} "
            f"{_count(stage, 'n_valid')} were valid."
        )
        cited = [SCHAEFER]
    else:
        share = stage.get("valid_share")
        text = (
            "Respiration was not recorded. Breathing rate was estimated from what it does to the "
            f"beats of {stream} (Charlton et al. 2016); "
            f"{percent(float(share)) if isinstance(share, int | float) else DASH} of the stretches "
            "of 32 s gave a rate."
        )
        cited = [CHARLTON]
    if facts.table("features")["feature"].astype(str).str.startswith("RSA_").any():
        recorded = stage.get("source") == "resp"
        also = ", and from peak to valley breath by breath" if recorded else ""
        text += (
            " Respiratory sinus arrhythmia is that of Porges & Bohrer (1990), 0.12 to 0.40 Hz"
            f"{also}."
        )
        cited.append(PORGES)
    return text, cited


def _spectrum(facts: Facts) -> str:
    config = facts.provenance.get("config", {})
    method = config.get("hrv", {}).get("frequency_method") if isinstance(config, dict) else None
    return _SPECTRA.get(str(method), _SPECTRA["welch"])


def _band(facts: Facts, name: str, default: tuple[float, float]) -> str:
    config = facts.provenance.get("config", {})
    low, high = config.get("hrv", {}).get(name, default) if isinstance(config, dict) else default
    return f"{low:g} to {high:g}"


def _pressure(facts: Facts, stage: dict[str, Any]) -> tuple[str, list[str]]:
    n_beats, n_valid = _count(stage, "n_beats"), _count(stage, "n_valid")
    why = stage.get("not_valid", {})
    named = (
        [f"{reason} ({count})" for reason, count in why.items()] if isinstance(why, dict) else []
    )
    text = (
        f"Continuous pressure. Of {n_beats} pulses in '{stage.get('stream', '')}' {n_valid} were "
        f"valid{f'; not valid: {listed(named)}' if named else ''}. SBP is the highest pressure of "
        "a pulse, DBP the lowest before its upstroke, MAP the mean over the pulse."
    )
    cited = [SHAPIRO]
    features = facts.table("features")
    if features["feature"].astype(str).str.startswith("BRS_").any():
        text += (
            " Baroreflex sensitivity was computed by the sequence method: at least "
            f"{facts.setting('pressure', 'brs_min_beats', 3):g} beats with steps of at least "
            f"{facts.setting('pressure', 'brs_sbp_step_mmhg', 1):g} mmHg and "
            f"{facts.setting('pressure', 'brs_rr_step_ms', 4):g} ms, RR lagging by "
            f"{plural(int(facts.setting('pressure', 'brs_lag_beats', 1)), 'beat')}, "
            f"r at least {facts.setting('pressure', 'brs_min_r', 0.85):g}; by cross-correlation "
            "over 10 s (xBRS); and as gain of the transfer function from SBP to RR where their "
            f"coherence is at least {facts.setting('pressure', 'brs_min_coherence', 0.5):g}."
        )
        cited += [BERTINIERI, WESTERHOF]
    return text, cited


def _cuff(facts: Facts, stage: dict[str, Any]) -> tuple[str, list[str]]:
    given, used = _count(stage, "n_readings"), _count(stage, "n_used")
    smallest = facts.setting("pressure", "pulse_pressure_min_mmhg", 15)
    text = (
        f"Cuff pressure. {plural(given, 'reading')} in '{stage.get('stream', '')}', {used} used. "
        "A reading is valid with SBP above DBP, both within the limits in the settings below, and "
        f"a pulse pressure of at least {smallest:g} mmHg; a window holds the mean of its valid "
        "readings."
    )
    return text, [SHAPIRO]


def _skin(_: Facts, stage: dict[str, Any]) -> tuple[str, list[str]]:
    method = str(stage.get("decomposition", ""))
    text = (
        f"Electrodermal activity. '{stage.get('stream', '')}' was separated into tonic and phasic "
        f"parts by {_DECOMPOSITIONS.get(method, method)}. Skin conductance level is the mean of "
        "the tonic part. A skin conductance response counts from an absolute amplitude of "
        f"{stage.get('scr_amplitude_min_us', DASH)} µS; {_count(stage, 'n_scr')} were found."
    )
    return text, [BOUCSEIN, *([GRECO] if method == "cvxeda" else [])]


def _reactivity(facts: Facts) -> str:
    rows = facts.table("reactivity")
    names = list(dict.fromkeys(name for name in rows["baseline_window"].astype(str) if name))
    seconds = rows["baseline_s"].to_numpy(dtype=float)
    finite = seconds[np.isfinite(seconds)]
    length = f" ({clock(float(finite.max()))})" if len(finite) else ""
    return (
        f"Reactivity. The baseline is {listed(names)}{length}; delta is value minus baseline, "
        "percent is 100 times delta over baseline. Windows of a quality below "
        f"{facts.setting('quality', 'min_quality', 0.5):g} have no delta."
    )


def _software(facts: Facts) -> str:
    package = facts.provenance.get("package", {})
    package = package if isinstance(package, dict) else {}
    libraries = facts.provenance.get("libraries", {})
    named = (
        [f"{name} {version}" for name, version in libraries.items()]
        if isinstance(libraries, dict)
        else []
    )
    said = f" with {listed(named)}" if named else ""
    return (
        f"Software. {package.get('name', 'physio-hqc')} {package.get('version', '')} on Python "
        f"{facts.provenance.get('python', DASH)}{said}."
    )


def _corrected_table(facts: Facts) -> str:
    """Percent of corrected beats per phase, which the reporting guidelines ask for."""
    quality = facts.table("quality")
    rows = quality[(quality["kind"] == "phase") & quality["corrected_share"].notna()]
    if not len(rows):
        return ""
    body = [
        [
            esc(row.window),
            esc(row.stream),
            number(row.n_beats, "1"),
            percent(row.corrected_share),
            percent(row.usable_share),
        ]
        for row in rows.head(60).itertuples()
    ]
    head = ["Phase", "Stream", "Beats", "Corrected", "Usable signal"]
    return (
        '<h6 class="pq-heading">Corrected beats per phase</h6>'
        f"{table(head, body, classes='pq-features')}"
    )


def _record(facts: Facts) -> str:
    """Input, fingerprint and settings, as they stand in provenance.json."""
    given = facts.provenance.get("input", {})
    given = given if isinstance(given, dict) else {}
    rows = [
        [esc(name), f'<span class="pq-mono">{esc(value)}</span>']
        for name, value in (
            ("Session file", given.get("file", facts.session.path.name)),
            ("SHA-256 of the file", given.get("sha256", DASH)),
            ("Session id", facts.session.session_id),
            ("Recorded by", facts.session.software),
            (
                "Fingerprint of input, settings and version",
                facts.provenance.get("fingerprint", DASH),
            ),
        )
    ]
    settings = json.dumps(facts.provenance.get("config", {}), indent=2, ensure_ascii=False)
    streams = json.dumps(facts.provenance.get("streams", {}), indent=2, ensure_ascii=False)
    return (
        '<h6 class="pq-heading">Run record</h6>'
        + table(["", ""], rows, classes="pq-words")
        + _folded("Settings", settings)
        + _folded("Streams as found", streams)
    )


def _folded(name: str, text: str) -> str:
    escaped = "\n".join(esc(line) for line in text.splitlines()[:2000])
    return f'<details><summary>{name}</summary><pre class="pq-mono">{escaped}</pre></details>'


def _count(stage: dict[str, Any], name: str) -> int:
    value = stage.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0


_STAGES = (
    ("heart", _heart),
    ("resp", _breathing),
    ("respiration", _breathing),
    ("bp", _pressure),
    ("cuff", _cuff),
    ("eda", _skin),
)
