"""Run a recording: with a screen, with signals, to its clean end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from physio_hqc.acquisition.plan import RecordingPlan, RecordingResult
from physio_hqc.acquisition.recording import Recording, cancel


async def record_session(
    plan: RecordingPlan,
    *,
    screen: Callable[[Recording], Coroutine[Any, Any, None]] | None = None,
    on_log: Callable[[str], None] | None = None,
    on_begin: Callable[[], None] | None = None,
    handle_signals: bool = False,
) -> RecordingResult:
    """Record one session into a file that survives whatever happens.

    Parameters
    ----------
    plan : RecordingPlan
    screen : callable, optional
        Coroutine function that shows the recording and takes the experimenter's keys; it is
        started with the recording and cancelled with it.
    on_log : callable, optional
        Called with one line for everything that happens.
    on_begin : callable, optional
        Called when the protocol starts.
    handle_signals : bool
        Whether SIGINT, SIGTERM and SIGHUP end the recording cleanly; for programs whose only
        business it is.

    Returns
    -------
    RecordingResult

    Raises
    ------
    OutputError
        If the file exists or cannot be written; what was recorded before stays readable.
    RecordingError
        If a source cannot be found or used.

    Examples
    --------
    >>> import asyncio, pathlib, tempfile
    >>> from physio_hqc.acquisition import RecordingPlan, make_source, record_session
    >>> from physio_hqc.protocol import load_protocol
    >>> out = pathlib.Path(tempfile.mkdtemp()) / "p01.h5"
    >>> plan = RecordingPlan(
    ...     out=out,
    ...     protocol=load_protocol("lepore_1993").scaled(0.001),
    ...     sources=(make_source("simulator:streams=ecg,seed=1"),),
    ...     participant_id="P01",
    ...     condition="support",
    ... )
    >>> result = asyncio.run(record_session(plan))
    >>> result.complete, result.reason
    (True, 'the protocol is over')
    """
    recording = Recording(plan, on_log=on_log, on_begin=on_begin)
    running = asyncio.create_task(recording.run())
    watching = asyncio.create_task(_watch(recording, screen)) if screen is not None else None
    with _signals(recording) if handle_signals else nullcontext():
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            recording.stop("interrupted")
            return await running
        finally:
            if watching is not None:
                await cancel([watching], 2.0)


async def _watch(
    recording: Recording, screen: Callable[[Recording], Coroutine[Any, Any, None]]
) -> None:
    """Show the recording. It goes on when the screen breaks, unless it has not begun yet."""
    try:
        await screen(recording)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        recording.say(f"the screen broke ({error!r}); end the recording with Ctrl-C", 0.0)
        if recording.state == "preflight":
            recording.stop("the screen broke")
        raise


@contextmanager
def _signals(recording: Recording) -> Iterator[None]:
    """Turn the signals that ask a program to end into a clean end of the recording."""
    loop = asyncio.get_running_loop()
    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None:
            continue

        def stop(*_: Any, name: str = name) -> None:
            loop.call_soon_threadsafe(recording.stop, f"stopped by {name}")

        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
