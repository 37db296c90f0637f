"""Which version of Darkroom this is."""

from importlib import metadata


def version() -> str:
    """The version of what is installed, the service and its client alike."""
    return metadata.version("darkroom-client")
