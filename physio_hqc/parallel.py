"""Work on several processes that ends cleanly: errors in their place, Ctrl-C at any moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.synchronize import Event
from typing import Any

from physio_hqc.errors import PhysioError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_stop: Event | None = None


def run_parallel(
    work: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    jobs: int,
    on_result: Callable[[int, Any], None] | None = None,
) -> list[Any]:
    """Run ``work(*call)`` for every call on several processes.

    Interrupted, it lets the workers finish the calls they are at, so that nothing is left half
    done, starts no other, and lets the interruption through; a second interruption ends them.

    Parameters
    ----------
    work : callable
        A function of a module, so that processes find it.
    calls : sequence of tuple
        Arguments of each call.
    jobs : int
        Processes; with 1 the work is done in this one.
    on_result : callable, optional
        Called with the number of the call and its result as each is done, in any order.

    Returns
    -------
    list
        Results in the order of the calls. Where a call raised a :class:`PhysioError`, that error
        stands in its place: one bad call stops no other. Any other exception is a bug and is
        raised here.

    Examples
    --------
    >>> from physio_hqc.parallel import run_parallel
    >>> run_parallel(divmod, [(7, 2), (9, 4)], jobs=1)
    [(3, 1), (2, 1)]
    """
    results: list[Any] = [None] * len(calls)

    def take(number: int, result: Any) -> None:
        results[number] = result
        if on_result is not None:
            on_result(number, result)

    if jobs <= 1 or len(calls) < 2:
        for number, call in enumerate(calls):
            take(number, _outcome(work, call))
        return results
    context = get_context("spawn")
    # Spawned, not forked: HDF5 and the threads of a progress bar do not survive a fork.
    stop = context.Event()
    pool = ProcessPoolExecutor(
        min(jobs, len(calls)), mp_context=context, initializer=_begin, initargs=(stop,)
    )
    strangers = set(active_children())
    try:
        with _one_thread_each(), sigint_blocked():
            numbers = {pool.submit(_task, work, call): k for k, call in enumerate(calls)}
        for done in as_completed(numbers):
            take(numbers[done], done.result())
    except BaseException:
        stop.set()
        raise
    finally:
        _shut_down(pool, strangers)
    return results


def _shut_down(pool: ProcessPoolExecutor, strangers: set[Any]) -> None:
    """Wait for what the workers are doing; whoever interrupts this as well does not wait."""
    try:
        pool.shutdown(cancel_futures=True)
    except KeyboardInterrupt:
        for child in set(active_children()) - strangers:
            child.terminate()
        raise


def _outcome(work: Callable[..., Any], call: tuple[Any, ...]) -> Any:
    try:
        return work(*call)
    except PhysioError as error:
        return error


def _begin(stop: Event) -> None:
    """Keep, in a worker, the flag by which its parent says that nothing more is wanted."""
    global _stop
    _stop = stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave no worker behind where the parent was killed and could say nothing."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _task(work: Callable[..., Any], call: tuple[Any, ...]) -> Any:
    """Do one call in a worker, unless nothing more is wanted."""
    return None if _stop is not None and _stop.is_set() else _outcome(work, call)


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Start processes that leave Ctrl-C to their parent, from their first instruction on.

    They inherit the mask; here a Ctrl-C that came meanwhile arrives at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep the linear algebra of each worker to one thread: the workers fill the cores."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update({name: value or "1" for name, value in before.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
