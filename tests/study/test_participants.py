"""The participants table as labs write it, and the sessions that belong to it."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physio_hqc.errors import StudyError
from physio_hqc.study import load_participants, match_sessions

CONDITIONS = ("alone", "support", "nonsupport")


def table(tmp_path, text, name="participants.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def test_plain_table(tmp_path):
    path = table(
        tmp_path, "id,sex,age,condition,dyad,session,bmi\n007,F,21,alone,d1,a/b/x.h5,22.5\n"
    )
    people = load_participants(path, conditions=CONDITIONS)
    assert people.to_dict("records") == [
        {
            "id": "007",
            "sex": "female",
            "age": 21.0,
            "condition": "alone",
            "dyad": "d1",
            "session": "x",
            "bmi": 22.5,
        }
    ]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id;Sex;Age;Condition\r\n007;w;21,5;Support\r\n\r\n;;;\r\n", "utf-8-sig"),
        ("Participant ID\tGender\tAge (years)\tGroup\n007\tWoman\t21.5\tSUPPORT\n", "utf-16"),
        ("sep=;\nVP;Geschlecht;Alter;Bedingung\n007 ; weiblich;21,5;support \n", "utf-8"),
        ('"ID","SEX","AGE","COND",\n"=""007""","female","21.5","Sup-port",\n', "cp1252"),
        ('subject_id, gender, age, arm\n="007", f, 21.5, support\n', "utf-8"),
        ("\n\nid|sex|age|condition\n\u00a0007|f|21.5|support\u00a0\n", "utf-8"),
    ],
)
def test_what_spreadsheets_make_of_it(tmp_path, text, encoding):
    people = load_participants(table(tmp_path, text, encoding=encoding), conditions=CONDITIONS)
    assert people.iloc[0][["id", "sex", "age", "condition"]].tolist() == [
        "007",
        "female",
        21.5,
        "support",
    ]
    assert len(people) == 1
    assert list(people.columns) == ["id", "sex", "age", "condition", "dyad", "session"]


def test_windows_text_keeps_umlauts(tmp_path):
    people = load_participants(
        table(tmp_path, "id;sex;ort\nMü1;männlich;Köln\n", encoding="cp1252")
    )
    assert people.loc[0, ["id", "sex", "ort"]].tolist() == ["Mü1", "male", "Köln"]


