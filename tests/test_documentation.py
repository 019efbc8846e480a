"""Every public name is explained where ``help`` shows it, with an example that runs.

That the examples run is checked by ``--doctest-modules``; here, that they are there.
"""

import dataclasses
import doctest
import enum
import importlib
import importlib.util
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile
from pathlib import Path
from types import ModuleType

import pydantic
import pytest

import physio_hqc
import physio_hqc.features
import physio_hqc.study

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("", *(f".{found.name}" for found in pkgutil.iter_modules(physio_hqc.__path__) if found[2]))


def public(room: str) -> list[tuple[str, object]]:
    module = importlib.import_module(f"physio_hqc{room}")
    return [(name, getattr(module, name)) for name in module.__all__]


def named(kind) -> list[object]:
    found = {id(thing): thing for room in ROOMS for _, thing in public(room) if kind(thing)}
    return [
        pytest.param(thing, id=f"{thing.__module__.split('.')[1]}.{thing.__name__}")
        for thing in found.values()
    ]


def is_record(thing: object) -> bool:
    """Whether a class only holds what functions return or take: its fields are its description."""
    return inspect.isclass(thing) and (
        dataclasses.is_dataclass(thing)
        or issubclass(thing, pydantic.BaseModel | enum.Enum | BaseException)
        or getattr(thing, "_is_protocol", False)
        or inspect.isabstract(thing)
    )


FUNCTIONS = named(inspect.isfunction)
RECORDS = named(is_record)
OTHER_CLASSES = named(lambda thing: inspect.isclass(thing) and not is_record(thing))


def section(thing: object, title: str) -> str:
    """Text of a numpydoc section, "" where there is none."""
    text = inspect.getdoc(thing) or ""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", text, re.S | re.M)
    return found[1] if found else ""


def listed(text: str) -> set[str]:
    """Names that the lines at the margin of a section introduce."""
    lines = [line for line in text.splitlines() if line and not line[0].isspace()]
    return {
        name.strip().lstrip("*") for line in lines for name in line.partition(" :")[0].split(",")
    }


def test_all_rooms_are_looked_at() -> None:
    assert {"", ".signals", ".features", ".study", ".session", ".acquisition"} <= set(ROOMS)
    assert len(FUNCTIONS) > 90


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_parameters_returns_and_an_example(function) -> None:
    parameters = set(inspect.signature(function).parameters)
    assert parameters <= listed(section(function, "Parameters"))
    returned = inspect.signature(function).return_annotation
    if returned not in (None, "None", inspect.Signature.empty):
        assert section(function, "Returns") or section(function, "Yields")
    examples = doctest.DocTestParser().get_examples(section(function, "Examples"))
    assert any(function.__name__ in example.source for example in examples)
    assert not any(example.options.get(doctest.SKIP) for example in examples)


@pytest.mark.parametrize("one", OTHER_CLASSES)
def test_a_class_has_an_example(one) -> None:
    assert doctest.DocTestParser().get_examples(inspect.getdoc(one) or "")


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_says_what_it_is(record) -> None:
    text = record.__dict__.get("__doc__") or ""
    assert text.strip()
    # What dataclass writes of itself is no description.
    assert not text.startswith(f"{record.__name__}(")


@pytest.mark.parametrize("room", ROOMS)
def test_pydoc_shows_every_name_of_a_room(room: str) -> None:
    module = importlib.import_module(f"physio_hqc{room}")
    text = pydoc.plain(pydoc.render_doc(module))
    for name, thing in public(room):
        if isinstance(thing, ModuleType):
            continue
        assert re.search(rf"\b{name}\b", text), name
        if inspect.isfunction(thing):
            first = (inspect.getdoc(thing) or "").splitlines()[0]
            assert first in text, name
            assert first in pydoc.plain(pydoc.render_doc(thing))


