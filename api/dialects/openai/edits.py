"""`images.edit`: one picture, one instruction and up to ten edits of it. The client waits for them or streams them."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import Headers

from api import strict_json
from api.dialects.native import Native, Problem, Sent, Service, refusal
from api.dialects.openai.errors import lacking, shape
from api.dialects.openai.ids import native_id, second
from api.dialects.openai.models import find_model
from api.dialects.retries import idempotency_key
from api.forms import Part, SentFile, read_form

router = APIRouter()

FILES = {"image", "image[]", "mask", "mask[]"}
MOST_PICTURES = 16  #: a client may send this many pictures, although only one is edited
FIRST_BYTE = 20.0  #: seconds until an answer begins while its job still runs; many gateways give up after 60
HEARTBEAT = 15.0
SQUARES = ("256x256", "512x512")  #: sizes of the models; any other size means the size of the photo
SIZE = re.compile(r"[1-9]\d{1,4}x[1-9]\d{1,4}")
OPAQUE = ("opaque", "auto")
FORMATS = {"jpg": "jpeg"}
TRUTH = {"true": True, "false": False, True: True, False: False}

#: The native parameters for fields that have another name in OpenAI's API, or in other servers of this API.
RENAMED = {
    "output_format": "format",
    "num_inference_steps": "steps",
    "guidance_scale": "cfg_scale",
    "true_cfg_scale": "cfg_scale",
    "image_guidance_scale": "image_cfg_scale",
}
SAME = "prompt negative_prompt steps cfg_scale image_cfg_scale temperature sampler effort strength resolution".split()
OWN = "image images mask url model n seed size quality background input_fidelity response_format stream".split()
HEEDED = {*OWN, *SAME, *RENAMED, "partial_images"}
FINER = {"low": 0.5, "high": 2.0}  #: factor on the model's usual number of steps, by quality
CLOSER = 0.5  #: added to the image scale, which preserves the photo, when input_fidelity is high


@dataclass(frozen=True)
class Edit:
    """A request as understood: the fields of native jobs, and how to answer."""

    job: Mapping[str, Any]
    n: int = 1
    seed: int | None = None
    as_url: bool = False
    stream: bool = False
    partials: int = 0
    ignored: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)  #: the client's own names of native fields
    echo: Mapping[str, Any] = field(default_factory=dict)

    def jobs(self) -> list[dict[str, Any]]:
        """The fields of each job. Only the seeds differ."""
        seeds = [None if self.seed is None else self.seed + i for i in range(self.n)]
        return [{**self.job, "seed": seed} for seed in seeds]


# ---- the request


async def read_edit(request: Request) -> list[Part]:
    """The fields of a form or of a JSON body. Each entry of a list is a field of its own."""
    if strict_json.media_type(request) != "application/json":
        parts = await read_form(request, FILES, most_files=MOST_PICTURES + 1)
        for name, value in parts:
            if isinstance(value, SentFile) and name not in FILES:
                raise lacking(name, "must be text")
        return [(name.removesuffix("[]"), value) for name, value in parts]
    strict_json.refuse_compressed(request)
    fields = strict_json.loads(await request.body())
    if not isinstance(fields, dict):
        raise lacking("body", "must be a JSON object")
    return parts_of(fields)


def parts_of(fields: Mapping[str, Any]) -> list[Part]:
    """The fields of a JSON object in the form of multipart fields: each entry of a list is a field of its own."""
    return [(name, one) for name, value in fields.items() for one in (value if isinstance(value, list) else [value])]


def understood(parts: list[Part], models: list[dict[str, Any]]) -> Edit:
    """Translate a request into the fields of native jobs and the form of the answer.

    Raises:
        Problem: a field is wrong.
    """
    given: dict[str, list[Any]] = {}
    for name, value in parts:
        if value is not None:
            given.setdefault(name, []).append(value)
    one = {name: values[-1] for name, values in given.items()}
    model = find_model(models, _text(one, "model"))
    names = {native: sent for sent, native in RENAMED.items() if sent in one}
    job = {RENAMED.get(name, name): one[name] for name in (*SAME, *RENAMED) if name in one}
    job |= {"model": model["id"], "image": _picture(given), **_mask(one), **_size(one)}
    job |= _finer(one, model, job)
    kind = _text(one, "output_format") or "png"
    job["format"] = FORMATS.get(kind, kind)
    if _text(one, "background") not in (None, *OPAQUE):
        raise lacking("background", "must be opaque: there is no transparency here")
    ignored = set(one) - HEEDED
    if "size" in one and "size" not in job and one["size"] != "auto":
        ignored.add("size")
    return Edit(
        job,
        n=_number(one, "n", 1, 10) or 1,
        seed=_number(one, "seed", 0, 2**53 - 1),
        as_url=_choice(one, "response_format", ("b64_json", "url")) == "url",
        stream=bool(_choice(one, "stream", (True, False))),
        partials=_number(one, "partial_images", 0, 3) or 0,
        ignored=tuple(ignored),
        names=names,
        echo={"quality": one.get("quality", "auto"), "background": "opaque", "output_format": job["format"]},
    )


def _text(one: Mapping[str, Any], name: str) -> str | None:
    value = one.get(name)
    if value is not None and not isinstance(value, str):
        raise lacking(name, "must be text")
    return value


def _number(one: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    value = one.get(name)
    if isinstance(value, str) and re.fullmatch(r"\d{1,16}", value, re.ASCII):
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise lacking(name, f"must be a whole number from {low} to {high}")
    return value


def _choice(one: Mapping[str, Any], name: str, choices: tuple[Any, ...]) -> Any:
    value = one.get(name)
    if value is None:
        return None
    if isinstance(value, str) and choices == (True, False):
        value = TRUTH.get(value, value)
    if value not in choices:
        raise lacking(name, f"must be one of {', '.join(str(choice).lower() for choice in choices)}")
    return value


def _picture(given: Mapping[str, list[Any]]) -> Any:
    """The native `image`: bytes, an address, or the name of a file."""
    sent = [_reference(value, "image") for name in ("image", "images", "url") for value in given.get(name, ())]
    if len(sent) != 1:
        raise lacking("image", f"must be one picture: there are {len(sent)}")
    return sent[0]


def _mask(one: Mapping[str, Any]) -> dict[str, Any]:
    """The native mask. OpenAI's masks are transparent where the picture is to be edited, so it is inverted."""
    return {"mask": _reference(one["mask"], "mask"), "mask_invert": True} if "mask" in one else {}


