"""The conductor against a slow reference, and against what must hold for any course."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.acquisition.conductor import (
    Conductor,
    CuffDue,
    PhaseEnded,
    PhaseStarted,
    ProtocolEnded,
    RatingsDue,
)
from physio_hqc.protocol import BaselineRule, Phase, Protocol, RatingScale, load_protocol


def make_protocol(durations, manual=(), cuffs=(), rated=()):
    phases = tuple(
        Phase(
            name=f"p{k}",
            duration_s=float(duration),
            role="baseline" if k == 0 else "task",
            advance="manual" if k in manual else "clock",
            cuff_at_s=cuffs if k in rated or not rated else (),
            ratings=("stress",) if k in rated else (),
        )
        for k, duration in enumerate(durations)
    )
    return Protocol(
        name="test",
        title="Test",
        phases=phases,
        ratings=(RatingScale(name="stress", min=1.0, max=7.0),),
        baseline=BaselineRule(phase="p0"),
    )


def spans(actions):
    """(name, onset, end, early) of the phases that ended."""
    begun = {a.phase.name: a.t for a in actions if isinstance(a, PhaseStarted)}
    return [
        (a.phase.name, begun[a.phase.name], a.t, a.early)
        for a in actions
        if isinstance(a, PhaseEnded)
    ]


def test_late_tick_ends_several_phases_at_their_planned_times():
    conductor = Conductor(make_protocol([10, 20, 30]))
    actions = conductor.start(100.0) + conductor.tick(141.5)
    assert spans(actions) == [("p0", 100.0, 110.0, False), ("p1", 110.0, 130.0, False)]
    view = conductor.view(141.5)
    assert (view.name, view.number, view.of, view.elapsed_s, view.left_s, view.next_label) == (
        "p2", 3, 3, 11.5, 18.5, "",
    )  # fmt: skip
    ended = conductor.tick(1000.0)
    assert [(type(a), a.t) for a in ended] == [(PhaseEnded, 160.0), (ProtocolEnded, 160.0)]
    assert ended[-1].complete
    assert conductor.done
    assert conductor.view(1000.0) is None
    assert conductor.tick(2000.0) == conductor.next_phase(2000.0) == conductor.stop(2000.0) == []


def test_manual_phase_waits_and_runs_over():
    conductor = Conductor(make_protocol([10, 5], manual={0}))
    conductor.start(0.0)
    assert conductor.tick(60.0) == []
    view = conductor.view(60.0)
    assert (view.manual, view.left_s, view.elapsed_s) == (True, -50.0, 60.0)
    actions = conductor.next_phase(61.25)
    assert [(type(a), a.t) for a in actions] == [(PhaseEnded, 61.25), (PhaseStarted, 61.25)]
    assert not actions[0].early
    assert [a.t for a in conductor.tick(70.0)] == [66.25, 66.25]


def test_next_before_the_planned_end_is_recorded_as_early():
    conductor = Conductor(make_protocol([10, 5]))
    started = conductor.start(0.0)
    assert spans(started + conductor.next_phase(4.0)) == [("p0", 0.0, 4.0, True)]


def test_stop_in_mid_phase_ends_it():
    conductor = Conductor(make_protocol([10, 5], rated={0}))
    conductor.start(0.0)
    ended, last = conductor.stop(3.0)
    assert (ended.t, ended.early, last.t, last.complete) == (3.0, True, 3.0, False)
    assert conductor.done


def test_stop_before_the_start_leaves_nothing_to_start():
    conductor = Conductor(make_protocol([10]))
    assert conductor.tick(5.0) == []
    assert conductor.view(5.0) is None
    assert conductor.stop(6.0) == []
    assert conductor.start(7.0) == []


def test_cuff_readings_are_announced_once_and_stay_due_until_they_arrive():
    conductor = Conductor(make_protocol([100], cuffs=(10.0, 50.0)))
    conductor.start(1000.0)
    assert conductor.tick(1009.9) == []
    assert conductor.view(1009.0).cuff_in_s == pytest.approx(1.0)
    (due,) = conductor.tick(1013.0)
    assert isinstance(due, CuffDue)
    assert (due.t, due.number) == (1010.0, 1)
    assert conductor.tick(1014.0) == []
    view = conductor.view(1014.0)
    assert (view.cuff_due, view.cuff_in_s) == (True, pytest.approx(36.0))
    conductor.cuff_arrived(1040.0)
    assert not conductor.view(1040.0).cuff_due
    assert [a.number for a in conductor.tick(1055.0)] == [2]
    assert conductor.view(1055.0).cuff_in_s is None
    conductor.tick(1100.0)
    assert conductor.done


def test_ratings_follow_the_end_of_the_phase():
    conductor = Conductor(make_protocol([10, 5], rated={0}))
    conductor.start(0.0)
    ended, ratings, begun = conductor.tick(10.0)
    assert isinstance(ended, PhaseEnded)
    assert isinstance(ratings, RatingsDue)
    assert isinstance(begun, PhaseStarted)
    assert ratings.names == ("stress",)


def test_a_tick_that_runs_backwards_counts_as_the_last_time():
    conductor = Conductor(make_protocol([10, 5]))
    started = conductor.start(0.0)
    conductor.tick(8.0)
    assert conductor.tick(2.0) == []
    assert spans(started + conductor.stop(3.0)) == [("p0", 0.0, 8.0, True)]


def test_a_phase_ends_when_the_key_was_pressed_though_a_tick_came_between():
    conductor = Conductor(make_protocol([10, 5]))
    started = conductor.start(1.0)
    conductor.tick(8.0)
    assert spans(started + conductor.next_phase(7.9)) == [("p0", 1.0, 7.9, True)]
    following = conductor.next_phase(5.0)
    assert [action.t for action in following] == [7.9] * len(following)


@pytest.mark.parametrize("name", ["lepore_1993", "tsst", "dyad_conversation"])
def test_shipped_protocols_by_the_clock_alone(name):
    """With every phase by the clock: onsets are the running sums of the planned lengths."""
    protocol = load_protocol(name)
    clocked = protocol.model_copy(
        update={"phases": tuple(p.model_copy(update={"advance": "clock"}) for p in protocol.phases)}
    )
    conductor = Conductor(clocked)
    actions = conductor.start(0.0)
    for k in range(int(protocol.duration_s * 4) + 2):
        actions += conductor.tick(k / 4)
    onset = 0.0
    expected = []
    for phase in protocol.phases:
        expected.append((phase.name, onset, onset + phase.duration_s, False))
        onset += phase.duration_s
    assert spans(actions) == expected
    dues = [a.t - begin for a in actions if isinstance(a, CuffDue)
            for _, begin, end, _ in expected if begin <= a.t < end]  # fmt: skip
    assert dues == [due for phase in protocol.phases for due in phase.cuff_at_s]
    assert [a.names for a in actions if isinstance(a, RatingsDue)] == [
        phase.ratings for phase in protocol.phases if phase.ratings
    ]


durations = st.lists(st.floats(0.1, 100.0), min_size=1, max_size=6)
steps = st.lists(
    st.tuples(st.sampled_from(["tick", "tick", "next"]), st.floats(0.0, 40.0)), max_size=40
)


@settings(deadline=None, max_examples=200)
@given(durations, st.sets(st.integers(0, 5)), steps)
def test_any_course_gives_phases_in_order_without_holes(lengths, manual, course):
    protocol = make_protocol(lengths, manual=manual)
    conductor = Conductor(protocol)
    now = 3.0
    actions = conductor.start(now)
    by_hand = 0
    for what, wait in course:
        now += wait
        if what == "next":
            by_hand += not conductor.done
            actions += conductor.next_phase(now)
        else:
            actions += conductor.tick(now)
    actions += conductor.stop(now)
    found = spans(actions)
    assert [name for name, *_ in found] == [p.name for p in protocol.phases][: len(found)]
    assert all(a[2] == b[1] for a, b in pairwise(found))
    assert found[0][1] == 3.0
    for (_, onset, end, early), phase in zip(found, protocol.phases, strict=False):
        assert onset <= end <= now
        assert early == (end < onset + phase.duration_s)
        if phase.advance == "clock":
            assert end <= onset + phase.duration_s
    times = [a.t for a in actions]
    assert times == sorted(times)
    assert sum(isinstance(a, ProtocolEnded) for a in actions) == 1
    assert sum(isinstance(a, PhaseStarted) for a in actions) == len(found)


@settings(deadline=None, max_examples=100)
@given(durations, st.lists(st.floats(0.0, 700.0), max_size=30))
def test_by_the_clock_the_ticks_do_not_matter(lengths, ticks):
    cuffs = tuple(x for x in (0.0, 0.05) if x < min(lengths))
    sparse, dense = (Conductor(make_protocol(lengths, cuffs=cuffs)) for _ in range(2))
    once = sparse.start(0.0) + sparse.tick(1e4)
    often = dense.start(0.0)
    for now in sorted(ticks):
        often += dense.tick(now)
    often += dense.tick(1e4)
    assert often == once
    assert once[-1].t == pytest.approx(math.fsum(lengths), rel=1e-12)
