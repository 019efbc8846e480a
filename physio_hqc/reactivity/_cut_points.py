"""Cut points, means and standard deviations of a sample, and how far resampling moves a score.

Arrays are (n participants,) or (n participants, k components); a group is a sex, or everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physio_hqc.reactivity._proxy_models import Component, ProxyDefinition

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_SAME = 1e-12  # spread, relative to size, below which all values are equal
_COVER = 0.95
_ENOUGH = 0.5  # share of resamples that must give a score
_BLOCK = 4_000_000  # numbers of a resample held at a time


@dataclass(frozen=True)
class Groups:
    """Who is compared with whom."""

    labels: list[str]
    codes: NDArray[np.int_]  # (n,) index into labels; -1 where sex is not known

    def members(self, group: int) -> NDArray[np.int_]:
        """Positions of the members of a group."""
        return np.flatnonzero(self.codes == group)


@dataclass(frozen=True)
class Reference:
    """What every component of every group is compared with; arrays are (groups, k)."""

    cut: Floats  # sample quartiles; NaN where the published cut point is used
    mean: Floats
    sd: Floats
    n: NDArray[np.int_]
    cut_why: list[list[str]]
    z_why: list[list[str]]


def quartile(ordered: Floats, n: NDArray[np.int_], risk: str) -> Floats:
    """Quartile of the first `n` of every ascending row, by linear interpolation; NaN for none.

    Parameters
    ----------
    ordered : ndarray (rows, m)
        Ascending; what is missing comes last.
    n : ndarray (rows,)
        Numbers per row.
    risk : {"high", "low"}
        The third or the first quartile.
    """
    position = (0.75 if risk == "high" else 0.25) * np.maximum(n - 1, 0)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(n - 1, 0))
    low = np.take_along_axis(ordered, below[:, None], axis=1)[:, 0]
    high = np.take_along_axis(ordered, above[:, None], axis=1)[:, 0]
    share, step = position - below, high - low
    # From the nearer of the two, as numpy.quantile does, so that ties stay ties.
    value = np.where(share < 0.5, low + share * step, high - (1 - share) * step)
    return np.where(n > 0, value, np.nan)


def spread(x: Floats, n: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n - 1) of every row; NaN where all values are equal."""
    divisor = np.where(n > 1, n, 2).astype(np.float64)
    mean = np.nansum(x, axis=1) / np.where(n > 0, n, 1)
    sd = np.sqrt(np.nansum((x - mean[:, None]) ** 2, axis=1) / (divisor - 1))
    size = np.abs(np.where(np.isnan(x), 0.0, x)).max(axis=1, initial=0.0)
    return mean, np.where((n > 1) & (sd > _SAME * size), sd, np.nan)


def transformed(x: Floats, component: Component) -> Floats:
    """Values whose z-score is taken: their logarithm where the definition says so."""
    return np.log(x) if component.log else x


def is_fixed(component: Component, rule: str) -> bool:
    """Whether the cut point of the component is a published one."""
    return rule == "cut points" and component.has_cut


def at_risk(x: Floats, cut: Floats, component: Component, rule: str) -> Bools:
    """Whether values lie beyond the cut point; strict unless the published one includes it."""
    equal = (x == cut) & (component.inclusive and is_fixed(component, rule))
    beyond = x > cut if component.risk == "high" else x < cut
    result: Bools = beyond | equal
    return result


def reference(
    x: Floats, groups: Groups, definition: ProxyDefinition, rule: str, min_n: int
) -> Reference:
    """Cut points, means and standard deviations of the sample."""
    shape = (len(groups.labels), len(definition.components))
    cut, mean, sd = (np.full(shape, np.nan) for _ in range(3))
    n = np.zeros(shape, dtype=np.int_)
    cut_why = [[""] * shape[1] for _ in range(shape[0])]
    z_why = [[""] * shape[1] for _ in range(shape[0])]
    for g, label in enumerate(groups.labels):
        for j, component in enumerate(definition.components):
            values = np.sort(x[groups.members(g), j])[None, :]
            count = np.isfinite(values).sum(axis=1)
            n[g, j], why = count[0], _why_no_statistics(values, count, label, min_n)
            if not why:
                means, sds = spread(transformed(values, component), count)
                mean[g, j], sd[g, j] = means[0], sds[0]
                why = _same(label) if np.isnan(sds[0]) else ""
            z_why[g][j] = why
            if is_fixed(component, rule):
                continue
            cut_why[g][j] = why
            if not why:
                cut[g, j] = quartile(values, count, component.risk)[0]
    return Reference(cut, mean, sd, n, cut_why, z_why)


def _why_no_statistics(values: Floats, count: NDArray[np.int_], label: str, min_n: int) -> str:
    """Why a group has no quartile and no z-score, or an empty text."""
    if count[0] < min_n:
        return f"{_who(label)} with a value: {count[0]}, needs {min_n}"
    return _same(label) if np.isnan(spread(values, count)[1][0]) else ""


