"""Conditional requests (RFC 9110, section 13.1.2)."""

import re

TAG = re.compile(r'(?:W/)?("[^"]*")')


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client already has this version. The comparison is weak, because proxies that compress write `W/`."""
    given = (if_none_match or "").strip()
    return given == "*" or etag.removeprefix("W/") in TAG.findall(given)
