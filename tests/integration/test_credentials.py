"""Content credentials from submission to output, on the real servers, read by the public reader."""

import io
import random
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from darkroom.local.authority import Authority
from jobs.api_keys import ApiKeys, Scope
from jobs.job import Status
from jobs.provenance import pixels_sha256
from jobs.settings import Settings
from jobs.store import JobStore
from tests.certificates import authority_in, camera_photo, elsewhere, photo_with_exif, picture, read
from tests.conftest import ROOT
from tests.editors import Obedient
from tests.integration.conftest import encoded, submit
from tests.waiting import until
from tests.web_tier import as_environment
from worker.credentials import Edit, OutputSigner
from worker.leases import Leases
from worker.renders import Renderer
from worker.run import WorkerContext, run_next

IN_EXIF = [b"GPS-DATE-IN-EXIF", b"SERIAL-IN-EXIF", b"MAKER-IN-EXIF", b"COMMENT-IN-JPEG"]
IN_MANIFEST = [b"GPS-IN-EXIF", b"GPS-OF-VENDOR", b"SERIAL-IN-METADATA", b"\xff\xd8\xff"]  # the last begins a thumbnail


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def camera(tmp_path_factory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("camera"))


@pytest.fixture
def signing(settings, ours) -> Settings:
    return settings.model_copy(update=Settings(_env_file=None, **lower(ours.settings)).model_dump(include=set(NAMES)))


NAMES = ("credentials_cert", "credentials_key", "credentials_trust")


def lower(given: dict[str, str]) -> dict[str, Any]:
    return {name.lower(): value for name, value in given.items()}


@pytest.fixture
def context(store, pictures, signing) -> Callable[..., WorkerContext]:
    def make(**changes: Any) -> WorkerContext:
        leases = Leases(store, "w", {"slots": 1, "checkpoint": {}}, lease_seconds=30, engine_worked_at=lambda: 0.0)
        changes.setdefault("signer", OutputSigner(signing))
        return WorkerContext(store, pictures, leases, {"pix2pix-full": Obedient()}, 30, **changes)

    return make


@pytest.fixture
def client(signing, apps) -> TestClient:
    return apps(signing)


def edit(client: TestClient, context: WorkerContext, image: Any, **fields: Any) -> tuple[dict, bytes]:
    """A finished job and its output."""
    job = submit(client, image, **{"steps": "2", **fields})
    run_next(context)
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert done["status"] == "succeeded", done
    return done, client.get(f"/v1/jobs/{job['id']}/output", params={"proxy": True}).content


def again(client: TestClient, context: WorkerContext, job: dict, **fields: Any) -> tuple[dict, bytes]:
    """Edit the output of a job."""
    asked = {"image": f"job:{job['id']}", "prompt": "make it sepia", "steps": 2, **fields}
    answer = client.post("/v1/jobs", json=asked)
    assert answer.status_code == 202, answer.text
    run_next(context)
    done = client.get(f"/v1/jobs/{answer.json()['id']}").json()
    return done, client.get(f"/v1/jobs/{done['id']}/output", params={"proxy": True}).content


def chain(reader: Any) -> list[str]:
    """The makers of the manifests, from the newest to the oldest."""
    manifest, found = reader.get_active_manifest(), []
    while manifest:
        found.append(manifest["claim_generator_info"][0]["name"])
        parents = [one.get("active_manifest") for one in manifest.get("ingredients", [])]
        manifest = reader.get_manifest(parents[0]) if parents and parents[0] else None
    return found


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_an_output_is_signed_and_its_receipt_tells_its_pixels(client, context, ours, kind):
    job, output = edit(client, context(), picture("PNG"), format=kind)
    reader = read(output, f"image/{kind}", ours)
    assert (reader.get_validation_state(), chain(reader)) == ("Trusted", ["Darkroom"])
    assert job["receipt"]["pixels_sha256"] == pixels_sha256(Image.open(io.BytesIO(output)))
    assert job["receipt"]["signed_by"] == reader.get_active_manifest()["signature_info"]["issuer"]
    assert job["id"].encode() in output
    assert job["output"]["bytes"] == len(output)


