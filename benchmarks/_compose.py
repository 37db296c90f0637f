"""Starts the compose file's processes for a benchmark, in production mode with generated secrets, and their client."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from darkroom.local.process import ProcessError
from tests.deploy.compose import Compose, production
from tests.deploy.outside import SERVICES, Outside

SLEEPING = {"EDITORS": "benchmarks._sleeping:load", "SLEEP_SECONDS": "0.4"}
HASTY = SLEEPING | {"SLEEP_SECONDS": "0.1", "WORKER_GRACE_SECONDS": "1"}  #: for `--quick`


@contextmanager
def composed(
    variables: Mapping[str, str], services: str = SERVICES, kind: type[Compose] = Compose
) -> Iterator[Outside]:
    """Start these services and give a client of them. They are stopped and removed at the end.

    `variables` take precedence over those of production mode.
    """
    with tempfile.TemporaryDirectory(prefix="darkroom-compose-") as folder:
        try:
            stack = kind(Path(folder) / "stack", production(Path(folder)) | variables, services)
        except ProcessError as missing:
            raise SystemExit(str(missing)) from None
        with stack:
            yield Outside(stack)
            stack.containers["s3"].kill()  # a clean shutdown would take seconds, and nobody reads its files again