def test_pydoc_of_a_fresh_interpreter_lists_lazy_functions() -> None:
    for room in ("physio_hqc", "physio_hqc.features"):
        shown = subprocess.run(
            [sys.executable, "-W", "error", "-m", "pydoc", room],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        functions = shown.partition("\nFUNCTIONS\n")[2]
        name = "process_session" if room == "physio_hqc" else "hrv"
        assert f"    {name}(" in functions
        assert ">>>" in functions


def test_tables_are_declared_as_such() -> None:
    """What type checkers that know pandas see."""
    for function in (physio_hqc.features.hrv, physio_hqc.study.wide_table):
        assert inspect.signature(function).return_annotation == "pd.DataFrame"


SCRIPT = """
    from physio_hqc import open_session, process_session
    from physio_hqc.features import FEATURES, hrv
    from physio_hqc.reactivity import RecoveryCurve, recovery_curve
    from physio_hqc.session import Session
    from physio_hqc.signals import Beats, correct_beats, decompose_eda, detect_r_peaks
    from physio_hqc.study import wide_table


    def heart(ecg: list[float]) -> float:
        peaks = detect_r_peaks(ecg, 250.0)
        beats: Beats = correct_beats(peaks / 250.0)
        table = hrv(beats, windows=[[0, 60]], domains=("time",))
        return float(table["HRV_RMSSD"].iloc[0])


    def recovery(times: list[float], values: list[float]) -> RecoveryCurve:
        return recovery_curve(times, values, baseline=120.0)


    def streams(path: str) -> list[str]:
        with open_session(path) as session:
            known: Session = session
            return list(known.streams)


    result = process_session("P01.h5")
    tonic, phasic = decompose_eda([5.0] * 400, 4)
    reveal_type(hrv)
    reveal_type(wide_table)
    reveal_type(open_session("P01.h5"))
    reveal_type(result)
    reveal_type(tonic)
    reveal_type(detect_r_peaks([0.0], 250.0))
    reveal_type(FEATURES)
"""
WRONG = """
    from physio_hqc.features import hrv
    from physio_hqc.signals import detect_r_peaks
    from physio_hqc import nothing_such

    hrv([0.8, 1.6], windw=[[0, 60]])
    detect_r_peaks([0.0])
    word: str = detect_r_peaks([0.0], 250.0)
"""


def checked(folder: Path, script: str, python: Path) -> str:
    """Run mypy --strict as a user does, outside the repository and without its settings."""
    (folder / "mine.py").write_text(textwrap.dedent(script), encoding="utf-8")
    (folder / "mypy.ini").write_text("[mypy]\n")
    options = ("--strict", "--config-file", "mypy.ini", "--python-executable", python)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *map(str, options), "mine.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return done.stdout + done.stderr


def environment(folder: Path, wheel: Path) -> Path:
    """Make an environment with the wheel's files and the libraries of this one; its Python."""
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.mark.slow
def test_a_wheel_brings_the_types_to_a_script_of_a_user(tmp_path: Path) -> None:
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    if importlib.util.find_spec("hatchling") is None:
        build = build[:-1]
    subprocess.run([sys.executable, *build, "-w", tmp_path, REPOSITORY], check=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "physio_hqc/py.typed" in names
    assert {f"physio_hqc/{room}/__init__.pyi" for room in ("features", "signals", "study")} <= names

    python = environment(tmp_path / "env", wheel)
    said = checked(tmp_path, SCRIPT, python)
    assert "error:" not in said, said
    revealed = re.findall(r'Revealed type is "(.*)"', said)
    assert len(revealed) == 7
    assert "windows:" in revealed[0]
    assert "windows:" in revealed[1]
    assert revealed[2].endswith("Session")
    assert revealed[3].endswith("SessionResult")
    assert all("ndarray" in text for text in revealed[4:6])
    assert "FeatureInfo" in revealed[6]

    wrong = checked(tmp_path, WRONG, python)
    assert 'has no attribute "nothing_such"' in wrong
    assert 'Unexpected keyword argument "windw"' in wrong
    assert 'Missing positional argument "sfreq"' in wrong
    assert "Incompatible types in assignment" in wrong