def test_the_same_seed_makes_the_same_pixels_and_another_file(client, context):
    jobs = [edit(client, context(), picture("PNG"), seed=7)[0] for _ in range(2)]
    assert len({job["receipt"]["pixels_sha256"] for job in jobs}) == 1
    assert len({job["output"]["sha256"] for job in jobs}) == 2


def test_a_signed_photo_that_is_edited_twice_shows_a_chain_of_three(client, context, ours, camera):
    first, _ = edit(client, context(), camera_photo(camera))
    _, output = again(client, context(), first, format="jpeg")
    reader = read(output, "image/jpeg", ours)
    assert (reader.get_validation_state(), chain(reader)) == ("Trusted", ["Darkroom", "Darkroom", "A camera"])


def test_a_render_is_signed_and_tells_its_strength(client, context, ours, camera):
    """Its parent is the photo, not the output."""
    working = context()
    job, _ = edit(client, working, camera_photo(camera))
    renderer = threading.Thread(target=Renderer(working).make_next, args=(20,))
    renderer.start()
    render = client.post(f"/v1/jobs/{job['id']}/render", json={"strength": 0.5}).json()
    renderer.join()
    data = client.get(render["path"], params={"proxy": True}).content
    reader = read(data, "image/png", ours)
    assert (reader.get_validation_state(), chain(reader)) == ("Trusted", ["Darkroom", "A camera"])
    assert b"org.darkroom.strength" in data
    assert render["receipt"]["signed_by"] == job["receipt"]["signed_by"]


def test_a_retry_carries_the_photos_credentials_on(client, context, store, camera):
    job = submit(client, camera_photo(camera))
    client.post(f"/v1/jobs/{job['id']}/cancel")
    retried = client.post(f"/v1/jobs/{job['id']}/retry").json()
    run_next(context())
    output = client.get(f"/v1/jobs/{retried['id']}/output", params={"proxy": True}).content
    assert chain(read(output, "image/png")) == ["Darkroom", "A camera"]


@pytest.mark.parametrize("signed", [True, False])
def test_nothing_private_of_the_photo_is_in_its_edit(client, context, camera, signed):
    photo = camera_photo(camera) if signed else photo_with_exif()
    private = IN_EXIF + (IN_MANIFEST if signed else [])
    assert [word for word in private if word not in photo] == []
    _, output = edit(client, context(), ("holiday.jpg", photo), prompt="SECRET-WISH")
    assert [word for word in [*private, b"holiday.jpg", b"SECRET-WISH"] if word in output] == []


def test_a_photo_that_was_changed_after_it_was_signed_says_so_in_its_edit(client, context, ours, camera):
    photo = bytearray(camera_photo(camera))
    photo[-1000] ^= 1  # a pixel
    _, output = edit(client, context(), bytes(photo))
    reader = read(output, "image/png", ours)
    (parent,) = reader.get_active_manifest()["ingredients"]
    wrong = {one["code"] for one in parent["validation_results"]["activeManifest"]["failure"]}
    assert "assertion.dataHash.mismatch" in wrong
    assert reader.get_validation_state() == "Trusted"  # the edit itself is as we made it


def test_what_is_broken_in_a_photos_credentials_costs_the_credentials_alone(client, context, ours, camera):
    photo = camera_photo(camera)
    at = photo.index(b"c2pa.claim")
    _, output = edit(client, context(), photo[:at] + b"\xff" * 40 + photo[at + 40 :])
    assert chain(read(output, "image/png", ours)) == ["Darkroom"]


@pytest.mark.parametrize(("must_sign", "status"), [(True, "queued"), (False, "succeeded")])
def test_an_output_that_cannot_be_signed_leaves_unsigned_only_where_it_may(
    client, context, signing, ours, store, tmp_path, must_sign, status
):
    once = tmp_path / "signs-once"
    once.touch()
    command = f'sh -c "rm {once} && openssl dgst -sha256 -sign {ours.key}"'
    signer = OutputSigner(signing.model_copy(update={"credentials_key": None, "credentials_command": command}))
    job = submit(client, picture("PNG"), steps="2")
    run_next(context(signer=signer, must_sign=must_sign))
    done = store.get(job["id"], "default")
    assert done.status == status
    assert done.attempts[-1]["outcome"] == ("not-signed" if must_sign else "succeeded")
    if done.output:
        assert done.receipt["signed_by"] is None
        assert [one["code"] for one in done.warnings] == ["not-signed"]


