"""The command line: one small module per command; the only room that prints and exits."""

import time

STARTED_NS = time.monotonic_ns()  # first of all: a tag happens when its command is started

import sys  # noqa: E402

# A tag must not wait for what only the other commands need.
if sys.argv[1:2] == ["tag"]:
    from physio_hqc.cli._tag_now import main
else:
    from physio_hqc.cli.main import main

__all__ = ["main"]
