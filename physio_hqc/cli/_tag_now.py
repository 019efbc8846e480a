"""``physio-hqc tag`` on its short way: nothing is imported that sending does not need.

Everything unusual (help, mistakes) takes the long way through the other commands' machinery.
"""

# pathlib takes longer to import than all the rest.
# ruff: noqa: PTH123

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from physio_hqc.acquisition._control_client import send_command
from physio_hqc.acquisition._control_wire import ACTIONS, LABELED
from physio_hqc.errors import PhysioError, RecordingError

# Longer ago than this, the process was something else before it became this command.
_MAX_START_NS = 1_000_000_000

_stamp: int | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``physio-hqc tag`` and exit; hand anything unusual to the whole command line."""
    global _stamp
    if arguments is None:
        from physio_hqc.cli import STARTED_NS

        _stamp = process_start_ns(STARTED_NS)
        given = _plain(sys.argv[2:])
        if given is not None:
            sys.exit(_run(*given))
    from physio_hqc.cli.main import main as whole

    whole(arguments)


def _plain(words: Sequence[str]) -> tuple[str, str, str, str | None, bool] | None:
    """Target, action, label, payload, as_json; None where there is anything unusual."""
    plain: list[str] = []
    payload, as_json = None, False
    rest = iter(words)
    for word in rest:
        if word == "--json":
            as_json = True
        elif word == "--payload":
            payload = next(rest, None)
            if payload is None:
                return None
        elif word.startswith("--payload="):
            payload = word.removeprefix("--payload=")
        elif word.startswith("-"):
            return None
        else:
            plain.append(word)
    if len(plain) not in (2, 3) or plain[1] not in ACTIONS:
        return None
    if (plain[1] in LABELED) != (len(plain) == 3):
        return None
    return plain[0], plain[1], "".join(plain[2:]), payload, as_json


def _run(target: str, action: str, label: str, payload: str | None, as_json: bool) -> int:
    try:
        sys.stdout.write(f"{tag_now(target, action, label, payload, as_json)}\n")
        sys.stdout.flush()
    except PhysioError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        # The reader of our output has gone; the tag is stored.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def tag_now(target: str, action: str, label: str, payload: str | None, as_json: bool) -> str:
    """Send one command to a running recording and return what to print.

    Raises
    ------
    RecordingError
        If the payload is no JSON object, or the command could not be carried out.
    """
    global _stamp
    stamp, _stamp = _stamp, None
    stamp = time.monotonic_ns() if stamp is None else stamp
    answer = send_command(target, action, label, _payload(payload), monotonic_ns=stamp)
    if as_json:
        return json.dumps(answer, ensure_ascii=False)
    return _in_words(action, label, answer)


def _payload(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"--payload is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RecordingError('--payload is no JSON object: write it like \'{"partner": "A"}\'')
    return value


def _in_words(action: str, label: str, answer: dict[str, Any]) -> str:
    if action == "status":
        return "\n".join(f"{key}: {value}" for key, value in answer.items())
    onset = answer.get("onset")
    when = f" at {onset:.3f} s" if isinstance(onset, (int, float)) else ""
    return f"{action}{when}{': ' if label else ''}{label}"


def process_start_ns(first_ns: int) -> int:
    """When this process was started, on the monotonic clock, as closely as the system tells.

    Linux notes the start in clock ticks of 10 ms. Within its tick the start is found from what
    has happened since: the processor time used, and the time spent waiting for a processor.

    Parameters
    ----------
    first_ns : int
        The first reading of the monotonic clock in this process; the answer is never later, and
        it is the answer itself where nothing better is known.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            # The name of the program, in parentheses, may hold anything.
            ticks = int(file.read(4096).rpartition(b")")[2].split()[19])
        with open("/proc/self/schedstat", "rb") as file:
            waited_ns = int(file.read(256).split()[1])
        tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        # Ticks count from the boot, also while the machine slept; the monotonic clock does not.
        asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    except (OSError, ValueError, IndexError, AttributeError):
        return first_ns
    earliest = ticks * tick_ns - asleep_ns
    likely = time.monotonic_ns() - time.process_time_ns() - waited_ns
    start = min(max(likely, earliest), earliest + tick_ns, first_ns)
    return start if 0 <= first_ns - start <= _MAX_START_NS else first_ns
