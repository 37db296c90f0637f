"""What a program with `replicate` 1.x does, with only its environment changed. Prints the results as JSON."""

import asyncio
import json
import os
import sys
from pathlib import Path

import replicate
from hook import Hook
from replicate.exceptions import ReplicateError
from replicate.webhook import Webhooks

MODEL = "darkroom/pix2pix-full"
PHOTO = Path(os.environ["PHOTO"])


def asked(steps: int, **more: object) -> dict:
    return {"image": PHOTO, "prompt": "make it sepia", "num_inference_steps": steps, **more}


def refused(call, *args, **options) -> dict:
    try:
        call(*args, **options)
    except ReplicateError as error:
        return error.to_dict()
    return {}


version = replicate.models.get(MODEL).latest_version
said: dict = {
    "version": version.id,
    "inputs": list(version.openapi_schema["components"]["schemas"]["Input"]["properties"]),
}

said["run"] = replicate.run(MODEL, input=asked(3)).read()
with PHOTO.open("rb") as photo:
    said["run by version"] = replicate.run(f"{MODEL}:{version.id}", input=asked(3, image=photo)).read()
said["run with base64"] = replicate.run(
    MODEL, input=asked(3, output_format="jpg"), file_encoding_strategy="base64"
).read()
said["run in asyncio"] = asyncio.run(replicate.async_run(MODEL, input=asked(3))).read()
said["run that outlasts its wait"] = replicate.run(version, input=asked(70), wait=1).read()
said["unknown"] = refused(replicate.run, "darkroom/sdxl", input=asked(3))
said["out of range"] = refused(replicate.run, MODEL, input=asked(9999))

slow = replicate.predictions.create(version=version, input=asked(900))
said["created"] = slow.status
slow.cancel()
slow.wait()
said["canceled"] = [slow.status, slow.output, slow.error]
by_model = replicate.predictions.create(model=MODEL, input=asked(2))
by_deployment = replicate.deployments.predictions.create("darkroom/pix2pix-1", input=asked(2))
by_model.wait()
by_deployment.wait()
said["by model, by deployment"] = [by_model.status, by_model.version, by_deployment.status, by_deployment.model]
again = replicate.predictions.create(version=version, input=by_model.input, wait=True)
said["its own input again"] = [again.status, again.progress.percentage]
chained = replicate.predictions.create(version=version, input=asked(2, image=by_model.output), wait=10)
said["an output as an input"] = chained.status
said["got again"] = replicate.predictions.get(by_model.id).output == by_model.output
pages = replicate.paginate(replicate.predictions.list)
said["listed"] = [prediction.id for page in pages for prediction in page][:3] == [
    chained.id,
    again.id,
    by_deployment.id,
]

said["stream"] = [
    [event.event.value, bool(event.id), str(event.data)[:5]] for event in replicate.stream(MODEL, input=asked(40))
]

kept = replicate.files.create(PHOTO, metadata={"order": 7})
said["file"] = [kept.name, kept.content_type, kept.size, kept.metadata, replicate.files.get(kept.id) == kept]
said["file listed"] = kept.id in [one.id for one in replicate.files.list()]
said["file deleted"] = [replicate.files.delete(kept.id), refused(replicate.files.get, kept.id)["status"]]

with Hook(int(os.environ["HOOK_PORT"])) as hook:
    told = replicate.predictions.create(
        version=version,
        input=asked(40),
        webhook=hook.url,
        webhook_events_filter=["start", "logs", "completed"],
    )
    hook.until_completed()
secret = replicate.webhooks.default.secret()
for headers, body in hook.got:
    Webhooks.validate(headers=headers, body=body, secret=secret, tolerance=300)
said["webhooks"] = [json.loads(body) for _, body in hook.got]
said["told of"] = told.id
said["account"] = replicate.default_client.accounts.current().username
said["hardware"] = [one.sku for one in replicate.hardware.list()]

json.dump(said, sys.stdout, default=lambda value: value[:4].hex() if isinstance(value, bytes) else str(value))
