"""A parameter of a model: its kind, range and default, and the check of a value. Plain Python, for all tiers."""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "choice"]


class ParameterError(ValueError):
    """A parameter that the model does not have, or a value outside its range; `field` is its name."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.field = field
        self.detail = detail


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model: its kind, its range (or choices, or length) and its default (None: no value)."""

    name: str
    kind: Kind
    summary: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    default: Any = None
    required: bool = False

    def check(self, value: Any) -> Any:
        """The value in the parameter's own type; text is read as a number where a number is asked for.

        Raises:
            ParameterError: names the parameter and the limit.
        """
        match self.kind:
            case "choice":
                return self._choice(value)
            case "text":
                return self._text(value)
            case _:
                return self._number(value)

    def _choice(self, value: Any) -> str:
        if not isinstance(value, str) or value not in (self.choices or ()):
            raise ParameterError(self.name, f"must be one of {', '.join(self.choices or ())}")
        return value

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ParameterError(self.name, "must be text")
        low, high = int(self.minimum or 0), int(self.maximum or 0)
        if not low <= len(value.strip()) <= len(value) <= high:
            raise ParameterError(self.name, f"must be {low} to {high} characters long, blanks aside")
        if not value.isprintable() and any(ord(c) < 32 and c not in "\t\r\n" for c in value):
            raise ParameterError(self.name, "must not contain control characters")
        return value

    def _number(self, value: Any) -> int | float:
        whole = self.kind == "integer"
        limits = f"must be {'a whole number' if whole else 'a number'} from {self.minimum:g} to {self.maximum:g}"
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ParameterError(self.name, limits)
        try:
            number = int(value) if whole and isinstance(value, int | str) else float(value)
        except (ValueError, OverflowError):
            raise ParameterError(self.name, limits) from None
        if not (self.minimum or 0) <= number <= (self.maximum or 0) or (whole and number != int(number)):
            raise ParameterError(self.name, limits)
        return int(number) if whole else number
