"""What several commands need: progress, work in parallel, tables on the screen."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from physio_hqc.parallel import run_parallel

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

_TURNS = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output or standard error."""
    from rich.console import Console

    result = Console(stderr=stderr, highlight=False)
    if not result.is_terminal:
        # A pipe or a file has no width; wide enough that no table is cut.
        result.width = 160
    return result


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress on standard error, gone when it ends, silent where nobody watches."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(
        *columns, console=screen, transient=True, disable=not screen.is_terminal
    ) as progress:
        yield progress


def table(*columns: str, title: str = "", right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    result = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left")
    return result


def escape(text: object) -> str:
    """Text from a file, shown as it is and never as markup or as a command to the terminal."""
    from rich.markup import escape as rich_escape

    return rich_escape(shown(text))


def shown(text: object) -> str:
    r"""Text in one line, without what could move the cursor of a terminal or turn its writing.

    Examples
    --------
    >>> shown("two\nlines\x1b[2J")
    'two lines�[2J'
    """
    spaced = re.sub(r"\s", " ", str(text))
    return "".join("�" if _moves(letter) else letter for letter in spaced)


def _moves(letter: str) -> bool:
    return unicodedata.category(letter) == "Cc" or unicodedata.bidirectional(letter) in _TURNS


def in_parallel(
    work: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int, description: str
) -> list[Any]:
    """Run `work(*call)` for every call on `jobs` processes, with progress.

    Results come in the order of the calls; a :class:`PhysioError` takes the place of the result
    of its call, so that one bad session does not stop the others.
    """
    with progress_bar() as progress:
        task = progress.add_task(description, total=len(calls))
        return run_parallel(work, calls, jobs, lambda *_: progress.advance(task))
