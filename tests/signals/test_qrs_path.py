from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.signals._qrs_path import PathCosts, best_path


def cost_between(times, height, usual_rr, stretch, a, b):
    """What the step from candidate a to candidate b costs, written out."""
    apart = times[b] - times[a]
    if apart < 0.2:
        return np.inf
    if stretch[a] != stretch[b]:
        return 0.0
    relative = apart / ((usual_rr[a] + usual_rr[b]) / 2)
    cost = 4.4 * max(0.75 - relative, 0)
    cost += 1.07 * min(max(relative - 1.09, 0), 0.71) + 0.55 * max(relative - 1.8, 0)
    ratio = min(height[a], height[b]) / max(height[a], height[b])
    near = min(max((0.33 - apart) / 0.15, 0), 1)
    return cost + 1.9 * near * min(max((1.4 - ratio) / 0.4, 0), 1)


def worth(path, evidence, *costs):
    steps = sum(cost_between(*costs, a, b) for a, b in pairwise(path))
    return sum(evidence[k] for k in path) - steps


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_no_subset_of_the_candidates_is_worth_more(n, seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.15, 0.9, n))
    height = rng.uniform(0.1, 2, n)
    evidence = rng.uniform(-2, 3.5, n)
    usual_rr = rng.uniform(0.4, 1.2, n)
    stretch = np.cumsum(rng.random(n) < 0.1)
    path = best_path(times, evidence, PathCosts(times, height, usual_rr, stretch))
    about = (evidence, times, height, usual_rr, stretch)
    best = max(
        worth(subset, *about) for size in range(n + 1) for subset in combinations(range(n), size)
    )
    assert worth(path.tolist(), *about) == pytest.approx(best, abs=1e-9)


def test_pieces_join_to_the_path_of_the_whole():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.25, 0.6, 3000))
    evidence = rng.uniform(-2, 3.5, times.size)
    costs = PathCosts(
        times, rng.uniform(0.5, 2, times.size), np.full(times.size, 0.8), np.zeros(times.size, int)
    )
    path = best_path(times, evidence, costs)
    # One recursion over all candidates, without pieces.
    table = np.array(
        [
            [cost_between(*costs, k - back, k) if k >= back else np.inf for back in range(1, 9)]
            for k in range(times.size)
        ]
    )
    best, came = np.empty(times.size), np.full(times.size, -1)
    for k in range(times.size):
        before = [best[k - back] - table[k, back - 1] for back in range(1, min(8, k) + 1)]
        best[k] = evidence[k] + max([0.0, *before])
        if before and max(before) > 0:
            came[k] = k - 1 - int(np.argmax(before))
    k = int(best.argmax())
    whole = [k]
    while came[k] >= 0:
        k = int(came[k])
        whole.append(k)
    assert path.tolist() == whole[::-1]


def test_a_long_pause_costs_no_beat():
    times = np.concatenate([np.arange(0, 10, 0.8), np.arange(40, 50, 0.8)])
    n = times.size
    costs = PathCosts(times, np.ones(n), np.full(n, 0.8), np.zeros(n, int))
    assert best_path(times, np.full(n, 2.0), costs).tolist() == list(range(n))
