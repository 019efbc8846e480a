"""Data flows downward: a room imports only from rooms listed above it."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "physio_hqc"
BASE = ("errors", "files", "config", "parallel")
ROOMS = (
    *("session", "protocol", "signals", "features", "reactivity", "importers", "simulate"),
    *("acquisition", "pipeline", "exporters", "study", "report", "cli"),
)


def imported(path: Path) -> set[str]:
    """Rooms that a module imports from, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("physio_hqc.")}
    return found & {*BASE, *ROOMS}


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_a_room_imports_only_from_rooms_above(room: str) -> None:
    allowed = {*BASE, *ROOMS[: ROOMS.index(room) + 1]}
    for path in (PACKAGE / room).rglob("*.py"):
        assert imported(path) <= allowed, path.relative_to(PACKAGE)


def test_every_folder_is_a_known_room() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(ROOMS)
    assert {"session", "signals", "cli"} <= folders


def test_only_the_command_line_prints_and_exits() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("print", "sys.exit", "exit"), path
