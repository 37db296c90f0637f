"""The command line against a real web tier, store and worker code: what it prints, and each exit status."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from darkroom.cli.app import app
from darkroom.client import Client
from jobs import redis_keys
from tests.certificates import authority_in, camera_photo
from tests.darkroom.test_client_live import url, working  # noqa: F401 - fixtures
from tests.integration.conftest import context  # noqa: F401 - a fixture
from tests.integration.test_worker import Step

PHOTO = str(Path(__file__).parents[2] / "examples" / "mountains.jpg")


@pytest.fixture
def darkroom(url, tmp_path):  # noqa: F811
    """Runs a command against the service."""

    def run(*words: str) -> Result:
        return CliRunner(env={"DARKROOM_URL": url, "DARKROOM_KEY": ""}).invoke(app, list(words))

    return run


@pytest.fixture
def job(darkroom) -> str:
    return darkroom("submit", PHOTO, "make it gray", "--steps", "3").stdout.strip()


def test_a_job_is_sent_followed_and_saved(darkroom, working, tmp_path):  # noqa: F811
    with working(Step()):
        done = darkroom("edit", PHOTO, "make it gray", "--steps", "2", "-o", str(tmp_path / "gray.jpg"), "--json")
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["saved"]) == ("succeeded", str(tmp_path / "gray.jpg"))
    assert darkroom("download", answer["id"], "-o", str(tmp_path / "again.jpg")).exit_code == 0
    assert (tmp_path / "again.jpg").read_bytes() == (tmp_path / "gray.jpg").read_bytes()
    assert darkroom("delete", answer["id"]).exit_code == 0
    assert darkroom("status", answer["id"]).exit_code == 4


def test_a_part_of_a_photo_is_edited_alone(darkroom, working, tmp_path):  # noqa: F811
    saved = str(tmp_path / "gray.png")
    with working(Step()):
        done = darkroom("edit", PHOTO, "make it gray", "--steps", "2", "--box", "50%,0,0.5,1", "-o", saved)
    assert done.exit_code == 0, done.stderr
    with Image.open(saved) as picture:
        width, height = picture.size
        assert picture.getpixel((width - 1, height // 2)) == (128, 128, 128)
        assert len(picture.crop((0, 0, width // 2, height)).getcolors(width * height)) > 1000
    refused = darkroom("edit", PHOTO, "x", "--box", "left half")
    assert (refused.exit_code, "LEFT,TOP,WIDTH,HEIGHT" in refused.stderr) == (2, True)
    assert darkroom("edit", PHOTO, "x", "--box", "0,0,1,1", "--mask", PHOTO).exit_code == 2


def test_several_edits_are_saved_with_their_numbers(darkroom, working, tmp_path):  # noqa: F811
    with working(Step()):
        done = darkroom("edit", PHOTO, "make it gray", "--steps", "2", "-n", "2", "-o", str(tmp_path / "gray.png"))
    assert done.exit_code == 0, done.stderr
    names = [str(tmp_path / f"gray-{number}.png") for number in (1, 2)]
    assert done.stdout.splitlines() == [f"Saved {name}" for name in names]
    assert all(Path(name).stat().st_size for name in names)


def test_another_strength_of_a_job_is_saved(darkroom, working, job, tmp_path):  # noqa: F811
    saved = str(tmp_path / "half.jpg")
    assert darkroom("render", job, "--strength", "0.5", "-o", saved).exit_code == 3
    with working(Step()):
        assert darkroom("wait", job).exit_code == 0
        half = darkroom("render", job, "--strength", "0.5", "-o", saved)
        assert (half.exit_code, half.stdout) == (0, f"Saved {saved}\n"), half.stderr
        assert darkroom("render", job, "--strength", "2").exit_code == 3
    with Image.open(saved) as picture:
        assert picture.format == "JPEG"
        assert len(picture.getcolors(picture.width * picture.height)) > 1000, "there is still some of the photo in it"


def test_a_job_is_watched_by_lines_or_by_json(darkroom, working, job):  # noqa: F811
    with working(Step()):
        lines = darkroom("watch", job).stdout.splitlines()
    assert lines[0] == "queued"
    steps = [line for line in lines if line.startswith("step")]
    assert (len(steps), steps[-1]) == (len(set(steps)), "step 3 of 3"), "each step is told once"
    assert lines[-1] == "succeeded"
    events = [json.loads(line) for line in darkroom("watch", job, "--json").stdout.splitlines()]
    assert [event["type"] for event in events][-1] == "done"
    assert len({event["id"] for event in events}) == len(events)


class Forgetful(Step):
    """Reports words that it did not read."""

    def edit(self, photo, prompt, *, notes, **params):
        notes.warn("prompt-truncated", "Not read: \u201ca kite\u201d", nearest=["a bird"])
        return super().edit(photo, prompt, **params)


def test_words_that_were_not_read_are_told_with_the_result(darkroom, working, url, tmp_path):  # noqa: F811
    saved = str(tmp_path / "gray.png")
    with working(Forgetful()):
        done = darkroom("edit", PHOTO, "make it gray", "--steps", "2", "-o", saved)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[-1] == "darkroom: Warning: Not read: \u201ca kite\u201d It can: a bird."
    with Client(url) as client:
        (job,) = client.jobs.list().data
        events = list(job.events())
    (warning,) = job.warnings
    assert (warning.code, warning.detail) == ("prompt-truncated", "Not read: \u201ca kite\u201d")
    assert warning.nearest == warning.json["nearest"] == ["a bird"], "what a code has beside its detail is told, too"
    assert events[-1].data["warnings"] == job.json["receipt"]["warnings"] == [warning.json]
    assert "Warning: Not read" in darkroom("status", job.id).stderr
    assert darkroom("status", job.id, "--json").stderr == ""


def test_each_end_has_its_exit_status(darkroom, working, job):  # noqa: F811
    refused = darkroom("submit", PHOTO, "make it gray", "--steps", "1")
    assert refused.exit_code == 3
    assert "steps" in refused.stderr
    assert darkroom("status", "nobody").exit_code == 4
    assert darkroom("retry", job).exit_code == 3
    late = darkroom("wait", job, "--timeout", "0.2")
    assert late.exit_code == 10
    assert "it goes on" in late.stderr
    assert darkroom("cancel", job).exit_code == 0
    assert darkroom("wait", job).exit_code == 9
    assert darkroom("download", job).exit_code == 9
    again = darkroom("retry", job).stdout.strip()

    def stumble(step: int) -> None:
        raise ValueError("no such color")

    with working(Step(stumble)):
        failed = darkroom("wait", again)
    assert failed.exit_code == 8
    assert again in failed.stderr


def test_webhooks_are_added_tested_and_removed(darkroom):
    assert darkroom("webhooks", "add", "http://127.0.0.1/in").exit_code == 3
    made = json.loads(
        darkroom("webhooks", "add", "https://hooks.example/in", "--event", "job.started", "--json").stdout
    )
    assert made["events"] == ["job.started"]
    assert made["id"] in darkroom("webhooks", "list").stdout
    assert darkroom("webhooks", "secret", made["id"]).stdout.strip() == made["secret"]
    assert darkroom("webhooks", "secret", made["id"], "--rotate").stdout.strip() != made["secret"]
    sent = json.loads(darkroom("webhooks", "test", made["id"], "--json").stdout)["data"][0]
    assert sent["id"] in darkroom("webhooks", "deliveries", made["id"]).stdout
    assert darkroom("webhooks", "redeliver", made["id"], sent["id"]).exit_code == 0
    assert darkroom("webhooks", "remove", made["id"]).exit_code == 0
    assert darkroom("webhooks", "remove", made["id"]).exit_code == 4


def test_the_doctor_names_what_is_missing(darkroom, working, store):  # noqa: F811
    ill = darkroom("doctor")
    assert ill.exit_code == 1
    assert "fail workers: none is alive" in ill.stdout
    store.renew("w", {"slots": 1, "checkpoint": {"name": "none", "revision": ""}}, [], lease_seconds=30)
    well = darkroom("doctor", "--json")
    states = {finding["subject"]: finding["state"] for finding in json.loads(well.stdout)["findings"]}
    assert {states[subject] for subject in ("client", "service", "workers", "queue", "models")} == {"ok"}
    assert CliRunner().invoke(app, ["doctor", "--url", "http://127.0.0.1:1"]).exit_code == 1


def test_the_doctor_names_records_that_are_not_whole_and_what_becomes_of_them(darkroom, store):
    def said() -> dict[str, str]:
        lines = darkroom("doctor").stdout.splitlines()
        return {line.split()[3]: line for line in lines if "record: job" in line}

    whole, no_status, no_number, no_input = (
        darkroom("submit", PHOTO, "make it gray", "--steps", "3").stdout.strip() for _ in range(4)
    )
    assert "records: all are whole" in darkroom("doctor").stdout
    store.redis.hdel(redis_keys.JOB + no_status, "status", "deadline_ms")
    store.redis.hset(redis_keys.JOB + no_number, "crashes", "many")
    store.redis.hdel(redis_keys.JOB + no_input, "input")
    broken = said()
    assert set(broken) == {no_status, no_number, no_input}
    assert "has no status" in broken[no_status]
    assert "has no deadline_ms" in broken[no_status]
    assert broken[no_status].endswith("The keeper fills in what it lacks and ends the job as failed.")
    assert "has no number as crashes. The keeper fills in what it lacks and removes crashes." in broken[no_number]
    assert "cannot be read: it has no input. No worker can run the job" in broken[no_input]
    store.repair_indexes(lease_seconds=30)
    assert set(said()) == {no_input}
    assert darkroom("wait", no_status).exit_code == 8
    assert "queued" in darkroom("status", no_number).stdout
    assert "queued" in darkroom("status", whole).stdout


@pytest.mark.parametrize(("days", "state"), [(None, "warn"), (29, "warn"), (31, "ok")])
def test_the_doctor_warns_a_month_before_a_certificate_expires(darkroom, store, days, state):
    about = {"slots": 1, "checkpoint": {"name": "none", "revision": ""}}
    if days:
        about["signer"] = {"name": "Acme", "expires_ms": round((time.time() + days * 86_400 + 60) * 1000)}
    store.renew("w", about, [], lease_seconds=30)
    findings = json.loads(darkroom("doctor", "--json").stdout)["findings"]
    assert [found["state"] for found in findings if found["subject"] == "credentials"] == [state]


def test_credentials_are_made_once_and_checked(darkroom, tmp_path):
    first = darkroom("credentials", "init", "--data", str(tmp_path))
    assert first.exit_code == 0
    assert darkroom("credentials", "init", "--data", str(tmp_path)).stdout == first.stdout
    settings = dict(line.split("=", 1) for line in first.stdout.splitlines())
    assert set(settings) == {"CREDENTIALS_CERT", "CREDENTIALS_KEY", "CREDENTIALS_TRUST"}
    certificate = Path(settings["CREDENTIALS_CERT"]).read_bytes()
    assert darkroom("credentials", "init", "--renew", "--data", str(tmp_path)).exit_code == 0
    assert Path(settings["CREDENTIALS_CERT"]).read_bytes() != certificate

    bare = darkroom("credentials", "check", PHOTO)
    assert (bare.exit_code, bare.stdout) == (0, "This picture carries no content credentials.\n")
    signed = tmp_path / "signed.jpg"
    signed.write_bytes(camera_photo(authority_in(tmp_path / "camera")))
    told = darkroom("credentials", "check", str(signed))
    assert told.exit_code == 0
    assert "A camera 1: c2pa.created" in told.stdout
    signed.write_bytes(signed.read_bytes()[:-1000] + b"\0" * 1000)
    assert darkroom("credentials", "check", str(signed)).exit_code == 1
    assert darkroom("credentials", "check", str(signed), "--json").exit_code == 1
    assert darkroom("credentials", "check", str(tmp_path / "none.jpg")).exit_code == 1


def test_after_ctrl_c_without_a_terminal_the_job_goes_on(url, job, darkroom):  # noqa: F811
    command = [sys.executable, "-m", "darkroom", "edit", PHOTO, "make it gray", "--url", url]
    usual = "signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background job ignores it
    script = f"import os, signal, sys; {usual}; os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen([sys.executable, "-c", script, *command], stderr=subprocess.PIPE, text=True) as process:
        while len(json.loads(darkroom("list", "--json").stdout)["data"]) < 2:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(2)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert "goes on; `darkroom wait " in said
    assert json.loads(darkroom("list", "--json").stdout)["data"][0]["status"] == "queued"


def test_bash_takes_the_completion_and_is_offered_the_commands(tmp_path):
    darkroom = Path(sys.executable).with_name("darkroom")
    environment = os.environ | {"_DARKROOM_COMPLETE": "bash_source"}
    script = subprocess.run([darkroom], env=environment, capture_output=True, text=True, check=True).stdout
    (tmp_path / "completion").write_text(script)
    subprocess.run(["bash", "-n", tmp_path / "completion"], check=True)
    asked = os.environ | {"_DARKROOM_COMPLETE": "bash_complete", "COMP_WORDS": "darkroom d", "COMP_CWORD": "1"}
    offered = subprocess.run([darkroom], env=asked, capture_output=True, text=True, check=True).stdout
    assert {"doctor", "download", "delete"} <= set(offered.replace(",", " ").split())
