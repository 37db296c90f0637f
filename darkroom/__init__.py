"""The client of Darkroom, a service that edits photos by instruction.

from darkroom import Client

with Client() as client:
    client.edit("photo.jpg", "make it a pencil sketch", output="sketch.png")
"""

from typing import TYPE_CHECKING, Any

from darkroom.version import __version__

if TYPE_CHECKING:
    from darkroom.client import AsyncClient, Client
    from darkroom.errors import DarkroomError

__all__ = ["AsyncClient", "Client", "DarkroomError", "__version__"]


def __getattr__(name: str) -> Any:
    """Load the client when it is first asked for: httpx takes most of a second where its own command line is found."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from darkroom import client, errors

    return getattr(errors if name == "DarkroomError" else client, name)
