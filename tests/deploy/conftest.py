"""The web app over the real parts, as the integration tests have it."""

from tests.integration.conftest import client, encoded, jpeg

__all__ = ["client", "encoded", "jpeg"]
