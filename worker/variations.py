"""The edits of one job, which run at the same time: the engine computes their steps in the same batches."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event
from typing import TypeVar

from worker.editors.editor import Step
from worker.leases import Lease, Stopped

T = TypeVar("T")
OnStep = Callable[[Step], None]


class Abandoned(Stopped):
    """Another edit of the same job has failed."""


def edit_all(lease: Lease, edit: Callable[[int, OnStep, Callable[[], None]], T]) -> list[T]:
    """Call `edit(number, on_step, check)` for each of the job's edits, in threads, and return the results.

    `on_step` and `check` raise an exception to end the edit early. The steps of the first edit are the job's progress.
    If an edit fails, the others end at their next step, and its error is raised.
    """
    if lease.job.n == 1:
        return [edit(0, lease.advance, lease.check)]
    failed = Event()

    def check() -> None:
        if failed.is_set():
            raise Abandoned
        lease.check()

    def advance(number: int, progress: Step) -> None:
        check()
        if number == 0:
            lease.advance(progress)
        else:
            lease.note_progress()

    def run(number: int) -> T:
        try:
            return edit(number, lambda progress: advance(number, progress), check)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(lease.job.n, thread_name_prefix="edit") as threads:
        futures = [threads.submit(copy_context().run, run, number) for number in range(lease.job.n)]
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise next((error for error in errors if not isinstance(error, Abandoned)), errors[0])
    return [future.result() for future in futures]
