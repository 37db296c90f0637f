"""The bytes that a visitor loads before the first page appears, compressed as for the oldest browsers: gzip."""

import json
import re

import pytest

from web.build import STATIC

FIRST = ("index.html", "src/app/site.tsx", "src/pages/editor/index.tsx")  # the frame, and the page that is at the front


@pytest.fixture(scope="module")
def manifest() -> dict:
    """Vite's list of the files and their contents, and what each needs."""
    return json.loads((STATIC / ".vite" / "manifest.json").read_text())


def needed(manifest: dict, *names: str) -> set[str]:
    """These modules and all that they import at once, without lazy imports."""
    found = set(names)
    for name in names:
        found |= needed(manifest, *manifest[name].get("imports", ()))
    return found


def kilobytes(manifest: dict, names: set[str], ending: str) -> float:
    files = {file for name in names for file in (manifest[name]["file"], *manifest[name].get("css", ()))}
    return sum((STATIC / f"{file}.gz").stat().st_size for file in files if file.endswith(ending)) / 1000


def test_the_first_page_is_light(manifest):
    first = needed(manifest, *FIRST)
    assert kilobytes(manifest, first, ".js") <= 230
    assert kilobytes(manifest, first, ".css") <= 40


def test_what_is_seen_first_stands_in_the_pages_without_a_script_in_them():
    front, frame = ((STATIC / name).read_text() for name in ("index.html", "frame.html"))
    assert "Say it, and watch" in front
    assert "Say it, and watch" not in frame
    for page in (front, frame):
        assert "Darkroom, to the editor" in page
        assert not re.findall(r"<script(?![^>]*\bsrc=)", page)


@pytest.mark.parametrize("page", ["compare", "gallery", "models", "math", "details", "credentials"])
def test_what_a_page_alone_needs_comes_with_that_page(manifest, page):
    name = f"src/pages/{page}/index.tsx"
    first = needed(manifest, *FIRST)
    assert name not in first
    assert kilobytes(manifest, needed(manifest, name) - first, ".js") <= 150


def test_the_visualizer_and_formulas_wait_until_they_are_needed(manifest):
    loaded = " ".join(needed(manifest, *FIRST))
    assert "katex" not in loaded
    assert "prose" not in loaded
    assert "visualizer" not in loaded
