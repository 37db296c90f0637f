"""The version of Darkroom."""

from importlib import metadata


def version() -> str:
    """The installed version, which is the same for the service and the client."""
    return metadata.version("darkroom-client")
