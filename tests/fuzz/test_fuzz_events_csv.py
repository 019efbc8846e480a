"""Tables of events of any content."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from fuzzing import Outcomes, any_of, fuzz, garbled, mutated, one_in, scratch
from importing import joined, name, number

from physio_hqc import open_session
from physio_hqc.importers import import_recording
from physio_hqc.importers.events_csv import read_events
from physio_hqc.session.format import EVENT_KINDS

CELLS = ("=cmd|' /C calc'!A0", "@SUM(1)", "-1+1", "+1", '"a\nb"', "9" * 4000, "x" * 5000, "\x07")


def table(rng: random.Random, n: int) -> bytes:
    """A table of events, each cell nasty once in n cases."""
    mark = rng.choice((",", ";", "\t"))
    top = ["onset", "duration", "kind", "label", "stress", "who"]
    rows = [[name(rng, cell, n * 4) for cell in top]]
    for i in range(rng.randrange(8)):
        kind = rng.choice((*EVENT_KINDS, "Phase")) if not one_in(rng, n) else "other"
        row = [number(rng, 60 * i, n), number(rng, 30, n), kind, name(rng, "speech", n)]
        row += [number(rng, 7, n), rng.choice(CELLS) if one_in(rng, n) else "A"]
        rows.append(row[: rng.randrange(1, 7)] if one_in(rng, n) else row)
    lines = [f"{mark.join(row)}\n".encode("utf-8", "replace") for row in rows]
    return joined(rng, lines) if one_in(rng, n) else b"".join(lines)


GOOD = [table(random.Random(i), 10**6) for i in range(8)]


@pytest.fixture(scope="module")
def place():
    folder = scratch()
    (folder / "a.csv").write_text("time [s],ECG [mV]\n0,1\n1,2\n2,1\n3,2\n")
    outcomes, imports = Outcomes(), Outcomes()
    yield folder, outcomes, imports
    outcomes.assert_both()


@fuzz(
    any_of(
        mutated(GOOD),
        lambda rng: table(rng, 12),
        lambda rng: table(rng, 60),
        lambda rng: garbled(rng, table(rng, 100)),
    )
)
def test_any_table_of_events(place, data):
    folder, outcomes, imports = place
    path = folder / "events.csv"
    path.write_bytes(data)
    with outcomes.counted():
        events = read_events(path)
        onsets = np.array([event.onset for event in events])
        assert np.isfinite(onsets).all()
        assert (np.diff(onsets) >= 0).all()
        assert all(event.label and event.kind in EVENT_KINDS for event in events)
        assert all(json.dumps(event.payload, allow_nan=False) for event in events)
    if outcomes.total() % 200 == 0:
        with imports.counted():
            import_recording(folder / "a.csv", folder / "s.h5", events=path, overwrite=True)
            with open_session(folder / "s.h5") as session:
                assert len(session.events) == len(events)
