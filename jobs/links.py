"""Links to one job that work without an API key until they expire.

A browser's EventSource, an <img>, and some clients of other services send no `Authorization`. The signing key is
derived from the picture store's secret, which every process has and which already opens all pictures.
"""

import base64
import hashlib
import hmac
import re
import time

from jobs.settings import Settings

STEP_SECONDS = 3600  #: links that are made within one step are equal, so that a picture's address can be cached

ACCESS = re.compile(r"(?P<tenant>[a-z0-9-]{1,40})\.(?P<ends>\d{1,12})\.[A-Za-z0-9_-]{43}", re.ASCII)


class Links:
    """Makes and checks the `access` text of links."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.s3_secret_access_key.get_secret_value().encode()
        self._key = hmac.digest(secret, b"links to jobs", hashlib.sha256)

    def access(self, tenant: str, job_id: str) -> str:
        """The text that makes a link to this job valid for one to two steps from now."""
        return self._signed(tenant, job_id, (int(time.time()) // STEP_SECONDS + 2) * STEP_SECONDS)

    def tenant(self, access: str, job_id: str) -> str | None:
        """The tenant whose job a link opens; None: it is for another job, or has expired."""
        read = ACCESS.fullmatch(access)
        if not read or int(read["ends"]) < time.time():
            return None
        right = self._signed(read["tenant"], job_id, int(read["ends"]))
        return read["tenant"] if hmac.compare_digest(access, right) else None

    def _signed(self, tenant: str, job_id: str, ends: int) -> str:
        signature = hmac.digest(self._key, f"{tenant}\n{job_id}\n{ends}".encode(), hashlib.sha256)
        return f"{tenant}.{ends}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
