"""Windows from events: whole phases, last parts, interaction windows, sliding windows."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import ConfigError
from physio_hqc.protocol import (
    WINDOW_COLUMNS,
    WindowRules,
    derive_windows,
    load_protocol,
    parse_protocol,
)

NAN = math.nan


def events(*rows):
    """Events from (kind, label, onset, duration[, payload])."""
    full = [(*row, {}) if len(row) == 4 else row for row in rows]
    return pd.DataFrame(full, columns=["kind", "label", "onset", "duration", "payload"])


def rules(**kwargs):
    return WindowRules.model_validate(kwargs)


def as_dict(frame, *columns):
    return {row.window: tuple(getattr(row, c) for c in columns) for row in frame.itertuples()}


LEPORE = events(
    ("system", "start", 0.0, 0.0),
    ("phase", "baseline", 10.0, 600.0),
    ("phase", "preparation", 610.0, 180.0),
    ("phase", "speech", 790.0, 360.0),
    ("phase", "recovery", 1150.0, 600.0),
    ("interaction", "with confederate", 800.0, 100.0),
    ("marker", "cough", 900.0, 0.0),
)


class TestPhases:
    def test_without_a_protocol_nothing_is_guessed(self):
        windows = derive_windows(LEPORE)
        assert list(windows.columns) == list(WINDOW_COLUMNS)
        assert as_dict(windows, "kind", "onset", "duration", "phase", "role", "speech") == {
            "baseline": ("phase", 10, 600, "baseline", "", False),
            "preparation": ("phase", 610, 180, "preparation", "", False),
            "speech": ("phase", 790, 360, "speech", "", False),
            "recovery": ("phase", 1150, 600, "recovery", "", False),
            "with_confederate": ("interaction", 800, 100, "speech", "", False),
        }

    def test_the_protocol_tells_role_and_speech(self):
        windows = derive_windows(LEPORE, load_protocol("lepore_1993"))
        rows = as_dict(windows, "phase", "role", "speech")
        assert rows["baseline"] == ("baseline", "baseline", False)
        assert rows["speech"] == ("speech", "task", True)
        assert rows["with_confederate"] == ("speech", "task", True)
        assert rows["speech_last_180s"] == ("speech", "task", True)
        assert rows["speech_slide_001"] == ("speech", "task", True)

    def test_the_payload_tells_where_the_protocol_does_not(self):
        table = events(
            ("phase", "Rede", 0, 10, {"role": "task", "speech": True}),
            ("phase", "calm", 10, 10, json.dumps({"role": "baseline"})),
            ("phase", "odd", 20, 10, {"role": "queen", "speech": "yes"}),
            ("phase", "none", 30, 10, None),
            ("phase", "broken", 40, 10, "{"),
        )
        for protocol in (None, load_protocol("lepore_1993")):
            rows = as_dict(derive_windows(table, protocol), "role", "speech")
            assert rows["Rede"] == ("task", True)
            assert rows["calm"][0] == "baseline"
            assert rows["odd"] == rows["none"] == rows["broken"] == ("", False)

    def test_an_event_may_carry_the_label_of_a_phase_in_any_capitals(self):
        table = events(("phase", "SPEECH", 0, 360), ("phase", "Rest", 360, 600))
        windows = derive_windows(table, load_protocol("lepore_1993"), rules=WindowRules())
        assert as_dict(windows.query("kind == 'phase'"), "label", "phase", "role") == {
            "speech": ("SPEECH", "speech", "task"),
            "baseline": ("Rest", "baseline", "baseline"),
        }

    def test_repeated_names_get_suffixes(self):
        table = events(
            ("phase", "speech", 0, 10),
            ("phase", "speech", 20, 10),
            ("phase", "speech_2", 40, 10),
            ("phase", "speech", 60, 10),
            ("interaction", "speech", 0, 5),
            ("interaction", "", 1, 5),
            ("interaction", "!", 2, 5),
        )
        windows = derive_windows(table)
        assert windows["window"].tolist() == [
            "speech", "speech_2", "speech_2_2", "speech_3", "speech_4", "interaction",
            "interaction_2",
        ]  # fmt: skip
        assert windows["phase"].tolist()[:4] == ["speech", "speech", "speech_2", "speech"]

    def test_order_of_events_does_not_matter(self):
        shuffled = LEPORE.sample(frac=1, random_state=1)
        protocol = load_protocol("lepore_1993")
        pd.testing.assert_frame_equal(
            derive_windows(shuffled, protocol), derive_windows(LEPORE, protocol)
        )

    def test_an_interaction_belongs_to_the_phase_of_its_onset(self):
        table = events(
            ("phase", "a", 0, 10),
            ("phase", "b", 10, 10),
            ("interaction", "late", 9.999, 5),
            ("interaction", "edge", 10, 5),
            ("interaction", "after", 20, 5),
        )
        assert as_dict(derive_windows(table).iloc[2:], "phase") == {
            "late": ("a",),
            "edge": ("b",),
            "after": ("",),
        }

    def test_an_interaction_that_reaches_into_a_speech_carries_its_caution(self):
        table = events(
            ("phase", "baseline", 0, 600),
            ("phase", "preparation", 600, 180),
            ("phase", "speech", 780, 360),
            ("interaction", "reaches", 590, 200),
            ("interaction", "ends before", 590, 190),
            ("interaction", "within", 800, 10),
        )
        windows = derive_windows(table, load_protocol("lepore_1993"))
        found = as_dict(windows[windows["kind"] == "interaction"], "phase", "speech")
        assert found == {
            "reaches": ("baseline", True),
            "ends_before": ("baseline", False),
            "within": ("speech", True),
        }

    def test_an_interaction_payload_can_say_that_nobody_speaks(self):
        table = events(
            ("phase", "speech", 0, 60),
            ("interaction", "pause", 5, 5, {"speech": False}),
            ("interaction", "talk", 15, 5),
        )
        windows = derive_windows(table, load_protocol("lepore_1993"), rules=WindowRules())
        assert as_dict(windows.iloc[1:], "speech") == {"pause": (False,), "talk": (True,)}


class TestOpenAndBroken:
    def test_an_open_phase_ends_at_the_next(self):
        table = events(("phase", "a", 0, NAN), ("phase", "b", 12.5, NAN), ("phase", "c", 20, 5))
        assert derive_windows(table)["duration"].tolist() == [12.5, 7.5, 5]

    def test_the_last_one_ends_with_the_recording(self):
        table = events(("phase", "a", 0, NAN), ("interaction", "b", 3, NAN))
        assert derive_windows(table, t_end=30.0)["duration"].tolist() == [30, 27]

    @pytest.mark.parametrize("kind", ["phase", "interaction"])
    def test_without_an_end_it_is_an_error(self, kind):
        with pytest.raises(ConfigError, match=rf"{kind} 'a' at 4 s was never closed.*t_end"):
            derive_windows(events((kind, "a", 4, NAN)))

    def test_what_makes_no_window_is_listed(self):
        table = events(
            ("phase", "point", 5, 0),
            ("phase", "back", 6, -1),
            ("phase", "lost", NAN, 3),
            ("interaction", "late", 50, NAN),
            ("phase", "good", 10, 3),
        )
        windows = derive_windows(table, t_end=40.0)
        assert windows["window"].tolist() == ["good"]
        assert windows.attrs["dropped"] == [
            "phase 'lost': its onset is no number",
            "phase 'point' at 5 s: it has no length",
            "phase 'back' at 6 s: it has no length",
            "interaction 'late' at 50 s: it has no length",
        ]

    @pytest.mark.parametrize("table", [LEPORE.iloc[:0], LEPORE.iloc[[0]], LEPORE.iloc[[-1]]])
    def test_no_phases_give_an_empty_table_of_the_same_types(self, table):
        protocol = load_protocol("lepore_1993")
        windows = derive_windows(table, protocol)
        assert len(windows) == 0
        assert windows.dtypes.to_dict() == derive_windows(LEPORE, protocol).dtypes.to_dict()

    def test_missing_column(self):
        with pytest.raises(ConfigError, match="label is missing"):
            derive_windows(LEPORE.drop(columns="label"))

    def test_payload_is_optional_and_input_is_left_alone(self):
        table = LEPORE.drop(columns="payload")
        copy = table.copy(deep=True)
        assert len(derive_windows(table)) == 5
        pd.testing.assert_frame_equal(table, copy)


class TestLastParts:
    def test_worked_example(self):
        chosen = rules(phase_last=[{"minutes": 5}, {"phases": ["speech"], "seconds": 90.5}])
        windows = derive_windows(LEPORE, rules=chosen)
        last = windows[windows["kind"] == "phase_last"]
        assert as_dict(last, "onset", "duration", "label", "phase") == {
            "baseline_last_300s": (310, 300, "baseline", "baseline"),
            "preparation_last_300s": (610, 180, "preparation", "preparation"),  # shorter: whole
            "speech_last_300s": (850, 300, "speech", "speech"),
            "speech_last_90.5s": (1059.5, 90.5, "speech", "speech"),
            "recovery_last_300s": (1450, 300, "recovery", "recovery"),
        }

    def test_repeated_phase(self):
        table = events(("phase", "task", 0, 100), ("phase", "task", 200, 100))
        windows = derive_windows(table, rules=rules(phase_last=[{"seconds": 60}]))
        assert as_dict(windows.iloc[2:], "onset") == {
            "task_last_60s": (40,),
            "task_2_last_60s": (240,),
        }

    def test_the_window_of_the_baseline_rule_is_always_there(self):
        protocol = load_protocol("lepore_1993")
        windows = derive_windows(LEPORE, protocol, rules=WindowRules())
        assert as_dict(windows, "onset", "duration")[protocol.baseline_window] == (250, 360)
        assert (windows["window"] == protocol.baseline_window).sum() == 1

    def test_the_same_length_twice_is_one_window(self):
        chosen = rules(phase_last=[{"minutes": 1}, {"seconds": 60}])
        windows = derive_windows(LEPORE, rules=chosen)
        assert (windows["kind"] == "phase_last").sum() == 4


class TestSliding:
    def test_worked_example(self):
        chosen = rules(sliding={"length_s": 60, "step_s": 30, "within": ["with_confederate"]})
        sliding = derive_windows(LEPORE, rules=chosen).query("kind == 'sliding'")
        assert as_dict(sliding, "onset", "duration", "label", "phase") == {
            "with_confederate_slide_001": (800, 60, "with confederate", "speech"),
            "with_confederate_slide_002": (830, 60, "with confederate", "speech"),
        }

    @pytest.mark.parametrize(
        ("within", "parents"),
        [
            (["phase"], {"baseline", "preparation", "speech", "recovery"}),
            (["interaction"], {"with_confederate"}),
            (["phase_last"], {"baseline_last_360s", "speech_last_180s"}),
            (["task"], {"speech"}),
            (["SPEECH"], {"speech"}),
            (["recovery", "with_confederate"], {"recovery", "with_confederate"}),
        ],
    )
    def test_within(self, within, parents):
        chosen = rules(
            phase_last=[{"phases": ["speech"], "minutes": 3}],
            sliding={"length_s": 60, "step_s": 60, "within": within},
        )
        windows = derive_windows(LEPORE, load_protocol("lepore_1993"), rules=chosen)
        sliding = windows[windows["kind"] == "sliding"]
        assert {name.rpartition("_slide_")[0] for name in sliding["window"]} == parents

    def test_default_is_phases_and_interactions(self):
        chosen = rules(sliding={"length_s": 100, "step_s": 100})
        windows = derive_windows(LEPORE, rules=chosen)
        assert (windows["kind"] == "sliding").sum() == 6 + 1 + 3 + 6 + 1

    def test_no_drift_over_ten_thousand_steps(self):
        chosen = rules(sliding={"length_s": 1, "step_s": 0.1, "within": ["phase"]})
        windows = derive_windows(events(("phase", "a", 0.3, 1000.9)), rules=chosen)
        sliding = windows[windows["kind"] == "sliding"]
        assert len(sliding) == 10_000
        assert sliding["onset"].iloc[-1] == pytest.approx(0.3 + 999.9, abs=1e-9)
        assert sliding["window"].iloc[[0, -1]].tolist() == ["a_slide_00001", "a_slide_10000"]

    def test_too_many_are_refused(self):
        chosen = rules(sliding={"length_s": 1, "step_s": 1e-6})
        with pytest.raises(ConfigError, match="choose a longer step"):
            derive_windows(LEPORE, rules=chosen)

    @given(
        st.lists(st.tuples(st.integers(0, 500), st.integers(1, 4000)), min_size=1, max_size=6),
        st.integers(1, 900),
        st.integers(1, 400),
        st.sampled_from([1.0, 0.1, 1 / 3]),
    )
    @settings(deadline=None, max_examples=100)
    def test_properties(self, stretches, length, step, unit):
        """Count, containment, even steps and unique names, on a grid of any unit of time."""
        rows, start = [], 0
        for gap, duration in stretches:
            start += gap
            rows.append(("phase", "p", start * unit, duration * unit))
            start += duration
        chosen = rules(sliding={"length_s": length * unit, "step_s": step * unit})
        windows = derive_windows(events(*rows), rules=chosen)
        assert windows["window"].is_unique
        sliding = windows[windows["kind"] == "sliding"]
        wanted = sum((d - length) // step + 1 for _, d in stretches if d >= length)
        assert len(sliding) == wanted
        parent = [name.rpartition("_slide_")[0] for name in sliding["window"]]
        parents = windows[windows["kind"] == "phase"].set_index("window")
        onset = sliding["onset"].to_numpy()
        begin = parents["onset"].reindex(parent).to_numpy()
        end = begin + parents["duration"].reindex(parent).to_numpy()
        tolerance = 1e-7 * unit
        assert np.all(onset >= begin)
        assert np.all(onset + sliding["duration"].to_numpy() <= end + tolerance)
        place = (onset - begin) / (step * unit)
        assert np.allclose(place, np.round(place), atol=1e-6)

    @given(st.integers(2, 40), st.integers(1, 30))
    @settings(deadline=None, max_examples=50)
    def test_windows_that_do_not_overlap_share_no_sample(self, count, length):
        """Half-open: every sample of the phase falls into exactly one of adjoining windows."""
        chosen = rules(sliding={"length_s": float(length), "step_s": float(length)})
        windows = derive_windows(events(("phase", "p", 0, count * length)), rules=chosen)
        sliding = windows[windows["kind"] == "sliding"]
        samples = np.arange(count * length)
        onset = sliding["onset"].to_numpy()[:, None]
        hits = (samples >= onset) & (samples < onset + length)
        assert (hits.sum(axis=0) == 1).all()


class TestAnything:
    """Events of a damaged or foreign file: windows or a ConfigError, with unique names."""

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["phase", "interaction", "marker", "x"]),
                st.sampled_from(["speech", "a", "", "a_2", "speech_slide_001", "ä ö", "\n", None]),
                st.floats(-1e6, 1e6) | st.just(NAN) | st.just(math.inf),
                st.floats(-10, 3000) | st.just(NAN) | st.just(math.inf),
                st.none() | st.just("[]") | st.just({"role": ["x"]}) | st.just(3),
            ),
            max_size=12,
        ),
        st.none() | st.floats(-1e6, 1e6),
        st.booleans(),
    )
    @settings(deadline=None, max_examples=300)
    def test_never_another_exception(self, rows, t_end, with_protocol):
        protocol = load_protocol("lepore_1993") if with_protocol else None
        try:
            windows = derive_windows(events(*rows), protocol, t_end=t_end)
        except ConfigError:
            return
        assert list(windows.columns) == list(WINDOW_COLUMNS)
        assert windows["window"].is_unique
        assert (windows["duration"] > 0).all()
        assert np.isfinite(windows[["onset", "duration"]]).all(axis=None)

    def test_many_equal_labels_cost_little(self):
        rows = [("phase", "a", float(i), 1.0) for i in range(20_000)]
        windows = derive_windows(events(*rows))
        assert windows["window"].iloc[-1] == "a_20000"


def test_rules_of_a_protocol_text_are_used():
    protocol = parse_protocol(load_protocol("dyad_conversation").to_yaml())
    table = events(
        ("phase", "baseline", 0, 300),
        ("phase", "conversation", 300, 900),
        ("interaction", "disclosure", 400, 90),
        ("interaction", "disclosure", 600, 30),
    )
    windows = derive_windows(table, protocol)
    sliding = windows[windows["kind"] == "sliding"]["window"].str.rpartition("_slide_")[0]
    assert sliding.value_counts().to_dict() == {"conversation": 85, "disclosure": 4}
    assert set(windows[windows["kind"] == "phase_last"]["window"]) == {
        "baseline_last_300s",
        "conversation_last_300s",
    }
