"""Hostile YAML of every kind: a ConfigError of one line, at once, with little memory."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import physio_hqc
from physio_hqc.acquisition.profiles import load_device_profile
from physio_hqc.acquisition.setup import load_setup
from physio_hqc.errors import ConfigError
from physio_hqc.pipeline.config import load_pipeline_config
from physio_hqc.protocol import load_protocol, parse_protocol
from physio_hqc.reactivity import load_proxy
from physio_hqc.simulate.effects import load_effects
from physio_hqc.study.config import load_study_config
from physio_hqc.study.scales import load_scale

LOADERS: dict[str, Callable[[Path], Any]] = {
    "protocol": load_protocol,
    "device": load_device_profile,
    "setup": load_setup,
    "pipeline": load_pipeline_config,
    "study": load_study_config,
    "proxy": load_proxy,
    "scale": load_scale,
    "effects": lambda path: load_effects(path, ["alone"]),
}
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
HOSTILE = {
    "billion laughs": (LAUGHS, "anchors"),
    "an alias": ("name: *x", "aliases"),
    "an alias of itself": ("&a name: [*a]", "anchors"),
    "a merge": ("x: &x {a: 1}\n<<: *x", "anchors"),
    "a merge in place": ("<<: {a: 1}", "<<"),
    "an object": ("name: !!python/object/apply:os.system [echo]", "tags"),
    "a tag of one's own": ("name: !x y", "tags"),
    "a set": ("!!set {a}", "tags"),
    "deep flow": ("name: " + "[" * 50_000, "deeper than 32"),
    "deep flow, closed": ("name: " + "[" * 5000 + "]" * 5000, "deeper than 32"),
    "deep blocks": ("\n".join(" " * k + "a:" for k in range(700)), "deeper than 32"),
    "a long list": ("name: [" + "1," * 200_000 + "]", "more than 10000 entries"),
    "a long key": ("? " + "a" * 900_000 + "\n: 1", "unknown key"),
    "a long word": ("name: " + "a" * 900_000, "name|key"),
    "a long number": ("name: " + "9" * 100_000, "too many digits|name"),
    "a key twice": ("name: a\nname: b", "twice"),
    "a list for a key": ("? [a, b]\n: 1", "plain word"),
    "documents": ("name: a\n---\nname: b", "document"),
    "nothing": ("# only a comment", "empty"),
    "a list": ("- a", "top level"),
    "NUL": ("name: a\x00b", "control character"),
    "half a character": ('name: "\\ud800"', r"\w"),
    "no character": ('name: "\\UFFFFFFFF"', "out of range"),
    "an endless version": ("%YAML 1." + "9" * 5000 + "\n---\na: 1", r"\w"),
    "a tab": ("\tname: a", r"\w"),
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_in_one_line(tmp_path: Path, kind: str, name: str) -> None:
    text, message = HOSTILE[name]
    path = tmp_path / "hostile.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        LOADERS[kind](path)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.parametrize(
    "raw",
    ["name: ä".encode("utf-16"), "name: ä".encode("utf-32"), b"name: \xff", b"\xef\xbb\xbf", b""],
)
@pytest.mark.parametrize("kind", LOADERS)
def test_other_encodings_are_refused(tmp_path: Path, kind: str, raw: bytes) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError):
        LOADERS[kind](path)


def test_a_mark_of_byte_order_is_no_matter(tmp_path: Path) -> None:
    text = load_protocol("tsst").to_yaml()
    path = tmp_path / "tsst.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_protocol(path) == load_protocol("tsst")


@pytest.mark.parametrize("name", ["billion laughs", "deep flow", "a long list", "a long word"])
def test_hostile_yaml_takes_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError):
            parse_protocol(HOSTILE[name][0])
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_no_pattern_and_no_template_comes_from_a_configuration() -> None:
    """Every pattern that is compiled, and every template that is filled in, is our own."""
    package = Path(physio_hqc.__file__).parent
    given = re.compile(r"re\.(?:compile|match|search|fullmatch|sub)\((?:self\.)?(?:config|model)\b")
    for path in sorted(package.rglob("*.py")):
        assert not given.search(path.read_text(encoding="utf-8")), path.name
