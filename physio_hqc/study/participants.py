"""Who took part: the participants table, and which processed session belongs to whom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from physio_hqc.config import nearest
from physio_hqc.errors import StudyError
from physio_hqc.study._participants_text import (
    TextTable,
    canonical,
    is_missing,
    read_text_table,
    to_number,
)

PARTICIPANT_COLUMNS: tuple[str, ...] = ("id", "sex", "age", "condition", "dyad", "session")
FLOW_COLUMNS: tuple[str, ...] = ("participant", "session", "condition", "status", "reason")

ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": (
        "participant",
        "participant_id",
        "participantid",
        "subject",
        "subject_id",
        "subjectid",
        "sub",
        "person",
        "person_id",
        "record_id",
        "vp",
    ),
    "sex": ("gender", "geschlecht"),
    "age": ("age_years", "age_in_years", "alter"),
    "condition": ("group", "arm", "cond", "bedingung"),
    "dyad": ("dyad_id", "dyadid", "pair", "pair_id", "couple"),
    "session": (
        "session_id",
        "session_file",
        "session_name",
        "file",
        "filename",
        "file_name",
        "recording",
    ),
}
"""Column name to the other headers that are taken for it (any case, blanks as ``_``)."""

_SEX = {
    **dict.fromkeys(("f", "female", "w", "woman", "women", "weiblich", "frau", "femme"), "female"),
    **dict.fromkeys(("m", "male", "man", "men", "männlich", "mann", "homme"), "male"),
}
_RESERVED = ("participant", "window", "feature", "value", "baseline", "delta", "percent", "unit")
_EXCLUDE = "exclude"
_NO = ("0", "no", "false", "nein")
_MAX_AGE = 120.0
_SESSION_SUFFIXES = (".h5", ".hdf5")


def load_participants(
    source: str | Path | pd.DataFrame, *, conditions: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read the participants table of a study.

    Parameters
    ----------
    source : str, Path or DataFrame
        CSV (comma, semicolon or tab; UTF-8, UTF-16 or Windows text) with one row per participant.
        Needed is a column `id`; `sex`, `age` (years), `condition`, `dyad` and `session` (name or
        file of the session) are known, headers in any case or as in `ALIASES`. Every other
        column is kept as a covariate. "n/a", "NA", "-" and empty cells are missing.
    conditions : sequence of str, optional
        Conditions of the design. Case, blanks and dashes do not count ("Non-support" is
        "nonsupport"); any other word is refused. Without them the words of the table stand, and
        spellings that differ in case only become the most frequent of them.

    Returns
    -------
    DataFrame
        Columns `PARTICIPANT_COLUMNS` and the covariates, in the order of the file. Ids stay text
        ("007"). `sex` is "female" (f, w, woman, ...), "male" (m, man, ...), the word itself
        (codes such as 1 and 2 are not guessed) or "". `age` is float. `session` has no folder
        and no ``.h5``. Covariates are float where every value is a number, else text; a covariate
        that a few cells turn into text is named in ``.attrs["notices"]``. A column `exclude` is
        text: why somebody is not to be analysed ("0", "no" and "false" become "").

    Raises
    ------
    StudyError
        No `id`; an id missing or given twice; an unknown condition; an age that is no number from
        0 to 120; a session or a dyad claimed by too many; a covariate with the name of a results
        column. The message names file, line and value.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"Participant": ["007", "008"], "Sex": ["F", "m"], "group": ["alone",
    ...                       "Support"], "bmi": ["21.5", "n/a"]})
    >>> load_participants(table, conditions=["alone", "support"]).to_dict("records")[0]
    {'id': '007', 'sex': 'female', 'age': nan, 'condition': 'alone', 'dyad': '', 'session': '',
    'bmi': 21.5}
    """
    table, _ = canonical(read_text_table(source, "participants"), ALIASES)
    if "id" not in table.frame.columns:
        found = ", ".join(map(str, table.frame.columns[:8]))
        raise StudyError(f"{table.name}: no column 'id' (or participant); its columns: {found}")
    _refuse_reserved(table)
    cells = table.frame
    known = {name: cells[name] for name in PARTICIPANT_COLUMNS if name in cells.columns}
    empty = pd.Series([""] * len(cells), dtype=object)
    text = {name: known.get(name, empty) for name in PARTICIPANT_COLUMNS}
    notices: list[str] = []
    covariates = [name for name in cells.columns if name not in PARTICIPANT_COLUMNS]
    frame = pd.DataFrame(
        {
            "id": _ids(table),
            "sex": [_sex(word) for word in text["sex"]],
            "age": _ages(table, text["age"]),
            "condition": _conditions(table, text["condition"], conditions),
            "dyad": [_or_empty(word) for word in text["dyad"]],
            "session": [session_name(_or_empty(word)) for word in text["session"]],
            **{name: _covariate(table, name, notices) for name in covariates},
        }
    )
    _unique_sessions(table, frame["session"])
    _two_per_dyad(table, frame["dyad"])
    frame.attrs["notices"] = notices
    return frame


