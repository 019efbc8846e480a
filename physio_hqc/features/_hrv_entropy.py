"""Sample and approximate entropy of many windows at once, by counting bits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from physio_hqc.features._hrv_series import TIE_MS, log, ratio

# Blocks of windows small enough that their tables stay in the processor's cache.
_BLOCK_VALUES = 1 << 14
_WORD = 64
_ZERO, _ONE = np.uint64(0), np.uint64(1)


class _Neighbors(NamedTuple):
    """The intervals of each row in order of size, and which of them are near each interval.

    ``order[r, k]`` is the place of the k-th smallest interval of row r; ranks ``low[r, i]`` to
    ``high[r, i] - 1`` (as places in a flat table of n + 1 columns) lie within the tolerance of
    the interval at place i.
    """

    order: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


def entropies(
    rr: NDArray[np.float64],
    inside: NDArray[np.bool_],
    joined: NDArray[np.bool_],
    tolerance: NDArray[np.float64],
    template: int = 2,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sample and approximate entropy of each row.

    All pairs are compared, 64 at a time: the intervals near a given one are a run of ranks, and
    so the difference of two sets of "the k smallest", held as bits. Shifting such sets by a place
    and intersecting them gives the templates that match. Memory grows with n, time with n².

    Parameters
    ----------
    rr : ndarray, shape (r, n)
        Intervals in ms, one window a row.
    inside, joined : ndarray of bool, shape (r, n)
        Which places belong to the window; which intervals touch the one before.
    tolerance : ndarray, shape (r,)
        Largest distance in ms of a match.
    template : int
        Template length.

    Returns
    -------
    tuple of ndarray, shape (r,)
        NaN where nothing matches.
    """
    n_rows, n = rr.shape
    sample, approximate = np.full(n_rows, np.nan), np.full(n_rows, np.nan)
    limit = tolerance + TIE_MS
    step = max(1, _BLOCK_VALUES // max(n, 1))
    for begin in range(0, n_rows, step):
        rows = slice(begin, begin + step)
        # A template starts where as many intervals as it has follow each other without a break.
        unbroken = inside[rows] & joined[rows]
        short, long = (starts(inside[rows], unbroken, size) for size in (template, template + 1))
        near = _neighbors(np.where(inside[rows], rr[rows], np.inf), limit[rows])
        shorter, paired, longer = _matches(near, short, long, template)
        n_long = long.sum(axis=1)
        # Each pair was met from both sides, and each template met itself.
        pairs_short, pairs_long = (
            (np.where(long, hits, 0).sum(axis=1) - n_long) / 2 for hits in (paired, longer)
        )
        sample[rows] = log(ratio(pairs_short, pairs_long))
        approximate[rows] = _mean_log_share(shorter, short) - _mean_log_share(longer, long)
    return sample, approximate


def starts(
    inside: NDArray[np.bool_], unbroken: NDArray[np.bool_], length: int
) -> NDArray[np.bool_]:
    """Tell where a template of ``length`` unbroken intervals starts."""
    found = inside.copy()
    for step in range(1, length):
        found[:, :-step] &= unbroken[:, step:]
        found[:, -step:] = False
    return found


def _neighbors(x: NDArray[np.float64], limit: NDArray[np.float64]) -> _Neighbors:
    """Return which values of each row (inf: none) lie within ``limit`` of each value.

    Floats that are not negative sort like the whole numbers with the same bits. So each value can
    carry its place, or a mark, in its last bits through one sort of numbers; what these bits were
    worth is far below the allowance for ties.
    """
    r, n = x.shape
    last = np.uint64((1 << max(1, (n - 1).bit_length())) - 1)
    row = np.arange(r)[:, None]
    keys = (x - x.min(axis=1, keepdims=True)).view(np.uint64) & ~last
    keys |= np.arange(n, dtype=np.uint64)
    keys.sort(axis=1)
    order = (keys & last).astype(np.int64)
    keys &= ~last
    reach = (keys.view(np.float64) + limit[:, None]).view(np.uint64) | _ONE
    merged = np.concatenate([keys, reach], axis=1)
    merged.sort(axis=1)
    is_reach = (merged & _ONE).astype(bool)
    # Before the k-th reach stand k reaches; all else before it are values within reach.
    high = np.flatnonzero(is_reach).reshape(r, n) - row * (2 * n) - np.arange(n)
    high += row * (n + 1)
    # Nearness is mutual: the first near rank follows all whose reach ended before.
    ended = np.bincount(high.ravel(), minlength=r * (n + 1)).reshape(r, n + 1)[:, :n]
    low = np.cumsum(ended, axis=1) + row * (n + 1)
    at = order + row * n
    by_place = np.empty((2, r * n), dtype=np.int64)
    by_place[0, at], by_place[1, at] = low, high
    return _Neighbors(order, by_place[0].reshape(r, n), by_place[1].reshape(r, n))


def _matches(
    near: _Neighbors, short: NDArray[np.bool_], long: NDArray[np.bool_], template: int
) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.integer]]:
    """Return how many templates match the one that starts at each place, itself included.

    First of ``template`` intervals; then those of them that go on for one more; then those whose
    further interval matches too. Words of 64 places are done in turn.
    """
    r, n = short.shape
    kind = np.uint16 if n < 1 << 16 else np.uint32
    shorter, paired, longer = (np.zeros((r, n), dtype=kind) for _ in range(3))
    short_bits, long_bits = _packed(short), _packed(long)
    word = (near.order // _WORD).astype(np.int32)
    bit = _ONE << (near.order % _WORD).astype(np.uint64)
    smallest = np.zeros((r, n + 1), dtype=np.uint64)
    flat = smallest.ravel()

    def near_in(index: int) -> NDArray[np.uint64]:
        """Bits of the places ``64 index`` and on that are near the interval at each place."""
        if index == short_bits.shape[1]:
            return np.zeros((r, n), dtype=np.uint64)
        np.cumsum(np.where(word == index, bit, _ZERO), axis=1, out=smallest[:, 1:])
        return np.asarray(flat[near.high] ^ flat[near.low])

    following = near_in(0)
    for index in range(short_bits.shape[1]):
        here, following = following, near_in(index + 1)
        found = here.copy()
        for step in range(1, template):
            _keep_shifted(found, here, following, step)
        found &= short_bits[:, index, None]
        shorter += np.bitwise_count(found)
        found &= long_bits[:, index, None]
        paired += np.bitwise_count(found)
        _keep_shifted(found, here, following, template)
        longer += np.bitwise_count(found)
    return shorter, paired, longer


def _keep_shifted(
    found: NDArray[np.uint64], here: NDArray[np.uint64], following: NDArray[np.uint64], step: int
) -> None:
    """Keep the pairs (i, j) of which (i + step, j + step) are near, too."""
    right, left = np.uint64(step), np.uint64(_WORD - step)
    found[:, :-step] &= (here[:, step:] >> right) | (following[:, step:] << left)


def _packed(mask: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return each row as words of 64 bits, the first place lowest."""
    r, n = mask.shape
    packed = np.zeros((r, -(-n // _WORD) * 8), dtype=np.uint8)
    packed[:, : -(-n // 8)] = np.packbits(mask, axis=1, bitorder="little")
    return packed.view("<u8").astype(np.uint64, copy=False)


def _mean_log_share(matches: NDArray[np.integer], at: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean log share of templates that match each template, itself included."""
    n = at.sum(axis=1).astype(float)
    logs = np.log(np.maximum(np.arange(at.shape[1] + 1), 1))
    return ratio(logs[np.where(at, matches, 0)].sum(axis=1), n) - log(n)
