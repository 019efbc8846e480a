"""De-identification of a session's content and of its results."""

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from physio_hqc import open_session, process_session
from physio_hqc.exporters.content import Content, read_content
from physio_hqc.exporters.deidentify import deidentified, deidentified_result
from physio_hqc.exporters.key import Key, open_key
from physio_hqc.pipeline import SessionResult, load_result
from physio_hqc.pipeline.store import write_results
from physio_hqc.protocol import parse_protocol
from physio_hqc.session import SessionWriter

made = run_path(str(Path(__file__).with_name("hostile_made.py")))
DATES, T0, hostile_session = made["DATES"], made["T0"], made["hostile_session"]

SAMPLES = Path(__file__).resolve().parents[2] / "sample_recordings"
DAY_NS = 86_400 * 10**9

# A capital, a digit and an unusual letter: no word of ours holds such an id by chance.
ids = st.builds(
    "{}{}{}".format,
    st.sampled_from("QWXZ"),
    st.integers(1000, 99999),
    st.text("qwxzö0123456789", max_size=6),
)


def texts(value: Any) -> Iterator[str]:
    """Yield everything that can be read in a value, however deep."""
    if isinstance(value, pd.DataFrame):
        yield value.to_csv()
        yield from texts(dict(value.attrs))
        for column in value.select_dtypes(include="object"):
            yield from (json.dumps(item, ensure_ascii=False) for item in value[column])
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    else:
        yield repr(value)
        yield str(value)


def read_all(content: Content | SessionResult) -> str:
    """Everything public in a content or a result, as one small text."""
    found = []
    for field in fields(content):
        value = getattr(content, field.name)
        if field.name == "streams":
            for name, stream in value.items():
                public = [f.name for f in fields(stream) if not f.name.startswith("_")]
                found += [name, *texts({key: getattr(stream, key) for key in public})]
        else:
            found += texts(value)
    return "\n".join([repr(content), *found]).casefold()


@pytest.fixture
def key(tmp_path: Path) -> Iterator[Key]:
    with open_key(tmp_path / "key.csv") as opened:
        yield opened


@given(secrets=st.lists(ids, min_size=6, max_size=6, unique_by=str.casefold))
@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_that_identifies_stays_in_the_content(tmp_path: Path, secrets: list[str]) -> None:
    path = hostile_session(tmp_path, secrets)
    with open_session(path) as session, open_key(tmp_path / "key.csv") as key:
        content = read_content(session)
        found = read_all(deidentified(content, key))
        assert all(secret.casefold() in read_all(content) for secret in secrets)
    for secret in (*secrets, "a0:9e", "4917012345", "coughs", "late", str(tmp_path), *DATES):
        assert secret.casefold() not in found, secret
    assert "11111111-2222" not in found
    assert str(T0) not in found


@given(secrets=st.lists(ids, min_size=6, max_size=6, unique_by=str.casefold))
@settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_that_identifies_stays_in_the_results(tmp_path: Path, secrets: list[str]) -> None:
    result = process_session(hostile_session(tmp_path, secrets))
    digest = result.provenance["input"]["sha256"]
    with open_key(tmp_path / "key.csv") as key:
        found = read_all(deidentified_result(result, key))
    for secret in (*secrets, digest, str(tmp_path), *DATES):
        assert secret.casefold() not in found, secret


