"""Every error that a user can cause.

Each carries one line that says what is wrong, where, and what to do about it. The command line
prints that line and exits with code 2; anything else that is raised is a bug of ours.
"""


class PhysioError(Exception):
    """Base of every error that a user can cause."""


class SessionFileError(PhysioError):
    """A session file is missing, damaged, hostile, too new, or no session file at all."""


class RecordingError(PhysioError):
    """A vendor recording cannot be read, or its channels cannot be used as asked."""


class ConfigError(PhysioError):
    """A YAML file (protocol, device, pipeline) is wrong; the message names file, line and key."""


class SignalError(PhysioError, ValueError):
    """An array or parameter given to signals, features or reactivity makes no sense."""


class StudyError(PhysioError, ValueError):
    """A table of participants, ratings or features does not fit the study it is used for."""


class OutputError(PhysioError):
    """A result cannot be written: the folder is missing, read-only, or the file already exists."""
