"""The parameters of a model: kinds, ranges, defaults, and the check of what is given. Plain Python, for all tiers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "integer", "number", "choice"]
LARGEST_SEED = 2**53 - 1  #: the largest number that every reader of JSON has exactly


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

    def schema(self) -> dict[str, Any]:
        """What it may be, as JSON Schema."""
        schema: dict[str, Any] = {"description": self.summary}
        match self.kind:
            case "choice":
                return schema | {"type": "string", "enum": list(self.choices or ())}
            case "text":
                return schema | {"type": "string", "minLength": self.minimum, "maxLength": self.maximum}
            case kind:
                return schema | {"type": kind, "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Rule:
    """Where `when` is one of `values`, parameter `then` is `value` unless given. `only`: no other is allowed."""

    when: str
    values: tuple[Any, ...]
    then: str
    value: Any
    only: bool = False


def resolve(
    model: str, parameters: Sequence[Parameter], rules: Sequence[Rule], given: Mapping[str, Any]
) -> dict[str, Any]:
    """All parameters of a model: those given, checked, and the defaults for the rest.

    A seed that is not given stays None: whoever asks draws it.

    Raises:
        ParameterError: for the first unknown, missing or out-of-range parameter.
    """
    known = {parameter.name for parameter in parameters}
    for name in given:
        if name not in known:
            raise ParameterError(name, f"is not a parameter of {model}, which has {', '.join(sorted(known))}")
    resolved: dict[str, Any] = {}
    for parameter in parameters:
        value = given.get(parameter.name)
        if value is None and parameter.required:
            raise ParameterError(parameter.name, "is required")
        resolved[parameter.name] = parameter.default if value is None else parameter.check(value)
    for rule in rules:
        if resolved.get(rule.when) in rule.values:
            if given.get(rule.then) is None:
                resolved[rule.then] = rule.value
            elif rule.only and resolved[rule.then] != rule.value:
                detail = f"must be {rule.value:g} in {model} when {rule.when} is {resolved[rule.when]}"
                raise ParameterError(rule.then, f"{detail}: it has no effect there")
    return resolved
