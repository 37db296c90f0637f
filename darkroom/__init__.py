"""What people type and import: the client library, the command line and the local stack."""

__version__ = "0.1.0"