def test_who_must_sign_fails_a_job_that_never_can_be(client, context, signer_of_nothing, store):
    job = submit(client, picture("PNG"), steps="2")
    for attempt in range(3):
        if attempt:
            assert store.redis.zadd("dk:delayed", {job["id"]: 0}, xx=True, ch=True) == 1, (
                "it waits, and need not any more"
            )
        run_next(context(signer=signer_of_nothing, must_sign=True))
    done = store.get(job["id"], "default")
    assert (done.status, done.output) == (Status.FAILED, None)


@pytest.fixture
def signer_of_nothing(signing) -> OutputSigner:
    signer = OutputSigner(signing)
    signer.expires = signer.expires.replace(year=2000)
    return signer


DIES = """
import os, sys
from jobs.pictures import PictureStore
from jobs.settings import Settings
from jobs.store import JobStore
from tests.editors import Obedient
from worker.credentials import load_signer
from worker.leases import Leases
from worker.run import WorkerContext, run_next

settings = Settings()
store = JobStore.connect(settings.redis_url, timeout=5)
pictures = PictureStore.connect(settings, timeout=5)
pictures.events.register("before-call.s3.PutObject", lambda **_: os._exit(137))
leases = Leases(store, "dies", {"slots": 1, "checkpoint": {}}, lease_seconds=1, engine_worked_at=lambda: 0.0)
run_next(WorkerContext(store, pictures, leases, {"pix2pix-full": Obedient()}, 1, signer=load_signer(settings)))
"""


def test_a_worker_that_dies_between_signing_and_storing_loses_nothing(client, context, signing, store, ours, tmp_path):
    job = submit(client, picture("PNG"), steps="2")
    environment = as_environment(signing)
    ended = subprocess.run([sys.executable, "-c", DIES], env=environment, cwd=ROOT, timeout=60)
    assert ended.returncode == 137
    until(lambda: store.reclaim(3) or store.get(job["id"], "default").status == "queued", 10, "it is taken back")
    until(lambda: run_next(context()), 10, "it is claimed again")
    output = client.get(f"/v1/jobs/{job['id']}/output", params={"proxy": True}).content
    assert read(output, "image/png", ours).get_validation_state() == "Trusted"
    assert [one["outcome"] for one in store.get(job["id"], "default").attempts] == ["crashed", "succeeded"]


def test_without_a_certificate_outputs_are_as_they_were(client, context):
    job, output = edit(client, context(signer=None), picture("PNG"))
    assert b"c2pa" not in output
    assert job["receipt"]["signed_by"] is None


# ---- the check


def check(client: TestClient, image: bytes, **options: Any) -> dict[str, Any]:
    answer = client.post("/v1/credentials/check", files={"image": image}, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_check_tells_changed_swapped_resaved_and_whole_apart(client, context, camera):
    _, other = edit(client, context(), camera_photo(camera))
    first, signed = edit(client, context(), camera_photo(camera))
    whole = check(client, signed)
    assert (whole["trusted"], whole["made_here"], whole["job"]) == (True, True, first["id"])
    assert (whole["edited_by_ai"], whole["problems"], len(whole["manifests"])) == (True, [], 2)
    assert whole["manifests"][0]["details"]["model"] == "pix2pix-full"

    at = signed.index(b"IDAT") + 12
    changed = check(client, with_crc(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]))
    assert (changed["present"], changed["valid"]) == (True, False)
    assert {one["code"] for one in changed["problems"]} == {"assertion.dataHash.mismatch"}
    assert "changed after it was signed" in changed["sentence"]

    swapped = check(client, with_crc(signed.replace(signature_of_parent(signed), signature_of_parent(other))))
    assert (swapped["present"], swapped["valid"]) == (True, False)
    assert "assertion.dataHash.mismatch" not in {one["code"] for one in swapped["problems"]}

    resaved = check(client, encoded(Image.open(io.BytesIO(signed))))
    assert (resaved["present"], resaved["made_here"], resaved["job"]) == (False, True, first["id"])
    cropped = check(client, encoded(Image.open(io.BytesIO(signed)).crop((0, 0, 50, 50))))
    assert (cropped["present"], cropped["made_here"], cropped["job"]) == (False, False, None)


