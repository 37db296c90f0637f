"""How a built site is served, and that it does not disturb the API."""

import base64
import gzip
import hashlib
import io
import re
from html import unescape
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from api.link_previews import link_previews
from api.site import Site
from tests.integration.conftest import submit
from worker.run import run_next

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SCRIPT = b"console.log('develop');" * 400


class Unchanged:
    """Returns the photo itself."""

    def edit(self, photo: Image.Image, prompt: str, *, on_step: Any, **params: Any) -> Image.Image:
        return photo.convert("RGB")

    def receipt(self) -> dict[str, str]:
        return {"checkpoint": "none"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder as the site's build leaves it."""
    folder = tmp_path_factory.mktemp("built")
    files = {
        "index.html": b"<!doctype html><title>Darkroom</title>",
        "frame.html": b"<!doctype html><head><title>Darkroom</title></head><p>Any other page",
        "docs/index.html": b"<!doctype html><title>Documentation</title><script>let a = 1</script>",
        "docs/404.html": b"<!doctype html><title>No such page</title>",
        "docs/try/index.html": b"<!doctype html><title>The API</title>",
        "robots.txt": b"User-agent: *",
        "assets/app-1a2b.js": SCRIPT,
        "assets/app-1a2b.js.gz": gzip.compress(SCRIPT),
        "assets/app-1a2b.js.br": b"as if by brotli",
        ".stamp": b"made from these sources",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def site(settings, built, apps):
    client = apps(settings)
    client.app.router.default = Site(client.app.router.not_found, built)
    return client


@pytest.mark.parametrize("path", ["/", "/math", "/jobs/01JD0000000000000000000000", "/no/such/page"])
def test_every_page_is_of_the_one_site_and_asked_for_anew(site, path):
    answer = site.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Darkroom" in answer.text
    assert ("Any other page" in answer.text) == (path != "/")
    assert answer.headers["cache-control"] == "no-cache"
    again = site.get(path, headers=BROWSER | {"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_browser_runs_only_scripts_of_ours(site):
    policy = dict(rule.split(" ", 1) for rule in site.get("/").headers["content-security-policy"].split("; "))
    assert policy["script-src"] == "'self'"
    assert {policy[name] for name in ("default-src", "base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert not [source for source in policy.values() if "http" in source or "*" in source]
    assert site.get("/").headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1", "/healthz/x", "/metrics/x", "/openapi.json/x", "/assets/gone.js"]
)
def test_what_is_no_page_stays_a_problem_document(site, path):
    answer = site.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_the_api_keeps_its_addresses_and_its_errors(site, jpeg):
    job = submit(site, jpeg)
    assert site.get(job["urls"]["self"], headers=BROWSER).json()["id"] == job["id"]
    assert site.get("/openapi.json", headers=BROWSER).json()["openapi"]
    assert site.get("/healthz", headers=BROWSER).json() == {"status": "ok"}
    assert site.post("/", headers=BROWSER).status_code == 404
    assert site.put("/v1/jobs", headers=BROWSER).status_code == 405


def tags(page: str) -> dict[str, str]:
    return {name: unescape(value) for name, value in re.findall(r'<meta property="([^"]+)" content="([^"]*)">', page)}


def test_a_link_to_an_edit_is_shown_with_its_picture_where_it_is_pasted(apps, settings, built, jpeg, context):
    client = apps(settings)
    client.app.router.default = Site(client.app.router.not_found, built, link_previews(client.app.state.services))
    prompt = 'make it "night" <&>'
    job = submit(client, jpeg, prompt=prompt)
    link = f"/jobs/{job['id']}"
    assert tags(client.get(link, headers=BROWSER).text)["og:title"] == prompt
    run_next(context(Unchanged()))
    page = client.get(link)  # with whatever a program accepts
    assert "Any other page" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    told = tags(page.text)
    picture = httpx.get(told["og:image"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(picture.content)).size == (int(told["og:image:width"]), int(told["og:image:height"]))
    assert tags(client.get("/jobs/" + "0" * 26).text) == {}


def test_where_keys_are_asked_for_a_link_tells_nothing(apps, settings, built, jpeg):
    client = apps(settings)
    job = submit(client, jpeg, prompt="make it night")
    keys = {"auth": "on", "admin_key": SecretStr("an admin key of 32 letters or so")}
    locked = apps(settings.model_copy(update=keys))
    locked.app.router.default = Site(locked.app.router.not_found, built, link_previews(locked.app.state.services))
    page = locked.get(f"/jobs/{job['id']}", headers=BROWSER)
    assert (page.status_code, tags(page.text)) == (200, {})


@pytest.mark.parametrize("path", ["/no/such/page", "/photo.jpg", "/../api/main.py", "/.stamp", "/index.html.gz"])
def test_a_program_or_a_file_that_is_not_there_gets_a_404(site, path):
    assert site.get(path).status_code == 404


def test_files_with_a_hash_in_their_name_are_kept_for_ever_and_travel_compressed(site):
    def asking_for(encodings: str):
        return site.get("/assets/app-1a2b.js", headers={"Accept-Encoding": encodings})

    plain, packed = asking_for("identity"), asking_for("gzip, deflate")
    assert plain.content == packed.content == SCRIPT
    assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["content-type"].startswith("text/javascript")
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(SCRIPT) / 10
    assert "Accept-Encoding" in packed.headers["vary"]
    with site.stream("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip, br"}) as best:
        assert best.headers["content-encoding"] == "br"


def test_robots_are_told(site):
    assert site.get("/robots.txt").text.startswith("User-agent")


def test_a_page_of_the_documentation_is_a_folder_and_its_own_scripts_run(site):
    """Its links are relative, so the address ends in a slash."""
    answer = site.get("/docs", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs/")
    assert "The API" in site.get("/docs/try/").text
    page = site.get("/docs/")
    allowed = base64.b64encode(hashlib.sha256(b"let a = 1").digest()).decode()
    assert f"script-src 'self' 'sha256-{allowed}';" in page.headers["content-security-policy"]
    lost = site.get("/docs/no/such/page", headers=BROWSER)
    assert (lost.status_code, "No such page" in lost.text) == (404, True)


def test_a_long_list_is_compressed_and_a_stream_of_events_never(site, jpeg):
    jobs = [submit(site, jpeg) for _ in range(3)]
    assert site.get("/v1/jobs").headers["content-encoding"] == "gzip"
    assert site.post(f"/v1/jobs/{jobs[0]['id']}/cancel").json()["status"] == "canceled"
    with site.stream("GET", f"/v1/jobs/{jobs[0]['id']}/events") as stream:
        assert "content-encoding" not in stream.headers
        assert "event: done" in stream.read().decode()


def test_without_a_site_the_api_works_and_the_address_says_what_is_missing(client, jpeg, tmp_path):
    client.app.router.default = Site(client.app.router.not_found, tmp_path / "nothing")
    answer = client.get("/", headers=BROWSER)
    assert answer.status_code == 404
    assert "without its site" in answer.text
    assert submit(client, jpeg)["status"] == "queued"
