"""A folder of sessions to a folder of results: in parallel, resumable, the same bytes always."""

from __future__ import annotations

import json
import os
import re
import shutil
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from physio_hqc.config import find_config
from physio_hqc.errors import OutputError, PhysioError
from physio_hqc.files import hidden_sibling, locked, replaced_file
from physio_hqc.pipeline._batch_crew import (
    Crew,
    all_cores,
    local_crew,
    memory_per_worker,
    running_crew,
)
from physio_hqc.pipeline._batch_sources import IMPORTED, Source, find_sources, printable
from physio_hqc.pipeline._batch_worker import Outcome, Plan, WriteReport, versions
from physio_hqc.pipeline.config import PipelineConfig, load_pipeline_config
from physio_hqc.pipeline.schema import Column, data_dictionary
from physio_hqc.pipeline.store import PROVENANCE, read_provenance, restore
from physio_hqc.protocol import load_protocol

BATCH = "batch.csv"
DONE, FAILED = "done", "failed"
_DICTIONARY = "batch.json"
_PRIVATE = ".batch-"
_LEFTOVER = re.compile(r"(?P<name>\..+\.)(new|old|part|lock)")
_UNIQUE = re.compile(r"([0-9a-f]{8}|\d+)\.$")

BATCH_COLUMNS = (
    Column(
        "session",
        "text",
        "",
        "Name of the session; its results are in the folder of that name.",
        "name of the source, or the mapping",
    ),
    Column("participant", "text", "", "Participant's id.", "session file, or the mapping"),
    Column("condition", "text", "", "Condition of the design.", "session file, or the mapping"),
    Column(
        "source",
        "text",
        "",
        "File that was processed, relative to the folder of the batch.",
        "folder and mapping",
    ),
    Column(
        "status",
        "text",
        "",
        "done: its results are there and up to date; failed: they are not.",
        "physio_hqc",
    ),
    Column("reason", "text", "", "Why it failed.", "physio_hqc"),
)


@dataclass(frozen=True)
class BatchResult:
    """What a batch did.

    Attributes
    ----------
    table : DataFrame
        session, participant, condition, source, status (done or failed), reason: as in batch.csv.
    n_done : int
        Sessions whose results are there.
    n_up_to_date : int
        How many of them there was nothing to do for.
    n_failed : int
    out_dir : Path
    notices : tuple of str
        What else is worth knowing, such as results whose source is gone.
    """

    table: pd.DataFrame
    n_done: int
    n_up_to_date: int
    n_failed: int
    out_dir: Path
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionDone:
    """One line of the table, as soon as it is known; for `on_result`."""

    session: str
    status: str
    reason: str
    up_to_date: bool


@dataclass
class _Watch:
    """Whom to tell what, while it goes on."""

    on_start: Callable[[int], object] | None
    on_result: Callable[[SessionDone], object] | None
    on_notice: Callable[[str], object] | None
    notices: list[str] = field(default_factory=list)

    def started(self, total: int) -> None:
        if self.on_start is not None:
            self.on_start(total)

    def done(self, result: SessionDone) -> None:
        if self.on_result is not None:
            self.on_result(result)

    def notice(self, text: str) -> None:
        if text in self.notices:
            return
        self.notices.append(text)
        if self.on_notice is not None:
            self.on_notice(text)


