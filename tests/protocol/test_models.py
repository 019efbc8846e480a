"""Protocols: the shipped ones, what is refused and where the message points, scaling, YAML."""

import itertools
import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from physio_hqc.config import find_config, list_configs
from physio_hqc.errors import ConfigError
from physio_hqc.protocol import Protocol, load_protocol, parse_protocol

MINIMAL = """\
name: mini
title: The least that is a protocol
phases:
  - name: rest
    duration_s: 300
    role: baseline
  - name: speech
    duration_s: 360
    role: task
    cuff_at_s: [60, 180]
    ratings: [stress]
ratings:
  - {name: stress, min: 1, max: 7}
windows:
  phase_last:
    - phases: [speech]
      minutes: 3
  sliding: {length_s: 60, step_s: 10, within: [speech, baseline, interaction]}
baseline:
  phase: rest
"""


def complaint(old, new):
    """Message for the minimal protocol with one stretch of text replaced."""
    assert MINIMAL.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        parse_protocol(MINIMAL.replace(old, new), "mini.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestShipped:
    @pytest.mark.parametrize("name", list_configs("protocols"))
    def test_loads_under_its_own_name_and_round_trips(self, name):
        protocol = load_protocol(name)
        assert protocol.name == name
        assert protocol.references
        assert parse_protocol(protocol.to_yaml()) == protocol
        assert "doi" in find_config("protocols", name).read_text(encoding="utf-8")

    @pytest.mark.parametrize("name", list_configs("protocols"))
    def test_text_fits_an_attribute_of_a_session_file(self, name):
        assert len(load_protocol(name).to_yaml().encode()) < 60_000

    @pytest.mark.parametrize("name", list_configs("protocols"))
    def test_baseline_readings_lie_in_the_baseline_window(self, name):
        protocol = load_protocol(name)
        phase = protocol.phase(protocol.baseline.phase)
        start = phase.duration_s - (protocol.baseline.last_s or phase.duration_s)
        # A reading ends some 40 s after it is started.
        used = [due for due in phase.cuff_at_s if start <= due and due + 40 <= phase.duration_s]
        assert len(used) >= protocol.baseline.min_cuff_readings
        assert used == list(phase.cuff_at_s)

    @pytest.mark.parametrize("name", list_configs("protocols"))
    def test_cuff_rests_a_minute_between_readings(self, name):
        for phase in load_protocol(name).phases:
            due = phase.cuff_at_s
            assert all(b - a >= 80 for a, b in itertools.pairwise(due))

    def test_lepore(self):
        lepore = load_protocol("lepore_1993")
        assert [condition.label for condition in lepore.conditions] == [
            "alone", "support", "nonsupport",
        ]  # fmt: skip
        rows = [(p.name, p.role, p.duration_s, p.speech) for p in lepore.phases]
        assert rows == [
            ("baseline", "baseline", 600, False),
            ("preparation", "preparation", 180, False),
            ("speech", "task", 360, True),
            ("recovery", "recovery", 600, False),
        ]
        assert all(phase.cuff_at_s for phase in lepore.phases)
        assert lepore.baseline_window == "baseline_last_360s"
        assert lepore.duration_s == 1740
        assert "10.1097/00006842-199311000-00007" in lepore.references[0]

    def test_tsst(self):
        tsst = load_protocol("tsst")
        rows = {p.name: (p.role, p.duration_s, p.speech) for p in tsst.phases}
        assert rows["anticipation"] == ("preparation", 600, False)
        assert rows["speech"] == ("task", 300, True)
        assert rows["arithmetic"] == ("task", 300, True)
        assert [p.name for p in tsst.phases][-1] == "recovery"
        assert "10.1159/000119004" in tsst.references[0]

    def test_dyad(self):
        dyad = load_protocol("dyad_conversation")
        conversation = dyad.phase("conversation")
        assert (conversation.role, conversation.advance) == ("task", "manual")
        assert set(conversation.ratings) == {scale.name for scale in dyad.ratings}
        assert {entry.label for entry in dyad.interactions} >= {"disclosure", "shared_laughter"}
        assert dyad.baseline_window == "baseline"


class TestValues:
    def test_minimal(self):
        mini = parse_protocol(MINIMAL)
        assert [phase.label for phase in mini.phases] == ["Rest", "Speech"]
        assert mini.phases[1].advance == "clock"
        assert mini.phases[1].speech is False
        assert mini.windows.phase_last[0].length_s == 180
        assert mini.conditions == ()

    def test_rating_anchors_are_numbers(self):
        text = MINIMAL.replace("max: 7}", "max: 7, anchors: {1: low, 7: high}}")
        assert parse_protocol(text).ratings[0].anchors == {1: "low", 7: "high"}

    def test_lookup(self):
        lepore = load_protocol("lepore_1993")
        assert lepore.condition("support").label == "support"
        with pytest.raises(ConfigError, match="no phase 'Speech'; did you mean 'speech'"):
            lepore.phase("Speech")
        with pytest.raises(ConfigError, match="known: alone, support, nonsupport"):
            lepore.condition("\n")

    def test_built_from_python(self):
        data = yaml.safe_load(MINIMAL)
        assert Protocol.model_validate(data) == parse_protocol(MINIMAL)
        data["phases"][0]["role"] = "task"
        with pytest.raises(ValidationError, match="needs the role 'baseline'"):
            Protocol.model_validate(data)


class TestRefused:
    @pytest.mark.parametrize(
        ("old", "new", "line", "said"),
        [
            ("duration_s: 360", "duraton_s: 360", 8,
             "phases[1]: unknown key 'duraton_s', did you mean 'duration_s'?"),
            ("role: task", "role: tsk", 9, "phases[1].role: should be "),
            ("role: task", "role: tsk", 9, "did you mean 'task'?"),
            ("duration_s: 360", "duration_s: 0", 8, "should be greater than 0, not 0"),
            ("duration_s: 360", "duration_s: .inf", 8, "phases[1].duration_s"),
            ("duration_s: 360", "duration_s: .nan", 8, "phases[1].duration_s"),
            ("duration_s: 360", "duration_s: true", 8, "phases[1].duration_s"),
            ("duration_s: 360", "duration_s: '360'", 8, "phases[1].duration_s"),
            ("duration_s: 360", "duration_s: 6:00", 8, "phases[1].duration_s"),
            ("name: speech", "name: rest", 7, "phases[1].name: 'rest' is already taken"),
            ("name: speech", "name: REST", 7, "phases[1].name: 'REST' is already taken"),
            ("name: speech", "name: my speech", 7, "phases[1].name"),
            ("role: task", "role: baseline", 9, "exactly one phase has the role 'baseline'"),
            ("role: baseline", "role: other", 3, "one phase needs the role 'baseline'"),
            ("[60, 180]", "[60, 360]", 10,
             "phases[1].cuff_at_s[1]: 360 s is not inside the phase (360 s long)"),
            ("[60, 180]", "[-1]", 10, "phases[1].cuff_at_s[0]"),
            ("[60, 180]", "[60, 60]", 10, "60 s is not after the one before"),
            ("ratings: [stress]", "ratings: [stres]", 11,
             "phases[1].ratings[0]: no rating scale 'stres', did you mean 'stress'?"),
            ("min: 1, max: 7", "min: 7, max: 7", 13, "should be greater than min (7)"),
            ("min: 1, max: 7", "min: 1, max: 7, anchors: {8: top}", 13, "ratings[0].anchors.8"),
            ("phases: [speech]", "phases: [speach]", 16,
             "windows.phase_last[0].phases[0]: no phase 'speach', did you mean 'speech'?"),
            ("minutes: 3", "minutes: 3\n      seconds: 180", 16, "either minutes or seconds"),
            ("minutes: 3", "minuts: 3", 17, "did you mean 'minutes'?"),
            ("[speech, baseline, interaction]", "[speech, interactions]", 18,
             "windows.sliding.within[1]: no phase or interaction 'interactions', did you mean"),
            ("[speech, baseline, interaction]", "[]", 18, "windows.sliding.within"),
            ("step_s: 10", "step_s: 0", 18, "windows.sliding.step_s: should be greater than 0"),
            ("phase: rest", "phase: speech", 20,
             "baseline.phase: 'speech' is not the baseline phase ('rest')"),
            ("phase: rest", "phase: rest\n  use: last", 19, "baseline.last_s: is needed"),
            ("phase: rest", "phase: rest\n  last_s: 60", 21, "only when use is 'last'"),
            ("phase: rest", "phase: rest\n  use: last\n  last_s: 301", 22,
             "baseline.last_s: is longer than the phase (300 s)"),
            ("phase: rest", "phase: rest\n  min_cuff_readings: 0", 21, "min_cuff_readings"),
            ("baseline:\n  phase: rest\n", "", 1, "baseline: this key is required and missing"),
            ("title: The least that is a protocol\n", "", 1, "title: this key is required"),
        ],
    )  # fmt: skip
    def test_message_names_line_key_and_what_is_wrong(self, old, new, line, said):
        message = complaint(old, new)
        assert message.startswith(f"mini.yaml, line {line}: ")
        assert said in message

    @pytest.mark.parametrize("group", ["conditions", "interactions", "ratings"])
    def test_labels_are_unique(self, group):
        entries = {
            "conditions": "[{label: a, meaning: b}, {label: a, meaning: c}]",
            "interactions": "[{label: a}, {label: A}]",
            "ratings": "[{name: stress, min: 0, max: 1}, {name: stress, min: 0, max: 2}]",
        }
        text = MINIMAL
        if group == "ratings":
            text = text.replace("ratings:\n  - {name: stress, min: 1, max: 7}\n", "")
        with pytest.raises(ConfigError, match=rf"line \d+: {group}\[1\].*already taken"):
            parse_protocol(text + f"{group}: {entries[group]}\n")

    @given(st.text(max_size=200))
    @settings(deadline=None, max_examples=200)
    def test_any_text_is_a_protocol_or_a_config_error(self, text):
        with pytest.raises(ConfigError):
            parse_protocol(text)

    @given(
        st.integers(0, MINIMAL.count("\n")),
        st.sampled_from(["", "  ", "- ", "name: ", "[", "{", "phases: 1", "1e400", "-5", "~"]),
    )
    @settings(deadline=None, max_examples=300)
    def test_damaged_lines(self, number, text):
        lines = MINIMAL.splitlines()
        lines[number:number] = [text]
        lines.pop(min(number + 1, len(lines) - 1))
        try:
            protocol = parse_protocol("\n".join(lines))
        except ConfigError:
            return
        assert parse_protocol(protocol.to_yaml()) == protocol


class TestScaled:
    @given(st.sampled_from(list_configs("protocols")), st.floats(1e-3, 1e3))
    @settings(deadline=None, max_examples=200)
    def test_every_time_is_scaled(self, name, factor):
        whole = load_protocol(name)
        part = whole.scaled(factor)
        for a, b in zip(whole.phases, part.phases, strict=True):
            assert b.duration_s == pytest.approx(a.duration_s * factor, rel=1e-9)
            assert b.cuff_at_s == pytest.approx([due * factor for due in a.cuff_at_s], rel=1e-9)
            assert (a.name, a.role, a.ratings, a.speech) == (b.name, b.role, b.ratings, b.speech)
        assert [rule.length_s for rule in part.windows.phase_last] == pytest.approx(
            [rule.length_s * factor for rule in whole.windows.phase_last], rel=1e-9
        )
        assert part.windows.sliding.length_s == pytest.approx(60 * factor, rel=1e-9)
        assert part.windows.sliding.step_s == pytest.approx(10 * factor, rel=1e-9)
        if whole.baseline.last_s:
            assert part.baseline.last_s == pytest.approx(whole.baseline.last_s * factor, rel=1e-9)
        assert parse_protocol(part.to_yaml()) == part

    def test_says_so_and_leaves_no_stray_digits(self):
        part = load_protocol("lepore_1993").scaled(0.1)
        assert part.description.endswith("All times multiplied by 0.1.")
        assert part.baseline_window == "baseline_last_36s"
        assert [phase.duration_s for phase in part.phases] == [60.0, 18.0, 36.0, 60.0]

    @pytest.mark.parametrize("factor", [0, -1, math.inf, math.nan, 1e-9, 1e9])
    def test_impossible_factor(self, factor):
        with pytest.raises(ConfigError):
            load_protocol("tsst").scaled(factor)

    def test_out_of_range(self):
        with pytest.raises(ConfigError, match="leaves the allowed range"):
            load_protocol("tsst").scaled(1000).scaled(1000)
