"""How many rows are worth computing together: learnt from the work itself, for each size of picture."""

from collections import defaultdict
from collections.abc import Sequence
from math import inf

from pipeline.denoise import Denoising

ROWS = (3, 6, 12, 24)  # the batches that are tried
TRIALS = 3  # times that each is measured before the best is settled on
WORTH = 0.98  # of the smaller batch's time a row, or less: edits in a larger batch wait for each other

Size = tuple[int, ...]


class BatchSizes:
    """The batch with the most rows a second.

    Each of `ROWS` is tried in turn as far as there is work to fill it; the next larger one only while the last was
    worth it, so that a size at which one edit's rows fill the device stays there.
    """

    def __init__(self) -> None:
        self._seconds: dict[Size, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._ceiling: dict[Size, int] = {}

    def rows(self, edit: Denoising) -> int:
        """The most rows to compute together for pictures of this edit's size."""
        measured, ceiling = self._seconds[edit.x.shape], self._ceiling.get(edit.x.shape, ROWS[-1])
        best = ROWS[0]
        for rows in ROWS:
            if rows > ceiling:
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

    def lower(self, edits: Sequence[Denoising]) -> None:
        """Stay below a batch that did not fit in memory."""
        rows = sum(edit.rows for edit in edits)
        self._ceiling[edits[0].x.shape] = max((size for size in ROWS if size < rows), default=ROWS[0])
