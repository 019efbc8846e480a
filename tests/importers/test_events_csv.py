"""Events typed by hand: what is accepted, and what is said about the rest."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import PhysioError, RecordingError
from physio_hqc.importers.events_csv import read_events


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "events.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_encodings_and_line_ends(
    table: Path, delimiter: str, encoding: str, newline: str
) -> None:
    rows = [
        ["onset", "duration", "kind", "label", "partner", "warmth"],
        ["120.5", "360", "interaction", "Gespräch", "P02", "6.5"],
        ["0", "120", "phase", "baseline", "", ""],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    table.write_bytes(text.encode(encoding))
    first, second = read_events(table)
    assert (first.onset, first.duration, first.kind, first.label) == (0, 120, "phase", "baseline")
    assert first.payload == {}
    assert (second.onset, second.kind, second.label) == (120.5, "interaction", "Gespräch")
    assert second.payload == {"partner": "P02", "warmth": 6.5}


def test_quoted_cells_and_any_column_order(table: Path) -> None:
    table.write_text('label,kind,note,duration,onset\n"speech, part 1",phase,"a ""b""",60,5\n')
    [event] = read_events(table)
    assert event.label == "speech, part 1"
    assert event.payload == {"note": 'a "b"'}


def test_a_marker_needs_no_duration_and_decimal_commas_are_read(table: Path) -> None:
    table.write_text("Onset;Duration;Kind;Label\n1,5;;Marker;cough\n2;n/a;note;door\n")
    first, second = read_events(table)
    assert (first.onset, first.duration, first.kind) == (1.5, 0.0, "marker")
    assert (second.onset, second.kind) == (2.0, "note")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no events in it"),
        ("\n\n", "no events in it"),
        ("onset,duration,label\n1,2,x\n", r"line 1: column kind is missing"),
        ("1,2,phase,x\n", "line 1: column onset, duration, kind, label is missing"),
        ("onset,onset,duration,kind,label\n", "line 1: column onset appears twice"),
        (
            "onset,duration,kind,label\n1,2,phase,a\nsoon,2,phase,b\n",
            "line 3, column onset: 'soon'",
        ),
        ("onset,duration,kind,label\n-1,2,phase,a\n", "line 2, column onset: '-1'"),
        ("onset,duration,kind,label\nnan,2,phase,a\n", "line 2, column onset"),
        ("onset,duration,kind,label\ninf,2,phase,a\n", "line 2, column onset"),
        ("onset,duration,kind,label\n1,-2,phase,a\n", "line 2, column duration: '-2'"),
        ("onset,duration,kind,label\n1,,phase,a\n", "line 2, column duration: is empty"),
        ("onset,duration,kind,label\n1,2,talk,a\n", "line 2, column kind: 'talk' is none of phase"),
        ("onset,duration,kind,label\n1,2,phase,\n", "line 2, column label: it is empty"),
        ("onset,duration,kind,label\n1,2,phase,a,b\n", "line 2: 5 cells"),
        ("onset,duration,kind,label,x\n1,2,phase,a," + "y" * 5000, "line 2: more than 4096"),
    ],
)
def test_what_is_wrong_is_named(table: Path, text: str, message: str) -> None:
    table.write_text(text)
    with pytest.raises(RecordingError, match=message) as caught:
        read_events(table)
    assert "events.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_folder_and_binary(tmp_path: Path, table: Path) -> None:
    with pytest.raises(RecordingError, match="No such file"):
        read_events(tmp_path / "none.csv")
    with pytest.raises(RecordingError):
        read_events(tmp_path)
    table.write_bytes(b"onset,duration\xff\xfe\x00")
    with pytest.raises(RecordingError, match="UTF-8"):
        read_events(table)


@settings(deadline=None, max_examples=150)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_content_gives_events_or_a_physio_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    table = tmp_path_factory.mktemp("events") / "events.csv"
    for start in (b"", b"onset,duration,kind,label\n"):
        table.write_bytes(start + content)
        with suppress(PhysioError):
            read_events(table)
