"""The workers of a batch: a Dask cluster of our own or a running one, fed a few jobs at a time."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import queue
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from itertools import count, islice
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from physio_hqc.errors import OutputError
from physio_hqc.parallel import sigint_blocked
from physio_hqc.pipeline import _batch_worker
from physio_hqc.pipeline._batch_sources import Source
from physio_hqc.pipeline._batch_worker import Outcome, Plan, UnfitWorkerError

Notify = Callable[[str], object]

_AHEAD = (2, 1, 0)
"""Jobs for each worker, the one it does included, in each try of a session whose worker died.

At first one more waits, so that no worker does; in the last try (0) there is no other in the whole
cluster. Dask may give one worker two jobs as long as another is just being started, and then both
die with it."""
_CONNECT_S = 10.0
_START_S = 120.0
_TURN_S = 0.05
_LOOKS = 10
"""Turns in which an interrupted batch looks for workers that were just being started."""
_PATIENCE_S = 5.0
"""How long an interrupted batch waits for the sessions that are being written."""
_LOOK_S = 2.0
_LEAST_MEMORY = 500_000_000
_LOGGERS = ("distributed", "dask", "tornado", "asyncio", "bokeh")
_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.worker-ttl": None,
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.worker.daemon": True,
    "distributed.worker.use-file-locking": False,
    "distributed.worker.profile.enabled": False,
    # One session at a time and nothing kept: there is nothing to spill, and a pause would be final.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "1h",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": 1,
    "distributed.nanny.pre-spawn-environ.OPENBLAS_NUM_THREADS": 1,
    "distributed.nanny.pre-spawn-environ.MKL_NUM_THREADS": 1,
}


class Crew:
    """Workers that do the sessions of a batch.

    Parameters
    ----------
    client : distributed.Client
    size : int or None
        Number of workers; None where they come and go.
    memory : int or None
        Bytes that each worker may use, where that is ours to say.
    notify : callable
        Called with what a user should know while it goes on.
    """

    def __init__(self, client: Any, size: int | None, memory: int | None, notify: Notify) -> None:
        self._client = client
        self._size = size
        self._memory = memory
        self._notify = notify
        self._counted = (-math.inf, 1)
        self._numbers = count()
        self._running: dict[Any, Source] = {}
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def do(
        self, plan: Plan, sources: Sequence[Source]
    ) -> Iterator[tuple[Source, Outcome | BaseException]]:
        """Do all sessions; yield each with its outcome, or with the exception of a bug.

        A worker that dies takes along what it did and what waited for it. Those sessions come
        again at the end, one to a worker, and then one by one, so that each shows whether it is the
        one that kills.

        Raises
        ------
        UnfitWorkerError
            If a worker cannot take part.
        OutputError
            If the cluster is gone.
        """
        from distributed.scheduler import KilledWorker

        todo = list(sources)
        for ahead in _AHEAD:
            suspects = []
            for source, result in self._feed(plan, todo, ahead):
                if isinstance(result, UnfitWorkerError):
                    raise result
                if not isinstance(result, KilledWorker):
                    yield source, result
                elif ahead:
                    suspects.append(source)
                else:
                    yield source, Outcome(self._why_killed(result))
            todo = suspects

    def _feed(
        self, plan: Plan, sources: Iterable[Source], ahead: int
    ) -> Iterator[tuple[Source, Any]]:
        waiting = iter(sources)
        while True:
            wanted = max(ahead * self._n_workers(), 1)
            for source in islice(waiting, max(wanted - len(self._running), 0)):
                self._submit(plan, source)
            if not self._running:
                return
            future = self._next()
            source = self._running.pop(future)
            yield source, self._result(future)

    def _submit(self, plan: Plan, source: Source) -> None:
        key = f"session-{plan.permit.parent.name}-{next(self._numbers)}"
        future = self._client.submit(_batch_worker.do_session, plan, source, key=key, pure=False)
        self._running[future] = source
        future.add_done_callback(self._finished.put)

    def _next(self) -> Any:
        while True:
            try:
                return self._finished.get(timeout=_LOOK_S)
            except queue.Empty:
                self._n_workers()

    def _result(self, future: Any) -> Any:
        """Outcome or exception of a job that has ended."""
        if future.status == "error":
            return future.exception()
        if future.status != "finished":
            raise OutputError(_gone(self._client))
        return future.result()

    def _n_workers(self) -> int:
        """Count the workers, now and then: those of a queueing system come and go."""
        if self._client.status not in ("running", "connecting"):
            raise OutputError(_gone(self._client))
        if self._size is not None:
            return self._size
        then, number = self._counted
        if time.monotonic() - then < _LOOK_S:
            return number
        found = len(self._client.nthreads())
        if not found and math.isfinite(then):
            self._notify("the cluster has no workers left; waiting for new ones")
        self._counted = (time.monotonic(), max(found, 1))
        return self._counted[1]

    def _why_killed(self, error: Any) -> str:
        """Say what ended the workers that tried a session."""
        worker = error.last_worker
        events = self._client.get_events("worker-restart-memory")
        limit = self._memory or getattr(worker, "memory_limit", 0)
        if any(event.get("worker") == worker.address for _, event in events) and limit:
            return (
                f"it needs more memory than a worker may use ({limit / 1e9:.1f} GB): start fewer "
                "workers, or give them more"
            )
        return "the workers that tried it died (killed, out of memory, or a crash in a library)"

    def wait(self, seconds: float) -> None:
        """Let what is being written come to its end, once the permit is gone."""
        end = time.monotonic() + seconds
        while self._running and (left := end - time.monotonic()) > 0:
            try:
                self._running.pop(self._finished.get(timeout=left), None)
            except queue.Empty:
                return

    def cancel(self) -> None:
        """Take back what was asked for."""
        if self._running:
            self._client.cancel(list(self._running), force=True)
        self._running.clear()


@contextmanager
def local_crew(folder: Path, size: int, memory: int, notify: Notify) -> Iterator[Crew]:
    """Start workers on this computer; they end with this context, and with this process.

    Parameters
    ----------
    folder : Path
        For the files of the workers.
    size : int
        Number of workers, each a process of one thread.
    memory : int
        Bytes that each may use before it is ended.
    notify : callable
    """
    import dask

    with _environment_kept(), dask.config.set(_SETTINGS), _quiet():
        strangers = set(multiprocessing.active_children())
        cluster, client = _start(folder, memory)
        crew = Crew(client, size, memory, notify)
        try:
            cluster.scale(size)
            _wait_for_ours(client)
            yield crew
        except KeyboardInterrupt:
            # A second one does not wait, nor does Dask for workers that it was just starting.
            try:
                crew.wait(_PATIENCE_S)
            finally:
                _abandon(cluster, client, strangers)
            raise
        except BaseException:
            _close(cluster, client, strangers)
            raise
        _close(cluster, client, strangers)


def _start(folder: Path, memory: int) -> tuple[Any, Any]:
    """Start a cluster without workers, and connect to it.

    Its threads are born with Ctrl-C blocked, and so are the workers, which they start later: the
    terminal sends it to all of them, and it is meant for this process.
    """
    from distributed import Client, LocalCluster

    _start_tracker()
    with sigint_blocked(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(folder),
            memory_limit=memory,
            preload=[_batch_worker.__name__],
            silence_logs=logging.CRITICAL,
        )
        return cluster, Client(cluster.scheduler_address, timeout=_CONNECT_S, set_as_default=False)


def _start_tracker() -> None:
    """Start what cleans up semaphores, and have it do so in silence.

    Here, because it would unblock Ctrl-C for the thread that starts it.
    """
    before = os.environ.get("PYTHONWARNINGS", "")
    os.environ["PYTHONWARNINGS"] = f"{before},ignore:resource_tracker".lstrip(",")
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ["PYTHONWARNINGS"] = before
        if not before:
            del os.environ["PYTHONWARNINGS"]


def _kill(cluster: Any, strangers: set[Any]) -> None:
    """End the workers at once, and have nobody start them again."""
    for nanny in list(cluster.workers.values()):
        nanny.auto_restart = False
    for child in set(multiprocessing.active_children()) - strangers:
        child.kill()


def _abandon(cluster: Any, client: Any, strangers: set[Any]) -> None:
    """End the workers and wait for nobody; Dask tidies up as long as this process is there.

    A worker that Dask is just starting comes to light a moment later. Left alone, it would look for
    its parent and complain to the user, so no second Ctrl-C ends this before that moment is over.
    """
    with sigint_blocked():
        _kill(cluster, strangers)
        cluster.shutdown_on_close = False
        client.status = "closed"
        cluster.loop.add_callback(cluster.close)
        for _ in range(_LOOKS):
            time.sleep(_TURN_S)
            _kill(cluster, strangers)


def _close(cluster: Any, client: Any, strangers: set[Any]) -> None:
    """Close client and cluster; nothing of them is left afterwards."""
    with sigint_blocked():
        with suppress(TimeoutError, OSError, RuntimeError):
            client.close(timeout=2)
        with suppress(TimeoutError, OSError, RuntimeError):
            cluster.close(timeout=5)
        _kill(cluster, strangers)


@contextmanager
def running_crew(address: str, plan: Plan, notify: Notify) -> Iterator[Crew]:
    """Work with a cluster that runs already, and leave it running.

    Parameters
    ----------
    address : str
        Of its scheduler, such as ``tcp://10.0.0.1:8786``; or a scheduler file (``.json``).
    plan : Plan
    notify : callable

    Raises
    ------
    OutputError
        If nobody answers there, or a worker has other software or other files.
    """
    import dask

    # Dask would connect for as long as its own settings say, not for as long as we wait.
    settings = {"distributed.comm.timeouts.connect": f"{_CONNECT_S / 2}s"}
    with dask.config.set(settings), _quiet():
        client = _connected(address)
        crew = Crew(client, None, None, notify)
        try:
            _wait_for_one(client, notify)
            _check_workers(client, plan, notify)
            yield crew
        finally:
            with suppress(TimeoutError, OSError, RuntimeError):
                crew.cancel()
            with suppress(TimeoutError, OSError, RuntimeError):
                client.close(timeout=2)


def _connected(address: str) -> Any:
    from distributed import Client

    is_file = address.endswith(".json")
    if is_file and not Path(address).is_file():
        raise OutputError(f"{address}: no such scheduler file")
    where = {"scheduler_file": address} if is_file else {"address": address}
    try:
        with sigint_blocked(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Client(**where, timeout=_CONNECT_S / 2, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise OutputError(
            f"no Dask scheduler answers at {address} ({_first_line(error)}): give the address that "
            "it printed when it was started, such as tcp://127.0.0.1:8786"
        ) from error


def _wait_for_ours(client: Any) -> None:
    """Wait for the first of our workers; by turns, for a computer may sleep in between."""
    for _ in range(round(_START_S / _TURN_S)):
        if client.nthreads():
            return
        time.sleep(_TURN_S)
    raise OutputError(
        "the workers do not start: in a script, call this under 'if __name__ == \"__main__\":'"
    )


def _wait_for_one(client: Any, notify: Notify) -> None:
    """Wait for the first worker; a queueing system may take its time."""
    said = False
    begun = time.monotonic()
    while not client.nthreads():
        if not said and time.monotonic() - begun > _CONNECT_S:
            notify("waiting for workers")
            said = True
        time.sleep(_TURN_S)


def _check_workers(client: Any, plan: Plan, notify: Notify) -> None:
    """Refuse workers that would leave other results."""
    found = client.run(installed_version, "physio-hqc", on_error="return")
    for worker, version in found.items():
        if isinstance(version, PackageNotFoundError):
            raise UnfitWorkerError(f"the worker {worker} has no physio_hqc: install it there")
    for worker, problem in client.run(_batch_worker.check, plan, on_error="return").items():
        if isinstance(problem, UnfitWorkerError):
            raise problem
        if isinstance(problem, BaseException):
            raise UnfitWorkerError(
                f"the worker {worker} cannot take part ({_first_line(problem)}): install the same "
                "version of physio_hqc everywhere"
            )
    if max(client.nthreads().values(), default=1) > 1:
        notify(
            "workers with several threads do one session at a time: start more workers with "
            "--nthreads 1 to use the cores"
        )


def memory_per_worker(limit: str | int | None, size: int) -> int:
    """Bytes that each of our workers may use.

    Raises
    ------
    OutputError
        If the limit is no amount of memory, or less than a worker needs before it does anything.
    """
    from dask.utils import parse_bytes
    from distributed.system import MEMORY_LIMIT

    if limit is None:
        return max(int(MEMORY_LIMIT * 0.9 / size), _LEAST_MEMORY)
    try:
        memory = int(parse_bytes(limit))
    except (ValueError, TypeError) as error:
        raise OutputError(f"memory limit {limit!r}: write it like 2GB") from error
    if memory < _LEAST_MEMORY:
        raise OutputError(
            f"memory limit {limit!r}: a worker needs {_LEAST_MEMORY // 10**6} MB to begin with"
        )
    return memory


def all_cores() -> int:
    """Processor cores that this process may use."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def _gone(client: Any) -> str:
    address = getattr(client.scheduler, "address", "") or "the given address"
    return f"the Dask scheduler at {address} is gone: run the same command again to do the rest"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Dask sets the environment of its workers in this process, and leaves it so."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask logs off the user's screen: what matters is told as an error or a reason."""
    import distributed  # noqa: F401  (its loggers exist from here on)

    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _LOGGERS]
    loggers = [logging.getLogger(name) for name in {*names, *_LOGGERS}]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers[:] = [logging.NullHandler()]
        logger.propagate = False
    try:
        yield
    except KeyboardInterrupt:
        # Dask may not have ended yet, and complain.
        raise
    except BaseException:
        _give_back(before)
        raise
    _give_back(before)


def _give_back(before: list[tuple[logging.Logger, list[logging.Handler], bool]]) -> None:
    """Let loggers write again to where they wrote before."""
    for logger, handlers, propagate in before:
        logger.handlers[:] = handlers
        logger.propagate = propagate
