"""The report as a reader meets it: sections, numbers, escaping, and nothing from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from physio_hqc.errors import OutputError
from physio_hqc.pipeline.schema import conform, empty_table
from physio_hqc.report import write_session_report
from physio_hqc.report._facts import Facts
from physio_hqc.report._overview import overview
from physio_hqc.report._tables import feature_table
from physio_hqc.session import open_session

SECTIONS = (
    "Overview",
    "Signals",
    "ECG",
    "Beats",
    "Blood pressure",
    "Electrodermal activity",
    "Quality",
    "Reactivity",
    "Features",
    "Methods and provenance",
)


class Page(HTMLParser):
    """Tables as lists of rows of texts, and everything a browser would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self.fetched: list[tuple[str, str]] = []
        self.titles: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self._cell: list[str] | None = None
        self._skip = 0
        self.styles = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            value = given.get(name) or ""
            is_anchor = tag == "a" and name == "href"
            if value and not value.startswith(("data:", "#")) and not is_anchor:
                self.fetched.append((tag, value))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self._cell = []
        elif tag == "sup" or "pq-delta" in (given.get("class") or ""):
            self._skip += 1
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell).strip())
            self._cell = None
        elif self._open and self._open[-1] == tag:
            self._open.pop()
            self._skip -= 1

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.styles += data
        if self._cell is not None and not self._skip:
            self._cell.append(data)


def contents(text: str) -> list[str]:
    """Titles in the table of contents."""
    listing = text[text.index('id="toc-navbar"') : text.index('id="content"')]
    return [title.strip() for title in re.findall(r">([^<>]+)</a>", listing)]


@pytest.fixture(scope="module")
def report(write_session, make_result, tmp_path_factory):
    """Text of the report of a whole session."""
    path = write_session()
    target = tmp_path_factory.mktemp("report") / "report.html"
    with open_session(path) as session:
        made = write_session_report(session, make_result(path), target)
    assert made == target
    return made.read_text(encoding="utf-8")


def test_sections_stand_in_their_order(report):
    assert contents(report) == list(SECTIONS)


def test_overview_is_open_and_says_who_what_how_long_how_good(report):
    start = report.index('id="Overview"')
    body = report[start : report.index('id="Signals"')]
    assert re.search(r'class="accordion-collapse collapse show\s*"', body)
    for said in ("P01", "support", "lepore_1993", "A speech", "4 min", "2024-01-15 09:00:00 UTC"):
        assert said in body
    # 72 % usable in one of four phases of equal length: (3 * 1 + 0.72) / 4 = 93 %, so fair.
    row = next(r for r in Page(body).tables[0] if r[0] == "ecg")
    assert row[1:5] == ["▲ fair", "100", "none", "93 %"]
    assert row[6] == "1.7 %"  # 5 of 300 beats
    assert "note at 3:20: participant coughs" in body
    assert "stream &#x27;ecg2&#x27; is left out" in body


def test_overview_numbers_equal_the_tables(write_session, make_result, value):
    path = write_session()
    result = make_result(path)
    with open_session(path) as session:
        facts = Facts(session, result)
        headline = Page(overview(facts)).tables[1]
        phases = Page(feature_table(facts, "phase")).tables[0]
        last = Page(feature_table(facts, "phase_last")).tables[0]
    name_of = {
        "Heart rate 1/min": "ECG_Rate_Mean",
        "RMSSD ms": "HRV_RMSSD",
        "ln HF power ln(ms²)": "HRV_LnHF",
        "SBP, continuous mmHg": "BP_SBP_Mean",
        "DBP, continuous mmHg": "BP_DBP_Mean",
        "SBP, cuff mmHg": "CUFF_SBP_Mean",
        "Skin conductance level µS": "EDA_Tonic_Mean",
        "SCR rate 1/min": "SCR_Rate",
    }
    assert [row[0] for row in headline[1:]] == list(name_of)
    by_name = {row[0]: row for row in phases[1:]}
    last_by_name = {row[0]: row for row in last[1:]}
    for row in headline[1:]:
        feature = name_of[row[0]]
        assert row[1] == last_by_name[feature][2]
        assert row[2:] == by_name[feature][3:]
        # And both are the number that was put in.
        assert float(row[3].rstrip("†")) == pytest.approx(value(feature, "speech"), abs=0.051)


def test_delta_is_shown_beside_its_value(write_session, make_result, value):
    path = write_session()
    with open_session(path) as session:
        text = overview(Facts(session, make_result(path)))
    delta = value("BP_SBP_Mean", "speech") - value("BP_SBP_Mean", "baseline_last_30s")
    line = text[text.index("SBP, continuous") :]
    shown = re.findall(r'class="pq-delta">([^<]*)<', line)[1]
    assert float(shown.replace("−", "-")) == pytest.approx(delta, abs=0.051)


