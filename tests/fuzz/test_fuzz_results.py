"""Results of a session that were tampered with, checksums made right again or not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from fuzzing import Outcomes, fuzz, mutated, scratch
from hypothesis import given
from hypothesis import strategies as st
from session_made import JSON, Corpus

from physio_hqc.pipeline.process import process_session
from physio_hqc.pipeline.schema import COLUMNS
from physio_hqc.pipeline.store import load_result, read_provenance
from physio_hqc.session import SessionWriter
from physio_hqc.study.collect import collect_sessions

FOLDER = scratch()


def made() -> Path:
    """Results of a session of cuff readings."""
    path = FOLDER / "p01.h5"
    with SessionWriter(path, participant_id="P01", condition="alone") as to:
        to.add_stream(
            "cuff", modality="cuff", units="mmHg,mmHg,mmHg,1/min", sfreq=0,
            channels=["SBP", "DBP", "MAP", "HR"],
        )  # fmt: skip
        to.append_irregular("cuff", [5.0, 30.0], [[120, 80, 93, 70], [130, 85, 100, 75]])
        to.add_event(0.0, "phase", "baseline", duration=20.0, payload={"role": "baseline"})
        to.add_event(20.0, "phase", "talk", duration=20.0, payload={"role": "task"})
    folder = process_session(path, out_dir=FOLDER / "derivatives").out_dir
    assert folder is not None
    return folder


RESULTS = made()
PROVENANCE = (RESULTS / "provenance.json").read_bytes()
READ = ("windows", "features", "cuff", "reactivity")
TABLES = {name: (RESULTS / f"{name}.csv").read_bytes() for name in READ}
CORPUS = Corpus([PROVENANCE])
TABLE_CORPUS = Corpus(TABLES.values())
VALUES = (None, [], {}, 0, "x", True, [[1]], {"file": ["a"]}, 1e308, "../../etc/passwd", -1)
CELLS = ("", "nan", "inf", "-inf", "1e999", "9" * 400, "True", "x", '"', "\x00", "a,b", "é" * 50)
COUNTED = Outcomes()


def _replaced(draw: st.DrawFn, tree: Any) -> None:
    """Put another value somewhere into JSON."""
    while isinstance(tree, dict) and tree:
        key = draw(st.sampled_from(sorted(tree)))
        if not isinstance(tree[key], dict) or draw(st.booleans()):
            tree[key] = draw(st.sampled_from(VALUES))
            return
        tree = tree[key]


def _cell(draw: st.DrawFn, raw: bytes) -> bytes:
    """Put another value into a cell of a table."""
    lines = raw.decode().splitlines()
    row = draw(st.integers(0, len(lines) - 1))
    cells = lines[row].split(",")
    cells[draw(st.integers(0, len(cells) - 1))] = draw(st.sampled_from(CELLS))
    lines[row] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


@st.composite
def tampered(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes]]:
    """Provenance, and the tables that are not as they were."""
    if draw(st.integers(0, 3)) == 0:
        text = draw(st.sampled_from(JSON)).encode("utf-8", "replace")
        return draw(st.just(text) | mutated(CORPUS, most=2)), {}
    name = draw(st.sampled_from(READ))
    raw = draw(mutated(Corpus([TABLES[name]]), most=2)) if draw(st.booleans()) else b""
    changed = {name: raw or _cell(draw, TABLES[name])}
    tree = json.loads(PROVENANCE)
    for table, content in changed.items():
        tree["tables"][f"{table}.csv"]["sha256"] = hashlib.sha256(content).hexdigest()
    for _ in range(draw(st.integers(0, 1))):
        _replaced(draw, tree)
    return json.dumps(tree).encode(), changed


def _read() -> None:
    provenance = read_provenance(RESULTS)
    assert provenance is None or isinstance(provenance, dict)
    result = load_result(RESULTS, READ)
    for name, table in result.tables.items():
        assert list(table.columns) == [column.name for column in COLUMNS[name]]


@fuzz
@given(case=tampered())
def test_tampered_results_are_read_or_refused(case: tuple[bytes, dict[str, bytes]]) -> None:
    provenance, changed = case
    (RESULTS / "provenance.json").write_bytes(provenance)
    for name, content in changed.items():
        (RESULTS / f"{name}.csv").write_bytes(content)
    try:
        with COUNTED.counted():
            _read()
        if len(provenance) % 20 == 0:
            with Outcomes().counted():
                collect_sessions(RESULTS.parent)
    finally:
        for name in changed:
            (RESULTS / f"{name}.csv").write_bytes(TABLES[name])


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.05)
