"""Draws on the terminal from a thread of its own.

A terminal can stop taking output for as long as it likes: text is being selected in it, a remote
connection hangs. Then only this thread waits; the recording goes on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Draw = Callable[[int, int], Any]

_CLOSE_S = 1.0


class Painter:
    """Shows the newest frame; frames that come while one is being drawn replace each other.

    Use as a context manager. The terminal is given back as it was.

    Parameters
    ----------
    console : rich.console.Console, optional
        Standard output by default.

    Attributes
    ----------
    is_gone : bool
        The terminal does not exist any more.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._frames: queue.Queue[tuple[Draw, frozenset[str]] | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self.is_gone = False

    def __enter__(self) -> Painter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._put(None)
        # A terminal that hangs is not waited for.
        self._thread.join(_CLOSE_S)

    def show(self, draw: Draw, urgent: frozenset[str]) -> None:
        """Show what `draw(width, height)` returns; ring once for every urgent alert that is new."""
        self._put((draw, urgent))

    def _put(self, item: tuple[Draw, frozenset[str]] | None) -> None:
        """Replace what has not been drawn yet."""
        while True:
            try:
                self._frames.put_nowait(item)
            except queue.Full:
                self._drop()
            else:
                return

    def _drop(self) -> None:
        """Forget the frame that waits, if it still does."""
        try:
            self._frames.get_nowait()
        except queue.Empty:
            return

    def _run(self) -> None:
        """Draw until told to end, or until the terminal vanishes."""
        from rich.console import Console

        try:
            self._paint(self._console or Console(highlight=False))
        except (OSError, ValueError, SystemExit):
            # Hung up, or closed under us; rich exits on a broken pipe.
            return
        finally:
            self.is_gone = True

    def _paint(self, console: Console) -> None:
        """Draw frames as they come."""
        from rich.live import Live

        rung: frozenset[str] = frozenset()
        with Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
            while (item := self._frames.get()) is not None:
                draw, urgent = item
                live.update(draw(*console.size), refresh=True)
                if urgent - rung:
                    console.bell()
                rung = urgent
