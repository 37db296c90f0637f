"""Other kinds of S3: a shared bucket, addresses with the bucket in the host name, encryption, and roles."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from jobs.pictures import PictureStore
from jobs.settings import Settings
from tests.integration.conftest import calling, submit
from worker.keeper.maintenance import Maintenance

THEIRS = "theirs/report.csv"
THEIR_RULE = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "theirs/"}, "Expiration": {"Days": 400}}


def connected(settings: Settings) -> PictureStore:
    return PictureStore.connect(settings, timeout=5)


@pytest.fixture
def shared(settings, pictures) -> Iterator[Settings]:
    """A bucket with a foreign object and rule. Our objects are below a prefix."""
    pictures._s3.put_object(Bucket=pictures.bucket, Key=THEIRS, Body=b"1,2")
    set_rules(pictures, [THEIR_RULE])
    yield settings.model_copy(update={"s3_prefix": "/team/darkroom/"})
    pictures._s3.delete_bucket_lifecycle(Bucket=pictures.bucket)
    pictures.delete(THEIRS)


def set_rules(pictures: PictureStore, rules: list[Any]) -> None:
    pictures._s3.put_bucket_lifecycle_configuration(Bucket=pictures.bucket, LifecycleConfiguration={"Rules": rules})


def rules_of(pictures: PictureStore) -> dict[str, Any]:
    found = pictures._s3.get_bucket_lifecycle_configuration(Bucket=pictures.bucket)["Rules"]
    return {rule["ID"]: rule for rule in found}


def keys_of(pictures: PictureStore) -> set[str]:
    pages = pictures._s3.get_paginator("list_objects_v2").paginate(Bucket=pictures.bucket)
    return {entry["Key"] for page in pages for entry in page.get("Contents", ())}


def test_a_job_in_a_shared_bucket_lives_below_its_prefix_and_touches_nothing_else(shared, pictures, store, jpeg):
    ours = connected(shared)
    before = keys_of(pictures)
    with calling(shared) as client:
        made = submit(client, jpeg)
        job = store.claim("w", lease_seconds=30, token="1", slots=1)
        assert ours.read_picture(job.input)
        store.finish(job, ours.put_result(job, jpeg, "image/jpeg", (96, 64)), {"run_ms": 1}, {})
        answer = client.get(f"/v1/jobs/{made['id']}").json()
        assert f"/team/darkroom/{job.folder}/" in answer["output"]["url"]
        assert [folder.path for folder in ours.folders()] == [job.folder]
        new = keys_of(pictures) - before
        assert new
        assert all(key.startswith(f"team/darkroom/{job.folder}/") for key in new)
        assert client.delete(f"/v1/jobs/{made['id']}").status_code == 204
    house = Maintenance(store, ours, shared)
    house.empty_trash()
    house.sweep(stale=0, orphaned=0)
    assert {key for key in keys_of(pictures) if "/_darkroom/" not in key} == before


def test_our_rule_is_for_our_prefix_and_others_rules_stay(shared, pictures, store):
    house = Maintenance(store, connected(shared), shared)
    for _ in range(2):
        house.limit_age()
        rules = rules_of(pictures)
        assert rules["theirs"]["Expiration"] == THEIR_RULE["Expiration"]
        assert rules["darkroom"]["Filter"]["Prefix"] == "team/darkroom/"
        assert set(rules) == {"theirs", "darkroom"}


def test_without_a_prefix_others_rules_stay_and_the_log_says_what_to_do(shared, settings, pictures, store, caplog):
    with caplog.at_level(logging.WARNING):
        Maintenance(store, pictures, settings).limit_age()
    assert set(rules_of(pictures)) == {"theirs"}
    assert "S3_PREFIX" in caplog.text


def test_a_step_that_may_not_be_done_is_not_tried_every_second(settings, pictures, store, monkeypatch):
    tries = []
    monkeypatch.setattr(Maintenance, "limit_age", lambda _: tries.append(1) or 1 / 0)
    house = Maintenance(store, pictures, settings)
    monkeypatch.setattr(Maintenance.limit_age, "__name__", "limit_age")
    for _ in range(5):
        house.run_once()
    assert tries == [1]


def test_a_virtual_host_has_the_buckets_name(settings):
    changed = {"s3_addressing": "virtual", "s3_endpoint_url": "https://s3.example.com", "s3_bucket": "photos"}
    link = connected(settings.model_copy(update=changed)).link(
        "default/1/output.png", filename="a.png", content_type="image/png", seconds=60
    )
    assert link.startswith("https://photos.s3.example.com/default/1/output.png?")


@pytest.mark.parametrize("kms", ["", "alias/darkroom"])
def test_each_write_asks_for_the_encryption_that_is_configured(settings, kms):
    asked: list[dict[str, str]] = []
    changed = {"s3_encryption": "aws:kms", "s3_kms_key": kms}
    pictures = connected(settings.model_copy(update=changed))
    pictures.events.register("before-call.s3.PutObject", lambda params, **_: asked.append(dict(params["headers"])))
    pictures.events.register("before-call.s3.PutObject", lambda **_: (Answer(), {}))
    pictures._put("default/1/input.png", b"x", "image/png")
    upload = pictures.presign_upload("default", "1", most_bytes=9, seconds=60)
    for told in (asked[0], upload.fields):
        lower = {name.lower(): value for name, value in told.items()}
        assert lower["x-amz-server-side-encryption"] == "aws:kms"
        assert lower.get("x-amz-server-side-encryption-aws-kms-key-id", "") == kms


class Answer:
    """The answer of a storage that accepted an object."""

    status_code = 200


def test_a_role_in_place_of_a_key_is_found_as_boto3_finds_it(settings, monkeypatch):
    """boto3 asks a local address for the role of a pod or task."""
    told = {
        "AccessKeyId": settings.s3_access_key_id,
        "SecretAccessKey": settings.s3_secret_access_key.get_secret_value(),
        "Token": "",
        "Expiration": "2099-01-01T00:00:00Z",
    }

    class Role(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), Role) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{server.server_port}/")
        no_key = {"s3_credentials": "chain", "s3_access_key_id": "wrong"}
        connected(settings.model_copy(update=no_key)).ping()
        server.shutdown()


def test_production_with_a_role_needs_no_secret():
    given = {"redis_url": "redis://:p@h/0", "auth": "on", "darkroom_mode": "production"}
    Settings(_env_file=None, s3_credentials="chain", **given)
    with pytest.raises(ValueError, match="S3_SECRET_ACCESS_KEY"):
        Settings(_env_file=None, **given)
