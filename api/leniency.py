"""What clients assume of any server: HEAD wherever GET is, and the same answer with a slash at the address's end."""

from anyio import CancelScope
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.site import is_page


class Leniency:
    """Hands HEAD on as GET and keeps the body back; takes the slash off an API's address.

    A redirect would do less: behind a proxy it names the wrong scheme, and clients drop their key on the way.
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
    """The pattern of the address that was answered, with the prefix at which its app is mounted."""
    route = getattr(scope.get("route"), "path", None)
    return f"{scope.get('root_path', '')}{route}" if route else None


def _without_slash(path: str) -> str:
    return path if is_page(path) else path.rstrip("/")


async def _head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """What GET answers, without its body. A stream of events, which would go on for long, ends after its headers."""
    with CancelScope() as answering:

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream"):
                    await send({"type": "http.response.body", "body": b""})
                    answering.cancel()
            elif not answering.cancel_called and not message.get("more_body"):
                await send({"type": "http.response.body", "body": b""})

        await app(scope, receive, without_body)
