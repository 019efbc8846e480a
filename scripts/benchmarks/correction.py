"""Part `correction`: beat correction of a day with planted artefacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import (
    OURS,
    Options,
    PartResult,
    Table,
    interleaved,
    match,
    quiet,
    ratio,
    truth_at_rest,
)

FloatArray = NDArray[np.float64]

PEER = "NeuroKit2 kubios"
# What was planted, and the classes that name it. A beat that stands a little off its place makes
# a long and a short interval, which the method calls ectopic or long and short.
CLASSES = {
    "missed": ("missed",),
    "extra": ("extra",),
    "ectopic": ("ectopic",),
    "misplaced": ("ectopic", "long", "short"),
}
_NEAR_S = 1.5
_RESTORED_S = 0.05


@dataclass(frozen=True)
class _Outcome:
    """What a corrector returned: corrected times, and time and class of everything it judged."""

    times_s: FloatArray
    judged_s: FloatArray
    classes: NDArray[np.str_]


def run(options: Options) -> PartResult:
    """Plant artefacts in a day of beats and correct them."""
    from physio_hqc.signals import correct_beats

    hours, each, repeats = (4, 50, 1) if options.quick else (24, 300, 3)
    true = truth_at_rest(31, 60.0 * hours).beat_times_s
    spoilt, where, kinds = _plant(true, each, np.random.default_rng(31))
    whole_ms = np.round(1000.0 * spoilt)
    spoilt = whole_ms / 1000.0
    took = interleaved(
        {OURS: lambda: correct_beats(spoilt), PEER: lambda: _neurokit(whole_ms, iterative=True)},
        repeats,
    )
    outcomes = {OURS: _ours_outcome(spoilt), PEER: _peer_outcome(whole_ms)}
    return PartResult(
        "correction",
        f"Beat correction: {true.size:,} beats of {hours} h, {4 * each} planted artefacts",
        [
            _overall(true, spoilt, where, outcomes, took),
            _by_kind(outcomes, where, kinds),
        ],
        [
            (
                "Intervals are simulated at rest; ectopic beats come 25 to 40 percent early, "
                "misplaced ones stand 12 to 18 percent off."
            ),
            "Found: something was judged within 1.5 s of the artefact. Named: with its class.",
            (
                "Restored: share of true beats that have a corrected beat within 50 ms. Touched "
                "elsewhere: judgements farther than 1.5 s from any artefact."
            ),
        ],
    )


def _plant(
    true: FloatArray, each: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, NDArray[np.str_]]:
    """Return the spoilt series, and time and kind of each artefact, at least 20 beats apart."""
    slots = rng.choice(np.arange(2, true.size // 20 - 2), size=4 * each, replace=False)
    index = np.sort(slots * 20 + rng.integers(0, 5, slots.size))
    kinds = rng.permutation(np.repeat(list(CLASSES), each))
    times = true.copy()
    interval = true[index] - true[index - 1]
    early = kinds == "ectopic"
    times[index[early]] -= interval[early] * rng.uniform(0.25, 0.40, each)
    off = kinds == "misplaced"
    shift = rng.uniform(0.12, 0.18, each) * rng.choice([-1.0, 1.0], each)
    times[index[off]] += interval[off] * shift
    more = kinds == "extra"
    added = true[index[more]] - interval[more] * rng.uniform(0.3, 0.7, each)
    times = np.delete(times, index[kinds == "missed"])
    return np.sort(np.append(times, added)), true[index], kinds


def _neurokit(peaks_ms: FloatArray, *, iterative: bool) -> tuple[dict, FloatArray]:
    import neurokit2

    artifacts, corrected = neurokit2.signal_fixpeaks(
        peaks_ms.astype(np.int64), sampling_rate=1000, iterative=iterative, method="kubios"
    )
    return artifacts, np.asarray(corrected, dtype=np.float64) / 1000.0


def _peer_outcome(peaks_ms: FloatArray) -> _Outcome:
    with quiet():
        _, corrected = _neurokit(peaks_ms, iterative=True)
        # Classes of the single pass: those of later passes count in a changed series.
        artifacts, _ = _neurokit(peaks_ms, iterative=False)
    judged, classes = [], []
    for key, name in (("ectopic", "ectopic"), ("missed", "missed"), ("extra", "extra"),
                      ("longshort", "long")):  # fmt: skip
        index = np.asarray(artifacts[key], dtype=np.int64)
        judged.append(peaks_ms[np.clip(index, 0, peaks_ms.size - 1)] / 1000.0)
        classes += [name] * index.size
    return _Outcome(corrected, np.concatenate(judged), np.array(classes))


def _ours_outcome(times_s: FloatArray) -> _Outcome:
    from physio_hqc.signals import correct_beats

    beats = correct_beats(times_s)
    judged = beats.kind != "normal"
    return _Outcome(beats.times_s, beats.times_s[judged], beats.kind[judged])


def _near(judged_s: FloatArray, where_s: FloatArray) -> NDArray[np.bool_]:
    """Tell which places have a judgement near."""
    ordered = np.sort(judged_s)
    low, high = np.searchsorted(ordered, [where_s - _NEAR_S, where_s + _NEAR_S])
    return high > low


def _by_kind(outcomes: dict[str, _Outcome], where: FloatArray, kinds: NDArray[np.str_]) -> Table:
    rows = []
    for kind, classes in CLASSES.items():
        at = where[kinds == kind]
        row: list[object] = [kind, int(at.size)]
        for outcome in outcomes.values():
            named = outcome.judged_s[np.isin(outcome.classes, classes)]
            row += [100 * float(_near(s, at).mean()) for s in (outcome.judged_s, named)]
        rows.append(tuple(row))
    columns = ("planted", "number", *(f"{n} {w} %" for n in outcomes for w in ("found", "named")))
    return Table("By kind", columns, rows, dict.fromkeys(columns[2:], 1))


def _overall(
    true: FloatArray,
    spoilt: FloatArray,
    where: FloatArray,
    outcomes: dict[str, _Outcome],
    took: dict[str, float],
) -> Table:
    rows: list[tuple] = [
        ("uncorrected", None, None, *_likeness(true, spoilt), None),
    ]
    for name, outcome in outcomes.items():
        elsewhere = int((~_near(where, outcome.judged_s)).sum())
        rows.append(
            (
                name,
                took[name],
                ratio(took[PEER], took[name]),
                *_likeness(true, outcome.times_s),
                elsewhere,
            )
        )
    columns = (
        "series", "seconds", "times as fast as NeuroKit2", "restored %", "RMSSD error %",
        "SDNN error %", "touched elsewhere",
    )  # fmt: skip
    digits = {"seconds": 3, "times as fast as NeuroKit2": 1, "restored %": 3}
    return Table("Whole series", columns, rows, digits | dict.fromkeys(columns[4:6], 2))


def _likeness(true: FloatArray, times: FloatArray) -> tuple[float, float, float]:
    """Return the share of true beats that are there, and the errors of RMSSD and SDNN, percent."""
    i, _ = match(true, times, _RESTORED_S)
    rr, true_rr = np.diff(times), np.diff(true)
    rmssd = np.sqrt(np.mean(np.diff(rr) ** 2) / np.mean(np.diff(true_rr) ** 2))
    sdnn = np.std(rr, ddof=1) / np.std(true_rr, ddof=1)
    return 100.0 * i.size / true.size, 100.0 * float(rmssd - 1), 100.0 * float(sdnn - 1)
