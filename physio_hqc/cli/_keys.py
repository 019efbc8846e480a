"""From keys to commands: what the experimenter types while a session runs.

The moment of a key is the moment of what it stands for, however long the words after it take to
type: every command is given the session time of its first key.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from physio_hqc.acquisition.view import RecordingView
from physio_hqc.cli._entry import (
    EntryState,
    describe_scale,
    edited,
    parse_cuff,
    parse_rating,
)

if TYPE_CHECKING:
    from prompt_toolkit.input import Input

    from physio_hqc.protocol import Protocol as StudyProtocol

ESCAPE_S = 0.1
_ENTER = ("c-m", "c-j")


class RecordingControls(Protocol):
    """What the screen needs of a recording.

    Commands return ``""``, or in one line why they were refused. `at` is the session time of the
    key; now if absent.
    """

    def now(self) -> float:
        """Session time now, in seconds."""

    def view(self) -> RecordingView:
        """The recording now."""

    def begin(self, *, override: bool = False) -> str:
        """Start the protocol."""

    def next_phase(self) -> str:
        """End the phase that runs."""

    def toggle_window(self, label: str, *, at: float | None = None) -> str:
        """Start an interaction window, or stop it if it is open."""

    def mark(
        self, label: str, payload: dict[str, Any] | None = None, *, at: float | None = None
    ) -> str:
        """Tag a moment."""

    def note(self, text: str, *, at: float | None = None) -> str:
        """Write a note."""

    def cuff_reading(
        self,
        sbp: float,
        dbp: float,
        hr: float | None = None,
        map_: float | None = None,
        *,
        at: float | None = None,
    ) -> str:
        """Enter a cuff reading by hand, mmHg and 1/min."""

    def rate(self, name: str, value: float, *, at: float | None = None) -> str:
        """Enter a rating."""

    def stop(self) -> None:
        """End the recording."""


@dataclass(frozen=True)
class Message:
    """What the last command did, or why it was refused."""

    text: str
    is_refusal: bool
    t: float


class Keyboard:
    """Turns key presses into commands to a recording.

    Parameters
    ----------
    controls : RecordingControls
    protocol : physio_hqc.protocol.Protocol, optional
        Where rating scales and the labels of interaction windows are described.

    Attributes
    ----------
    entry : EntryState or None
        What is being asked at the bottom of the screen.
    message : Message or None
    help_shown : bool
    phase_shown : int or None
        Number of the phase that the screen last showed; the key for the next phase is refused
        once when the phase has changed by itself in between.
    """

    def __init__(self, controls: RecordingControls, protocol: StudyProtocol | None = None) -> None:
        self.controls = controls
        self.entry: EntryState | None = None
        self.message: Message | None = None
        self.help_shown = False
        self.phase_shown: int | None = None
        self._scales = {scale.name: scale for scale in protocol.ratings} if protocol else {}
        self._answer: Callable[[str], None] | None = None
        self._at = 0.0

    def press(self, key: str, data: str = "") -> None:
        """Take a key by prompt_toolkit's name of it, and the text it stands for."""
        if key == "c-c":
            self._close()
            self.controls.stop()
            self._say("stopping")
        elif self.entry is not None:
            self._press_in_entry(self.entry, key, data)
        elif self.help_shown:
            self.help_shown = False
        else:
            self._press_command(key)

    def _press_in_entry(self, entry: EntryState, key: str, data: str) -> None:
        """A key while something is asked."""
        if key == "escape":
            self._close()
            self._say("cancelled")
        elif not entry.is_line:
            self._confirm(key)
        elif key in _ENTER:
            self._submit(entry.text.strip())
        elif not entry.text and key.isdecimal() and 0 < int(key) <= len(entry.choices):
            self._submit(entry.choices[int(key) - 1])
        else:
            self.entry = edited(entry, key, data)

    def _press_command(self, key: str) -> None:
        """A key while nothing is asked."""
        self._at = self.controls.now()
        view = self.controls.view()
        letter = key.lower() if len(key) == 1 else key
        anywhere = {
            "m": self._ask_marker, "t": self._ask_note, "c": self._ask_cuff, "r": self._ask_ratings,
            "q": self._ask_stop, "w": self._ask_window,
        }  # fmt: skip
        if letter in ("?", "h", "f1"):
            self.help_shown = True
        elif letter in anywhere:
            anywhere[letter](view)
        elif view.state == "preflight":
            self._press_in_preflight(letter, view)
        elif view.state == "running" and letter == "n":
            self._next(view)
        elif letter.isdecimal() and len(letter) == 1 and 0 < int(letter) <= len(view.interactions):
            self._toggle(view.interactions[int(letter) - 1])

    def _press_in_preflight(self, letter: str, view: RecordingView) -> None:
        """Keys that start the protocol."""
        if letter in (*_ENTER, " ", "s"):
            if view.ready:
                self._tell(self.controls.begin(), "started")
            else:
                self._say("not everything flows yet: O starts all the same", refusal=True)
        elif letter == "o":
            if view.ready:
                self._tell(self.controls.begin(), "started")
                return
            what = "; ".join(view.waiting_for) or "not everything flows"
            self._ask(f"Start although {what}?", self._override, is_line=False)

    def _override(self, _: str) -> None:
        self._tell(self.controls.begin(override=True), "started by override")

    def _next(self, view: RecordingView) -> None:
        """End the phase, unless it is not the one that the experimenter saw."""
        phase = view.phase
        if phase is None:
            self._say("no phase is running", refusal=True)
            return
        shown, self.phase_shown = self.phase_shown, phase.number
        if shown is not None and shown != phase.number:
            self._say(f"{phase.label} has just begun by itself: N again ends it", refusal=True)
            return
        if phase.number == phase.of and phase.left_s > 0:
            text = f"End {phase.label}, the last phase, {phase.left_s:.0f} s early?"
            self._ask(text, lambda _: self._tell(self.controls.next_phase(), "protocol ended"),
                      is_line=False)  # fmt: skip
            return
        self._tell(self.controls.next_phase(), f"{phase.label} ended")

    def _ask_marker(self, _: RecordingView) -> None:
        self._ask("Marker", self._mark, hint="text if you like, ENTER sets it")

    def _mark(self, text: str) -> None:
        label = text or "marker"
        self._tell(self.controls.mark(label, at=self._at), f"marker '{label}'")

    def _ask_note(self, _: RecordingView) -> None:
        self._ask("Note", self._note, hint="ENTER keeps it")

    def _note(self, text: str) -> None:
        if not text:
            self._say("no note")
            return
        self._tell(self.controls.note(text, at=self._at), "note kept")

    def _ask_cuff(self, _: RecordingView) -> None:
        self._ask("Cuff reading", self._cuff, hint="128/82 71   or with mean pressure 128/82/97 71")

    def _cuff(self, text: str) -> None:
        reading = parse_cuff(text)
        refusal = self.controls.cuff_reading(
            reading.sbp, reading.dbp, reading.hr, reading.map_, at=self._at
        )
        if refusal:
            raise ValueError(refusal)
        self._say(f"cuff {text}")

    def _ask_stop(self, view: RecordingView) -> None:
        what = "Stop the recording?" if view.state == "running" else "Leave without a protocol?"
        self._ask(what, lambda _: self._stop(), is_line=False)

    def _stop(self) -> None:
        self.controls.stop()
        self._say("stopping")

    def _ask_window(self, view: RecordingView) -> None:
        """Ask which interaction window is started or stopped."""
        if view.state == "preflight":
            self._say("interaction windows are tagged once the protocol runs", refusal=True)
            return
        is_open = [label for label, _ in view.open_windows]
        # The same numbers as without being asked.
        choices = (*view.interactions, *(x for x in is_open if x not in view.interactions))
        usual = choices[0] if len(choices) == 1 else "interaction"
        usual = is_open[-1] if is_open else usual
        verb = "stops" if usual in is_open else "starts"
        self._ask(
            "Window", lambda text: self._toggle(text or usual), choices=choices[:9],
            hint=f"its number or a label of your own; ENTER alone {verb} {usual}",
        )  # fmt: skip

    def _toggle(self, label: str) -> None:
        is_open = label in [name for name, _ in self.controls.view().open_windows]
        done = f"window '{label}' {'stopped' if is_open else 'started'}"
        self._tell(self.controls.toggle_window(label, at=self._at), done)

    def _ask_ratings(self, view: RecordingView) -> None:
        """Ask the ratings that are due, or all of the protocol, one after the other."""
        names = view.ratings_due or tuple(self._scales)
        if not names:
            self._say("the protocol has no ratings", refusal=True)
            return
        self._ask_rating(names)

    def _ask_rating(self, names: Sequence[str]) -> None:
        name, rest = names[0], names[1:]
        question, span = describe_scale(name, self._scales.get(name))
        more = f"; {len(rest)} more" if rest else ""
        self._ask(question, lambda text: self._rate(name, text, rest),
                  hint=f"{span}; ENTER alone skips{more}")  # fmt: skip

    def _rate(self, name: str, text: str, rest: Sequence[str]) -> None:
        if text:
            value = parse_rating(text, self._scales.get(name))
            if refusal := self.controls.rate(name, value, at=self._at):
                raise ValueError(refusal)
            self._say(f"{name} {value:g}")
        else:
            self._say(f"{name} skipped")
        if rest:
            self._ask_rating(rest)

    def _ask(
        self,
        prompt: str,
        answer: Callable[[str], None],
        *,
        hint: str = "",
        choices: tuple[str, ...] = (),
        is_line: bool = True,
    ) -> None:
        """Open an entry; `answer` gets what is typed, and may refuse it with a ValueError."""
        hint = hint if is_line else "Y yes   any other key no"
        self.message = None
        self.entry = EntryState(prompt, hint, choices=choices, is_line=is_line)
        self._answer = answer

    def _submit(self, text: str) -> None:
        """Hand over what was typed; keep asking when it is refused."""
        entry, answer = self.entry, self._answer
        if entry is None or answer is None:
            return
        self._close()
        try:
            answer(text)
        except ValueError as error:
            self.entry, self._answer = replace(entry, error=str(error)), answer

    def _confirm(self, key: str) -> None:
        """One key answers: Y or anything else."""
        answer = self._answer
        self._close()
        if key in ("y", "Y") and answer is not None:
            answer("y")
        else:
            self._say("cancelled")

    def _close(self) -> None:
        self.entry = self._answer = None

    def _tell(self, refusal: str, done: str) -> None:
        """Show why a command was refused, or what it did."""
        self._say(refusal or done, refusal=bool(refusal))

    def _say(self, text: str, *, refusal: bool = False) -> None:
        self.message = Message(text, refusal, self.controls.now())


