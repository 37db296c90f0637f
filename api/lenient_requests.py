"""Accepts requests that clients expect of any server: HEAD for every GET, and paths with a trailing slash."""

from anyio import CancelScope
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.site import is_page


class Leniency:
    """Passes HEAD on as GET and drops the body. Removes a trailing slash from a path of the API.

    It does not redirect, because behind a proxy a redirect has the wrong scheme, and clients drop their key.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        meant = {**scope, "path": _without_slash(scope["path"])}
        try:
            if scope["method"] == "HEAD":
                meant["method"] = "GET"
                await _head(self.app, meant, receive, send)
            else:
                await self.app(meant, receive, send)
        finally:
            scope.update({name: meant[name] for name in ("route", "root_path") if name in meant})


def route_of(scope: Scope) -> str | None:
    """The path pattern of the route that answered, with the prefix of its mounted app."""
    route = getattr(scope.get("route"), "path", None)
    return f"{scope.get('root_path', '')}{route}" if route else None


def _without_slash(path: str) -> str:
    return path if is_page(path) else path.rstrip("/")


async def _head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer of GET without its body. A stream of events is ended after its headers."""
    with CancelScope() as answering:

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream"):
                    answering.cancel()
            elif not answering.cancel_called and not message.get("more_body"):
                await send({"type": "http.response.body", "body": b""})

        await app(scope, receive, without_body)
    if answering.cancel_called:  # comes last, so that the next request of the client can use the slot of the stream
        await send({"type": "http.response.body", "body": b""})
