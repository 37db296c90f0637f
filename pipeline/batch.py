"""The number of rows worth computing together, measured during the work for each picture size."""

from collections import defaultdict
from collections.abc import Sequence
from math import inf, prod

from pipeline.denoise import Denoising

ROWS = (3, 6, 12, 24)  # the batches that are tried
TRIALS = 3  # measurements of each batch size before the best is chosen
PROBATION = 500  # batches that must fit in memory before a size that did not fit is tried again
MAX_RELATIVE_TIME = 0.98  # a larger batch must cut the time per row to this, because its edits wait for each other

Size = tuple[int, ...]  # the `form` of an edit: whether the step is whole, and the shape of the latents


class BatchSizes:
    """Chooses the batch with the most rows per second.

    Each size of `ROWS` is tried when there is work to fill it. A larger size is tried only if the last one paid off, so
    a picture size at which one edit fills the device stays at one edit.
    """

    def __init__(self, max_pass_seconds: float = inf) -> None:
        """`max_pass_seconds`: seconds that a batch of several edits may take."""
        self._seconds: dict[Size, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._ceiling: dict[Size, int] = {}
        self._probation: dict[Size, int] = {}
        self._fitted: dict[Size, int] = {}
        self.max_pass_seconds = max_pass_seconds

    def rows(self, edit: Denoising) -> int:
        """The most rows to compute together for pictures of this edit's size."""
        measured, ceiling = self._seconds[edit.form], self._ceiling.get(edit.form, ROWS[-1])
        best = ROWS[0]
        for rows in ROWS:
            if rows > ceiling or (rows > best and rows * min(measured[best]) > self.max_pass_seconds):
                break
            if len(measured[rows]) < TRIALS:
                return rows
            if rows > best and min(measured[rows]) > MAX_RELATIVE_TIME * min(measured[best], default=inf):
                break
            best = rows
        return best

    def learn(self, edits: Sequence[Denoising], seconds: float) -> None:
        """Record how long a batch took, for the largest size of `ROWS` that it filled."""
        rows = sum(edit.rows for edit in edits)
        filled = max((size for size in ROWS if size <= rows), default=ROWS[0])
        times = self._seconds[edits[0].form][filled]
        times.append(seconds / rows)
        del times[:-TRIALS]
        self._regain(edits[0].form)

    def expected(self, work: int) -> float | None:
        """Seconds for a pass over this many latent values, by the slowest measured rate. None: nothing was measured."""
        rates = [
            min(times) / prod(size[1:])
            for size, measured in self._seconds.items()
            for times in measured.values()
            if times
        ]
        return work * max(rates) if rates else None

    def lower(self, edits: Sequence[Denoising]) -> None:
        """Stay below a batch size that did not fit in memory, each time for twice as long."""
        rows, size = sum(edit.rows for edit in edits), edits[0].form
        self._ceiling[size] = max((fewer for fewer in ROWS if fewer < rows), default=ROWS[0])
        self._probation[size] = 2 * self._probation[size] if size in self._probation else PROBATION
        self._fitted[size] = 0

    def _regain(self, size: Size) -> None:
        """Count a batch that fit. After enough of them the next larger size may be tried again."""
        if size not in self._ceiling:
            return
        self._fitted[size] += 1
        if self._fitted[size] >= self._probation[size]:
            self._fitted[size] = 0
            self._ceiling[size] = next((rows for rows in ROWS if rows > self._ceiling[size]), ROWS[-1])
