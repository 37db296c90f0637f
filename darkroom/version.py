"""The version, here alone: of the client, and of the service that is installed with it."""

__version__ = "0.2.0"
