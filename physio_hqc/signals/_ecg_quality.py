"""The parts that the quality of an ECG is made of, for many windows at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.signals._checks import repeats, true_runs
from physio_hqc.signals.beats import Beats

_FLAT_S = 1.0
_SATURATED_S = 0.04
_RR_RANGE_S = (0.25, 3.0)
_MARGIN_S = 1.5
_SNIPPET_S = np.arange(-0.25, 0.45, 0.01)
_GOOD_R, _NO_R = 0.66, 0.33
_WORTH_SAYING = 0.05
_TEMPLATE_BEATS = 2000
_FEWEST_BEATS = 5
# A stray beat counts as itself; many weigh as the convention for corrected beats has it: above
# 5 % a window is doubtful, above 20 % it is not to be used.
_UNLIKE, _ALIKE = (0.0, 0.03, 0.05, 0.20, 1.0), (1.0, 0.97, 0.8, 0.5, 0.0)


def stuck_samples(x: NDArray[np.float64], sfreq: float) -> NDArray[np.bool_]:
    """Tell which samples are flat for a second, or held at the largest or smallest value."""
    stuck = np.zeros(x.size, dtype=bool)
    if not np.isfinite(x).any():
        return stuck
    steady = repeats(x)
    extreme = (x == np.nanmax(x)) | (x == np.nanmin(x))
    for start, stop in true_runs(steady, max(2, int(_FLAT_S * sfreq))):
        stuck[start - 1 : stop] = True
    for start, stop in true_runs(extreme, max(3, int(_SATURATED_S * sfreq))):
        stuck[start:stop] = True
    return stuck


def near_beats(times: NDArray[np.float64], beats: Beats) -> NDArray[np.bool_]:
    """Tell which samples lie in, or within 1.5 s of, an interval of 0.25 to 3 s."""
    low, high = _RR_RANGE_S
    plausible = np.flatnonzero((beats.rr_s >= low) & (beats.rr_s <= high))
    change = np.zeros(times.size + 1, dtype=np.int64)
    begin = np.searchsorted(times, beats.times_s[plausible - 1] - _MARGIN_S)
    end = np.searchsorted(times, beats.times_s[plausible] + _MARGIN_S, side="right")
    np.add.at(change, begin, 1)
    np.add.at(change, end, -1)
    return np.asarray(np.cumsum(change[:-1]) > 0)


def beat_shapes(
    cleaned: NDArray[np.float64], place: NDArray[np.float64], sfreq: float
) -> NDArray[np.float64]:
    """Return the ECG around each beat as rows of zero mean and unit length.

    ``place`` is the beat's position in samples. Beats too near a missing sample or the end of
    the signal are left out as rows of NaN.
    """
    at = place[:, None] + _SNIPPET_S * sfreq
    below = np.clip(np.floor(at).astype(np.int64), 0, max(cleaned.size - 2, 0))
    share = at - below
    rows = cleaned[below] * (1 - share) + cleaned[below + 1] * share
    rows[(at[:, 0] < 0) | (at[:, -1] > cleaned.size - 1)] = np.nan
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    length[length == 0] = np.nan
    return np.asarray(rows / length[:, None])


def shape_agreement(shapes: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how well the beats of each window correlate with their common shape.

    The mean correlation of unit vectors with their mean is the length of that mean; it is freed
    of what each beat adds to its own template, so that few beats do not look alike by themselves.
    NaN with fewer than two beats.
    """
    present = np.isfinite(shapes[:, 0]) if shapes.size else np.empty(0, dtype=bool)
    count = np.concatenate([[0], np.cumsum(present)])
    total = np.concatenate(
        [np.zeros((1, _SNIPPET_S.size)), np.cumsum(np.where(present[:, None], shapes, 0), axis=0)]
    )
    n = (count[edges[:, 1]] - count[edges[:, 0]]).astype(float)
    square = ((total[edges[:, 1]] - total[edges[:, 0]]) ** 2).sum(axis=1)
    pairwise = np.full(n.size, np.nan)
    np.divide(square - n, n * (n - 1), out=pairwise, where=n >= 2)
    return np.asarray(np.sqrt(np.clip(pairwise, 0, 1)))