def test_what_is_known_stays(tmp_path: Path, key: Key) -> None:
    secrets = ["Q1000", "W2000", "X3000", "Z4000", "Q5000", "W6000"]
    with open_session(hostile_session(tmp_path, secrets)) as session:
        before = read_content(session)
        after = deidentified(before, key)
        stream, same = after.streams["eda"], before.streams["eda"]
        assert np.array_equal(stream.stored, same.stored)
        assert np.array_equal(stream.times, same.times)
        assert stream.device == {"firmware": "3.1.1", "maker": "Polar Electro"}
        assert list(after.streams) == ["eda" if n == "eda" else "acc_1" for n in before.streams]
        assert after.streams["acc_1"].channels == ("ch1", "y", "z")
        assert deidentified(after, key) is after
    shift = key.shift_days("Q1000", "W2000")
    assert after.t0_unix_ns == T0 - shift * DAY_NS
    for column in ("onset", "duration", "kind"):
        assert after.events[column].tolist() == before.events[column].tolist()
    labels = after.events["label"].tolist()
    assert labels[0] == "baseline"
    assert [labels[k] for k in (4, 6, 7, 8, 10, 11)] == [
        *("marker", "Stimulus/S  7", "marker", "stress", "note", "system")
    ]
    assert labels[5] == f"end of {labels[3]}"
    partner = key.replacement("participant", "Z4000")
    about = after.events["payload"][2]
    assert about["partner"] == partner
    assert about["condition"] == after.condition
    assert about["participant_id"] == after.participant_id
    assert about["ratings"]["stress"] == 2
    assert sorted(about) == ["condition", "participant_id", "partner", "ratings", "speech"]
    assert after.events["payload"][8]["value"] == 3.0
    assert after.events["payload"][10] == {}


def test_the_protocol_keeps_its_design(tmp_path: Path, key: Key) -> None:
    with open_session(SAMPLES / "support.h5") as session:
        given_on = deidentified(read_content(session), key)
        before, after = parse_protocol(session.protocol), parse_protocol(given_on.protocol)
    assert after.title == after.description == ""
    assert after.references == ()
    assert [phase.name for phase in after.phases] == [phase.name for phase in before.phases]
    assert [p.cuff_at_s for p in after.phases] == [p.cuff_at_s for p in before.phases]
    assert [c.label for c in after.conditions] == ["alone", "support", "nonsupport"]
    assert after.windows == before.windows
    assert after.baseline == before.baseline
    assert given_on.condition == "support"
    assert given_on.events["label"].tolist() == session.events["label"].tolist()
    assert given_on.events["payload"].tolist() == session.events["payload"].tolist()


def test_a_protocol_that_cannot_be_read_is_left_out(tmp_path: Path, key: Key) -> None:
    path = tmp_path / "p.h5"
    with SessionWriter(path, protocol="Mary: [", participant_id="P1") as writer:
        writer.add_event(1.0, "marker", "Mary")
    with open_session(path) as session:
        after = deidentified(read_content(session), key)
    assert after.protocol == ""
    assert after.events["label"].tolist() == ["marker"]


def test_members_of_a_dyad_stay_side_by_side(tmp_path: Path, key: Key) -> None:
    made = {}
    for person, partner, later in (("C1", "C2", 0), ("C2", "C1", 1_500_000_000)):
        path = tmp_path / f"{person}.h5"
        with SessionWriter(
            path, participant_id=person, dyad_id="Dyad7", role="A", t0_unix_ns=T0 + later
        ) as writer:
            writer.add_event(1.0, "interaction", "conversation", payload={"partner": partner})
        with open_session(path) as session:
            made[person] = deidentified(read_content(session), key)
    first, second = made["C1"], made["C2"]
    assert first.dyad_id == second.dyad_id != ""
    assert first.events["payload"][0]["partner"] == second.participant_id
    assert second.events["payload"][0]["partner"] == first.participant_id
    assert second.t0_unix_ns - first.t0_unix_ns == 1_500_000_000
    assert first.role == "A"


def test_unknown_starts_stay_unknown(tmp_path: Path, key: Key) -> None:
    path = tmp_path / "p.h5"
    with SessionWriter(path, t0_unix_ns=0) as writer:
        writer.add_event(1.0, "marker", "12")
    with open_session(path) as session:
        after = deidentified(read_content(session), key)
    assert after.t0_unix_ns is None
    assert after.participant_id == after.dyad_id == ""
    assert after.events["label"].tolist() == ["12"]