def test_speech_caution_stands_in_overview_and_tables(write_session, make_result):
    path = write_session()
    with open_session(path) as session:
        facts = Facts(session, make_result(path))
        parts = [
            overview(facts),
            feature_table(facts, "phase"),
            feature_table(facts, "interaction"),
        ]
    for text in parts:
        assert "Speech moves breathing below 0.15 Hz" in text
        row = next(r for t in Page(text).tables for r in t if "HF" in r[0])
        assert sum("†" in cell for cell in row) == 1
    page = Page(parts[1]).tables[0]
    speech = next(i for i, cell in enumerate(page[0]) if cell.startswith("speech"))
    flagged = {row[0] for row in page[1:] if len(row) > speech and "†" in row[speech]}
    assert flagged == {"HRV_HF", "HRV_LnHF"}


def test_no_speech_no_caution(write_session, make_result, windows_of):
    path = write_session()
    windows = windows_of(n_sliding=3).assign(speech=False)
    with open_session(path) as session:
        facts = Facts(session, make_result(path, windows=windows))
        assert "Speech moves" not in overview(facts) + feature_table(facts, "phase")


def test_missing_values_and_cautions_are_footnoted(write_session, make_result):
    path = write_session()
    with open_session(path) as session:
        text = feature_table(Facts(session, make_result(path)), "phase")
    rows = {row[0]: row for row in Page(text).tables[0]}
    assert rows["HRV_DFA_alpha1"][2:] == ["–"] * 4
    assert 'title="75 beats, needs 300"' in text
    assert re.search(r"<li><sup>\d</sup> 75 beats, needs 300</li>", text)
    assert re.search(r"<li><sup>\d</sup> 42 s, 60 s recommended</li>", text)
    assert rows["HRV_RMSSD"][3].endswith("†")


def test_nothing_is_fetched_from_outside(report):
    page = Page(report)
    assert page.fetched == []
    assert "iframe" not in page.tags
    assert len(page.styles) > 1000
    assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", page.styles)


HOSTILE = "<script>alert(1)</script>\"'&$x^2$<img src=x onerror=alert(2)>"


def test_untrusted_text_is_escaped(write_session, make_result, tmp_path, with_tables):
    path = write_session(
        label=HOSTILE, participant_id=HOSTILE, condition=HOSTILE, dyad_id=HOSTILE, role=HOSTILE
    )
    result = make_result(path, label=HOSTILE)
    result.provenance["notices"].append(HOSTILE)
    result.provenance["protocol"] = {"name": HOSTILE, "title": HOSTILE}
    result.provenance["input"]["file"] = HOSTILE
    quality = result.tables["quality"].assign(reason=HOSTILE)
    features = result.tables["features"].assign(reason=HOSTILE)
    windows = result.windows.assign(window=[f"{HOSTILE}{k}" for k in range(len(result.windows))])
    changed = with_tables(result, quality=quality, features=features)
    with open_session(path) as session:
        text = write_session_report(session, changed, tmp_path / "r.html").read_text("utf-8")
        facts = Facts(session, make_result(path, windows=windows))
        text += overview(facts) + feature_table(facts, "phase")
    assert "<script>alert(1)" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@pytest.mark.parametrize(
    ("streams", "left_out", "said"),
    [
        (("bp", "cuff", "eda"), {"ECG", "Beats"}, "No ECG and no RR intervals were recorded"),
        (("ecg", "eda"), {"Blood pressure"}, "No blood pressure was recorded"),
        (("ecg", "cuff"), {"Electrodermal activity"}, "No EDA was recorded"),
    ],
)
def test_missing_streams_leave_their_section_out(
    write_session, make_result, tmp_path, streams, left_out, said
):
    path = write_session(streams=streams)
    with open_session(path) as session:
        made = write_session_report(
            session, make_result(path, streams=streams), tmp_path / "report.html"
        )
    text = made.read_text(encoding="utf-8")
    assert set(SECTIONS) - set(contents(text)) == left_out
    assert said in text


def test_session_without_windows(write_session, make_result, tmp_path, windows_of):
    path = write_session(tagged=False)
    none = windows_of(n_sliding=0).iloc[:0]
    with open_session(path) as session:
        made = write_session_report(session, make_result(path, windows=none), tmp_path / "r.html")
    shown = contents(made.read_text(encoding="utf-8"))
    assert shown == [
        "Overview", "Signals", "ECG", "Beats", "Blood pressure", "Electrodermal activity",
        "Methods and provenance",
    ]  # fmt: skip


