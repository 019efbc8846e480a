"""What several commands need: progress, worker processes, tables on the screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from physio_hqc.errors import PhysioError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


def console(*, stderr: bool = False) -> Console:
    """A rich console on standard output or standard error."""
    from rich.console import Console

    result = Console(stderr=stderr, highlight=False)
    if not result.is_terminal:
        # A pipe or a file has no width; wide enough that no table is cut.
        result.width = 160
    return result


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Progress on standard error, gone when it ends, silent where nobody watches."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        yield progress


def table(*columns: str, title: str = "", right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    result = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in columns:
        result.add_column(name, justify="right" if name in right else "left")
    return result


def escape(text: object) -> str:
    """Text from a file, shown as it is and never as markup."""
    from rich.markup import escape as rich_escape

    return rich_escape(str(text))


def in_parallel(
    work: Callable[..., Any], calls: Sequence[tuple[Any, ...]], jobs: int, description: str
) -> list[Any]:
    """Run `work(*call)` for every call on `jobs` processes, with progress.

    Results come in the order of the calls; a :class:`PhysioError` takes the place of the result
    of its call, so that one bad session does not stop the others.
    """
    results: list[Any] = [None] * len(calls)
    with progress_bar() as progress:
        task = progress.add_task(description, total=len(calls))
        if jobs == 1 or len(calls) == 1:
            for k, call in enumerate(calls):
                results[k] = _result(work, *call)
                progress.advance(task)
            return results
        with _one_thread_each(), _pool(min(jobs, len(calls))) as pool:
            futures: dict[Future[Any], int] = {
                pool.submit(work, *call): k for k, call in enumerate(calls)
            }
            try:
                for future in as_completed(futures):
                    results[futures[future]] = _result(future.result)
                    progress.advance(task)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return results


def _result(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except PhysioError as error:
        return error


def _pool(jobs: int) -> ProcessPoolExecutor:
    # Spawned, not forked: HDF5 and BLAS threads do not survive a fork.
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep the linear algebra of each worker to one thread: the workers fill the cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: os.environ.get(name) or "1" for name in names})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
