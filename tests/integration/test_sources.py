"""Where pictures may come from: an upload, or another server."""

import time

import httpx
import pytest
from pydantic import SecretStr

from api.submission import SOURCES
from darkroom.local.ports import free_ports
from jobs import redis_keys
from jobs.errors import StorageUnavailable
from jobs.pictures import PictureStore
from tests.integration.conftest import encoded
from tests.integration.test_events import serving
from tests.receivers import Canary, receiving
from worker.keeper.maintenance import Maintenance


def upload(client, data: bytes) -> tuple[dict, httpx.Response]:
    made = client.post("/v1/uploads")
    assert made.status_code == 201, made.text
    sent = httpx.post(made.json()["url"], data=made.json()["fields"], files={"file": data}, trust_env=False)
    return made.json(), sent


def edit(client, image: str, **headers) -> httpx.Response:
    return client.post("/v1/jobs", json={"image": image, "prompt": "make it sepia"}, headers=headers)


def test_an_uploaded_picture_is_edited(client, jpeg):
    made, sent = upload(client, jpeg)
    assert sent.status_code in (200, 201, 204), sent.text
    job = edit(client, made["image"])
    assert job.status_code == 202, job.text
    assert (job.json()["input"]["width"], job.json()["input"]["height"]) == (96, 64)
    assert edit(client, made["image"]).status_code == 202, "as often as you like"


def test_the_store_itself_refuses_too_many_bytes_and_other_places(client, settings, jpeg, pictures):
    made, sent = upload(client, b"x" * (settings.max_upload_bytes + 1))
    assert sent.status_code in (400, 403, 413), sent.text
    assert edit(client, made["image"]).json()["errors"][0]["field"] == "image"
    for change in ({"key": "_uploads/somebody-else/x"}, {"policy": "e30="}):
        sent = httpx.post(made["url"], data={**made["fields"], **change}, files={"file": jpeg}, trust_env=False)
        assert sent.status_code in (400, 403), sent.text


@pytest.mark.parametrize("name", ["0" * 26, "nonsense", "../" + "0" * 23, ""])
def test_what_was_not_uploaded_cannot_be_edited(client, name):
    answer = edit(client, f"upload:{name}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "image")


def test_a_tenant_has_as_many_uploads_as_are_kept_for_it(settings, apps, store):
    client = apps(settings.model_copy(update={"max_uploads": 3}))
    assert [client.post("/v1/uploads").status_code for _ in range(3)] == [201] * 3
    refused = client.post("/v1/uploads")
    assert (refused.status_code, "At most 3 uploads" in refused.json()["detail"]) == (429, True)
    assert int(refused.headers["Retry-After"]) > 0
    (oldest,) = store.redis.zrange(redis_keys.INVITED + "default", 0, 0)
    store.redis.zincrby(redis_keys.INVITED + "default", -86_400_000, oldest)
    assert client.post("/v1/uploads").status_code == 201


def test_uploads_are_removed_after_a_day(client, jpeg, store, pictures, settings):
    pictures.drop_old_uploads(time.time() + 200_000)
    made, _ = upload(client, jpeg)
    Maintenance(store, pictures, settings).run_once()
    assert edit(client, made["image"]).status_code == 202
    assert pictures.drop_old_uploads(time.time() + 86_000) == 0
    assert pictures.drop_old_uploads(time.time() + 86_500) == 1
    assert edit(client, made["image"]).status_code == 422


def test_a_picture_is_fetched_from_its_address_and_once_for_one_key(settings):
    png = encoded(_picture())
    with receiving(lambda _: (200, {"Content-Type": "text/plain"}, png)) as door:
        allowed = settings.model_copy(update={"fetch_ports": str(door.port), "allow_private_networks": "127.0.0.1/32"})
        with serving(allowed) as http:
            answers = [edit(http, f"{door.url}/a.png", **{"Idempotency-Key": "one"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert len(door.requests) == 1


def test_no_address_of_ours_is_fetched_and_all_refusals_look_alike(settings):
    canary = Canary()
    with receiving(lambda _: (404, {}, b"")) as door:
        allowed = settings.model_copy(
            update={"fetch_ports": f"{canary.port},{door.port}", "allow_private_networks": "127.0.0.1/32"}
        )
        with serving(allowed) as http:
            hosts = ["127.0.0.2", "[::1]", "localhost.", "169.254.169.254", "2130706434", "nowhere.invalid"]
            urls = [f"https://{host}:{canary.port}/" for host in hosts] + [door.url, "https://example.com:22/"]
            answers = [edit(http, url) for url in urls]
    canary.close()
    assert canary.touched == 0
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["type"].endswith("fetch-failed")


def test_a_refusal_of_the_store_keeps_nobody_else_out_and_silence_does(settings):
    wrong = settings.model_copy(update={"s3_secret_access_key": SecretStr("wrong")})
    refused = PictureStore.connect(wrong, timeout=5)
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            refused.read("default/x/input.png")
    refused.refuse_while_away()
    assert not refused.failing
    (port,) = free_ports(1)
    nowhere = settings.model_copy(update={"s3_endpoint_url": f"http://127.0.0.1:{port}"})
    away = PictureStore.connect(nowhere, timeout=1)
    with pytest.raises(StorageUnavailable):
        away.read("default/x/input.png")
    with pytest.raises(StorageUnavailable, match="a moment ago"):
        away.refuse_while_away()


def test_an_unknown_kind_of_source_is_told_all_that_there_are(client):
    answer = edit(client, "ftp://example.com/a.png")
    assert SOURCES in answer.json()["errors"][0]["detail"]


def _picture():
    from PIL import Image

    return Image.new("RGB", (40, 30), "teal")