def test_results_read_back_without_traces_say_so(write_session, make_result, tmp_path):
    path = write_session(streams=("eda",))
    result = make_result(path, streams=("eda",))
    result.traces.clear()
    with open_session(path) as session:
        made = write_session_report(session, result, tmp_path / "r.html")
    text = made.read_text(encoding="utf-8")
    assert "Electrodermal activity" in contents(text)
    assert "process the session again to see them" in text


def test_one_untagged_window_is_no_phase(write_session, make_result, windows_of):
    path = write_session(tagged=False)
    whole = windows_of().iloc[:1].assign(window="whole", label="whole", role="", duration=240.0)
    with open_session(path) as session:
        text = overview(Facts(session, make_result(path, windows=whole)))
    assert "phase" not in re.sub(r"<[^>]*>", "", text.split('class="pq-cards"')[0])
    assert Page(text).tables[1][0][1].startswith("whole")


def test_session_without_anything(tmp_path, make_result, windows_of):
    from physio_hqc.session import SessionWriter

    path = tmp_path / "empty.h5"
    SessionWriter(path).close()
    with open_session(path) as session:
        result = make_result(path, streams=(), windows=windows_of().iloc[:0])
        made = write_session_report(session, result, tmp_path / "r.html")
    assert contents(made.read_text(encoding="utf-8")) == ["Overview", "Methods and provenance"]


def test_stream_of_nothing_but_nan(tmp_path, make_result, with_tables, windows_of):
    from physio_hqc.session import SessionWriter

    path = tmp_path / "nan.h5"
    with SessionWriter(path, participant_id="P9") as writer:
        for name in ("ecg", "bp", "eda"):
            units = {"ecg": "mV", "bp": "mmHg", "eda": "µS"}[name]
            writer.add_stream(name, modality=name, units=units, sfreq=50.0)
        for name in ("ecg", "bp", "eda"):
            writer.append_segment(name, np.full(12_000, np.nan), 0.0)
    result = make_result(path, streams=("ecg", "bp", "eda"))
    for name in ("features", "reactivity", "quality"):
        numbers = result.tables[name].select_dtypes("number").columns.drop(["onset", "duration"])
        result.tables[name][numbers] = np.nan
    trace = result.traces["eda"]
    trace[["eda", "tonic", "phasic"]] = np.nan
    bare = with_tables(
        result,
        beats=empty_table("beats"),
        pressure_beats=empty_table("pressure_beats"),
        scr=empty_table("scr"),
    )
    with open_session(path) as session:
        made = write_session_report(session, bare, tmp_path / "r.html")
    assert "No headline measure could be computed" in made.read_text(encoding="utf-8")


def test_many_windows_stay_readable_and_small(write_session, make_result, tmp_path, windows_of):
    path = write_session()
    windows = windows_of(n_sliding=500)
    tagged = pd.DataFrame(
        {
            "window": [f"contact_{k}" for k in range(300)],
            "kind": "interaction",
            "label": "contact",
            "onset": np.linspace(0, 230, 300),
            "duration": 5.0,
            "phase": "",
            "role": "",
            "speech": False,
        }
    )
    result = make_result(path, windows=pd.concat([windows, tagged], ignore_index=True))
    with open_session(path) as session:
        made = write_session_report(session, result, tmp_path / "r.html")
        table = Page(feature_table(Facts(session, result), "interaction")).tables[0]
    assert made.stat().st_size < 6e6
    assert len(table[0]) == 2 + 24
    assert "The first 24 of 301 windows are shown" in made.read_text(encoding="utf-8")


def test_same_input_gives_the_same_file(write_session, make_result, tmp_path):
    path = write_session()
    texts = []
    for name in ("a.html", "b.html"):
        with open_session(path) as session:
            made = write_session_report(session, make_result(path), tmp_path / name)
        texts.append(made.read_text(encoding="utf-8"))
    assert texts[0] == texts[1]
    assert "Created by physio_hqc 9.9.9 (abcdef012345) via" in texts[0]
    assert len(texts[0]) < 5e6


def test_failure_leaves_the_old_report(write_session, make_result, tmp_path, with_tables):
    path, target = write_session(), tmp_path / "out" / "report.html"
    target.parent.mkdir()
    target.write_text("the old one", encoding="utf-8")
    broken = with_tables(make_result(path), scr=pd.DataFrame({"onset_s": [1.0]}))
    with open_session(path) as session, pytest.raises(KeyError):
        write_session_report(session, broken, target)
    assert target.read_text(encoding="utf-8") == "the old one"
    assert [entry.name for entry in target.parent.iterdir()] == ["report.html"]


def test_folder_that_is_missing_is_an_output_error(write_session, make_result, tmp_path):
    path = write_session()
    with open_session(path) as session, pytest.raises(OutputError, match="cannot be written"):
        write_session_report(session, make_result(path), tmp_path / "no" / "report.html")


