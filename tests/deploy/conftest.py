"""The web app over the real parts, as the integration tests have it."""

from tests.integration.conftest import apps, client, encoded, jpeg

__all__ = ["apps", "client", "encoded", "jpeg"]
