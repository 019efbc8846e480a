"""The parts that the quality of an ECG is made of, for many windows at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.signals._clock import Clock
from physio_hqc.signals._ecg_scan import SNIPPET_S, EcgFacts
from physio_hqc.signals._spans import held_in, outside, union
from physio_hqc.signals.beats import KINDS, Beats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_RR_RANGE_S = (0.25, 3.0)
_MARGIN_S = 1.5
_GOOD_R = 0.66
# Orphanidou's limit is where half the trust is gone; a recording at rest is above 0.95.
_R, _TRUST = (0.33, 0.66, 0.95), (0.0, 0.5, 1.0)
_WORTH_SAYING = 0.05
_TEMPLATE_BEATS = 2000
_FEWEST_BEATS = 5
_AROUND_BEATS, _MOST = 256, 0.6
_AT_ONCE = 8192
_RHYTHM_BEATS, _OFF_RHYTHM, _ONE_FOCUS_R, _EDGE_BEATS = 20, 0.2, 0.5, 3
_OFF_SHARE, _SPREADS, _IN_RHYTHM = 0.3, 4.0, 0.05
# A stray beat counts as itself; many weigh as the convention for corrected beats has it: above
# 5 % a window is doubtful, above 20 % it is not to be used.
_UNLIKE, _ALIKE = (0.0, 0.03, 0.05, 0.20, 1.0), (1.0, 0.97, 0.8, 0.5, 0.0)


@dataclass(frozen=True)
class Detected:
    """Beats as detected, and which of them are to be believed.

    Attributes
    ----------
    times_s : ndarray, shape (k,)
    unlike : ndarray of bool, shape (k,)
        Not of the usual shape.
    artifacts : ndarray, shape (g, 2)
        Stretches in s in which beats are neither of the usual shape nor in rhythm: from the last
        beat before to the first beat after.
    """

    times_s: FloatArray
    unlike: BoolArray
    artifacts: FloatArray

    @property
    def inside(self) -> BoolArray:
        """Beats inside the stretches of artefact."""
        if not len(self.artifacts):
            return np.zeros(self.times_s.size, dtype=bool)
        last = np.searchsorted(self.artifacts[:, 0], self.times_s, side="left") - 1
        return np.asarray((last >= 0) & (self.times_s < self.artifacts[last, 1]))


def judge_beats(times_s: FloatArray, shapes: NDArray[np.float32]) -> Detected:
    """Tell which detected beats are not of the usual shape, and where they are artefacts."""
    unlike = unlike_beats(shapes)
    return Detected(times_s, unlike, _artifacts(times_s, shapes, unlike))


def quality_table(
    facts: EcgFacts, detected: Detected, beats: Beats, clock: Clock, windows: FloatArray
) -> pd.DataFrame:
    """Put the parts together: one row per window, with the reason in words."""
    sample_edges = clock.first_at_or_after(windows)
    expected = np.maximum((windows[:, 1] - windows[:, 0]) * clock.rate, 1.0)
    disturbed = union(clock.first_at_or_after(detected.artifacts))
    nothing = union(facts.missing, facts.stuck)
    useless = union(nothing, disturbed, outside(_near_beats(beats, clock), clock.n))

    def share(spans: IntArray) -> FloatArray:
        return held_in(spans, sample_edges) / expected

    present = (sample_edges[:, 1] - sample_edges[:, 0]) / expected
    usable_share = np.clip(present - share(useless), 0, 1)
    missing = np.maximum(1 - present + share(facts.missing), 0)
    stuck = share(facts.stuck)
    artifact = share(union(nothing, disturbed)) - share(nothing)
    beatless = 1 - usable_share - missing - stuck - artifact

    edges = np.searchsorted(beats.times_s, windows)
    corrected = _share(beats.kind != "normal", edges)
    used = ~detected.inside
    odd = _share(detected.unlike[used], np.searchsorted(detected.times_s[used], windows))
    # Beats of another shape are counted above: agreement is about the noise on the others.
    usual = used & ~detected.unlike
    usual_edges = np.searchsorted(detected.times_s[usual], windows)
    agreement = shape_agreement(facts.shapes[usual], usual_edges)
    shape = np.interp(np.nan_to_num(agreement, nan=1.0), _R, _TRUST)
    parts = np.column_stack([missing, stuck, artifact, beatless, corrected, odd, agreement])
    return pd.DataFrame(
        {
            "quality": usable_share * (1 - corrected) * shape * np.interp(odd, _UNLIKE, _ALIKE),
            "usable_share": usable_share,
            "missing_share": missing,
            "flat_share": stuck,
            "movement_share": artifact,
            "corrected_share": corrected,
            "corrected_kinds": np.array(corrected_kinds(beats, edges), dtype=object),
            "unlike_share": odd,
            "template_r": agreement,
            "n_beats": (edges[:, 1] - edges[:, 0]).astype(np.int64),
            "reason": np.array([_reason(*row) for row in parts.tolist()], dtype=object),
        }
    )


def corrected_kinds(beats: Beats, edges: IntArray) -> list[str]:
    """Say how many beats of each window were corrected, by kind: "2 ectopic, 1 missed"."""
    kinds = [kind for kind in KINDS if kind != "normal" and (beats.kind == kind).any()]
    so_far = [np.concatenate([[0], np.cumsum(beats.kind == kind)])[edges] for kind in kinds]
    numbers = [np.diff(counts, axis=1)[:, 0].tolist() for counts in so_far]
    return [
        ", ".join(f"{n} {kind}" for n, kind in zip(row, kinds, strict=True) if n)
        for row in (zip(*numbers, strict=True) if kinds else [()] * len(edges))
    ]


def _near_beats(beats: Beats, clock: Clock) -> IntArray:
    """Return the samples in, or within 1.5 s of, intervals of 0.25 to 3 s."""
    low, high = _RR_RANGE_S
    last = np.flatnonzero((beats.rr_s >= low) & (beats.rr_s <= high))
    begin = clock.first_at_or_after(beats.times_s[last - 1] - _MARGIN_S)
    end = clock.first_at_or_after(beats.times_s[last] + _MARGIN_S)
    return union(np.column_stack([begin, end]))


def shape_agreement(shapes: NDArray[np.float32], edges: IntArray) -> FloatArray:
    """Return how well the beats of each window correlate with their common shape.

    The mean correlation of unit vectors with their mean is the length of that mean; it is freed
    of what each beat adds to its own template, so that few beats do not look alike by themselves.
    The better of the two views counts. NaN with fewer than two beats.
    """
    return np.asarray(np.fmax.reduce([_agreement(shapes, view, edges) for view in _VIEWS]))


def _agreement(shapes: NDArray[np.float32], view: FloatArray, edges: IntArray) -> FloatArray:
    """Agreement of the beats of each window in one view."""
    # Sums between neighboring edges, then from edge to edge: windows may overlap as they like.
    places, row = np.unique(np.append(edges.ravel(), len(shapes)), return_inverse=True)
    row = row[:-1].reshape(edges.shape)
    count, total = np.zeros(places.size), np.zeros((places.size, shapes.shape[1]))
    for k, (first, last) in enumerate(pairwise(places.tolist())):
        for part in range(first, last, _AT_ONCE):
            rows = _viewed(shapes[part : min(part + _AT_ONCE, last)], view)
            rows = rows[np.isfinite(rows[:, 0])]
            count[k + 1] += len(rows)
            total[k + 1] += rows.sum(axis=0)
    count, total = np.cumsum(count), np.cumsum(total, axis=0)
    n = count[row[:, 1]] - count[row[:, 0]]
    square = ((total[row[:, 1]] - total[row[:, 0]]) ** 2).sum(axis=1)
    pairwise_r = np.full(n.size, np.nan)
    np.divide(square - n, n * (n - 1), out=pairwise_r, where=n >= 2)
    return np.asarray(np.sqrt(np.clip(pairwise_r, 0, 1)))


def unlike_beats(shapes: NDArray[np.float32]) -> BoolArray:
    """Tell which beats do not look like the usual beat, neither of the recording nor around them.

    The usual beat is the median of the shapes; a correlation with it below 0.66 (Orphanidou et
    al. 2015) is that of a false detection in an artefact, or of an ectopic beat. It is taken from
    the whole recording, and again from every 256 beats, where most of these agree with it: an
    electrode that was moved gives another shape for good. A beat need only be alike in one of two
    views. With fewer than five beats there is no usual one.
    """
    known = np.flatnonzero(np.isfinite(shapes[:, 0])) if shapes.size else np.empty(0, dtype=int)
    unlike = np.zeros(len(shapes), dtype=bool)
    if known.size >= _FEWEST_BEATS:
        alike = [_alike(shapes, known, view) for view in _VIEWS]
        unlike[known] = ~np.logical_or.reduce(alike)
    return unlike


def _alike(shapes: NDArray[np.float32], known: IntArray, view: FloatArray) -> BoolArray:
    """Tell which of the known shapes correlate with the usual one, overall or around them."""
    usual = _usual(_viewed(shapes[known[:: max(1, known.size // _TEMPLATE_BEATS)]], view))
    alike = np.zeros(known.size, dtype=bool)
    for first in range(0, known.size, _AROUND_BEATS):
        here = slice(first, first + _AROUND_BEATS)
        seen = _viewed(shapes[known[here]], view)
        alike[here] = seen @ usual >= _GOOD_R
        around = seen @ _usual(seen) >= _GOOD_R
        if around.mean() >= _MOST:
            alike[here] |= around
    return alike


def _artifacts(times_s: FloatArray, shapes: NDArray[np.float32], unlike: BoolArray) -> FloatArray:
    """Return stretches (g, 2) in s of unlike beats that are out of rhythm.

    Two such beats and more, at most one usual beat between any two. Ectopic beats that follow each
    other come from one place and look alike among themselves; false detections do not.
    """
    at = np.flatnonzero(unlike)
    usual_s = times_s[~unlike]
    rr, every_rr = np.diff(usual_s), np.diff(times_s)
    if at.size < 2 or not rr.size:
        return np.empty((0, 2))
    seen = np.nan_to_num(_viewed(shapes[at], _VIEWS[0]))
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(at) > 2) + 1, [at.size]])
    found = []
    for first, last in pairwise(bounds.tolist()):
        n = last - first
        if n < 2 or (np.sum(seen[first:last].sum(axis=0) ** 2) - n) / (n * (n - 1)) > _ONE_FOCUS_R:
            continue
        before, after = max(at[first] - 1, 0), min(at[last - 1] + 1, times_s.size - 1)
        near = int(np.searchsorted(usual_s, times_s[before]))
        around = rr[max(0, near - _RHYTHM_BEATS) : near + _RHYTHM_BEATS]
        usual_rr = float(np.median(around))
        spread = float(np.median(np.abs(around - usual_rr)))
        limit = np.clip(_SPREADS * spread, _IN_RHYTHM * usual_rr, _OFF_RHYTHM * usual_rr)
        off = np.abs(every_rr[before:after] - usual_rr) > limit
        if np.count_nonzero(off) >= 2 and off.mean() >= _OFF_SHARE:
            before, after = _widened(every_rr, usual_rr, before, after)
            found.append((times_s[before], times_s[after]))
    return np.array(found).reshape(-1, 2)


def _widened(every_rr: FloatArray, usual_rr: float, before: int, after: int) -> tuple[int, int]:
    """Move the ends of a stretch of artefact to beats in rhythm, by up to three beats each.

    A beat beside it may look usual by chance, or be too near a gap to be looked at.
    """
    for _ in range(_EDGE_BEATS):
        if before and abs(every_rr[before - 1] - usual_rr) > _OFF_RHYTHM * usual_rr:
            before -= 1
        if after < every_rr.size and abs(every_rr[after] - usual_rr) > _OFF_RHYTHM * usual_rr:
            after += 1
    return before, after


def _usual(shapes: FloatArray) -> FloatArray:
    """Median of the shapes, of unit length."""
    usual = np.median(shapes, axis=0)
    usual -= usual.mean()
    length = float(np.linalg.norm(usual))
    return np.asarray(usual / length if length > 0 else usual)


def _viewed(shapes: NDArray[np.float32], view: FloatArray) -> FloatArray:
    """Shapes through a view, of unit length again; NaN where a view shows nothing."""
    seen = shapes @ view
    length = np.linalg.norm(seen, axis=1, keepdims=True)
    length[length == 0] = np.nan
    return np.asarray(seen / length)


def _views() -> tuple[FloatArray, FloatArray]:
    """Two ways to look at a beat, as matrices for rows of samples.

    The whole beat on a straight baseline, that is less the parabola through it; and its steep
    waves alone, the difference of two Gaussians of 10 and 30 ms, which neither wander nor slow
    movements change.
    """
    powers = np.vander(np.linspace(-1, 1, SNIPPET_S.size), 3)
    baseline, _ = np.linalg.qr(powers)
    apart = np.subtract.outer(SNIPPET_S, SNIPPET_S)
    narrow, wide = (np.exp(-0.5 * (apart / width) ** 2) for width in (0.01, 0.03))
    return (
        np.eye(SNIPPET_S.size) - baseline @ baseline.T,
        narrow / narrow.sum(axis=0).max() - wide / wide.sum(axis=0).max(),
    )


_VIEWS = _views()


def _share(mask: BoolArray, edges: IntArray) -> FloatArray:
    """Return the share of the beats of each window that are marked; 0 without beats."""
    so_far = np.concatenate([[0], np.cumsum(mask)])
    marked = so_far[edges[:, 1]] - so_far[edges[:, 0]]
    return np.asarray(marked / np.maximum(edges[:, 1] - edges[:, 0], 1))


def _reason(
    missing: float,
    stuck: float,
    artifact: float,
    beatless: float,
    corrected: float,
    odd: float,
    r: float,
) -> str:
    """Say which parts lower the quality of one window."""
    parts = [
        f"{100 * share:.0f} % {what}"
        for share, what in (
            (missing, "missing"),
            (stuck, "flat or saturated"),
            (artifact, "artefact"),
            (beatless, "without plausible beats"),
            (corrected, "of beats corrected"),
            (odd, "of beats unlike the usual one"),
        )
        if share > _WORTH_SAYING
    ]
    if r < _GOOD_R:
        parts.append(f"beats differ in shape (r {r:.2f})")
    return "; ".join(parts)