def _who(label: str) -> str:
    """Members of a group in words."""
    return f"{label} participants" if label else "participants"


def _same(label: str) -> str:
    """Why values that do not differ say nothing about risk."""
    return f"all {_who(label)} have the same value"


def published(definition: ProxyDefinition, rule: str, sexes: list[str]) -> Floats:
    """Published cut point of every component (columns) for every sex (rows); NaN for none."""
    cuts = np.full((len(sexes), len(definition.components)), np.nan)
    for j, component in enumerate(definition.components):
        if not is_fixed(component, rule):
            continue
        if component.cut_by_sex is None:
            cuts[:, j] = component.cut
        else:
            by_sex = component.cut_by_sex.model_dump()
            cuts[:, j] = [by_sex.get(sex, np.nan) for sex in sexes]
    return cuts


@dataclass(frozen=True)
class Interval:
    """Percentile interval of the scores of every participant."""

    count_low: Floats
    count_high: Floats
    z_low: Floats
    z_high: Floats
    n: int  # resamples that gave a score


def resampled(
    x: Floats,
    groups: Groups,
    definition: ProxyDefinition,
    rule: str,
    known: Reference,
    fixed: Floats,
    *,
    n_boot: int,
    seed: int,
) -> Interval:
    """How the scores of these participants vary when the sample they are compared with does.

    Participants are drawn with replacement, within groups; cut points, means and standard
    deviations are those of the drawn ones; the scores are those of the participants themselves.
    `fixed` (n, k) holds published cut points, which no resample changes.
    """
    n = len(x)
    rng = np.random.default_rng(seed)
    counts, z_means = np.full((n_boot, n), np.nan), np.full((n_boot, n), np.nan)
    for g in range(len(groups.labels)):
        members = groups.members(g)
        block = max(1, _BLOCK // max(len(members), 1))
        for start in range(0, n_boot, block):
            stop = min(start + block, n_boot)
            drawn = rng.integers(0, len(members), (stop - start, len(members)))
            count, z_mean = _scores(x[members], drawn, definition, rule, known, fixed[members], g)
            counts[start:stop, members], z_means[start:stop, members] = count, z_mean
    return _interval(counts, z_means, groups)


def _scores(
    x: Floats,
    drawn: NDArray[np.intp],
    definition: ProxyDefinition,
    rule: str,
    known: Reference,
    fixed: Floats,
    group: int,
) -> tuple[Floats, Floats]:
    """Count and mean z of every member (columns) against every resample (rows); NaN if it fails."""
    shape = (len(drawn), len(x))
    count, z_sum, z_n = np.zeros(shape), np.zeros(shape), np.zeros(len(x))
    failed = np.zeros(len(drawn), dtype=bool)
    for j, component in enumerate(definition.components):
        sample = np.sort(x[:, j][drawn], axis=1)
        n = np.isfinite(sample).sum(axis=1)
        has_z = np.isfinite(known.sd[group, j])
        if has_z:
            mean, sd = spread(transformed(sample, component), n)
            failed |= np.isnan(sd)
            score = (transformed(x[:, j], component) - mean[:, None]) / sd[:, None]
            z_sum += np.nan_to_num(score if component.risk == "high" else -score)
            z_n += np.isfinite(x[:, j])
        if is_fixed(component, rule):
            count += at_risk(x[:, j], fixed[:, j], component, rule)
        elif np.isfinite(known.cut[group, j]):
            cut = quartile(sample, n, component.risk)
            count += at_risk(x[:, j], cut[:, None], component, rule)
    count[failed], z_sum[failed] = np.nan, np.nan
    with np.errstate(invalid="ignore"):
        return count, np.where(z_n > 0, z_sum / z_n, np.nan)


def _interval(counts: Floats, z_means: Floats, groups: Groups) -> Interval:
    """Percentiles over the resamples; NaN where too many of them gave no score."""
    n_boot, n = counts.shape
    bounds = np.full((4, n), np.nan)
    tails = [(1 - _COVER) / 2, (1 + _COVER) / 2]
    used = n_boot
    for g in range(len(groups.labels)):
        members = groups.members(g)
        worked = np.isfinite(counts[:, members]).all(axis=1)
        used = min(used, int(worked.sum()))
        if worked.sum() < max(_ENOUGH * n_boot, 1):
            continue
        kept = counts[worked][:, members], z_means[worked][:, members]
        # A count is whole, and so are the ends of its interval.
        bounds[:2, members] = np.quantile(kept[0], tails, axis=0, method="inverted_cdf")
        bounds[2:, members] = np.quantile(kept[1], tails, axis=0)
    return Interval(bounds[0], bounds[1], bounds[2], bounds[3], used)
