"""Simulated studies: who takes part, and that each session is its own."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from physio_hqc import open_session
from physio_hqc.errors import OutputError, SignalError
from physio_hqc.simulate import ConditionEffect, SimulatedStudy, load_truth, simulate_study

OPTIONS = {"time_scale": 0.02, "streams": ("ecg", "cuff")}


def _table(study: SimulatedStudy) -> list[dict[str, str]]:
    with study.participants_csv.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_order_and_sexes_are_balanced(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    study = simulate_study(
        tmp_path, 4, seed=1, progress=lambda *a: calls.append((a[0], a[1], a[2].name)), **OPTIONS
    )
    rows = _table(study)
    assert [row["id"] for row in rows] == [f"P{k:03d}" for k in range(1, 13)]
    for block in range(4):
        conditions = {row["condition"] for row in rows[3 * block : 3 * block + 3]}
        assert conditions == {"alone", "support", "nonsupport"}
    for condition in ("alone", "support", "nonsupport"):
        sexes = [row["sex"] for row in rows if row["condition"] == condition]
        assert sexes.count("female") == sexes.count("male") == 2
    assert calls == [(k, 12, f"P{k:03d}.h5") for k in range(1, 13)]


def test_table_files_and_truth_agree(tmp_path: Path) -> None:
    study = simulate_study(tmp_path, 1, seed=2, **OPTIONS)
    for row, simulated in zip(_table(study), study.sessions, strict=True):
        assert simulated.path == tmp_path / row["session"]
        truth = load_truth(simulated.path)
        with open_session(simulated.path) as session:
            assert session.participant_id == truth.participant_id == row["id"]
            assert session.condition == truth.condition == row["condition"]
        assert truth.person.sex == row["sex"]
        assert truth.person.age == float(row["age"])
    assert len({simulated.truth.seed for simulated in study.sessions}) == 3


def test_processes_change_nothing(tmp_path: Path) -> None:
    alone = simulate_study(tmp_path / "one", 1, seed=5, **OPTIONS)
    many = simulate_study(tmp_path / "two", 1, seed=5, jobs=2, **OPTIONS)
    assert alone.participants_csv.read_bytes() == many.participants_csv.read_bytes()
    for left, right in zip(alone.sessions, many.sessions, strict=True):
        assert left.truth_path.read_bytes() == right.truth_path.read_bytes()
        with open_session(left.path) as a, open_session(right.path) as b:
            assert a.session_id == b.session_id
            np.testing.assert_array_equal(a.streams["ecg"].samples, b.streams["ecg"].samples)


def test_unequal_cells_missing_and_poor_sessions(tmp_path: Path) -> None:
    study = simulate_study(
        tmp_path,
        {"support": 4, "alone": 1},
        seed=3,
        conditions=("support", "alone"),
        missing_share=0.4,
        poor_share=1.0,
        **OPTIONS,
    )
    rows = _table(study)
    assert [row["condition"] for row in rows].count("support") == 4
    assert sum(row["session"] == "" for row in rows) == 2
    assert len(study.sessions) == 3
    for row in rows:
        assert bool(row["session"]) == (tmp_path / f"{row['id']}.h5").exists()
    assert any(len(simulated.truth.artifact_kind) for simulated in study.sessions)


def test_effects_can_be_replaced(tmp_path: Path) -> None:
    none = {name: ConditionEffect() for name in ("alone", "support", "nonsupport")}
    study = simulate_study(tmp_path, 1, effects=none, **OPTIONS)
    assert all(simulated.truth.effect == ConditionEffect() for simulated in study.sessions)


def test_sex_effect_moves_reactivity(tmp_path: Path) -> None:
    small = simulate_study(tmp_path / "a", 2, seed=1, sex_effect=0.0, **OPTIONS)
    large = simulate_study(tmp_path / "b", 2, seed=1, sex_effect=20.0, **OPTIONS)
    for left, right in zip(small.sessions, large.sessions, strict=True):
        sign = 1.0 if left.truth.person.sex == "male" else -1.0
        moved = right.truth.person.sbp_reactivity - left.truth.person.sbp_reactivity
        assert moved == pytest.approx(sign * 10.0, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0,), {}, "somebody must take part"),
        (({"nobody": 3},), {}, "no condition"),
        ((1,), {"conditions": "alone"}, "list of different names"),
        ((1,), {"missing_share": 1.5}, "missing_share"),
        ((1,), {"jobs": 0}, "jobs"),
        ((1,), {"seed": -2}, "seed"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, arguments: tuple[object, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(SignalError, match=message):
        simulate_study(tmp_path / "x", *arguments, **options)


def test_a_file_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        simulate_study(tmp_path / "x", 1)