def unlike_beats(shapes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which beats do not look like the usual beat of the recording.

    The usual beat is the median of the shapes; a correlation with it below 0.66 (Orphanidou et
    al. 2015) is that of a false detection in an artefact, or of an ectopic beat. With fewer than
    five beats there is no usual one.
    """
    known = np.flatnonzero(np.isfinite(shapes[:, 0])) if shapes.size else np.empty(0, dtype=int)
    unlike = np.zeros(len(shapes), dtype=bool)
    if known.size < _FEWEST_BEATS:
        return unlike
    chosen = known[:: max(1, known.size // _TEMPLATE_BEATS)]
    usual = np.median(shapes[chosen], axis=0)
    usual -= usual.mean()
    length = float(np.linalg.norm(usual))
    if length > 0:
        unlike[known] = shapes[known] @ usual < _GOOD_R * length
    return unlike


def quality_table(
    masks: dict[str, NDArray[np.bool_]],
    expected: NDArray[np.float64],
    sample_edges: NDArray[np.int64],
    beats: Beats,
    beat_edges: NDArray[np.int64],
    agreement: NDArray[np.float64],
    unlike: NDArray[np.bool_],
) -> pd.DataFrame:
    """Put the parts together: one row per window, with the reason in words.

    ``masks`` holds samples that are ``present``, ``stuck`` and ``beating``; ``expected`` is the
    number of samples each window should hold; the edges are (m, 2) indices of samples and beats.
    """
    usable = masks["present"] & ~masks["stuck"] & masks["beating"]
    shares = {
        name: _counts(mask, sample_edges) / expected
        for name, mask in {**masks, "usable": usable}.items()
    }
    usable_share = np.minimum(shares["usable"], 1.0)
    n_beats = beat_edges[:, 1] - beat_edges[:, 0]
    corrected = _counts(beats.kind != "normal", beat_edges) / np.maximum(n_beats, 1)
    odd = _counts(unlike, beat_edges) / np.maximum(n_beats, 1)
    shape = np.clip((np.nan_to_num(agreement, nan=1.0) - _NO_R) / (_GOOD_R - _NO_R), 0, 1)
    missing = np.maximum(1 - shares["present"], 0)
    reason = [
        _reason(*parts)
        for parts in zip(
            missing.tolist(),
            shares["stuck"].tolist(),
            (1 - usable_share - missing - shares["stuck"]).tolist(),
            corrected.tolist(),
            odd.tolist(),
            agreement.tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(
        {
            "quality": usable_share * (1 - corrected) * shape * np.interp(odd, _UNLIKE, _ALIKE),
            "usable_share": usable_share,
            "corrected_share": corrected,
            "template_r": agreement,
            "n_beats": n_beats.astype(np.int64),
            "reason": np.array(reason, dtype=object),
        }
    )


def _counts(mask: NDArray[np.bool_], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the places of each window hold."""
    so_far = np.concatenate([[0], np.cumsum(mask)])
    counts: NDArray[np.int64] = so_far[edges[:, 1]] - so_far[edges[:, 0]]
    return counts


def _reason(
    missing: float, stuck: float, beatless: float, corrected: float, odd: float, r: float
) -> str:
    """Say which parts lower the quality of one window."""
    parts = [
        f"{100 * share:.0f} % {what}"
        for share, what in (
            (missing, "missing"),
            (stuck, "flat or saturated"),
            (beatless, "without plausible beats"),
            (corrected, "of beats corrected"),
            (odd, "of beats unlike the usual one"),
        )
        if share > _WORTH_SAYING
    ]
    if r < _GOOD_R:
        parts.append(f"beats differ in shape (r {r:.2f})")
    return "; ".join(parts)
