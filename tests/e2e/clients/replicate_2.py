"""What a program with `replicate` 2.x does, with only its environment changed. Prints the results as JSON."""

import json
import os
import sys
from pathlib import Path

import replicate
from hook import Hook
from replicate import NotFoundError, Replicate, UnprocessableEntityError

MODEL = "darkroom/pix2pix-full"
PHOTO = Path(os.environ["PHOTO"])
client = Replicate()


def asked(steps: int, **more: object) -> dict:
    return {"image": PHOTO, "prompt": "make it sepia", "num_inference_steps": steps, **more}


def refused(kind, call, *args, **options) -> object:
    try:
        call(*args, **options)
    except kind as error:
        return error.body
    return None


version = client.models.get(model_owner="darkroom", model_name="pix2pix-full").latest_version.id
said: dict = {"version": version}

said["run"] = client.run(MODEL, input=asked(3)).read()
said["run that outlasts its wait"] = client.run(MODEL, input=asked(70), wait=1).read()
used = replicate.use(MODEL)(**asked(3, image=PHOTO.open("rb")))
said["use"] = str(used)[:22]
said["unknown"] = refused(NotFoundError, client.run, "darkroom/sdxl", input=asked(3))
said["out of range"] = refused(UnprocessableEntityError, client.run, MODEL, input=asked(9999))

made = [
    client.predictions.create(version=form, input=asked(2), prefer="wait=5", cancel_after="5m")
    for form in (version, MODEL, f"{MODEL}:{version}")
]
said["three forms"] = [[one.status, one.version, (one.deadline - one.created_at).total_seconds()] for one in made]
address = client.files.create(content=PHOTO.read_bytes()).urls.get  # this call leaves files in its input as they are
by_deployment = client.deployments.predictions.create(
    deployment_owner="darkroom", deployment_name="pix2pix-1", input=asked(2, image=address)
)
said["by deployment"] = client.predictions.wait(by_deployment.id).status
slow = client.predictions.create(version=version, input=asked(900))
client.predictions.cancel(prediction_id=slow.id)
said["canceled"] = client.predictions.wait(slow.id).status
overdue = client.predictions.create(version=version, input=asked(900), cancel_after="1s")
ended = client.predictions.wait(overdue.id)
said["overdue"] = [ended.status, ended.error]
listed = client.predictions.list()
said["listed"] = [one.id for one in listed][:3] == [overdue.id, slow.id, by_deployment.id]
said["models"] = [model.name for model in client.models.list()]
said["found"] = [model.name for model in client.search(query="reference").models]

before = client.predictions.list().results[0].id
impatient = Replicate(timeout=0.7, max_retries=9)
once = impatient.predictions.create(version=version, input=asked(70, image=address), prefer="wait")
said["a call that timed out and was repeated"] = [one.id for one in client.predictions.list()][:2] == [once.id, before]

kept = client.files.create(content=PHOTO.read_bytes(), filename="a.jpg", type="image/jpeg", metadata={"order": 7})
said["file"] = [
    kept.content_type,
    kept.size,
    kept.checksums.sha256 is not None,
    client.files.get(file_id=kept.id).id == kept.id,
]
said["file listed"] = kept.id in [one.id for one in client.files.list()]
client.files.delete(file_id=kept.id)
said["file deleted"] = refused(NotFoundError, client.files.get, file_id=kept.id)["status"]

with Hook(int(os.environ["HOOK_PORT"])) as hook:
    client.predictions.create(version=version, input=asked(2), webhook=hook.url)
    hook.until_completed()
said["webhooks"] = [json.loads(body)["status"] for _, body in hook.got]
said["secret"] = client.webhooks.default.secret.get().key[:6]
said["account"] = client.account.get().username
said["hardware"] = [one.sku for one in client.hardware.list()]

json.dump(said, sys.stdout, default=lambda value: value[:4].hex() if isinstance(value, bytes) else str(value))
