"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with these heads, a line for each row."""
    head = f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}\n"
    return head + "".join(f"| {' | '.join(row)} |\n" for row in rows)
