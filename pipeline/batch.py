"""How many rows are worth computing together: learnt from the work itself, for each size of picture."""

from collections import defaultdict
from collections.abc import Sequence
from math import inf, prod

from pipeline.denoise import Denoising

ROWS = (3, 6, 12, 24)  # the batches that are tried
TRIALS = 3  # times that each is measured before the best is settled on
PROBATION = 500  # batches that have to fit in memory before one larger than did not fit is tried again
WORTH = 0.98  # of the smaller batch's time a row, or less: edits in a larger batch wait for each other

Size = tuple[int, ...]


class BatchSizes:
    """The batch with the most rows a second.

    Each of `ROWS` is tried in turn as far as there is work to fill it; the next larger one only while the last was
    worth it, so that a size at which one edit's rows fill the device stays there.
    """

    def __init__(self, longest_pass: float = inf) -> None:
        """`longest_pass`: seconds that a batch of several edits may take."""
        self._seconds: dict[Size, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._ceiling: dict[Size, int] = {}
        self._probation: dict[Size, int] = {}
        self._fitted: dict[Size, int] = {}
        self.longest_pass = longest_pass

    def rows(self, edit: Denoising) -> int:
        """The most rows to compute together for pictures of this edit's size."""
        measured, ceiling = self._seconds[edit.x.shape], self._ceiling.get(edit.x.shape, ROWS[-1])
        best = ROWS[0]
        for rows in ROWS:
            if rows > ceiling or (rows > best and rows * min(measured[best]) > self.longest_pass):
                break
            if len(measured[rows]) < TRIALS:
                return rows
            if rows > best and min(measured[rows]) > WORTH * min(measured[best], default=inf):
                break
            best = rows
        return best

    def learn(self, edits: Sequence[Denoising], seconds: float) -> None:
        """Note how long a batch took; it counts for the largest of `ROWS` that it filled, or for the smallest."""
        rows = sum(edit.rows for edit in edits)
        filled = max((size for size in ROWS if size <= rows), default=ROWS[0])
        times = self._seconds[edits[0].x.shape][filled]
        times.append(seconds / rows)
        del times[:-TRIALS]
        self._regain(edits[0].x.shape)

    def expected(self, work: int) -> float | None:
        """Seconds that a pass over so many latent numbers may take, by the slowest one measured; None: none was."""
        rates = [
            min(times) / prod(size) for size, measured in self._seconds.items() for times in measured.values() if times
        ]
        return work * max(rates) if rates else None

    def lower(self, edits: Sequence[Denoising]) -> None:
        """Stay below a batch that did not fit in memory; each time for twice as long."""
        rows, size = sum(edit.rows for edit in edits), edits[0].x.shape
        self._ceiling[size] = max((fewer for fewer in ROWS if fewer < rows), default=ROWS[0])
        self._probation[size] = 2 * self._probation[size] if size in self._probation else PROBATION
        self._fitted[size] = 0

    def _regain(self, size: Size) -> None:
        """A batch has fitted: after enough of them, the next larger one may be tried again."""
        if size not in self._ceiling:
            return
        self._fitted[size] += 1
        if self._fitted[size] >= self._probation[size]:
            self._fitted[size] = 0
            self._ceiling[size] = next((rows for rows in ROWS if rows > self._ceiling[size]), ROWS[-1])
