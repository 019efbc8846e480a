"""Errors of a mixed model's coefficients that hold whatever the people's true covariance is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FULL_LEVERAGE = 1e-9


def sandwich(
    design: Array,
    residual: Array,
    person: NDArray[np.intp],
    phase: NDArray[np.intp],
    *,
    between: Array,
    within: Array,
    groups: NDArray[np.intp],
) -> Array | None:
    """What every cluster does to generalized least squares coefficients (CR2).

    The sum of the outer products of the rows is their cluster-robust covariance.

    statsmodels' ``MixedLM`` has none. Rows are phase means of participants: a mean of ``k``
    readings carries what the readings carry, as the fixed part is the same for all of them, and
    has the variance ``between[phase, phase] + variance of a reading / k``.

    Parameters
    ----------
    design : ndarray (rows, p)
        Fixed part of every participant's phase mean.
    residual : ndarray (rows,)
        Phase mean minus its expectation.
    person, phase : ndarray (rows,)
        Position of the participant and of the phase.
    between : ndarray (m, m)
        Covariance of the participants' levels in the phases, from the fit.
    within : ndarray (rows,)
        Variance of the phase means around those levels.
    groups : ndarray (persons,)
        Cluster of every participant, from 0.

    Returns
    -------
    ndarray (clusters, p) or None
        None where a cluster decides a coefficient on its own.
    """
    m, n_groups = len(between), int(groups.max()) + 1
    slot = _turn(groups)
    width = (int(slot.max()) + 1) * m
    group, column = groups[person], slot[person] * m + phase
    fixed = np.zeros((n_groups, width, design.shape[1]))
    fixed[group, column] = design
    off = np.zeros((n_groups, width))
    off[group, column] = residual
    # A phase that is missing has neither a fixed part nor a residual: its 1 only keeps V regular.
    own = np.ones((n_groups, width))
    own[group, column] = within
    there = np.zeros((n_groups, width), dtype=bool)
    there[group, column] = True
    shared = np.kron(np.eye(width // m), between) * (there[:, :, None] & there[:, None, :])
    covariance = shared + own[:, :, None] * np.eye(width)
    # Whitened by the fitted covariance the leverages are symmetric, and so is their correction.
    root = np.linalg.cholesky(covariance)
    fixed = np.linalg.solve(root, fixed)
    off = np.linalg.solve(root, off[:, :, None])[:, :, 0]
    bread = np.linalg.inv(np.einsum("gsp,gsq->pq", fixed, fixed))
    free, axes = np.linalg.eigh(np.eye(width) - fixed @ bread @ fixed.transpose(0, 2, 1))
    if free.min() < _FULL_LEVERAGE:
        return None
    turned = np.einsum("gsk,gs->gk", axes, off) / np.sqrt(free)
    unshrunk = np.einsum("gsk,gk->gs", axes, turned)
    scores = np.einsum("gsp,gs->gp", fixed, unshrunk)
    found: Array = scores @ bread
    return found


def satterthwaite(influence: Array, combination: Array, strata: NDArray[np.intp]) -> float:
    """Degrees of freedom of a combination of coefficients, for variances that strata have.

    As in Welch's test: each stratum adds the squared influence of its clusters, which are one
    fewer than they would be if its mean were known.

    Parameters
    ----------
    influence : ndarray (clusters, p)
        As from :func:`sandwich`.
    combination : ndarray (p,)
        What is tested.
    strata : ndarray (clusters,)
        Stratum of every cluster, from 0.

    Returns
    -------
    float
    """
    squared = (influence @ combination) ** 2
    variance = np.bincount(strata, squared)
    free = np.maximum(np.bincount(strata, squared > 0) - 1, 1)
    return float(variance.sum() ** 2 / (variance**2 / free).sum())


def _turn(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which member of its group each participant is, from 0."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.searchsorted(ordered, ordered)
    turn = np.empty(len(groups), dtype=np.intp)
    turn[order] = np.arange(len(groups)) - first
    return turn
