"""What an edit reports besides its picture. Plain Python, because workers without torch use it too."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Notes:
    """What whoever asked for an edit should know of it.

    `warnings` have a `code`, a `detail` for people, and whatever else their code needs. `receipt` holds what this edit
    was computed with where that differs from its editor's receipt.
    """

    warnings: list[dict[str, Any]] = field(default_factory=list)
    receipt: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_all(cls, several: Sequence["Notes"]) -> "Notes":
        """What several edits of one request have to say: each warning once, and the first one's receipt."""
        warnings = [warning for notes in several for warning in notes.warnings]
        each = [warning for at, warning in enumerate(warnings) if warning not in warnings[:at]]
        return cls(each, several[0].receipt)

    def warn(self, code: str, detail: str, **more: Any) -> None:
        """Warn that the picture may differ from what was asked for."""
        self.warnings.append({"code": code, "detail": detail, **more})
