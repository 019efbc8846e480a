"""Stretches, [start, stop) each, in samples or seconds, and how much of a window they fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


def union(*spans: IntArray) -> IntArray:
    """Join stretches that overlap or touch; ascending.

    Examples
    --------
    >>> union(np.array([[5, 9], [0, 2]]), np.array([[2, 3], [8, 12]])).tolist()
    [[0, 3], [5, 12]]
    """
    every = np.concatenate([span.reshape(-1, 2) for span in spans])
    every = every[every[:, 1] > every[:, 0]]
    if not len(every):
        return np.empty((0, 2), dtype=np.int64)
    every = every[np.argsort(every[:, 0], kind="stable")]
    reached = np.maximum.accumulate(every[:, 1])
    begins = np.concatenate([[True], every[1:, 0] > reached[:-1]])
    ends = np.append(begins[1:], True)
    return np.column_stack([every[begins, 0], reached[ends]])


def joined(spans: Sequence[IntArray]) -> IntArray:
    """Union of a list of stretches that may be empty."""
    return union(np.empty((0, 2), dtype=np.int64), *spans)


def outside(spans: IntArray, n: int) -> IntArray:
    """Stretches of [0, n) that lie in none of the ascending, separate stretches.

    Examples
    --------
    >>> outside(np.array([[0, 3], [5, 12]]), 12).tolist()
    [[3, 5]]
    """
    edges = np.concatenate([[0], np.clip(spans, 0, n).ravel(), [n]]).reshape(-1, 2)
    return edges[edges[:, 1] > edges[:, 0]].astype(np.int64)


def held_in(spans: IntArray, edges: IntArray) -> IntArray:
    """How many samples of ascending, separate stretches lie between each pair of edges.

    Examples
    --------
    >>> held_in(np.array([[0, 3], [5, 12]]), np.array([[2, 6], [3, 5]])).tolist()
    [2, 0]
    """
    if not len(spans):
        return np.zeros(len(edges), dtype=np.int64)
    upto = np.concatenate([[0], np.cumsum(spans[:, 1] - spans[:, 0])])
    before = np.searchsorted(spans[:, 0], edges, side="right")
    # Past the start of a stretch: all before it, and of it what lies before the edge.
    last = np.maximum(before - 1, 0)
    inside = upto[last] + np.clip(edges, spans[last, 0], spans[last, 1]) - spans[last, 0]
    counts: IntArray = np.where(before > 0, inside, 0)
    return counts[:, 1] - counts[:, 0]


def covered_time(start: FloatArray, stop: FloatArray, windows: FloatArray) -> FloatArray:
    """How much of each window lies inside ascending, separate stretches of time.

    Examples
    --------
    >>> covered_time(np.array([0.0, 5.0]), np.array([3.0, 9.0]), np.array([[2.0, 6.0]])).tolist()
    [2.0]
    """
    if not start.size:
        return np.zeros(len(windows))
    edges = np.column_stack([start, stop]).ravel()
    total = np.cumsum(np.column_stack([np.zeros(start.size), stop - start]).ravel())
    inside: FloatArray = np.diff(np.interp(windows, edges, total), axis=1)[:, 0]
    return inside


def count_in(times: FloatArray, windows: FloatArray) -> IntArray:
    """How many of ascending times lie in each half-open window.

    Examples
    --------
    >>> count_in(np.array([0.0, 1.0, 2.0]), np.array([[0.0, 2.0], [5.0, 6.0]])).tolist()
    [2, 0]
    """
    first, last = np.searchsorted(times, windows[:, 0]), np.searchsorted(times, windows[:, 1])
    return (last - first).astype(np.int64)
