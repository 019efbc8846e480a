"""Results of a session that were tampered with, checksums made right again or not."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from fuzzing import Corpus, Outcomes, fuzz, garbled, one_in, put_odd, scratch
from session_made import JSON

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
CORPUS = Corpus(TABLES.values())
CELLS = ("", "nan", "inf", "-inf", "1e999", "9" * 400, "True", "x", '"', "\x00", "a,b", "é" * 50)
COUNTED = Outcomes()


def _cell(rng: random.Random, raw: bytes) -> bytes:
    """Put another value into a cell of a table."""
    lines = raw.decode().splitlines()
    row = rng.randrange(len(lines))
    cells = lines[row].split(",")
    cells[rng.randrange(len(cells))] = rng.choice(CELLS)
    lines[row] = ",".join(cells)
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def tampered(rng: random.Random) -> tuple[bytes, str, bytes]:
    """Provenance, and one table: both perhaps not as they were."""
    name = rng.choice(READ)
    if one_in(rng, 4):
        text = rng.choice(JSON).encode("utf-8", "replace")
        return (garbled(rng, PROVENANCE, 3) if one_in(rng, 2) else text), name, TABLES[name]
    raw = TABLES[name]
    changed = garbled(rng, raw, 3, CORPUS) if one_in(rng, 2) else _cell(rng, raw)
    tree = json.loads(PROVENANCE)
    tree["tables"][f"{name}.csv"]["sha256"] = hashlib.sha256(changed).hexdigest()
    if one_in(rng, 2):
        put_odd(rng, tree)
    return json.dumps(tree).encode(), name, changed


def _read(names: tuple[str, ...]) -> None:
    provenance = read_provenance(RESULTS)
    assert provenance is None or isinstance(provenance, dict)
    result = load_result(RESULTS, names)
    for name, table in result.tables.items():
        assert list(table.columns) == [column.name for column in COLUMNS[name]]


@fuzz(tampered)
def test_tampered_results_are_read_or_refused(case: tuple[bytes, str, bytes]) -> None:
    provenance, name, content = case
    (RESULTS / "provenance.json").write_bytes(provenance)
    (RESULTS / f"{name}.csv").write_bytes(content)
    every = COUNTED.total() % 50 == 0
    try:
        with COUNTED.counted():
            _read(READ if every else (name,))
        if every:
            with Outcomes().counted():
                collect_sessions(RESULTS.parent)
    finally:
        (RESULTS / f"{name}.csv").write_bytes(TABLES[name])


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.05)
