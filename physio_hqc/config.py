"""Find and read the YAML files that describe protocols, devices, pipelines and studies.

A configuration file is untrusted input. It is read as plain data (no tags, anchors or aliases),
with bounds on its size, depth and number of entries, and checked against a pydantic model that
refuses unknown keys. Whatever is wrong with it ends in one :class:`~physio_hqc.errors.ConfigError`
whose single line names the file, the line, the key and, where there is one, the nearest valid key.

Scalars follow YAML 1.2: only ``true`` and ``false`` are booleans, and ``10:30``, ``0x180D`` or
``no`` stay text instead of silently becoming a number or a boolean.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from physio_hqc.errors import ConfigError

__all__ = [
    "ConfigKind",
    "ConfigModel",
    "Name",
    "Text",
    "WrongKeyError",
    "dump_yaml",
    "find_config",
    "list_configs",
    "load_config",
    "load_yaml_model",
    "nearest",
    "parse_yaml_model",
]

ConfigKind = Literal[
    "protocols", "devices", "setups", "pipelines", "studies", "proxies", "scales", "effects"
]

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 10_000

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
"""One word by which something is referred to."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)]
"""Words for people."""

_SUFFIXES = (".yaml", ".yml")
_PLAIN_WORDS = {
    "model_type": "should be a group of 'key: value' lines",
    "dict_type": "should be a group of 'key: value' lines",
    "tuple_type": "should be a list",
    "string_type": "should be text",
    "string_pattern_mismatch": "should be one word of letters, digits and _, a letter first",
    "too_short": "needs at least {min_length} of them",
    "too_long": "takes at most {max_length} of them",
}
_TAG = "tag:yaml.org,2002:"
_DIGITS = list("-+0123456789")
_FLOAT = (
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_RESOLVERS = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"[-+]?[0-9]+\Z", _DIGITS),
    ("float", _FLOAT, [*_DIGITS, "."]),
)