def test_results_and_content_tell_the_same_story(tmp_path: Path, key: Key) -> None:
    result = process_session(SAMPLES / "support.h5", out_dir=tmp_path / "out")
    after = deidentified_result(result, key)
    with open_session(SAMPLES / "support.h5") as session:
        content = deidentified(read_content(session), key)
    about = after.provenance["input"]
    assert about["participant"] == content.participant_id
    assert about["session_id"] == content.session_id
    assert after.name == content.name == after.tables["features"]["session"].unique().item()
    started = datetime.fromisoformat(about["started_utc"])
    assert started == datetime.fromtimestamp(content.t0_unix_ns // 10**9, UTC)
    assert "sha256" not in json.dumps(after.provenance)
    assert "fingerprint" not in after.provenance
    for name, table in result.tables.items():
        told = after.tables[name]
        assert list(told.columns) == list(table.columns)
        changed = [c for c in table.columns if not table[c].equals(told[c])]
        assert set(changed) <= {"session", "participant"}, name
    read_back = load_result(tmp_path / "out" / "support")
    again = deidentified_result(read_back, key)
    assert again.provenance == after.provenance
    folder = tmp_path / "given" / after.name
    write_results(folder, after.tables, after.provenance)
    assert load_result(folder).windows.equals(after.windows)


def test_processing_what_is_renamed_gives_the_same_numbers(tmp_path: Path, key: Key) -> None:
    secrets = ["Q1000", "W2000", "X3000", "Z4000", "Q5000", "W6000"]
    path = hostile_session(tmp_path, secrets)
    result = process_session(path)
    told = deidentified_result(result, key)
    with open_session(path) as session:
        content = deidentified(read_content(session), key)
        renamed = tmp_path / "renamed.h5"
        with SessionWriter(
            renamed,
            participant_id=content.participant_id,
            condition=content.condition,
            protocol=content.protocol,
            t0_unix_ns=content.t0_unix_ns,
        ) as writer:
            eda = content.streams["eda"]
            writer.add_stream("eda", modality="eda", units="µS", sfreq=4.0)
            writer.append_segment("eda", eda.samples, t_start=0.0)
            for row in content.events.itertuples():
                writer.add_event(
                    row.onset, row.kind, row.label, duration=row.duration, payload=row.payload
                )
    again = process_session(renamed)
    for name in ("windows", "features", "reactivity", "scr", "ratings"):
        ours, theirs = told.tables[name], again.tables[name]
        for column in ours.columns:
            if column not in ("session", "source"):
                assert ours[column].equals(theirs[column]), (name, column)


def test_the_same_key_gives_the_same_content(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        with open_session(SAMPLES / "alone.h5") as session, open_key(tmp_path / "k.csv") as key:
            told.append(read_all(deidentified(read_content(session), key)))
    assert told[0] == told[1]
    with open_session(SAMPLES / "alone.h5") as session, open_key(tmp_path / "l.csv") as key:
        assert read_all(deidentified(read_content(session), key)) != told[0]


def test_the_key_alone_leads_back(tmp_path: Path, key: Key) -> None:
    with open_session(SAMPLES / "alone.h5") as session:
        content, person = deidentified(read_content(session), key), session.participant_id
    back = {(row.kind, row.replacement): row for row in key.rows}
    assert back["participant", content.participant_id].original == person
    assert back["session", content.name].original == "alone"


def test_reasons_full_of_counts_stay_where_ids_are_numbers(tmp_path: Path, key: Key) -> None:
    with key.extending():
        for number in range(1, 300):
            key.replacement("participant", str(number))
    with open_key(key.path) as again:
        result = process_session(SAMPLES / "support.h5")
        told = deidentified_result(result, again)
    for name in ("features", "quality", "reactivity"):
        assert told.tables[name]["reason"].equals(result.tables[name]["reason"]), name
