"""Files are kept for some days, named in jobs, and visible only to their tenant."""

from datetime import datetime

import pytest

from tests.integration.test_tenants import locked, other, owner, tenant  # noqa: F401


def keep(client, data: bytes = b"a,b\n1,2\n", **fields) -> dict:
    answer = client.post("/v1/files", files={"file": ("list.csv", data, "text/csv")}, data=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_file_comes_back_as_it_was_sent(client):
    file = keep(client, b"\0\xff<html>", metadata='{"purpose": "batch"}', expires_in_seconds="3600")
    assert (file["name"], file["content_type"], file["bytes"]) == ("list.csv", "text/csv", 8)
    assert file["metadata"] == {"purpose": "batch"}
    ends, begins = (datetime.fromisoformat(file[name]) for name in ("expires_at", "created_at"))
    assert (ends - begins).total_seconds() == 3600
    assert client.get(f"/v1/files/{file['id']}").json() == file
    content = client.get(f"/v1/files/{file['id']}/content")
    assert content.content == b"\0\xff<html>"
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["x-content-type-options"] == "nosniff"


def test_files_are_listed_newest_first_and_leave_the_list_when_removed(client):
    files = [keep(client) for _ in range(3)]
    page = client.get("/v1/files", params={"limit": 2}).json()
    assert [one["id"] for one in page["data"]] == [files[2]["id"], files[1]["id"]]
    rest = client.get("/v1/files", params={"after": page["next"]}).json()
    assert [one["id"] for one in rest["data"]] == [files[0]["id"]]
    assert client.delete(f"/v1/files/{files[0]['id']}").status_code == 204
    assert client.get(f"/v1/files/{files[0]['id']}").status_code == 404
    assert client.delete(f"/v1/files/{files[0]['id']}").status_code == 404
    assert len(client.get("/v1/files").json()["data"]) == 2


def test_a_job_takes_its_picture_and_its_mask_from_files(client, jpeg):
    file = keep(client, jpeg)
    answer = client.post("/v1/jobs", json={"image": file["image"], "mask": file["image"], "prompt": "make it sepia"})
    assert answer.status_code == 202, answer.text
    client.delete(f"/v1/files/{file['id']}")
    assert client.get(f"/v1/jobs/{answer.json()['id']}/input", params={"proxy": 1}).status_code == 200
    gone = client.post("/v1/jobs", json={"image": file["image"], "prompt": "make it sepia"})
    assert gone.json()["errors"] == [{"field": "image", "detail": "must be a file that is still kept"}]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"metadata": "["}, "metadata"),
        ({"expires_in_seconds": "59"}, "expires_in_seconds"),
        ({"expires_in_seconds": "soon"}, "expires_in_seconds"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_field_is_named(client, fields, field):
    answer = client.post("/v1/files", files={"file": b"x"}, data=fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_file_is_required_once_and_within_its_limits(settings, apps):
    client = apps(settings.model_copy(update={"max_files": 2, "max_upload_bytes": 50_000}))
    assert client.post("/v1/files", data={"metadata": "{}"}, files={"other": b""}).status_code == 422
    twice = client.post("/v1/files", files=[("file", b"a"), ("file", b"b")])
    assert twice.status_code in (400, 422)
    assert client.post("/v1/files", files={"file": b"x" * 50_001}).status_code == 413
    files = [keep(client) for _ in range(2)]
    refused = client.post("/v1/files", files={"file": b"x"})
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:darkroom:problem:too-many-files"
    client.delete(f"/v1/files/{files[0]['id']}")
    keep(client)


def test_a_foreign_file_looks_absent(owner, other, jpeg):  # noqa: F811
    file = keep(owner, jpeg)["id"]
    absent = "0" * 26
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answers = [other.request(method, f"/v1/files/{name}{path}") for name in (file, absent, "nonsense")]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert (
            len({answer.text.replace(file, "").replace(absent, "").replace("nonsense", "") for answer in answers}) == 1
        )
    assert other.get("/v1/files").json()["data"] == []
    image = {"image": f"file:{file}", "prompt": "make it sepia"}
    assert other.post("/v1/jobs", json=image).status_code == 422
    assert owner.post("/v1/jobs", json=image).status_code == 202