def test_line_breaks_in_a_cell_do_not_shift_line_numbers(tmp_path):
    path = table(tmp_path, 'id,note,age\n1,"two\nlines",20\n2,x,old\n')
    with pytest.raises(StudyError, match=r"participants\.csv, line 4: age 'old' is not a number"):
        load_participants(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,condition\n1,alone\n2,suport\n",
            "3: condition 'suport' is not one of alone, nonsupport, support; did you mean 'sup",
        ),
        (
            "id,condition\n1,control\n",
            r"line 2: condition 'control' is not one of alone, nonsupport, support$",
        ),
        ("id,age\n1,20\n,30\n", "line 3: the id is missing"),
        ("id,age\nP1,20\nP2,21\np1,30\n", "line 4: id 'p1' is already in line 2"),
        ("id,age\n1,1998\n", "line 2: age '1998' is not from 0 to 120 years; a year of birth"),
        ("id,age\n1,-3\n", "line 2: age '-3' is not from 0"),
        ("id,age\n1,inf\n", "line 2: age 'inf' is not a number"),
        ("id,session\n1,s1\n2,s1.h5\n", "line 3: session 's1' is already in line 2"),
        ("id,dyad\n1,d\n2,d\n3,d\n", "line 4: dyad 'd' has more than two participants"),
        ("name,age\n1,20\n", "no column 'id' .*its columns: name, age"),
        ("id,participant\n1,2\n", "column 'participant' has the name of a results column"),
        ("id,baseline\n1,2\n", "column 'baseline' has the name of a results column; rename it"),
        ("subject,participant\n1,2\n", "columns 'subject' and 'participant' both mean id"),
        ("id,Age,AGE\n1,2,3\n", "columns 'Age' and 'AGE' both mean age"),
        ("id,bmi,bmi\n1,2,3\n", "two columns are called 'bmi'"),
        ("id,age\n1,20,5\n", "line 2: 3 values for 2 columns"),
        ("id,age,\n1,20,5\n", "column 3 has values but no name"),
        ("id,age\n", "no row below the header"),
        ("", "the file is empty"),
        ("sep=;\n", "the file is empty"),
        ('id,age\n"1,20\n', "line 2: cannot be read"),
        ("PK\x03\x04rest", "workbook"),
        ("id,age\n1,\x00\n", "not text"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    with pytest.raises(StudyError, match=message) as caught:
        load_participants(table(tmp_path, text), conditions=CONDITIONS)
    assert str(caught.value).startswith("participants.csv")
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        load_participants(tmp_path / "none.csv")
    with pytest.raises(StudyError, match="no such file"):
        load_participants(tmp_path)


def test_missing_cells():
    frame = pd.DataFrame(
        {
            "id": ["NA", "2"],  # initials are an id
            "sex": ["n/a", "1"],
            "age": [np.nan, 30],
            "condition": [None, "none"],
            "bmi": ["-", "22"],
            "city": ["", ""],
        }
    )
    people = load_participants(frame)
    assert people["id"].tolist() == ["NA", "2"]
    assert people["sex"].tolist() == ["", "1"]
    assert math.isnan(people["age"][0])
    assert people["condition"].tolist() == ["", "none"]
    assert people["bmi"].tolist()[1] == 22
    assert math.isnan(people["bmi"][0])
    assert people["city"].tolist() == ["", ""]


def test_frames_of_any_kind():
    frame = pd.DataFrame(
        {
            "ID": pd.array([7.0, 8.0]),
            "Condition": pd.Categorical(["alone", "support"]),
            "age": pd.array([21, None], dtype="Int64"),
        }
    )
    before = frame.copy()
    people = load_participants(frame, conditions=CONDITIONS)
    assert people["id"].tolist() == ["7", "8"]
    assert people["age"].tolist()[0] == 21
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(load_participants(people, conditions=CONDITIONS), people)
    with pytest.raises(StudyError, match="participants table, row 2: id '7'"):
        load_participants(pd.DataFrame({"id": [7, 7]}))


def test_covariates_keep_codes_and_name_strays():
    frame = pd.DataFrame(
        {
            "id": list("abc"),
            "site": ["01", "02", "03"],
            "bmi": ["21", "22,5", "2o"],
            "Work": list("xyx"),
        }
    )
    people = load_participants(frame)
    assert people["site"].tolist() == ["01", "02", "03"]
    assert people["bmi"].tolist() == ["21", "22,5", "2o"]
    (notice,) = people.attrs["notices"]
    assert notice.startswith("participants table, row 3: covariate 'bmi' is kept as text")
    assert "'2o' is not a number" in notice
    assert list(people.columns[-3:]) == ["site", "bmi", "Work"]


def test_exclude_column_is_text():
    frame = pd.DataFrame({"id": list("abc"), "exclude": ["0", "medication", "no"]})
    assert load_participants(frame)["exclude"].tolist() == ["", "medication", ""]


def test_spelling_of_conditions_without_a_design():
    frame = pd.DataFrame(
        {"id": list("abcd"), "condition": ["Alone", "alone", "non-support", "alone "]}
    )
    assert load_participants(frame)["condition"].tolist() == [
        "alone",
        "alone",
        "non-support",
        "alone",
    ]


def test_conditions_must_be_names():
    with pytest.raises(StudyError, match="conditions: pass a sequence"):
        load_participants(pd.DataFrame({"id": ["a"]}), conditions="alone")


def read_or_refused(path, **kwargs):
    """The table, or the line that says why not; any other exception is a failure."""
    try:
        return load_participants(path, **kwargs), ""
    except StudyError as error:
        return None, str(error)


CELL = st.one_of(
    st.sampled_from(
        ["id", "age", "condition", "alone", "", '"', "007", "21,5", "\r", "\x00", "=", "sep=;"]
    ),
    st.text(max_size=6),
)


@settings(deadline=None, max_examples=150)
@given(rows=st.lists(st.lists(CELL, max_size=5), max_size=6), mark=st.sampled_from(",;\t|"))
def test_any_text_is_a_table_or_one_clear_line(tmp_path_factory, rows, mark):
    path = tmp_path_factory.mktemp("fuzz") / "p.csv"
    text = "\n".join(mark.join(row) for row in rows)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    people, said = read_or_refused(path, conditions=CONDITIONS)
    if people is None:
        assert len(said.splitlines()) == 1
        return
    assert list(people.columns[:6]) == ["id", "sex", "age", "condition", "dyad", "session"]
    assert people["id"].is_unique
    assert (people["id"] != "").all()


@settings(deadline=None, max_examples=150)
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_a_table_or_one_clear_line(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("fuzz") / "p.csv"
    path.write_bytes(raw)
    people, said = read_or_refused(path)
    assert people is not None or len(said.splitlines()) == 1


# ---- sessions ------------------------------------------------------------------------------------


def people_of(*rows):
    return load_participants(
        pd.DataFrame([dict(zip(("id", "condition", "session"), row, strict=True)) for row in rows])
    )


def sessions_of(*rows):
    return pd.DataFrame(rows, columns=["session", "participant", "condition"])


def test_everybody_is_accounted_for():
    people = people_of(
        ("P1", "alone", "s1.h5"),
        ("P2", "", ""),
        ("P3", "alone", ""),
        ("P4", "alone", "S-lost"),
        ("p5", "", ""),
    )
    done = sessions_of(
        ("s1", "P1", "Alone"),
        ("s1b", "P1", "alone"),
        ("s2", "P2", "support"),
        ("s9", "P9", "alone"),
        ("s5", "P5", ""),
    )
    filled, flow = match_sessions(people, done)
    assert filled["session"].tolist() == ["s1", "s2", "", "S-lost", "s5"]
    assert filled["condition"].tolist() == ["alone", "support", "alone", "alone", ""]
    assert flow.drop(columns="reason").to_numpy().tolist() == [
        ["P1", "s1", "alone", "analysed"],
        ["P2", "s2", "support", "analysed"],
        ["P3", "", "alone", "no session"],
        ["P4", "S-lost", "alone", "not processed"],
        ["p5", "s5", "", "analysed"],
        ["P1", "s1b", "alone", "excluded"],
        ["P9", "s9", "alone", "excluded"],
    ]
    reasons = flow["reason"].tolist()
    assert reasons[:2] == ["", ""]
    assert reasons[3].startswith("session 'S-lost' is not among the processed ones")
    assert reasons[4].startswith("flag: the session writes 'P5'; flag: no condition")
    assert reasons[5] == "the participants table names session 's1'"
    assert reasons[6] == "not in participants table"


def test_ids_that_lost_their_zeros_are_pointed_at():
    _, flow = match_sessions(people_of(("7", "alone", "")), sessions_of(("a", "007", "alone")))
    assert flow["status"].tolist() == ["no session", "excluded"]
    assert "'007', whose leading zeros were lost" in flow["reason"][0]


def test_a_session_without_a_participant_is_found_by_its_name():
    filled, flow = match_sessions(people_of(("P1", "alone", "")), sessions_of(("P1", "", "")))
    assert filled["session"].tolist() == ["P1"]
    assert flow["status"].tolist() == ["analysed"]


@pytest.mark.parametrize(
    ("people", "sessions", "message"),
    [
        (
            [("P1", "alone", "")],
            [("s", "P1", "support")],
            "says condition 'alone', session 's' says 'support'",
        ),
        ([("P1", "", "")], [("a", "P1", ""), ("b", "P1", "")], r"'P1' has 2 sessions \(a, b\)"),
        (
            [("P1", "", "s")],
            [("s", "P2", "")],
            "recorded for participant 'P2', the participants table gives it to 'P1'",
        ),
        ([("P1", "", "s"), ("s", "", "")], [("s", "", "")], "'P1' and 's' both get it"),
        ([("P1", "", "")], [("s", "P1", ""), ("s.h5", "P2", "")], "session 's' is there twice"),
    ],
)
def test_what_table_and_sessions_may_not_disagree_on(people, sessions, message):
    with pytest.raises(StudyError, match=message):
        match_sessions(people_of(*people), sessions_of(*sessions))


def test_no_sessions_at_all():
    _, flow = match_sessions(people_of(("P1", "alone", "")), sessions_of())
    assert flow["status"].tolist() == ["no session"]
    with pytest.raises(StudyError, match=re.escape("sessions: the column 'condition' is missing")):
        match_sessions(people_of(("P1", "alone", "")), sessions_of().drop(columns="condition"))