def with_crc(png: bytes) -> bytes:
    """The chunks of a PNG with correct checksums."""
    fresh, at = bytearray(png[:8]), 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        chunk = png[at + 4 : at + 8 + size]
        fresh += size.to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        at += size + 12
    return bytes(fresh)


def signature_of_parent(png: bytes) -> bytes:
    """The middle of the signature of the first manifest in a file, which is the photo's."""
    at = png.index(b"c2cs") + 1800
    return png[at : at + 64]


def test_the_check_knows_whom_it_trusts(client, camera):
    report = check(client, camera_photo(camera))
    assert (report["valid"], report["trusted"], report["made_here"]) == (True, False, False)
    assert report["issuer"] in report["sentence"]
    assert not report["edited_by_ai"]


def test_a_deleted_job_is_forgotten_by_its_pixels_but_its_signature_stays(client, context):
    job, output = edit(client, context(), picture("PNG"))
    client.delete(f"/v1/jobs/{job['id']}")
    assert check(client, encoded(Image.open(io.BytesIO(output))))["made_here"] is False
    report = check(client, output)
    assert (report["made_here"], report["job"]) == (True, None)


def test_strangers_learn_that_a_picture_was_made_here_but_not_by_which_job(client, context, signing, apps):
    _, output = edit(client, context(), picture("PNG"))
    key = ApiKeys(JobStore.connect(signing.redis_url, timeout=5).redis).make("acme", frozenset({Scope.READ}))[1]
    locked = apps(signing.model_copy(update={"auth": "on"}))
    report = check(locked, output, headers={"Authorization": f"Bearer {key}"})
    assert (report["made_here"], report["job"]) == (True, None)
    assert locked.post("/v1/credentials/check", files={"image": output}).status_code == 401


def test_nothing_that_a_manifest_points_to_is_fetched(client, camera):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        report = check(client, elsewhere(camera, f"http://127.0.0.1:{server.getsockname()[1]}/manifest"))
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not report["valid"]


@pytest.mark.parametrize("rounds", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_broken_credentials_are_answered_like_all_others(client, camera, rounds):
    whole, chance = camera_photo(camera), random.Random(7)
    start, end = whole.index(b"c2pa"), whole.rindex(b"c2pa.signature") + 2000
    for _ in range(rounds):
        broken = bytearray(whole)
        for at in chance.choices(range(start, end), k=chance.choice((1, 8, 200))):
            broken[at] = chance.randrange(256)
        check(client, bytes(broken))


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        ({"files": {"image": b"no picture"}}, 422, "image"),
        ({"files": {"image": b""}}, 422, "image"),
        ({"files": {"photo": b"no picture"}}, 422, "photo"),
        ({"files": {"image": (None, b"text")}, "data": {"x": "y"}}, 422, "x"),
        ({"json": {"image": "x"}}, 415, "content-type"),
        ({"content": b"?", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "body"),
        (
            {
                "content": b"?",
                "headers": {"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": "gzip"},
            },
            415,
            "content-encoding",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused_by_its_field(client, asked, status, field):
    answer = client.post("/v1/credentials/check", **asked)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_every_format_can_be_checked(client, signing, kind):
    signer, content_type = OutputSigner(signing), f"image/{kind.lower()}"
    about = {"model": "m", "checkpoint": "c", "seed": 1, "prompt": "", "photo_sha256": "0" * 64}
    made = Edit(job="0" * 26, photo=picture("PNG"), photo_type="image/png", **about)
    signed = signer.sign(picture(kind), content_type, made)
    assert check(client, signed)["trusted"] is True