class ConfigModel(BaseModel):
    """Base of every configuration model: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WrongKeyError(ValueError):
    """Raised by a model's validator to say which key below that model is wrong.

    Parameters
    ----------
    loc : sequence of str and int
        Path of the key, relative to the model that is being validated.
    message : str
        What is wrong with it.
    """

    def __init__(self, loc: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.loc = tuple(loc)


_Model = TypeVar("_Model", bound=BaseModel)


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was probably meant, or list the known ones.

    Parameters
    ----------
    word : str
        What was written.
    known : iterable of str
        What could have been written.

    Returns
    -------
    str
        The end of an error message.

    Examples
    --------
    >>> nearest("supprt", ["alone", "support", "nonsupport"])
    "did you mean 'support'?"
    >>> nearest("x", ["alone", "support"])
    'known: alone, support'
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:200], list(by_lower), n=1, cutoff=0.6)
    if close:
        return f"did you mean '{by_lower[close[0]]}'?"
    return "known: " + (", ".join(by_lower.values()) or "none")


def list_configs(kind: ConfigKind) -> list[str]:
    """Names of the configurations that ship with the package.

    Parameters
    ----------
    kind : str
        Which sort of configuration: one of `ConfigKind`.

    Returns
    -------
    list of str
        File names without their extension, sorted.

    Examples
    --------
    >>> "lepore_1993" in list_configs("protocols")
    True
    """
    return sorted(path.stem for path in _config_dir(kind).glob("*.yaml"))


def find_config(kind: ConfigKind, name_or_path: str | Path) -> Path:
    """Path of a configuration, given the name of a shipped one or the path of a file.

    A bare name is looked for among the shipped configurations first and as a file in the current
    folder second; anything with a folder or a ``.yaml``/``.yml`` ending is the path of a file.

    Parameters
    ----------
    kind : str
        Which sort of configuration: one of `ConfigKind`.
    name_or_path : str or Path
        ``"lepore_1993"``, ``"my_study/protocol.yaml"``.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    ConfigError
        When there is no such configuration; the message suggests the nearest shipped name.

    Examples
    --------
    >>> find_config("protocols", "lepore_1993").name
    'lepore_1993.yaml'
    """
    text = str(name_or_path)
    shipped = list_configs(kind)
    if text in shipped:
        return _config_dir(kind) / f"{text}.yaml"
    path = Path(name_or_path)
    if _is_file(path):
        return path
    what = {
        "protocols": "protocol",
        "devices": "device profile",
        "setups": "laboratory setup",
        "studies": "study settings",
        "proxies": "allostatic-load proxy",
        "scales": "rating scale",
        "effects": "simulated effects",
        "pipelines": "pipeline",
    }[kind]
    hint = nearest(path.stem, shipped).replace("known:", "shipped ones:")
    if len(path.parts) > 1 or path.suffix.lower() in _SUFFIXES:
        raise ConfigError(_one_line(f"{text}: no such {what} file; {hint}"))
    raise ConfigError(_one_line(f"no {what} is called '{text}'; {hint}"))


def load_config(kind: ConfigKind, name_or_path: str | Path, model: type[_Model]) -> _Model:
    """Find a configuration by name or path and read it.

    Parameters
    ----------
    kind : str
        Which sort of configuration: one of `ConfigKind`.
    name_or_path : str or Path
        As for :func:`find_config`.
    model : type of pydantic model
        What the file describes.

    Returns
    -------
    model instance

    Raises
    ------
    ConfigError
        When the file is missing or wrong.
    """
    return load_yaml_model(find_config(kind, name_or_path), model)


def load_yaml_model(source: str | Path, model: type[_Model]) -> _Model:
    """Read one YAML file into a pydantic model.

    Parameters
    ----------
    source : str or Path
        A file of at most 1 MB in UTF-8.
    model : type of pydantic model
        What the file describes.

    Returns
    -------
    model instance

    Raises
    ------
    ConfigError
        When the file cannot be read, is not YAML, or does not fit the model.

    Examples
    --------
    >>> from physio_hqc.protocol import Protocol
    >>> load_yaml_model(find_config("protocols", "lepore_1993"), Protocol).name
    'lepore_1993'
    """
    path = Path(source)
    if not _is_file(path):
        raise ConfigError(_one_line(f"{source}: no such file"))
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise ConfigError(_one_line(f"{source}: cannot be read ({reason})")) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(_one_line(f"{source}: larger than {MAX_BYTES // 1000} kB, refused"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"{source}, line {line}: not UTF-8 text; save the file as UTF-8"
        raise ConfigError(_one_line(message)) from None
    return parse_yaml_model(text, model, source=str(source))


def parse_yaml_model(text: str, model: type[_Model], *, source: str = "YAML text") -> _Model:
    """Read YAML text into a pydantic model.

    Parameters
    ----------
    text : str
        One YAML document whose top level is a mapping.
    model : type of pydantic model
        What the text describes.
    source : str
        Where the text comes from; it starts every error message.

    Returns
    -------
    model instance

    Raises
    ------
    ConfigError
        When the text is not YAML or does not fit the model.

    Examples
    --------
    >>> class Cuff(ConfigModel):
    ...     interval_s: float
    >>> parse_yaml_model("interval_s: 90", Cuff)
    Cuff(interval_s=90.0)
    >>> parse_yaml_model("intervall_s: 90", Cuff, source="cuff.yaml")
    Traceback (most recent call last):
    ...
    physio_hqc.errors.ConfigError: cuff.yaml, line 1: unknown key 'intervall_s', did you mean
    'interval_s'?
    """
    root = _compose(text, source)
    data = _plain(root, source)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_one_line(_explain(error, root, model, source))) from None


def dump_yaml(model: BaseModel) -> str:
    """Write a model as YAML that :func:`parse_yaml_model` reads back to an equal model.

    Parameters
    ----------
    model : pydantic model
        Defaults are written too, so that the text keeps its meaning when a default changes.

    Returns
    -------
    str
        YAML, keys in the order of the model.
    """
    data = model.model_dump(mode="json", exclude_none=True)
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _config_dir(kind: ConfigKind) -> Path:
    """Folder of shipped configurations: in the installed package, else in the repository."""
    if kind not in get_args(ConfigKind):
        raise ConfigError(_one_line(f"no configurations of kind '{kind}'"))
    package = Path(__file__).resolve().parent
    installed = package / "configs"
    root = installed if installed.is_dir() else package.parent / "configs"
    return root / kind


def _is_file(path: Path) -> bool:
    """Whether the path is a readable kind of file; a path the system refuses is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _one_line(text: str) -> str:
    """Make any text printable on one line."""
    joined = " ".join(text.split())
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in joined)