def session_name(text: str) -> str:
    r"""Name of a session from a name or a path: no folder, no ending of a session file.

    Examples
    --------
    >>> session_name(r"C:\study\P001.h5"), session_name("P001")
    ('P001', 'P001')
    """
    name = PurePosixPath(text.replace("\\", "/")).name
    for suffix in _SESSION_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def condition_key(text: str) -> str:
    """Condition without what does not count: case, blanks, dashes."""
    return re.sub(r"[\s_\-–]+", "", text).casefold()


def match_sessions(
    participants: pd.DataFrame, sessions: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find the processed session of every participant, and say what became of everybody.

    A row of `participants` that names a session gets that one; any other row gets the session
    whose own participant is its id (exactly, else when case alone differs).

    Parameters
    ----------
    participants : DataFrame
        As from :func:`load_participants`.
    sessions : DataFrame
        One row per processed session: session (name or file), participant, condition ("" where
        the session does not say).

    Returns
    -------
    participants : DataFrame
        The same rows with `session` filled in, and `condition` where only the session says it.
    flow : DataFrame
        Columns `FLOW_COLUMNS`; first every participant, then sessions that nobody claims. `status`
        is "analysed", "no session", "not processed" (the table names a session that is not
        there) or "excluded" (a session without a participant, or a participant's other session).

    Raises
    ------
    StudyError
        Table and session disagree on participant or condition; a participant has two sessions
        and the table does not say which; two participants get one session; a session twice.

    Examples
    --------
    >>> import pandas as pd
    >>> people = load_participants(pd.DataFrame({"id": ["P1", "P2"], "condition": "alone"}))
    >>> done = pd.DataFrame({"session": ["s1", "s9"], "participant": ["P1", "P9"],
    ...                      "condition": ["alone", "alone"]})
    >>> _, flow = match_sessions(people, done)
    >>> flow[["participant", "session", "status"]].to_dict("split")["data"]
    [['P1', 's1', 'analysed'], ['P2', '', 'no session'], ['P9', 's9', 'excluded']]
    """
    known = _session_table(sessions)
    _needs(participants, ("id", "session", "condition"), "participants")
    owner: dict[str, str] = {}
    rows: list[tuple[object, ...]] = []
    filled = participants.copy()
    for position, person in enumerate(
        participants[["id", "session", "condition"]].itertuples(index=False)
    ):
        row, session = _matched(str(person.id), str(person.session), known)
        if row is not None:
            if session in owner:
                raise StudyError(
                    f"session '{session}': participants '{owner[session]}' and '{person.id}' "
                    "both get it; correct the column session of the participants table"
                )
            owner[session] = str(person.id)
            condition = _agreed(str(person.id), str(person.condition), row)
            filled.iloc[position, filled.columns.get_loc("session")] = session
            filled.iloc[position, filled.columns.get_loc("condition")] = condition
            reason = _cautions(str(person.id), condition, row)
            rows.append((person.id, session, condition, "analysed", reason))
        else:
            rows.append(_without_session(person.id, session, person.condition, known))
    rows += _unclaimed(known, owner, participants)
    flow = pd.DataFrame(rows, columns=list(FLOW_COLUMNS), dtype=object)
    return filled, flow


# ---- reading -------------------------------------------------------------------------------------


def _refuse_reserved(table: TextTable) -> None:
    """Refuse covariates that would take the place of a results column."""
    for column in table.frame.columns:
        if str(column).lower() in _RESERVED:
            advice = (
                "keep one of id and it" if str(column).lower() == "participant" else "rename it"
            )
            raise StudyError(
                f"{table.name}: column '{column}' has the name of a results column; {advice}"
            )


def _or_empty(text: str) -> str:
    """Text, or "" where the cell says that there is none."""
    return "" if is_missing(text) else text


def _ids(table: TextTable) -> list[str]:
    """Ids, each there and only once."""
    first: dict[str, int] = {}
    ids = []
    for position, text in enumerate(table.frame["id"]):
        if text == "" or text.lower() in ("n/a", "#n/a", "nan"):
            raise StudyError(f"{table.where(position)}: the id is missing; every row needs one")
        key = text.casefold()
        if key in first:
            before = table.rows[first[key]]
            raise StudyError(
                f"{table.where(position)}: id '{text[:60]}' is already in {before}; "
                "give one row per participant"
            )
        first[key] = position
        ids.append(text)
    return ids


def _sex(text: str) -> str:
    """Female, male, "" or the word as it is."""
    return _SEX.get(text.casefold(), _or_empty(text))


def _ages(table: TextTable, texts: pd.Series) -> list[float]:
    """Ages in years."""
    ages = []
    for position, text in enumerate(texts):
        age = to_number(text)
        if age is None:
            raise StudyError(
                f"{table.where(position)}: age '{text[:60]}' is not a number; write years, or n/a"
            )
        if not (age != age or 0 <= age <= _MAX_AGE):
            hint = "a year of birth? " if 1850 < age < 2200 else ""
            raise StudyError(
                f"{table.where(position)}: age '{text[:60]}' is not from 0 to 120 years; {hint}"
                "write the age in years, or n/a"
            )
        ages.append(age)
    return ages


def _conditions(table: TextTable, texts: pd.Series, valid: Sequence[str] | None) -> list[str]:
    """Conditions in the spelling of the design."""
    if valid is None:
        return _usual_spelling([_or_empty(text) for text in texts])
    if isinstance(valid, str) or not valid or not all(isinstance(name, str) for name in valid):
        raise StudyError("conditions: pass a sequence of names, such as ['alone', 'support']")
    by_key = {condition_key(name): name for name in valid}
    found = []
    for position, word in enumerate(texts):
        name = by_key.get(condition_key(word), "" if is_missing(word) else None)
        if name is None:
            raise StudyError(f"{table.where(position)}: condition {unknown_word(word, valid)}")
        found.append(name)
    return found


def unknown_word(word: str, valid: Sequence[str]) -> str:
    """Say that a word is none of the valid ones, and which was probably meant."""
    listed = ", ".join(sorted(valid))
    hint = nearest(word, sorted(valid))
    return f"'{word[:60]}' is not one of {listed}" + (f"; {hint}" if "did you" in hint else "")


def _usual_spelling(words: list[str]) -> list[str]:
    """Words with one spelling each: the most frequent one, the first of equals."""
    counts: dict[str, dict[str, int]] = {}
    for word in words:
        spellings = counts.setdefault(condition_key(word), {})
        spellings[word] = spellings.get(word, 0) + 1
    usual = {key: max(found, key=lambda word: found[word]) for key, found in counts.items()}
    return [usual[condition_key(word)] for word in words]


def _covariate(table: TextTable, name: str, notices: list[str]) -> pd.Series:
    """Numbers where every value is one (codes such as 007 stay text), else text."""
    words = [_or_empty(text) for text in table.frame[name]]
    if name.lower() == _EXCLUDE:
        return pd.Series(["" if word.lower() in _NO else word for word in words], dtype=object)
    numbers = [to_number(word) for word in words]
    coded = any(re.match(r"^0\d", word) for word in words)
    strange = [position for position, number in enumerate(numbers) if number is None]
    if not coded and not strange and any(words):
        return pd.Series(numbers, dtype=float)
    filled = sum(word != "" for word in words) - len(strange)
    if strange and filled > len(strange) and not coded:
        notices.append(
            f"{table.where(strange[0])}: covariate '{name}' is kept as text, because "
            f"'{words[strange[0]]}' is not a number; write n/a where it is missing"
        )
    return pd.Series(words, dtype=object)


def _unique_sessions(table: TextTable, sessions: pd.Series) -> None:
    """Refuse a session that two participants claim."""
    twice = (sessions != "") & sessions.duplicated()
    if twice.any():
        position = int(twice.to_numpy().argmax())
        name = sessions.iloc[position]
        before = table.rows[int((sessions == name).to_numpy().argmax())]
        raise StudyError(
            f"{table.where(position)}: session '{name}' is already in {before}; "
            "every participant needs a session of their own"
        )


def _two_per_dyad(table: TextTable, dyads: pd.Series) -> None:
    """Refuse a dyad of three."""
    third = (dyads != "") & (dyads.groupby(dyads).cumcount() >= 2)
    if third.any():
        position = int(third.to_numpy().argmax())
        raise StudyError(
            f"{table.where(position)}: dyad '{dyads.iloc[position]}' has more than two "
            "participants; a dyad is two people"
        )


# ---- matching ------------------------------------------------------------------------------------


def _needs(frame: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Demand columns of a DataFrame."""
    if not isinstance(frame, pd.DataFrame):
        raise StudyError(f"{what}: pass a DataFrame, not a {type(frame).__name__}")
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise StudyError(f"{what}: the column '{missing[0]}' is missing")


def _session_table(sessions: pd.DataFrame) -> pd.DataFrame:
    """Sessions as text, by name."""
    _needs(sessions, ("session", "participant", "condition"), "sessions")
    table = sessions[["session", "participant", "condition"]].fillna("").astype(str)
    table = table.apply(lambda column: column.str.strip())
    table["session"] = [session_name(name) for name in table["session"]]
    twice = table["session"].duplicated()
    if twice.any():
        name = table.loc[twice, "session"].iloc[0]
        raise StudyError(f"session '{name}' is there twice; sessions need names of their own")
    return table.reset_index(drop=True)


def _matched(person: str, stated: str, known: pd.DataFrame) -> tuple[pd.Series | None, str]:
    """Row of the session of a person, or None and the session that the table names."""
    if stated:
        for same in (
            known["session"] == stated,
            known["session"].str.casefold() == stated.casefold(),
        ):
            if same.sum() == 1:
                row = known[same].iloc[0]
                return _same_person(person, row), str(row["session"])
        return None, stated
    for mine in (
        known["participant"] == person,
        known["participant"].str.casefold() == person.casefold(),
        (known["participant"] == "") & (known["session"] == person),
    ):
        if mine.sum() > 1:
            names = ", ".join(known.loc[mine, "session"])
            raise StudyError(
                f"participant '{person}' has {mine.sum()} sessions ({names}); say in the column "
                "session of the participants table which one counts"
            )
        if mine.any():
            row = known[mine].iloc[0]
            return row, str(row["session"])
    return None, ""


def _same_person(person: str, row: pd.Series) -> pd.Series:
    """Row of a session, if it does not say that somebody else took part."""
    if row["participant"] and row["participant"].casefold() != person.casefold():
        raise StudyError(
            f"session '{row['session']}' was recorded for participant '{row['participant']}', the "
            f"participants table gives it to '{person}'; correct one of them"
        )
    return row


def _agreed(person: str, condition: str, row: pd.Series) -> str:
    """Condition on which table and session agree."""
    own = str(row["condition"])
    if condition and own and condition_key(condition) != condition_key(own):
        raise StudyError(
            f"participant '{person}': the participants table says condition '{condition}', "
            f"session '{row['session']}' says '{own}'; correct one of them"
        )
    return condition or own


def _cautions(person: str, condition: str, row: pd.Series) -> str:
    """What there is to say about a matched session."""
    said = []
    if row["participant"] not in ("", person):
        said.append(f"flag: the session writes '{row['participant']}'")
    if not condition:
        said.append("flag: no condition stated, not in the contrasts")
    return "; ".join(said)


def _without_session(
    person: object, stated: str, condition: object, known: pd.DataFrame
) -> tuple[object, ...]:
    """Flow row of a participant who has no processed session."""
    if stated:
        hint = nearest(stated, list(known["session"]))
        near = f"; {hint}" if "did you" in hint else ""
        reason = f"session '{stated}' is not among the processed ones{near}"
        return (person, stated, condition, "not processed", reason)
    bare = str(person).casefold().lstrip("0")
    alike = [name for name in known["participant"] if name and name.casefold().lstrip("0") == bare]
    hint = f": is it '{alike[0]}', whose leading zeros were lost?" if alike else ""
    return (person, "", condition, "no session", f"no processed session is theirs{hint}")


def _unclaimed(
    known: pd.DataFrame, owner: Mapping[str, str], participants: pd.DataFrame
) -> list[tuple[object, ...]]:
    """Flow rows of the sessions that no participant got."""
    chosen = {person.casefold(): session for session, person in owner.items()}
    ids = {str(name).casefold() for name in participants["id"]}
    rows: list[tuple[object, ...]] = []
    for session, person, condition in known.itertuples(index=False):
        if session in owner:
            continue
        key = person.casefold()
        if key in chosen:
            reason = f"the participants table names session '{chosen[key]}'"
        elif key in ids:
            reason = "the participants table names another session"
        else:
            reason = "not in participants table"
        rows.append((person, session, condition, "excluded", reason))
    return rows
