"""What a worker of a batch does: one session, or say why it cannot."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import physio_hqc
from physio_hqc.errors import OutputError, PhysioError
from physio_hqc.pipeline._batch_import import imported_file
from physio_hqc.pipeline._batch_sources import IMPORTED, Source
from physio_hqc.pipeline.config import PipelineConfig
from physio_hqc.pipeline.process import process_session
from physio_hqc.pipeline.provenance import software
from physio_hqc.pipeline.result import SessionResult
from physio_hqc.pipeline.store import REPORT
from physio_hqc.session import open_session

WriteReport = Callable[[Path, SessionResult, Path], object]

_HEAVY = ("heart", "pressure", "skin", "breathing")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 256 * 2**20, 32 * 2**20
# A worker with several threads still does one session at a time: libraries below are not all safe.
_one_session = threading.Lock()
_fit_for: set[Path] = set()


class UnfitWorkerError(OutputError):
    """A worker would leave other results than the others, or leave them elsewhere."""


@dataclass(frozen=True)
class Plan:
    """What is the same for every session of a batch.

    Attributes
    ----------
    folder, out : Path
        Of the sources and of the results, absolute.
    config : PipelineConfig
    report : callable or None
        Called with session file, result and page to write, after each session.
    permit : Path
        A file that exists as long as the batch goes on: without it nothing is begun.
    made_with : dict
        Versions that every worker must have.
    base : Path or None
        Folder that the path of the protocol in the settings is relative to, where it is.
    """

    folder: Path
    out: Path
    config: PipelineConfig
    report: WriteReport | None
    permit: Path
    made_with: dict[str, Any]
    base: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one session.

    Attributes
    ----------
    reason : str
        Why it failed; "" where it was done.
    participant, condition : str
    up_to_date : bool
        Whether there was nothing to do.
    notice : str
        That the file was never closed.
    begun : bool
        False where the batch had ended before.
    """

    reason: str = ""
    participant: str = ""
    condition: str = ""
    up_to_date: bool = False
    notice: str = ""
    begun: bool = True


def versions() -> dict[str, Any]:
    """Versions that results depend on."""
    return {"physio_hqc": physio_hqc.__version__, **software()}


def dask_setup(_: Any) -> None:
    """Make a new local worker ready; Dask calls this as the worker starts.

    What libraries print belongs to no one session and would run into the screen of the batch.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    _warm_up()
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Load what computes, once, and keep memory from one array to the next.

    Dask has its workers return every array to the system at once: getting it back, page by page,
    was a fifth of their time. They return it after each session instead.
    """
    for name in _HEAVY:
        importlib.import_module(f"physio_hqc.pipeline.{name}")
    set_option = getattr(_libc(), "mallopt", None)
    if set_option is not None:
        set_option(_M_TRIM_THRESHOLD, _TRIM_BYTES)
        set_option(_M_MMAP_THRESHOLD, _MMAP_BYTES)


def check(plan: Plan) -> None:
    """See whether this worker has the same software and the same files.

    Raises
    ------
    UnfitWorkerError
        Naming the computer and what differs.
    """
    if plan.permit in _fit_for:
        return
    here, wanted = _flat(versions()), _flat(plan.made_with)
    for name, version in wanted.items():
        if here.get(name) != version:
            raise UnfitWorkerError(
                f"the worker on {socket.gethostname()} has {name} {here.get(name)}, this batch "
                f"{version}: install the same versions everywhere"
            )
    for path in (plan.permit, plan.folder):
        if not path.exists():
            raise UnfitWorkerError(
                f"the worker on {socket.gethostname()} does not see {path.parent}: sources and "
                "results must be in folders that all workers share"
            )
    if plan.base is not None and not (plan.base / str(plan.config.protocol)).is_file():
        raise UnfitWorkerError(
            f"the worker on {socket.gethostname()} does not see the protocol "
            f"{plan.base / str(plan.config.protocol)}: put it into a folder that all workers share"
        )
    _warm_up()
    _fit_for.add(plan.permit)


def do_session(plan: Plan, source: Source) -> Outcome:
    """Import, process and report one session.

    Raises
    ------
    UnfitWorkerError
        If this worker cannot take part. A bug is raised as it is.
    """
    from threadpoolctl import threadpool_limits

    with _one_session, threadpool_limits(1):
        if plan.permit not in _fit_for and plan.permit.parent.exists() and not plan.permit.exists():
            return Outcome(begun=False)
        check(plan)
        if not plan.permit.exists():
            return Outcome(begun=False)
        try:
            with nullcontext() if plan.base is None else chdir(plan.base):
                return _done(plan, source)
        except PhysioError as error:
            return Outcome(str(error), *_who(source))
        except MemoryError:
            return Outcome("the computer has no memory left for it", *_who(source))
        finally:
            _give_back_memory()


def process_with_report(
    path: Path, config: PipelineConfig, out: Path, report: WriteReport | None
) -> tuple[SessionResult, bool]:
    """Process one session and write its report; tell whether anything was done.

    Raises
    ------
    PhysioError
        If the session cannot be processed or its results cannot be written.
    """
    result = process_session(path, config, out_dir=out)
    folder = out / result.name
    page = folder / REPORT
    if report is None or (result.up_to_date and page.exists()):
        return result, not result.up_to_date
    for leftover in folder.glob(f".{REPORT}.*"):
        leftover.unlink(missing_ok=True)
    # Traces for the figures are not kept: they are computed once more.
    report(path, process_session(path, config) if result.up_to_date else result, page)
    return result, True


def _done(plan: Plan, source: Source) -> Outcome:
    path = source.path
    if source.vendor is not None:
        path = imported_file(source, plan.out / IMPORTED)
    result, anything = process_with_report(path, plan.config, plan.out, plan.report)
    facts = result.provenance["input"]
    unclosed = [str(text) for text in result.provenance["notices"] if "closed" in str(text)]
    return Outcome(
        participant=facts["participant"],
        condition=facts["condition"],
        up_to_date=not anything,
        notice=unclosed[0] if unclosed and not facts["closed"] else "",
    )


def _who(source: Source) -> tuple[str, str]:
    """Participant and condition of a session that failed, as far as anything tells."""
    if source.vendor is not None:
        return source.vendor.participant, source.vendor.condition
    try:
        with open_session(source.path) as session:
            return session.participant_id, session.condition
    except (PhysioError, MemoryError):
        return "", ""


def _flat(made_with: dict[str, Any]) -> dict[str, str]:
    """Name to version, in the order in which a difference is worth telling."""
    libraries = dict(made_with["libraries"])
    return {"physio_hqc": made_with["physio_hqc"], "python": made_with["python"], **libraries}


def _give_back_memory() -> None:
    """Keep the memory of a worker flat over many sessions: what is free goes back to the system."""
    gc.collect()
    trim = getattr(_libc(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