def _reference(value: Any, name: str) -> Any:
    match value:
        case SentFile():
            return value.data
        case {"file_id": str(file_id)}:
            return f"file:{native_id(file_id)}"
        case {"image_url": str(address)}:
            return address
        case str(address) if address.startswith(("http://", "https://", "data:")):
            return address
    raise lacking(name, "must be a file, or in JSON an object with image_url (https or data) or file_id")


def _size(one: Mapping[str, Any]) -> dict[str, str]:
    size = _text(one, "size")
    if size in (None, "auto"):
        return {}
    if not SIZE.fullmatch(size or ""):
        raise lacking("size", "must be auto, or width x height such as 512x512")
    return {"size": str(size)} if size in SQUARES else {}


def _finer(one: Mapping[str, Any], model: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters for `quality` and `input_fidelity`, unless the client gives these parameters itself."""
    usual = {parameter["name"]: parameter["default"] for parameter in model["parameters"]}
    found: dict[str, Any] = {}
    factor = FINER.get(str(one.get("quality")))
    if factor and "steps" not in job:
        found["steps"] = max(2, min(1000, round(usual["steps"] * factor)))
    if one.get("input_fidelity") == "high" and "image_cfg_scale" in usual and "image_cfg_scale" not in job:
        found["image_cfg_scale"] = usual["image_cfg_scale"] + CLOSER
    return found


# ---- the answer

PICTURE = {"type": "string", "format": "binary"}
REFERENCE = {"type": "object", "properties": {"image_url": {"type": "string"}, "file_id": {"type": "string"}}}
FIELDS: dict[str, Any] = {
    "prompt": {"type": "string", "minLength": 1, "maxLength": 1000},
    "model": {"type": "string"},
    "n": {"type": "integer", "minimum": 1, "maximum": 10},
    "size": {"type": "string", "pattern": f"^(auto|{SIZE.pattern})$"},
    "quality": {"enum": ["auto", "low", "standard", "medium", "high"]},
    "background": {"enum": ["auto", "opaque"]},
    "input_fidelity": {"enum": ["low", "high"]},
    "output_format": {"enum": ["png", "jpeg", "webp", "avif"]},
    "stream": {"type": "boolean"},
    "partial_images": {"type": "integer", "minimum": 0, "maximum": 3},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
    "num_inference_steps": {"type": "integer"},
    "guidance_scale": {"type": "number"},
    "negative_prompt": {"type": "string"},
}


def _schema(required: str, own: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": [required, "prompt"], "properties": {**own, **FIELDS}}}


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": _schema(
                "image", {"image": PICTURE, "mask": PICTURE, "response_format": {"enum": ["b64_json", "url"]}}
            ),
            "application/json": _schema(
                "images", {"images": {"type": "array", "items": REFERENCE, "maxItems": 1}, "mask": REFERENCE}
            ),
        },
    }
}


@router.post("/images/edits", openapi_extra=BODY)
async def edit_image(native: Service, request: Request) -> Response:
    """Edit a picture. When a client retries a call by itself, the retry finds the jobs of the first attempt."""
    parts = await read_edit(request)
    edit = understood(parts, (await native.get("/v1/models"))["data"])
    native.ignore(edit.ignored)
    key = await idempotency_key(request, parts)
    jobs = await _submit(native, edit, key)
    native.tell_job(jobs[0]["id"])
    if "respond-async" in request.headers.get("prefer", ""):
        native.tell("Preference-Applied", "respond-async")
        return JSONResponse(jobs[0] if edit.n == 1 else {"object": "list", "data": jobs}, 202)
    if edit.stream:
        return StreamingResponse(_told(native, jobs, edit), media_type="text/event-stream")
    return await _waited_for(native, jobs, edit)


async def _submit(native: Native, edit: Edit, key: str | None) -> list[dict[str, Any]]:
    """Submit all jobs of a request or none: when one is refused, those before it are canceled."""
    jobs: list[dict[str, Any]] = []
    try:
        for i, fields in enumerate(edit.jobs()):
            accepted = await native.submit(fields, key=f"{key[:240]}-{i}" if key and edit.n > 1 else key)
            jobs.append(accepted.job)
    except Problem as problem:
        for job in jobs:
            await native.cancel(job["id"])
        raise problem.renamed(edit.names) from None
    return jobs


async def _waited_for(native: Native, jobs: list[dict[str, Any]], edit: Edit) -> Response:
    """The answer when all jobs are over. If that takes long, it begins earlier, with blanks, which JSON allows.

    After that it cannot report a failure by its status. It breaks off instead; the client then repeats the call and
    gets the error.
    """
    answer = asyncio.create_task(_answer(native, jobs, edit))
    await asyncio.wait([answer], timeout=FIRST_BYTE)
    if answer.done():
        return JSONResponse(answer.result())
    headers = {"Content-Encoding": "identity"}  # otherwise the blanks would be buffered for compression
    return StreamingResponse(_slowly(answer), media_type="application/json", headers=headers)


async def _slowly(answer: asyncio.Task[dict[str, Any]]) -> AsyncIterator[bytes]:
    try:
        while not answer.done():
            yield b" "
            await asyncio.wait([answer], timeout=HEARTBEAT)
        yield json.dumps(answer.result()).encode()
    finally:
        answer.cancel()


async def _answer(native: Native, jobs: list[dict[str, Any]], edit: Edit) -> dict[str, Any]:
    """The body of the answer once all jobs are over.

    Raises:
        Problem: one of the jobs has no output.
    """
    ended = [await over(native, job) for job in jobs]
    data = [await _entry(native, job, edit) for job in ended]
    return {
        "created": second(ended[0]["created_at"]),
        "data": data,
        "size": _shown_size(ended[0]),
        "usage": USAGE,
        "job_id": ended[0]["id"],
        **edit.echo,
    }


async def over(native: Native, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until a job has succeeded.

    Raises:
        Problem: it has not succeeded, or this process shuts down and the client has to ask another one.
    """
    while not job["finished_at"]:
        began = asyncio.get_running_loop().time()
        job = await native.wait_for(job["id"], 50)
        if not job["finished_at"] and asyncio.get_running_loop().time() - began < 1:
            raise refusal(503, "unavailable", "The service is restarting", "Ask again: the job goes on.")
    if job["status"] != "succeeded":
        raise failure(job)
    return job


def failure(job: Mapping[str, Any]) -> Problem:
    """Why a job has no output. The client must not repeat the call, because it would find the same job."""
    if job["status"] == "canceled":
        refused = refusal(409, "job-canceled", "The job was canceled", "The job was canceled before its end.")
    else:
        error = job["error"]
        refused = refusal(500, error["type"], error["title"], error["detail"])
    return Problem({**refused.document, "job": job["id"]})


async def _entry(native: Native, job: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    about = {"seed": job["params"]["seed"], "job_id": job["id"]}
    if edit.as_url:
        return {"url": job["output"]["url"], **about}
    picture, _ = await native.output(job["id"])
    return {"b64_json": base64.b64encode(picture).decode(), **about}


USAGE = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}


def _shown_size(job: Mapping[str, Any]) -> str:
    return f"{job['output']['width']}x{job['output']['height']}"


# ---- the stream: it has no `id:` or `retry:` lines, because OpenAI's clients fail on them


async def _told(native: Native, jobs: list[dict[str, Any]], edit: Edit) -> AsyncIterator[str]:
    """Stream previews of the first job, then each picture when it is done."""
    try:
        async with aclosing(_partials(native, jobs[0], edit)) as partials:
            async for text in partials:
                yield text
        for job in jobs:
            waiting = asyncio.create_task(over(native, job))
            try:
                while not (await asyncio.wait([waiting], timeout=HEARTBEAT))[0]:
                    yield PING
                ended = waiting.result()
            finally:
                waiting.cancel()
            event = {**await _entry(native, ended, edit), "created_at": second(ended["created_at"]), "usage": USAGE}
            yield _event("image_edit.completed", {**event, **edit.echo, "size": _shown_size(ended)})
    except Problem as problem:
        body, _, _ = shape(dict(problem.document), Headers())
        yield f"event: error\ndata: {json.dumps(body)}\n\n"


PING = ": ping\n\n"


async def _partials(native: Native, job: dict[str, Any], edit: Edit) -> AsyncGenerator[str]:
    """Stream pings and some previews of a job, evenly spaced over its steps, until the job is over."""
    shown = 0
    async with native.events(job["id"]) as events:
        async for event in events:
            if event is None or event.type != "preview":
                yield PING
                continue
            steps = job["params"].get("steps") or 1
            if shown < edit.partials and event.data["step"] / steps >= shown / (edit.partials + 1):
                preview = await native.preview(job["id"])
                if preview:
                    yield _event("image_edit.partial_image", _partial(preview, shown, event, edit))
                    shown += 1


def _partial(preview: bytes, index: int, event: Sent, edit: Edit) -> dict[str, Any]:
    return {
        **edit.echo,
        "b64_json": base64.b64encode(preview).decode(),
        "partial_image_index": index,
        "created_at": event.data["at"] // 1000,
        "size": "auto",
        "output_format": "jpeg",
        "step": event.data["step"],
    }


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"
