"""The preview of a link to an edit's page: the instruction and the edited picture."""

from collections.abc import Callable
from html import escape

from redis.exceptions import RedisError

from api.deps import NOBODY_ELSE, Services
from api.views import picture_link
from jobs.job import is_id

PAGE = "/jobs/"  #: followed by an id, the path of an edit's page


def is_edit(path: str) -> bool:
    """Whether a path is that of an edit's page."""
    return path.startswith(PAGE) and is_id(path.removeprefix(PAGE))


def link_previews(services: Services) -> Callable[[str], str]:
    """Returns a function from the path of an edit's page to the Open Graph tags for its head.

    There are tags only if API keys are off, because a client that asks for a preview has no key.
    """

    def tags(path: str) -> str:
        if services.settings.auth != "off":
            return ""
        try:
            job = services.store.get(path.removeprefix(PAGE), NOBODY_ELSE.tenant)
        except RedisError:  # the page works without them
            return ""
        if job is None:
            return ""
        facts = {"og:title": job.params.get("prompt", ""), "og:type": "website", "og:site_name": "Darkroom"}
        if job.output:
            size = {"og:image:width": job.output.width, "og:image:height": job.output.height}
            facts |= {"og:image": picture_link(job, job.output, services)} | size
        return "".join(f'<meta property="{name}" content="{escape(str(value))}">' for name, value in facts.items())

    return tags
