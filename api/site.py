"""Serves the site that `web/build.py` has built into `api/static`, on all paths without a route of the API."""

import base64
import hashlib
import mimetypes
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.conditions import is_known
from api.link_previews import is_edit

STATIC = Path(__file__).parent / "static"
DIALECTS = ("/openai", "/replicate")
NOT_PAGES = ("/v1", *DIALECTS, "/healthz", "/readyz", "/metrics", "/openapi.json", "/assets", "/.well-known")
BOOK = "/docs"  #: the documentation; its folder `try` has the page for trying the API
ENCODINGS = {"br": ".br", "gzip": ".gz"}  #: and the suffixes of the compressed files, the smallest files first

# Everything is our own. Styles may stand in the page because the component library writes its theme's variables and
# the widths at which a layout changes into <style> elements, whose text is known only in the browser.
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; "
    "font-src 'self'; img-src 'self' blob: data:; manifest-src 'self'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'"
)
INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
FOREVER = "public, max-age=31536000, immutable"
ASK_FIRST = "no-cache"

NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Darkroom</title>
<h1>Darkroom runs, without its site</h1>
<p>The site was not built into this installation. The API works without it, and
<a href="/openapi.json">describes itself</a>. In a checkout, <code>./dev run</code> builds the site; it needs the
npm registry the first time.</p>"""


class Site:
    """Serves the built files, the front page, and the frame of the site on every other path of a page.

    The files are read once, so that a new build cannot mix with the old one of a running service. Other paths go to
    `otherwise`. `previews` returns the tags for the head of an edit's page.
    """

    def __init__(self, otherwise: ASGIApp, folder: Path = STATIC, previews: Callable[[str], str] | None = None) -> None:
        self.otherwise = otherwise
        self.folder = folder
        self.previews = previews

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope["path"], Headers(scope=scope)) if _only_reads(scope) else None
        if answer and self.previews and is_edit(scope["path"]) and answer.status_code == 200:
            answer = self._previewed(answer, await run_in_threadpool(self.previews, scope["path"]))
        await (answer or self.otherwise)(scope, receive, send)

    def _previewed(self, page: Response, tags: str) -> Response:
        """An edit's page with these tags in its head."""
        if not tags:
            return page
        whole = self.files["/frame.html"].replace(b"<head>", b"<head>" + tags.encode(), 1)
        kept = {name: page.headers[name] for name in ("cache-control", "content-security-policy", "vary")}
        return Response(whole, 200, kept, media_type="text/html")

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The content of every built file by its path in the address."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        shown = [path for path in found if not any(part.startswith(".") for part in path.parts)]
        return {f"/{path.as_posix()}": (self.folder / path).read_bytes() for path in shown}

    @cached_property
    def etags(self) -> dict[str, str]:
        return {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"' for name, content in self.files.items()}

    def _answer(self, path: str, headers: Headers) -> Response | None:
        if path in self.files and not path.endswith((*ENCODINGS.values(), ".html")):
            return self._file(path, headers)
        if path == BOOK or path.startswith(f"{BOOK}/"):
            return self._of_book(path, headers)
        page = _page(path, headers)
        if page is None:
            return None
        if page in self.files:
            return self._file(page, headers)
        return HTMLResponse(NOT_BUILT, 404)

    def _of_book(self, path: str, headers: Headers) -> Response | None:
        """A page of the documentation. Each is the index of a folder, because its links are relative to that folder."""
        folder = path.rstrip("/")
        if f"{folder}/index.html" in self.files:
            return self._file(f"{folder}/index.html", headers) if path.endswith("/") else RedirectResponse(f"{path}/")
        lost = self.files.get(f"{BOOK}/404.html")
        return HTMLResponse(lost, 404, {"content-security-policy": policy(lost)}) if lost else None

    def _file(self, name: str, headers: Headers) -> Response:
        told = {
            "cache-control": FOREVER if name.startswith("/assets/") else ASK_FIRST,
            "content-security-policy": policy(self.files[name]) if name.startswith(f"{BOOK}/") else POLICY,
            "etag": self.etags[name],
            "vary": "Accept, Accept-Encoding",
        }
        if is_known(told["etag"], headers.get("if-none-match")):
            return Response(None, 304, told)
        accepted = headers.get("accept-encoding", "")
        for encoding, ending in ENCODINGS.items():
            if encoding in accepted and name + ending in self.files:
                told |= {"content-encoding": encoding, "etag": f"W/{told['etag']}"}
                name += ending
                break
        kind = mimetypes.guess_type(name.removesuffix(".br").removesuffix(".gz"))[0]
        return Response(self.files[name], 200, told, media_type=kind or "application/octet-stream")


def policy(page: bytes) -> str:
    """The security policy of a page of the documentation. It allows the few inline scripts of the page."""
    digests = (hashlib.sha256(script).digest() for script in INLINE_SCRIPT.findall(page))
    hashes = (f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return POLICY.replace("script-src 'self'", " ".join(["script-src 'self'", *hashes]))


def _only_reads(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")


def is_page(path: str) -> bool:
    """Whether a path may belong to the site, not to the API."""
    return not any(path == taken or path.startswith(taken + "/") for taken in NOT_PAGES)


def _page(path: str, headers: Headers) -> str | None:
    """The file of the page on this path. None: it cannot be a page, or the client is not a browser."""
    if path == "/":
        return "/index.html"
    if not is_page(path):
        return None
    accepted = headers.get("accept", "*/*")
    if is_edit(path) and "*/*" in accepted:  # programs that make previews of links accept */*
        return "/frame.html"
    if "." in path.rsplit("/", 1)[-1] or "text/html" not in accepted:
        return None
    return "/frame.html"
