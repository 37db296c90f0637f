"""What is shown of an edit where a link to its page is pasted: the instruction, and the edited picture."""

from collections.abc import Callable
from html import escape

from redis.exceptions import RedisError

from api.deps import NOBODY_ELSE, Services
from api.views import picture_link
from jobs.job import is_id

PAGE = "/jobs/"  #: and an id: where the site shows an edit


def is_edit(path: str) -> bool:
    """Whether an address is of an edit's page."""
    return path.startswith(PAGE) and is_id(path.removeprefix(PAGE))


def link_previews(services: Services) -> Callable[[str], str]:
    """A function from the path of an edit's page to the tags (Open Graph) that belong into its head.

    Only a service without keys has any: who asks for a preview has no key, and with keys an edit is its tenant's alone.
    """

    def tags(path: str) -> str:
        if services.settings.auth != "off":
            return ""
        try:
            job = services.store.get(path.removeprefix(PAGE), NOBODY_ELSE.tenant)
        except RedisError:  # the page itself needs none
            return ""
        if job is None:
            return ""
        facts = {"og:title": job.params.get("prompt", ""), "og:type": "website", "og:site_name": "Darkroom"}
        if job.output:
            size = {"og:image:width": job.output.width, "og:image:height": job.output.height}
            facts |= {"og:image": picture_link(job, job.output, services)} | size
        return "".join(f'<meta property="{name}" content="{escape(str(value))}">' for name, value in facts.items())

    return tags
