"""Lines of styled text that fit a terminal to the column, without markup.

Text from devices and files goes through :func:`clean` and is never parsed: it can neither style nor
steer the terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_ASCII = str.maketrans(
    {
        "█": "#", "▀": '"', "▄": "_", "●": "*", "○": "o", "✓": "v", "✗": "x", "▶": ">", "·": "|",
        "─": "-", "━": "=", "│": "|", "…": "~", "–": "-", "µ": "u", "°": " ", "±": "+", "▏": "|",
        "░": ".", "⣀": "_",
    }
)  # fmt: skip


def clean(text: object) -> str:
    """Text in one line, control and formatting characters made visible."""
    word = str(text)
    if word.isascii() and word.isprintable():
        return word
    return "".join(_shown(character) for character in word)


@lru_cache(maxsize=1024)
def _shown(character: str) -> str:
    """A space for white space, a question mark for what would steer the terminal."""
    if character.isspace():
        return " "
    return "?" if unicodedata.category(character)[0] == "C" else character


@lru_cache(maxsize=256)
def style(text: str) -> Style:
    """A rich style by its words."""
    return Style.parse(text)


@dataclass
class Line:
    """One line in the making.

    Examples
    --------
    >>> Line().add("rate", "bold").to(8).add("130 Hz").text
    'rate    130 Hz'
    """

    parts: list[tuple[str, str]] = field(default_factory=list)
    width: int = 0

    def add(self, text: str, look: str = "") -> Line:
        """Append text in a style."""
        if text:
            self.parts.append((text, look))
            self.width += cell_len(text)
        return self

    def to(self, column: int, look: str = "") -> Line:
        """Fill with spaces up to a column."""
        return self.add(" " * (column - self.width), look)

    def join(self, other: Line) -> Line:
        """Append another line."""
        self.parts += other.parts
        self.width += other.width
        return self

    @property
    def text(self) -> str:
        """The line without styles."""
        return "".join(text for text, _ in self.parts)

    def fitted(self, width: int, fill: str = "") -> Line:
        """Cut with an ellipsis or padded to exactly `width` columns."""
        if self.width <= width:
            return Line(list(self.parts), self.width).to(width, fill)
        result = Line()
        for text, look in self.parts:
            room = width - 1 - result.width
            if cell_len(text) <= room:
                result.add(text, look)
                continue
            if room > 0:
                result.add(set_cell_size(text, room), look)
            return result.add("…" if width > 0 else "", look).to(width, look)
        return result


def cut(text: str, width: int) -> str:
    """Text of exactly `width` columns, with an ellipsis when it was longer."""
    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def wrapped(text: str, width: int, rows: int) -> list[str]:
    """Break text at spaces into at most `rows` lines; the last is cut when more would follow."""
    lines: list[str] = []
    left = text.split()
    while left and width > 0 and len(lines) < rows:
        row = left.pop(0)
        while left and cell_len(row) + 1 + cell_len(left[0]) <= width:
            row += " " + left.pop(0)
        if left and len(lines) == rows - 1:
            row = cut(" ".join([row, *left]), width)
        lines.append(row)
    return lines


def flowed(parts: Sequence[Line], width: int, head: Line) -> list[Line]:
    """Parts one after the other, on a further line where they do not fit; `head` comes first."""
    indent, lines = head.width, [head]
    for part in parts:
        if lines[-1].width > indent and lines[-1].width + 2 + part.width > width:
            lines.append(Line().to(indent))
        lines[-1].add("  " if lines[-1].width > indent else "").join(part)
    return lines


class Frame:
    """A screenful: exactly `height` lines of `width` columns, for rich to print.

    Parameters
    ----------
    lines : sequence of Line
    width, height : int
    """

    def __init__(self, lines: Sequence[Line], width: int, height: int) -> None:
        rows = [*lines[:height], *(Line() for _ in range(height - len(lines)))]
        self.lines = [line.fitted(width) for line in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the segments."""
        yield from self._segments(options.ascii_only)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Any:
        """Say how wide the screenful is."""
        from rich.measure import Measurement

        width = self.lines[0].width if self.lines else 0
        return Measurement(width, width)

    def _segments(self, ascii_only: bool) -> Iterable[Segment]:
        for number, line in enumerate(self.lines):
            if number:
                yield Segment.line()
            for text, look in line.parts:
                yield Segment(plain(text) if ascii_only else text, style(look) if look else None)


def plain(text: str) -> str:
    """Text for terminals that know ASCII only."""
    if text.isascii():
        return text
    return "".join(_plain(c) for c in text.translate(_ASCII))


def _plain(character: str) -> str:
    """One character of ASCII; dots of a plot become stars."""
    if character.isascii():
        return character
    if "⠀" <= character <= "⣿":
        return " " if character == "⠀" else "*"
    return "?" * cell_len(character)
