"""YAML of every kind, on text that is nearly a configuration."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzzing import Case, Corpus, Outcomes, any_of, fuzz, mutated, scratch

from physio_hqc.acquisition.profiles import load_device_profile
from physio_hqc.acquisition.setup import load_setup
from physio_hqc.config import find_config, list_configs
from physio_hqc.errors import ConfigError, PhysioError
from physio_hqc.pipeline.config import load_pipeline_config
from physio_hqc.protocol import load_protocol, parse_protocol
from physio_hqc.reactivity import load_proxy
from physio_hqc.simulate.effects import load_effects
from physio_hqc.study.config import load_study_config
from physio_hqc.study.scales import load_scale

PATH = scratch() / "c.yaml"
LOADERS: dict[Any, Callable[[Path], Any]] = {
    "protocols": load_protocol,
    "devices": load_device_profile,
    "setups": load_setup,
    "pipelines": load_pipeline_config,
    "studies": load_study_config,
    "proxies": load_proxy,
    "scales": load_scale,
    "effects": lambda path: load_effects(path, ["alone", "support", "nonsupport"]),
}


def shortest(kind: Any) -> str:
    """The shortest shipped configuration without its comments: it is read twenty thousand times."""
    texts = [find_config(kind, name).read_text(encoding="utf-8") for name in list_configs(kind)]
    bare = ["\n".join(x for x in t.splitlines() if x.strip()[:1] not in ("", "#")) for t in texts]
    return min(bare, key=len) + "\n"


def refuse_others(call: Callable[[], Any]) -> None:
    """Demand that a configuration is refused as one, and not as something else."""
    try:
        call()
    except PhysioError as error:
        if not isinstance(error, ConfigError):
            raise TypeError(f"{type(error).__name__}: {error}") from error
        raise


TEXTS = {kind: shortest(kind) for kind in LOADERS}
VALUES = (
    *("~", "''", "[]", "{}", "[[]]", "{a: 1}", "true", "no", "-1", "0", "1e400", "-.inf", ".nan"),
    *(
        "0x10",
        "0o7",
        "1:30:00",
        "2020-01-01",
        "9" * 5000,
        "1" * 25,
        "1e-320",
        "*a",
        "&a b",
        "&a [*a]",
    ),
    *(
        "!!python/object:os.system x",
        "!!binary aGk=",
        "!!set {a}",
        "!x y",
        "<<: {a: 1}",
        "? [a]: b",
    ),
    *(
        '"\\ud800"',
        '"\\UFFFFFFFF"',
        '"\\x00"',
        "'\u2028'",
        "|\n  a\n  b",
        "%TAG",
        "---",
        "...",
        "- - - a",
    ),
    *(
        "[" * 60,
        "{a: " * 60,
        "[" * 30 + "]" * 30,
        "'" + "a" * 100_000 + "'",
        "\t",
        "\x07",
        "\ufeff",
    ),
)


def changed(rng: random.Random) -> tuple[str, bytes]:
    """A shipped configuration with some of its lines changed, left out, doubled or moved."""
    kind = rng.choice(sorted(LOADERS))
    lines = TEXTS[kind].splitlines()
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        value = rng.choice(VALUES)
        how = rng.randrange(6)
        if how <= 2:
            lines[at] = f"{key}{colon} {value}"
        elif how == 3:
            lines[at : at + 1] = []
        elif how == 4:
            lines.insert(rng.randrange(len(lines)), lines[at])
        else:
            lines[at] = lines[at].replace(key.strip(" -"), value, 1)
        if not lines:
            break
    return kind, Case("\n".join(lines).encode("utf-8", "surrogatepass"))


RAW = Corpus(text.encode() for text in TEXTS.values())
COUNTED = Outcomes()


@fuzz(
    any_of(
        changed,
        changed,
        lambda rng: (rng.choice(sorted(LOADERS)), mutated(RAW, most=2)(rng)),
    )
)
def test_any_text_is_a_configuration_or_one_clear_line(case: tuple[str, bytes]) -> None:
    kind, raw = case
    PATH.write_bytes(raw)
    with COUNTED.counted():
        refuse_others(lambda: LOADERS[kind](PATH))
    if kind == "protocols":
        with Outcomes().counted():
            parse_protocol(raw.decode("utf-8", "replace"))


@pytest.mark.slow
def test_both_came_up() -> None:
    COUNTED.assert_both(0.05)
