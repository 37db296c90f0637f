"""The recipe of a checkpoint: one TOML file, as data."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = ("vae", "text", "unet", "decoder")
MICRO = Path(__file__).with_name("micro.toml")


@dataclass(frozen=True)
class Plan:
    """How long and how fast one network is trained."""

    minutes: float
    learning_rate: float
    workers: int
    seed: int


@dataclass(frozen=True)
class Recipe:
    """A recipe file's tables; `scale` multiplies all minutes."""

    tables: dict[str, Any]
    scale: float = 1.0

    @classmethod
    def read(cls, path: Path = MICRO, minutes: float | None = None) -> "Recipe":
        """The recipe in a file; with `minutes`, all of its training shortened or lengthened to that many in sum."""
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        whole = sum(tables[stage]["minutes"] for stage in STAGES)
        return cls(tables, 1.0 if minutes is None else minutes / whole)

    def __getitem__(self, stage: str) -> Any:
        return self.tables[stage]

    def plan(self, stage: str) -> Plan:
        table = self.tables[stage]
        return Plan(table["minutes"] * self.scale, table["learning_rate"], self["workers"], self["seed"])
