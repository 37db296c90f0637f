"""The report of an edit besides its picture. Plain Python, because workers without torch use it too."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Notes:
    """What the client should know of an edit.

    `warnings` have a `code`, a `detail` for people, and whatever else their code needs. `receipt` records how this edit
    was computed, where that differs from its editor's receipt.
    """

    warnings: list[dict[str, Any]] = field(default_factory=list)
    receipt: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_all(cls, several: Sequence["Notes"]) -> "Notes":
        """The notes of several edits of one request: each warning once, and the receipt of the first edit."""
        warnings = [warning for notes in several for warning in notes.warnings]
        each = [warning for at, warning in enumerate(warnings) if warning not in warnings[:at]]
        return cls(each, several[0].receipt)

    def warn(self, code: str, detail: str, **more: Any) -> None:
        """Warn that the picture may differ from the request."""
        self.warnings.append({"code": code, "detail": detail, **more})
