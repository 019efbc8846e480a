"""The command line: one small module per command; the only room that prints and exits."""

from physio_hqc.cli.main import main

__all__ = ["main"]
