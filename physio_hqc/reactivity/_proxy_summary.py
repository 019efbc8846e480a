"""The allostatic-load proxy of groups: mean and interval per condition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from physio_hqc.errors import StudyError
from physio_hqc.reactivity._proxy_numbers import FLAG
from physio_hqc.reactivity._proxy_values import words

_FEW = 10  # below it a percentile interval of a mean is clearly too narrow
_COVER = 0.95
_BLOCK = 4_000_000


def proxy_summary(
    allostatic: pd.DataFrame,
    by: str = "condition",
    *,
    participants: pd.DataFrame | None = None,
    scores: Sequence[str] = ("proportion", "z_mean"),
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean allostatic-load proxy of every group, with a bootstrap interval.

    Parameters
    ----------
    allostatic : DataFrame
        As :func:`allostatic_proxy` returns it; of several proxies below each other if wished.
    by : str
        Column that holds the group, of `allostatic` or of `participants`.
    participants : DataFrame, optional
        Participants with the columns id and `by`.
    scores : sequence of str
        Columns of `allostatic` to summarize.
    n_boot : int
        Resamples behind the intervals; 0 for none.
    seed : int
        Of the resampling.

    Returns
    -------
    DataFrame
        One row per proxy, score and group: proxy, label (of how many indicators), score, the column
        `by`, n, n_missing (participants without the score), mean, sd (n - 1), ci_low, ci_high
        (95 %), reason.

    Raises
    ------
    StudyError
        If a column is missing, a participant is listed twice, or an argument makes no sense.

    Notes
    -----
    Participants are drawn with replacement within their group, and their scores are taken as they
    are: the interval holds how participants differ, not that sample cut points would differ too.
    A sample quartile puts about a quarter of the *whole* sample at risk whatever its health, so
    these means compare groups of one sample and nothing else.

    Examples
    --------
    >>> import pandas as pd
    >>> from physio_hqc.reactivity import proxy_summary
    >>> scores = pd.DataFrame({"participant": list("abcd"), "proxy": "session", "n_components": 6,
    ...                        "n_defined": 6, "condition": ["alone"] * 2 + ["support"] * 2,
    ...                        "proportion": [0.5, 0.25, 0.25, 0.0]})
    >>> proxy_summary(scores, scores=["proportion"])[["condition", "n", "mean"]].to_dict("list")
    {'condition': ['alone', 'support'], 'n': [2, 2], 'mean': [0.375, 0.125]}
    """
    if not isinstance(n_boot, int | np.integer) or not 0 <= n_boot <= 100_000:
        raise StudyError(f"n_boot is {n_boot}: pass a whole number from 0 to 100000")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise StudyError(f"seed is {seed}: pass a whole number from 0")
    table = _table(allostatic, by, participants, scores)
    rows = []
    for (proxy, group), part in table.groupby(["proxy", by], sort=False, observed=True):
        # The same order whatever the order of the rows, so that the draws are the same.
        part = part.sort_values("participant", kind="stable")
        for score in scores:
            numbers = _scores(part, score)
            label = _label(part[~np.isnan(numbers)])
            rows.append((proxy, label, score, group, *_statistics(numbers, n_boot, seed)))
    columns = ["proxy", "label", "score", by, "n", "n_missing", "mean", "sd"]
    summary = pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high", "reason"])
    return summary.sort_values(["proxy", "score"], kind="stable", ignore_index=True)


def _table(
    allostatic: pd.DataFrame, by: str, participants: pd.DataFrame | None, scores: Sequence[str]
) -> pd.DataFrame:
    """Scores with their group."""
    if not isinstance(allostatic, pd.DataFrame):
        raise StudyError(f"allostatic is a {type(allostatic).__name__}: pass a DataFrame")
    for column in ("participant", "proxy", "n_components", "n_defined", *scores):
        if column not in allostatic.columns:
            raise StudyError(f"allostatic: there is no column {column!r}")
    table = allostatic.reset_index(drop=True).copy()
    table.attrs = {}
    table["participant"] = words(table["participant"])
    if table.duplicated(["participant", "proxy"]).any():
        row = table[table.duplicated(["participant", "proxy"])].iloc[0]
        raise StudyError(f"allostatic: {row['participant']!r} appears twice in {row['proxy']}")
    if by in table.columns:
        return table.assign(**{by: words(table[by])})
    if participants is None:
        raise StudyError(f"allostatic: there is no column {by!r}; pass participants that have it")
    if not isinstance(participants, pd.DataFrame):
        kind = type(participants).__name__
        raise StudyError(f"participants is a {kind}: pass a table with the columns id and {by}")
    for column in ("id", by):
        if column not in participants.columns:
            raise StudyError(f"participants: there is no column {column!r}")
    who = words(participants["id"])
    if len(set(who)) < len(who):
        twice = next(name for name in who if (who == name).sum() > 1)
        raise StudyError(f"participants: id {twice!r} appears twice")
    groups = dict(zip(who, words(participants[by]), strict=True))
    return table.assign(**{by: [groups.get(name, "") for name in table["participant"]]})


def _scores(part: pd.DataFrame, score: str) -> NDArray[np.float64]:
    """One score of a group as numbers."""
    try:
        return np.asarray(part[score], dtype=np.float64)
    except (TypeError, ValueError):
        raise StudyError(f"allostatic: column {score!r} is not numeric") from None


def _label(part: pd.DataFrame) -> str:
    """Of how many indicators the scores of a group are."""
    if part.empty:
        return "allostatic-load proxy (no scores)"
    low, high = int(part["n_components"].min()), int(part["n_components"].max())
    k = f"{low}" if low == high else f"{low} to {high}"
    return f"allostatic-load proxy ({k} of {int(part['n_defined'].max())} indicators)"


def _statistics(
    values: NDArray[np.float64], n_boot: int, seed: int
) -> tuple[int, int, float, float, float, float, str]:
    """n, n_missing, mean, sd, interval and reason of one group."""
    present = values[~np.isnan(values)]
    n, n_missing = len(present), len(values) - len(present)
    if n == 0:
        return n, n_missing, np.nan, np.nan, np.nan, np.nan, "nobody has this score"
    if n == 1:
        why = "no sd and interval: 1 participant"
        return n, n_missing, float(present[0]), np.nan, np.nan, np.nan, why
    mean, sd = float(present.mean()), float(present.std(ddof=1))
    if n_boot == 0:
        return n, n_missing, mean, sd, np.nan, np.nan, "no interval: n_boot is 0"
    low, high = _interval(present, n_boot, seed)
    few = f"{FLAG}{n} participants, the interval is too narrow" if n < _FEW else ""
    return n, n_missing, mean, sd, low, high, few


def _interval(values: NDArray[np.float64], n_boot: int, seed: int) -> tuple[float, float]:
    """Percentile interval of the mean."""
    rng = np.random.default_rng(seed)
    means = np.empty(n_boot)
    block = max(1, _BLOCK // len(values))
    for start in range(0, n_boot, block):
        stop = min(start + block, n_boot)
        drawn = rng.integers(0, len(values), (stop - start, len(values)))
        means[start:stop] = values[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - _COVER) / 2, (1 + _COVER) / 2])
    return float(low), float(high)