def process_batch(
    folder: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    config: PipelineConfig | str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    mapping: str | os.PathLike[str] | None = None,
    memory_limit: str | int | None = None,
    report: WriteReport | None = None,
    on_start: Callable[[int], object] | None = None,
    on_result: Callable[[SessionDone], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
) -> BatchResult:
    """Process every session below a folder with Dask.

    Every session leaves the same bytes, whatever the number of workers, their order and how often
    the batch was stopped: what is up to date (input, settings, version) is left as it is. One bad
    session stops no other. Interrupted or killed, no table is half; the next call does the rest.
    ``batch.csv`` is taken away at the start and written at the end: where it stands, it tells of
    all sessions.

    Parameters
    ----------
    folder : path-like
        Every ``*.h5`` below it is a session, named by its file, but for hidden files and for what
        lies in `out_dir`. Links to folders are not followed.
    out_dir : path-like
        Gets ``<session>/`` as :func:`process_session` leaves it, ``batch.csv`` with its data
        dictionary ``batch.json``, and ``imported/<session>.h5`` for vendor files.
    config : PipelineConfig, str, Path or None
        Settings, or the name or file of settings; the shipped ``default`` if None.
    workers : int, optional
        Processes on this computer, of one thread each; all cores by default.
    scheduler : str, optional
        Address of a running Dask scheduler (or its scheduler file, ``.json``) whose workers are
        used instead. They need the same software and see the same folders, under the same names.
        The cluster is left running.
    mapping : path-like, optional
        CSV of vendor files to import first: source, and where wanted session, participant,
        condition, dyad, role, map (``CH1=ecg; CH2=bp``), events, protocol, sfreq, as
        :func:`physio_hqc.import_recording` knows them. Paths are relative to the folder of the
        table and stay inside it; absolute paths may be anywhere. See the notes for an example.
    memory_limit : str or int, optional
        What each worker may use, such as "2GB" or bytes; by default its share of the computer's
        memory. A session that needs more fails with that reason, the others go on. A worker
        takes 240 MB in all for sessions of half an hour (ECG 250 Hz, pressure 100 Hz, EDA 32 Hz),
        440 MB where it draws reports; over hundreds of sessions that stays. Not with `scheduler`:
        memory is given to its workers where they are started.
    report : callable, optional
        A function of a module: session file, :class:`SessionResult` and the page to write.
    on_start : callable, optional
        Called with the number of sessions once workers are there.
    on_result : callable, optional
        Called with a :class:`SessionDone` as each ends, in any order.
    on_notice : callable, optional
        Called with each notice at once.

    Returns
    -------
    BatchResult

    Raises
    ------
    SessionFileError
        If the folder is missing or holds nothing to process.
    ConfigError
        If settings or mapping are wrong.
    OutputError
        If two sources have one name, another batch writes into `out_dir`, or the scheduler cannot
        be reached or its workers differ.

    Notes
    -----
    Workers are started by spawning: in a script, call this under ``if __name__ == "__main__":``.

    A mapping; only source is needed, and the session is then named by its file::

        source,session,participant,condition,map,events,protocol
        edf/A.edf,p01,P01,support,CH1=ecg; CH2=bp,edf/A_events.csv,lepore_1993
        vision/B.vhdr,p02,P02,alone,,,

    On a SLURM cluster, dask-jobqueue starts the scheduler and asks for the jobs::

        from dask_jobqueue import SLURMCluster
        from physio_hqc.pipeline import process_batch

        cluster = SLURMCluster(cores=1, processes=1, memory="2GB", walltime="04:00:00")
        cluster.scale(jobs=200)
        process_batch("/shared/sessions", "/shared/derivatives",
                      scheduler=cluster.scheduler_address)

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from physio_hqc.pipeline import process_batch
    >>> from physio_hqc.simulate import simulate_session
    >>> lab = pathlib.Path(tempfile.mkdtemp())
    >>> _ = simulate_session(lab / "p01.h5", seed=1, time_scale=0.05, streams=["cuff"])
    >>> _ = (lab / "p02.h5").write_text("no session")
    >>> result = process_batch(lab, lab / "derivatives", workers=1)
    >>> result.table[["session", "status"]].values.tolist()
    [['p01', 'done'], ['p02', 'failed']]
    """
    if scheduler is not None and (workers is not None or memory_limit is not None):
        raise OutputError(
            "number and memory of the workers of a running cluster are set where it is started: "
            "leave them out beside a scheduler"
        )
    if workers is not None and workers < 1:
        raise OutputError(f"{workers} workers: at least 1 is needed")
    source_dir, out = Path(folder).absolute(), Path(out_dir).absolute()
    settings = config if isinstance(config, PipelineConfig) else load_pipeline_config(config)
    base = _protocol_base(settings)
    sources = find_sources(source_dir, out, None if mapping is None else Path(mapping))
    watch = _Watch(on_start, on_result, on_notice)
    with _alone_in(out), _permit(out) as permit:
        _sweep(out, sources)
        plan = Plan(source_dir, out, settings, report, permit, versions(), base)
        with _crew(plan, len(sources), workers, scheduler, memory_limit, watch) as crew:
            (out / BATCH).unlink(missing_ok=True)
            watch.started(len(sources))
            try:
                outcomes = _outcomes(crew, plan, sources, watch)
            except BaseException:
                # Workers begin nothing more; what they are at, they may finish.
                permit.unlink(missing_ok=True)
                raise
        _sweep(out, sources)
        _note_orphans(out, sources, watch)
        return _written(out, sources, outcomes, watch)


def _protocol_base(settings: PipelineConfig) -> Path | None:
    """Folder of a relative path to a protocol; a wrong protocol is told once, before anything."""
    if settings.protocol is None:
        return None
    load_protocol(settings.protocol)
    found = find_config("protocols", settings.protocol)
    return None if found.is_absolute() else Path.cwd()


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Refuse a second batch that would write into the same folder."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out / BATCH, wait=False))
        except OutputError as error:
            if "another process" not in str(error):
                raise
            raise OutputError(f"another batch is writing into {out}: wait for it to end") from error
        yield


@contextmanager
def _permit(out: Path) -> Iterator[Path]:
    """Make the private folder of this batch, with the file that says that it goes on.

    Workers look for it before each session, so that none begins when the batch has ended, however
    it did; and at the beginning, to see whether they share this folder.
    """
    for leftover in out.glob(f"{_PRIVATE}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    private = out / f"{_PRIVATE}{uuid.uuid4().hex[:12]}"
    try:
        private.mkdir(mode=0o755)
        permit = private / "permit"
        permit.touch()
    except OSError as error:
        raise OutputError(f"{out} cannot be written to ({error.strerror or error})") from error
    try:
        yield permit
    finally:
        permit.unlink(missing_ok=True)
        shutil.rmtree(private, ignore_errors=True)


def _crew(
    plan: Plan,
    n_sources: int,
    workers: int | None,
    scheduler: str | None,
    memory_limit: str | int | None,
    watch: _Watch,
) -> AbstractContextManager[Crew]:
    if scheduler is not None:
        return running_crew(scheduler, plan, watch.notice)
    size = min(workers or all_cores(), n_sources)
    memory = memory_per_worker(memory_limit, size)
    return local_crew(plan.permit.parent, size, memory, watch.notice)


def _outcomes(crew: Crew, plan: Plan, sources: list[Source], watch: _Watch) -> dict[str, Outcome]:
    outcomes = {}
    for source, result in crew.do(plan, sources):
        outcome = result if isinstance(result, Outcome) else _of_bug(source, result)
        if not outcome.begun:
            raise OutputError(f"{plan.out}: somebody has taken away the files of this batch")
        if outcome.reason:
            outcome = _failed(outcome, source, plan)
        outcomes[source.session] = outcome
        if outcome.notice:
            watch.notice(f"{source.session}: {outcome.notice}")
        status = FAILED if outcome.reason else DONE
        watch.done(SessionDone(source.session, status, outcome.reason, outcome.up_to_date))
    return outcomes


def _of_bug(source: Source, error: BaseException) -> Outcome:
    """A session that met a bug of ours: what, and where."""
    reason = str(error)
    if not isinstance(error, PhysioError):
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        reason = f"internal error: {type(error).__name__}: {reason}{where}"
    vendor = source.vendor
    return Outcome(reason, *((vendor.participant, vendor.condition) if vendor else ()))


def _failed(outcome: Outcome, source: Source, plan: Plan) -> Outcome:
    """Put the reason into one line that does not depend on where the folders are."""
    reason = outcome.reason
    for path, name in (
        (str(source.path), source.label),
        (f"{plan.out}{os.sep}", ""),
        (f"{plan.folder}{os.sep}", ""),
    ):
        reason = reason.replace(path, name)
    reason = printable(reason).removeprefix(f"{source.label}: ")
    if (plan.out / source.session / PROVENANCE).is_file():
        reason += "; the results of an earlier run are still there"
    return Outcome(reason, outcome.participant, outcome.condition)


def _sweep(out: Path, sources: list[Source]) -> None:
    """Take away what killed workers left: hidden siblings of sessions, never anything else."""
    there = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")}
    names = {source.session for source in sources} | there | {BATCH, _DICTIONARY}
    _sweep_in(out, names)
    imported = out / IMPORTED
    if imported.is_dir():
        _sweep_in(imported, {f"{name}.h5" for name in names})


def _sweep_in(place: Path, names: set[str]) -> None:
    mine = {hidden_sibling(place / name, "").name: place / name for name in names}
    for entry in sorted(place.iterdir()):
        found = _LEFTOVER.fullmatch(entry.name)
        if found is None:
            continue
        target = mine.get(found["name"]) or mine.get(_UNIQUE.sub("", found["name"]))
        if target is None:
            continue
        restore(target)
        # The lock of the table is our own, for as long as the batch goes on.
        ours = target.name == BATCH
        with suppress(OutputError), nullcontext() if ours else locked(target, wait=False):
            _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    elif not entry.name.endswith(".lock"):
        entry.unlink(missing_ok=True)


def _note_orphans(out: Path, sources: list[Source], watch: _Watch) -> None:
    """Say which results have lost their source."""
    known = {source.session for source in sources}
    orphans = [
        entry.name
        for entry in sorted(out.iterdir())
        if entry.name not in known
        and not entry.name.startswith(".")
        and (entry / PROVENANCE).is_file()
        and "study" not in (read_provenance(entry) or {})
    ]
    if orphans:
        more = f" and {len(orphans) - 5} more" if len(orphans) > 5 else ""
        watch.notice(
            f"results without a source in this batch: {', '.join(orphans[:5])}{more}; a study of "
            "this folder would count them"
        )


def _written(
    out: Path, sources: list[Source], outcomes: dict[str, Outcome], watch: _Watch
) -> BatchResult:
    """Write the table and its data dictionary."""
    rows = [
        (
            source.session,
            outcomes[source.session].participant,
            outcomes[source.session].condition,
            source.label,
            FAILED if outcomes[source.session].reason else DONE,
            outcomes[source.session].reason,
        )
        for source in sources
    ]
    table = pd.DataFrame(rows, columns=[column.name for column in BATCH_COLUMNS], dtype=object)
    with replaced_file(out / _DICTIONARY) as part:
        text = json.dumps(data_dictionary(BATCH_COLUMNS), indent=2, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8", newline="\n")
    with replaced_file(out / BATCH) as part:
        table.to_csv(part, index=False, lineterminator="\n", encoding="utf-8")
    failed = int((table["status"] == FAILED).sum())
    return BatchResult(
        table=table,
        n_done=len(table) - failed,
        n_up_to_date=sum(outcome.up_to_date for outcome in outcomes.values()),
        n_failed=failed,
        out_dir=out,
        notices=tuple(watch.notices),
    )