@contextlib.contextmanager
def keys_to(
    keyboard: Keyboard,
    changed: Callable[[], None],
    gone: Callable[[], None],
    source: Input | None = None,
) -> Iterator[None]:
    """Read keys from the terminal while the event loop runs.

    Parameters
    ----------
    keyboard : Keyboard
    changed : callable
        Called after keys were taken.
    gone : callable
        Called when the terminal has vanished.
    source : prompt_toolkit.input.Input, optional
        Default: standard input. What is no terminal and cannot be waited for (``/dev/null``) has
        no keys.
    """
    import asyncio

    from prompt_toolkit.input import create_input

    with contextlib.redirect_stderr(io.StringIO()):
        # It warns where standard input is no terminal; keys from a pipe are keys all the same.
        terminal = source or create_input()
    loop = asyncio.get_running_loop()
    flush: asyncio.TimerHandle | None = None

    def take(presses: Sequence[Any]) -> None:
        for press in presses:
            keyboard.press(str(getattr(press.key, "value", press.key)), press.data)
        if presses:
            changed()

    def ready() -> None:
        nonlocal flush
        take(terminal.read_keys())
        if flush is not None:
            flush.cancel()
        # A lone Esc is told from the beginning of an arrow key by what does not follow.
        flush = loop.call_later(ESCAPE_S, lambda: take(terminal.flush_keys()))
        if terminal.closed:
            gone()

    with contextlib.ExitStack() as stack:
        stack.enter_context(terminal.raw_mode())
        with contextlib.suppress(EOFError):
            stack.enter_context(terminal.attach(ready))
        try:
            yield
        finally:
            if flush is not None:
                flush.cancel()
