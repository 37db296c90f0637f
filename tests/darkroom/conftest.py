"""The web tier of these tests runs on from test to test."""

from tests.integration.test_events import server  # noqa: F401 - a fixture
