"""Logging, as text or as JSON, with the ids of the request, the job and the tenant that a line is about."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

TEXT = "%(asctime)s %(name)s: %(message)s"
FIELDS = ("asctime", "levelname", "name", "message")
NAMES = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "traceback"}
TIME = "%Y-%m-%dT%H:%M:%S%z"
OF_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")  # which has handlers of its own

_subject: ContextVar[dict[str, str] | None] = ContextVar("subject", default=None)


@contextmanager
def about(**ids: str | None) -> Iterator[None]:
    """Add these ids to all lines that are logged in this block."""
    token = _subject.set({**subject(), **{name: value for name, value in ids.items() if value}})
    try:
        yield
    finally:
        _subject.reset(token)


def note(**ids: str) -> None:
    """Add these ids, too, until the surrounding `about` ends, in any of its threads."""
    known = _subject.get()
    if known is not None:
        known.update(ids)


def subject() -> Mapping[str, str]:
    """The ids that lines have now."""
    return _subject.get() or {}


def set_up(form: str) -> None:
    """Log to standard error: `text`, or `json`, one object a line. Does nothing where logging is set up already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    handler.addFilter(_name_subject)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in OF_UVICORN:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for chatty in ("uvicorn.access", "celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """The formatter of such lines."""
    return JsonFormatter(FIELDS, rename_fields=NAMES, datefmt=TIME) if form == "json" else logging.Formatter(TEXT)


def _name_subject(record: logging.LogRecord) -> bool:
    record.__dict__.update(subject())
    return True