def test_session_that_was_never_closed_says_so(write_session, make_result):
    path = write_session(close=False)
    with open_session(path) as session:
        assert not session.closed
        assert "never closed" in overview(Facts(session, make_result(path)))


def test_gaps_are_named(write_session, make_result):
    path = write_session(gap=True)
    with open_session(path) as session:
        row = next(
            r for r in Page(overview(Facts(session, make_result(path)))).tables[0] if r[0] == "ecg"
        )
    assert row[3] == "1 (30 s)"


def test_empty_protocol_and_provenance(write_session, make_result, tmp_path):
    path = write_session(participant_id="", condition="")
    result = make_result(path)
    result.provenance.clear()
    with open_session(path) as session:
        made = write_session_report(session, result, tmp_path / "r.html")
    text = made.read_text(encoding="utf-8")
    assert "no participant id" in text
    assert "no protocol in the file" in text


def test_methods_name_counts_versions_and_sources(report):
    text = report[report.index('id="Methods_and_provenance"') :]
    for said in (
        "5 of 300 beats (1.7 %), namely 1 ectopic, 1 extra, 1 long, 1 missed and 1 short",
        "Of 300 pulses in &#x27;bp&#x27; 299 were valid; not valid: flat (1)",
        "absolute amplitude of 0.02 µS; 3 were found",
        "physio-hqc 9.9.9 on Python 3.11.0 with numpy 2.0.0",
        "doi:10.1080/03091902.2019.1640306",
        "doi:10.1111/psyp.14604",
        "0" * 64,
    ):
        assert said in text
    rows = next(t for t in Page(text).tables if t[0][0] == "Phase")
    assert rows[3] == ["speech", "ecg", "75", "2.0 %", "72 %"]


def test_import_is_light_and_drawing_leaves_no_state(write_session, tmp_path):
    write_session()
    code = (
        "import sys, physio_hqc, physio_hqc.report\n"
        "assert not {'mne', 'matplotlib', 'pandas', 'scipy'} & set(sys.modules)\n"
        "import physio_hqc.report.figures\n"
        "assert not {'mne', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_no_figure_and_no_backend_is_left_behind(write_session, make_result, tmp_path):
    import pickle

    path = write_session()
    (tmp_path / "result.pkl").write_bytes(pickle.dumps(make_result(path)))
    code = (
        "import pathlib, pickle, matplotlib\n"
        "from physio_hqc.session import open_session\n"
        "from physio_hqc.report import write_session_report\n"
        "before = dict.copy(matplotlib.rcParams)\n"
        "result = pickle.loads(pathlib.Path('result.pkl').read_bytes())\n"
        "with open_session(result.path) as session:\n"
        "    write_session_report(session, result, pathlib.Path('r.html'))\n"
        "assert dict.copy(matplotlib.rcParams) == before\n"
        "import matplotlib.pyplot as plt\n"
        "assert plt.get_fignums() == []\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=tmp_path)


def test_rr_stream_alone(tmp_path, make_result):
    from physio_hqc.session import SessionWriter

    path = tmp_path / "rr.h5"
    with SessionWriter(path, participant_id="P3") as writer:
        writer.add_stream("rr", modality="rr", units="s", sfreq=0)
        times = np.arange(1, 240, 0.8)
        writer.append_irregular("rr", times, np.full(len(times), 0.8))
    result = make_result(path, streams=("ecg",))
    quality = conform(result.tables["quality"].assign(stream="rr"), "quality")
    result.tables["quality"] = quality
    with open_session(path) as session:
        made = write_session_report(session, result, tmp_path / "r.html")
    text = made.read_text(encoding="utf-8")
    assert "ECG" not in contents(text)
    assert "Beats" in contents(text)
    assert "beats come from the intervals" in text


def test_report_of_a_simulated_session(tmp_path):
    from physio_hqc.pipeline import process_session
    from physio_hqc.simulate import simulate_session

    made = simulate_session(tmp_path / "p02.h5", seed=2, time_scale=0.2, participant_id="P02")
    result = process_session(made.path)
    with open_session(made.path) as session:
        page = write_session_report(session, result, tmp_path / "report.html")
        first_screen = overview(Facts(session, result))
    assert contents(page.read_text(encoding="utf-8")) == list(SECTIONS)
    features = result.tables["features"]
    row = features[(features["window"] == "speech") & (features["feature"] == "BP_SBP_Mean")]
    shown = next(r for r in Page(first_screen).tables[1] if r[0].startswith("SBP, continuous"))
    assert float(shown[3]) == pytest.approx(row["value"].iloc[0], abs=0.051)
