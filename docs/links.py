"""A hook of mkdocs: what pages link to outside of `docs/`, as a reader of the documentation's site can use it."""

import re
from pathlib import PurePosixPath
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
PAGES = {"math.md": "/math"}  #: pages that the site has in a form of its own


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's text, with each link that leads out of `docs/` turned into the name of the file."""
    here = PurePosixPath(page.file.src_uri).parent

    def shown(link: re.Match[str]) -> str:
        text, target = link.groups()
        path, _, place = target.partition("#")
        if path.rpartition("/")[2] in PAGES:
            return f"[{text}]({PAGES[path.rpartition('/')[2]]}{'#' if place else ''}{place})"
        if not _leads_out(here, path):
            return link[0]
        name = path.lstrip("./")
        return text if name in text else f"{text} (`{name}`)"

    return LINK.sub(shown, markdown)


def _leads_out(here: PurePosixPath, path: str) -> bool:
    """Whether a relative path from a page's folder goes above `docs/`."""
    depth = len(here.parts)
    for part in PurePosixPath(path).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False