class _Loader(yaml.SafeLoader):
    """Composes the node tree of plain YAML; refuses tags, anchors, aliases, depth and bulk."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._n_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node after checking what it asks for."""
        parser: Any = self
        event = parser.peek_event()
        self._n_nodes += 1
        problem = self._problem(event)
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _problem(self, event: Any) -> str:
        """Why this event is refused, or an empty text."""
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            return "anchors (&) and aliases (*) are not allowed"
        if getattr(event, "tag", None) is not None:
            return "tags (!) are not allowed"
        if self._depth >= MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        if self._n_nodes > MAX_NODES:
            return f"more than {MAX_NODES} entries"
        return ""


class _Dumper(yaml.SafeDumper):
    """Quotes every text that this loader or any YAML 1.1 reader would take for a number."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write repeated values out, since aliases are refused on reading."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Put text with line breaks in double quotes, the only style that keeps every kind of break."""
    style = '"' if len(text.splitlines()) > 1 or not text.isprintable() else None
    return dumper.represent_scalar(_TAG + "str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Loader.yaml_implicit_resolvers = {}  # PyYAML's own are those of YAML 1.1
for _name, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)


def _compose(text: str, source: str) -> yaml.MappingNode:
    """Node tree of the text, whose root must be a mapping."""
    if len(text) > MAX_BYTES:
        raise ConfigError(_one_line(f"{source}: larger than {MAX_BYTES // 1000} kB, refused"))
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        problem = error.problem or error.context or "not valid YAML"
        if "'\\t'" in problem:
            problem = "a tab; indent with spaces"
        raise ConfigError(_one_line(f"{source}{where}: {problem}")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"{source}, line {line}: contains a control character, not a text file"
        raise ConfigError(_one_line(message)) from None
    except (ValueError, OverflowError):
        # PyYAML turns escapes such as "\UFFFFFFFF" or an endless version number into these.
        raise ConfigError(_one_line(f"{source}: not valid YAML (number out of range)")) from None
    if root is None:
        raise ConfigError(_one_line(f"{source}: is empty"))
    if not isinstance(root, yaml.MappingNode):
        message = f"{source}, line {_line(root)}: the top level must be 'key: value' lines"
        raise ConfigError(_one_line(message))
    return root


def _line(node: yaml.Node) -> int:
    """Line number of a node, counted from 1."""
    return int(node.start_mark.line) + 1


def _plain(node: yaml.Node, source: str) -> Any:
    """Python data of a node tree: dict, list, str, int, float, bool, None."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, source) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, source)
    data: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(_one_line(f"{source}, line {_line(key)}: a key must be a plain word"))
        if key.value in data:
            name = reprlib.repr(key.value)
            raise ConfigError(_one_line(f"{source}, line {_line(key)}: key {name} appears twice"))
        data[key.value] = _plain(value, source)
    return data


def _scalar(node: yaml.Node, source: str) -> str | int | float | bool | None:
    """Value of a scalar node by its YAML 1.2 type."""
    text = str(node.value)
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        message = f"{source}, line {_line(node)}: the number has too many digits"
        raise ConfigError(_one_line(message)) from None
    return text


@dataclass(frozen=True)
class _Finding:
    """One thing that is wrong, and where."""

    line: int
    key: str
    message: str
    unknown: bool = False


def _explain(
    error: ValidationError, root: yaml.MappingNode, model: type[BaseModel], source: str
) -> str:
    """One line for a validation error: the first problem and how many more there are."""
    errors = [dict(details) for details in error.errors()]
    findings = [_finding(item, root, model) for item in errors if not _follows(item, errors)]
    # A misspelt key is also a missing one: name it once, under what was written.
    suggested = " ".join(item.message for item in findings if item.unknown)
    kept = [
        item
        for item in findings
        if item.unknown or f"did you mean '{item.key.rpartition('.')[2]}'?" not in suggested
    ]
    kept.sort(key=lambda item: (not item.unknown, item.line))
    first = kept[0]
    key = f"{first.key}: " if first.key else ""
    more = f" (and {len(kept) - 1} more)" if len(kept) > 1 else ""
    return f"{source}, line {first.line}: {key}{first.message}{more}"


def _follows(details: dict[str, Any], errors: list[dict[str, Any]]) -> bool:
    """Whether a list counts as too short only because one of its entries is wrong."""
    if details["type"] != "too_short":
        return False
    loc = details["loc"]
    return any(other["loc"][: len(loc)] == loc and other is not details for other in errors)


def _finding(details: dict[str, Any], root: yaml.MappingNode, model: type[BaseModel]) -> _Finding:
    """Put one pydantic error into words and find its line."""
    loc: tuple[str | int, ...] = details["loc"]
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, WrongKeyError):
        loc = (*loc, *cause.loc)
    if details["type"] == "missing":
        line, key = _locate(root, loc[:-1])
        if isinstance(loc[-1], int):
            return _Finding(line, key, f"needs more than {loc[-1]} of them")
        key = f"{key}.{loc[-1]}" if key else str(loc[-1])
        return _Finding(line, key, "this key is required and missing")
    line, key = _locate(root, loc)
    if details["type"] == "extra_forbidden":
        parent = _locate(root, loc[:-1])[1]
        word = str(loc[-1])
        message = f"unknown key {_short(word)}, {nearest(word, _known_keys(model, loc[:-1]))}"
        return _Finding(line, parent, message, unknown=True)
    if isinstance(cause, WrongKeyError) and not re.search(rf"(^|\W){cause.loc[-1]}\]?$", key):
        key = f"{key}.{cause.loc[-1]}".lstrip(".")  # the file leaves this key out
    return _Finding(line, key, _message(details, cause))


def _message(details: dict[str, Any], cause: object) -> str:
    """Put what is wrong with a value into words."""
    if isinstance(cause, ValueError):
        return str(cause)
    value = details["input"]
    words = _PLAIN_WORDS.get(details["type"], "").format_map(details.get("ctx", {}))
    if details["type"] in ("too_short", "too_long"):
        return words
    message = words or details["msg"].replace("Input should", "should")
    if details["type"] == "literal_error" and isinstance(value, str):
        choices = re.findall(r"'([^']*)'", details["ctx"]["expected"])
        return f"{message}, not {_short(value)}; {nearest(value, choices)}"
    return f"{message}, not {_short(value)}"


def _short(value: object) -> str:
    """Show a value in a few characters."""
    if isinstance(value, dict | list):
        return "a group of keys" if isinstance(value, dict) else "a list"
    return "empty" if value is None else reprlib.repr(value)


def _locate(root: yaml.Node, loc: Sequence[str | int]) -> tuple[int, str]:
    """Line and dotted key of a pydantic location, passing over parts the file does not have."""
    node, line, key = root, _line(root), ""
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            entry = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if entry is None:
                continue
            line, node = _line(entry[0]), entry[1]
            key = f"{key}.{part}" if key else str(part)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if not 0 <= part < len(node.value):
                continue
            node = node.value[part]
            line, key = _line(node), f"{key}[{part}]"
    return line, key


def _known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Keys that are valid at a pydantic location."""
    level = [model]
    for part in loc:
        fields = [entry.model_fields[str(part)] for entry in level if part in entry.model_fields]
        if fields:
            level = [found for field in fields for found in _models_in(field.annotation)]
    return [name for entry in level for name in entry.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Models that an annotation such as ``tuple[Phase, ...] | None`` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_in(arg)]
