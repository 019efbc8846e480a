"""The command line: one small module per command; the only room that prints and exits."""

import time

STARTED_NS = time.monotonic_ns()  # first of all: a tag happens when its command is started

import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402

INTERRUPTED = 128 + 2
UNHARMED = "interrupted: what was finished is whole, nothing is half"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 an error of the user's, 130 interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``physio-hqc``; by default what this process was started with.

    Examples
    --------
    >>> try:
    ...     main(["--version"])
    ... except SystemExit as done:
    ...     print(done.code)
    physio_hqc ...
    0
    """
    try:
        # A tag must not wait for what only the other commands need.
        if sys.argv[1:2] == ["tag"]:
            from physio_hqc.cli._tag_now import main as run
        else:
            from physio_hqc.cli.main import main as run
    except KeyboardInterrupt:
        # Loading takes a third of a second: long enough to think better of it.
        sys.stderr.write(f"{UNHARMED}\n")
        sys.exit(INTERRUPTED)
    run(arguments)


__all__ = ["main"]
