"""Replicate's API, as its clients speak it, at `/replicate/v1`. A prediction is a job."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import httpx
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import strict_json
from api.dialects.native import Native, Problem, Sent, Service, dialect_app, known
from api.dialects.retries import idempotency_key
from api.forms import SentFile, read_form
from jobs import predictions
from jobs.errors import FieldError, InvalidRequest, MalformedBody, NotFound
from jobs.job import ID_PATTERN
from jobs.links import Links
from jobs.pages import PLACE
from jobs.predictions import MARK, OWNER, PREFIX, RENAMED

LONGEST_WAIT = 60
MOST_INLINE = 16 * 2**20  #: an output of up to this many bytes may be sent as a data URI
PAGE = 100
WAIT = re.compile(r"(?:^|[,;\s])wait(?:=(\d{1,6}))?(?=$|[,;\s])", re.IGNORECASE)
DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?")
ID = re.compile(r"[0-9a-z]{1,64}")
OWN_FILE = re.compile(re.escape(PREFIX) + r"/files/([0-9a-z]{26})")
OWN_INPUT = re.compile(re.escape(PREFIX) + r"/predictions/([0-9a-z]{26})/input")
OWN_OUTPUT = re.compile(re.escape(PREFIX) + r"/predictions/([0-9a-z]{26})/output\.[a-z]+")
DATA_URI = re.compile(r"data:[^,]{0,200};base64,")
EVENTS = {"start": "job.started", "logs": "job.progress", "output": "job.completed", "completed": "job.completed"}
NATIVE_NAMES = {theirs: ours for ours, theirs in RENAMED.items()} | {"input_image": "image"}
OUTSIDE = {
    "deadline_seconds": "Cancel-After",
    "webhook": "webhook",
    "webhook_events": "webhook_events_filter",
    "idempotency-key": "Idempotency-Key",
    "body": "body",
}
NATIVE_FORMATS = {theirs: ours for ours, theirs in predictions.FORMATS.items()}
PICTURES = ("image", "mask")
MADE = "1970-01-01T00:00:00Z"  #: the creation date of every version, because checkpoints have none
WRITTEN_AROUND = '" \t\r\n'  #: stripped from a query, because some clients send it as a JSON string
COG = "0.16.0"  #: the version of Cog whose schemas ours follow

router = APIRouter()


def known_id(text: str) -> str:
    """Check an id from the path of a request. Other text could address a different route of the native API."""
    if not ID.fullmatch(text):
        raise NotFound("There is no such thing here.")
    return text


FROM_NEXT = "from `next` of the page before"
PredictionCursor = Annotated[str | None, Query(description=FROM_NEXT, json_schema_extra={"pattern": ID_PATTERN})]
FileCursor = Annotated[str | None, Query(description=FROM_NEXT, json_schema_extra={"pattern": PLACE})]
Id = Annotated[str, AfterValidator(known_id)]


# ---- the caller, and the address by which it reached us


def own_base(request: Request) -> str:
    """Our own address as the client wrote it, without a path."""
    return f"{request.url.scheme}://{request.url.netloc}"


class Client:
    """The client of one request: the native API with its rights, and what its view of a job needs."""

    def __init__(self, request: Request, native: Native, tenant: str) -> None:
        self.native = native
        self.base = own_base(request)
        self.tenant = tenant
        self._links: Links = request.app.state.links

    def view(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as a prediction."""
        return predictions.prediction(job, self.base, self._links.access(self.tenant, job["id"]))

    async def tell(self, job: dict[str, Any]) -> dict[str, Any]:
        """A job as a prediction. Clients take only https addresses and data URIs for pictures."""
        told = self.view(job)
        if told["output"] and not self.base.startswith("https:") and job["output"]["bytes"] <= MOST_INLINE:
            told["output"] = _data_uri(
                await self.native.call("GET", f"/v1/jobs/{job['id']}/output", params={"proxy": "true"})
            )
        return told


def _data_uri(picture: httpx.Response) -> str:
    return f"data:{picture.headers['content-type']};base64,{base64.b64encode(picture.content).decode()}"


async def client_of(request: Request, native: Service) -> Client:
    """Identify the client.

    Raises:
        Problem: it has no key, or it has used up its allowance.
    """
    return Client(request, native, (await known(native))["tenant"])


Known = Annotated[Client, Depends(client_of)]


async def reader_of(
    request: Request, native: Service, prediction_id: Id, access: Annotated[str | None, Query()] = None
) -> Client:
    """A client with a key, or one with a link that we gave out."""
    links: Links = request.app.state.links
    if access and (tenant := links.tenant(access, prediction_id)):
        return Client(request, native.for_link(tenant, prediction_id), tenant)
    return await client_of(request, native)


Linked = Annotated[Client, Depends(reader_of)]


# ---- predictions


class NewPrediction(BaseModel):
    """A request for a prediction. Unknown fields are ignored."""

    model_config = ConfigDict(extra="allow")

    version: str | None = Field(None, max_length=200, description="a version's id, `owner/name` or `owner/name:id`")
    input: dict[str, Any] = Field({}, description="the model's parameters")
    webhook: str | None = Field(None, description="an https address that receives events")
    webhook_completed: str | None = Field(None, description="an https address that receives the end only")
    webhook_events_filter: list[Literal["start", "output", "logs", "completed"]] | None = Field(
        None, description="the events that the webhook receives"
    )
    stream: bool | None = None


Prefer = Annotated[str | None, Header(description="`wait` or `wait=N`: answer at the end, or after N seconds")]
CancelAfter = Annotated[
    str | None,
    Header(
        description="the time after which the prediction is stopped, such as `30s`, `5m` or `1h30m`",
        json_schema_extra={"pattern": r"^(\d{1,2}h)?(\d{1,2}m)?[1-9]\d{0,3}s$"},
    ),
]
BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": NewPrediction.model_json_schema()}}}
}


@dataclass(frozen=True)
class Order:
    """A request for a prediction. `wait` and `seconds`, until it is stopped, are in seconds. A retry has its key."""

    new: NewPrediction
    wait: float
    seconds: int | None
    key: str | None


async def read_order(request: Request, _: Known, prefer: Prefer = None, cancel_after: CancelAfter = None) -> Order:
    """Read a request for a prediction.

    Raises:
        UnsupportedMediaType, MalformedBody, InvalidRequest, RequestValidationError
    """
    strict_json.refuse_compressed(request)
    body = await request.body()
    key = await idempotency_key(request, [("body", SentFile(body, "", ""))])
    return Order(await run_in_threadpool(_parsed, body), _wait(prefer), _seconds(cancel_after), key)


Ordered = Annotated[Order, Depends(read_order)]


def _parsed(body: bytes) -> NewPrediction:
    fields = strict_json.loads(body)
    if not isinstance(fields, dict):
        raise MalformedBody("The body must be a JSON object.", FieldError("body", "must be a JSON object"))
    return strict_json.validated(NewPrediction, {name: value for name, value in fields.items() if value is not None})


@router.post("/predictions", status_code=201, openapi_extra=BODY)
async def create_prediction(client: Known, order: Ordered) -> dict[str, Any]:
    """Ask a version, or the current version of a model, for a prediction."""
    return await _create(client, _of_version(order.new.version or "", await _models(client.native)), order)


@router.post("/models/{owner}/{name}/predictions", status_code=201, openapi_extra=BODY)
async def create_model_prediction(client: Known, owner: str, name: str, order: Ordered) -> dict[str, Any]:
    """Ask a model for a prediction."""
    return await _create(client, _named(owner, name, await _models(client.native)), order)


@router.post("/deployments/{owner}/{name}/predictions", status_code=201, openapi_extra=BODY)
async def create_deployment_prediction(client: Known, owner: str, name: str, order: Ordered) -> dict[str, Any]:
    """Ask a deployment for a prediction. Each model is deployed under its own name."""
    return await _create(client, _named(owner, name, await _models(client.native)), order)


async def _create(client: Client, model: dict[str, Any], order: Order) -> dict[str, Any]:
    new = order.new
    heeded = {parameter["name"] for parameter in model["parameters"]} | {*PICTURES, "format"}
    given = {NATIVE_NAMES.get(name, name): value for name, value in new.input.items()}
    unknown = [f"input.{name}" for name in new.input if NATIVE_NAMES.get(name, name) not in heeded]
    client.native.ignore([*(new.model_extra or {}), *unknown])
    fields = {name: await _native(name, value, client) for name, value in given.items() if name in heeded}
    fields |= {"model": model["id"], "metadata": {MARK: {"version": _version_id(model), "base": client.base}}}
    fields |= {"deadline_seconds": order.seconds} | _webhook(new)
    try:
        job = (await client.native.submit(fields, key=order.key)).job
    except Problem as problem:
        raise _naming(problem, _their_name) from None
    client.native.tell_job(job["id"])
    if not order.wait:
        return await client.tell(job)
    job = await _waited(client.native, job, order.wait)
    told = await client.tell(job)
    return told if job["finished_at"] else told | {"status": "starting"}  # `run` takes any other status for the end


async def _waited(native: Native, job: dict[str, Any], seconds: float) -> dict[str, Any]:
    try:
        return dict(await native.wait_for(job["id"], seconds))
    except Problem:  # the job is accepted, and `Prefer` may be ignored
        return job


def _wait(prefer: str | None) -> float:
    """The seconds to wait: a little less than the client's own limit, because then it hangs up."""
    found = WAIT.search(prefer or "")
    if not found:
        return 0
    wanted = min(LONGEST_WAIT, int(found[1])) if found[1] else LONGEST_WAIT
    return max(wanted - 1, wanted / 2)


def _seconds(cancel_after: str | None) -> int | None:
    if cancel_after is None:
        return None
    found = DURATION.fullmatch(cancel_after.strip())
    if not found or not any(found.groups()):
        raise invalid("Cancel-After", "must be a time such as 30s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def _webhook(new: NewPrediction) -> dict[str, Any]:
    wanted = new.webhook_events_filter
    if new.webhook:
        kinds = ["completed"] if wanted is None else wanted
        return {"webhook": new.webhook, "webhook_events": ",".join(EVENTS[kind] for kind in kinds)} if kinds else {}
    return {"webhook": new.webhook_completed, "webhook_events": EVENTS["completed"]} if new.webhook_completed else {}


async def _native(name: str, value: Any, client: Client) -> Any:
    """Convert a value of an input to the native API's form."""
    if not isinstance(value, str):
        return value
    if name == "format":
        return NATIVE_FORMATS.get(value, value)
    return await _picture(value, client) if name in PICTURES else value


async def _picture(uri: str, client: Client) -> str:
    """The native name of a picture at one of our own addresses. A data URI without a media type gets one."""
    if head := DATA_URI.match(uri):
        return uri if uri.startswith("data:image/") else f"data:image/png;base64,{uri[head.end() :]}"
    if not uri.startswith(client.base + PREFIX):
        return uri
    path = urlsplit(uri).path
    if given := OWN_INPUT.fullmatch(path):
        return _data_uri(await client.native.call("GET", f"/v1/jobs/{given[1]}/input", params={"proxy": "true"}))
    if output := OWN_OUTPUT.fullmatch(path):
        return f"job:{output[1]}"
    if file := OWN_FILE.fullmatch(path):
        return f"file:{file[1]}"
    return uri


def _their_name(ours: str) -> str:
    """The name of a native field in this API. All but a few are inputs."""
    return OUTSIDE.get(ours.lower()) or f"input.{RENAMED.get(ours, ours)}"


def _naming(problem: Problem, name: Callable[[str], str]) -> Problem:
    """A refusal that names the fields as the client sent them."""
    told = problem.renamed({error["field"]: name(error["field"]) for error in problem.document.get("errors", ())})
    errors = told.document.get("errors", ())
    if not errors or told.status != 422:
        return told
    detail = "; ".join(f"{error['field']}: {error['detail']}" for error in errors)
    return Problem({**told.document, "detail": detail}, told.headers)


@router.get("/predictions")
async def list_predictions(client: Known, cursor: PredictionCursor = None) -> dict[str, Any]:
    """Your predictions, newest first. All jobs are listed."""
    jobs, following = await _read_page(client, "/v1/jobs", "predictions", cursor)
    return _page([client.view(job) for job in jobs], following)


async def _read_page(client: Client, path: str, theirs: str, cursor: str | None) -> tuple[list[Any], str | None]:
    """A page of the native API, and the address of the next page in this API."""
    try:
        page = await client.native.get(path, limit=PAGE, after=cursor)
    except Problem as problem:
        raise _naming(problem, lambda _: "cursor") from None
    address = f"{client.base}{PREFIX}/{theirs}?cursor="
    return page["data"], address + quote(page["next"]) if page["next"] else None


def _page(results: list[dict[str, Any]], following: str | None = None) -> dict[str, Any]:
    return {"previous": None, "next": following, "results": results}


@router.get("/predictions/{prediction_id}")
async def read_prediction(client: Known, prediction_id: Id) -> dict[str, Any]:
    """One prediction."""
    return await client.tell(await client.native.job(prediction_id))


@router.post("/predictions/{prediction_id}/cancel")
async def cancel_prediction(client: Known, prediction_id: Id) -> dict[str, Any]:
    """Stop a prediction. A prediction that is over stays as it is."""
    try:
        job = await client.native.cancel(prediction_id)
    except Problem as problem:
        if problem.status != 409:
            raise
        job = await client.native.job(prediction_id)
    return await client.tell(job)


@router.get("/predictions/{prediction_id}/output.{extension}", response_class=Response)
async def read_output(client: Linked, prediction_id: Id, extension: str) -> Response:  # noqa: ARG001 - for its name
    """The edited picture itself instead of a redirect, because clients do not follow redirects."""
    return await _picture_of(client, prediction_id, "output")


@router.get("/predictions/{prediction_id}/input", response_class=Response)
async def read_input(client: Linked, prediction_id: Id) -> Response:
    """The picture that was sent."""
    return await _picture_of(client, prediction_id, "input")


async def _picture_of(client: Client, prediction_id: Id, which: str) -> Response:
    answer = await client.native.call("GET", f"/v1/jobs/{prediction_id}/{which}", params={"proxy": "true"})
    return Response(answer.content, media_type=answer.headers["content-type"])


# ---- a prediction's stream


async def events_of(
    client: Linked, prediction_id: Id, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterator[AsyncIterator[Sent | None]]:
    """The job's events. A refusal is raised before the stream begins."""
    async with client.native.events(prediction_id, last_event_id) as events:
        yield events


@router.get("/predictions/{prediction_id}/stream", response_class=EventSourceResponse)
async def stream_prediction(
    client: Linked, prediction_id: Id, events: Annotated[AsyncIterator[Sent | None], Depends(events_of)]
) -> AsyncIterator[ServerSentEvent]:
    """Stream the progress as `logs`, then `output` or `error`, then `done`. Clients drop events without an id."""
    async for event in events:
        if event is None:
            continue
        if event.type == "progress":
            line = predictions.progress_line(event.data["step"], event.data["steps"])
            yield ServerSentEvent(event="logs", id=event.id, raw_data=line + "\n")
        if event.type in ("done", "reset"):
            told = await client.tell(await client.native.job(prediction_id))
            for each in _end(told, event.id):
                yield each


def _end(told: dict[str, Any], event_id: str) -> list[ServerSentEvent]:
    reasons = {"succeeded": "{}", "canceled": '{"reason": "canceled"}', "failed": '{"reason": "error"}'}
    if told["status"] not in reasons:
        return []
    last = [ServerSentEvent(event="done", id=event_id, raw_data=reasons[told["status"]])]
    if told["status"] == "succeeded":
        return [ServerSentEvent(event="output", id=event_id, raw_data=told["output"]), *last]
    if told["status"] == "failed":
        return [ServerSentEvent(event="error", id=event_id, raw_data=told["error"]), *last]
    return last


# ---- files: a client sends a picture first and then names it in an input

FILE_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["content"],
    "properties": {
        "content": {"type": "string", "format": "binary", "description": "the picture"},
        "filename": {"type": "string", "description": "default: the name of the part"},
        "type": {"type": "string", "description": "the media type; default: that of the part"},
        "metadata": {"type": "string", "description": "a JSON object"},
    },
}
MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)
FILE_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILE_FORM}}}}


async def read_file_form(request: Request, _: Known) -> dict[str, str | SentFile]:
    """Read the form of a file.

    Raises:
        UnsupportedMediaType, MalformedBody
    """
    return dict(await read_form(request, {"content"}, most_files=2))


@router.post("/files", status_code=201, openapi_extra=FILE_BODY)
async def create_file(
    client: Known, form: Annotated[dict[str, str | SentFile], Depends(read_file_form)]
) -> dict[str, Any]:
    """Keep a picture for some days. Inputs name it by its address."""
    content = form.pop("content", None)
    if not isinstance(content, SentFile):
        raise invalid("content", "is required, as a file")
    texts = {name: _text(value) for name, value in form.items()}
    client.native.ignore(texts.keys() - {"filename", "type", "metadata"})
    kind = texts.get("type") or content.content_type
    name, told = texts.get("filename") or content.name or "file", kind if MEDIA_TYPE.fullmatch(kind) else None
    try:
        kept = await client.native.call(
            "POST",
            "/v1/files",
            files={"file": (name, content.data, told)},
            data={"metadata": texts.get("metadata") or "{}"},
        )
    except Problem as problem:
        raise _naming(problem, lambda field: "content" if field == "file" else field) from None
    return _file(kept.json(), client.base)


def _text(value: str | SentFile) -> str:
    """Decode a text field, because some clients send the metadata as a file."""
    return value if isinstance(value, str) else value.data.decode(errors="replace")


@router.get("/files")
async def list_files(client: Known, cursor: FileCursor = None) -> dict[str, Any]:
    """Your files, newest first."""
    files, following = await _read_page(client, "/v1/files", "files", cursor)
    return _page([_file(file, client.base) for file in files], following)


@router.get("/files/{file_id}")
async def read_file(client: Known, file_id: Id) -> dict[str, Any]:
    """Describe a file."""
    return _file(await client.native.get(f"/v1/files/{file_id}"), client.base)


@router.delete("/files/{file_id}", status_code=204)
async def delete_file(client: Known, file_id: Id) -> None:
    """Remove a file."""
    await client.native.call("DELETE", f"/v1/files/{file_id}")


def _file(file: dict[str, Any], base: str) -> dict[str, Any]:
    told = {name: file[name] for name in ("id", "name", "content_type", "metadata", "created_at", "expires_at")}
    return told | {
        "size": file["bytes"],
        "etag": file["sha256"],
        "checksums": {"sha256": file["sha256"]},
        "urls": {"get": f"{base}{PREFIX}/files/{file['id']}"},
    }


# ---- models and their versions


async def _models(native: Native) -> dict[str, dict[str, Any]]:
    """The models by name."""
    return {model["id"]: model for model in (await native.get("/v1/models"))["data"]}


def _named(owner: str, name: str, models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if owner != OWNER or name not in models:
        raise NotFound(f"There is no model {owner}/{name} here; there is {OWNER}/{next(iter(models))}.")
    return models[name]


def _of_version(text: str, models: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The model for the id of a version, the name of a model, or both."""
    name, _, version = text.partition(":") if "/" in text else ("", "", text)
    for model in models.values():
        own_name, own_version = f"{OWNER}/{model['id']}", _version_id(model)
        if (name, version) == (own_name, "") or (version == own_version and name in ("", own_name)):
            return model
    raise invalid("version", f"must be the id of a version, or a model such as {OWNER}/{next(iter(models))}")


def _version_id(model: dict[str, Any]) -> str:
    """The id of a model's version. It changes when the workers load another checkpoint."""
    checkpoint = model["checkpoint"]
    return hashlib.sha256(f"{model['id']}\n{checkpoint['name']}\n{checkpoint['revision']}".encode()).hexdigest()


@router.get("/models")
async def list_models(client: Known) -> dict[str, Any]:
    """List the models."""
    return _page([_model(model, client.base) for model in (await _models(client.native)).values()])


@router.get("/search")
async def search(client: Known, query: str = "") -> dict[str, Any]:
    """The models that have this text in their name or summary."""
    models = [_model(model, client.base) for model in (await _models(client.native)).values() if _has(model, query)]
    return {"query": query, "models": models, "collections": [], "pages": []}


@router.api_route("/models", methods=["QUERY"], include_in_schema=False)
async def search_models(request: Request, client: Known) -> dict[str, Any]:
    """Search the models. The body of the request is the text."""
    query = (await request.body()).decode(errors="replace").strip(WRITTEN_AROUND)
    return _page(
        [_model(model, client.base) for model in (await _models(client.native)).values() if _has(model, query)]
    )


def _has(model: dict[str, Any], text: str) -> bool:
    return text.lower() in f"{OWNER}/{model['id']} {model['summary']}".lower()


@router.get("/models/{owner}/{name}")
async def read_model(client: Known, owner: str, name: str) -> dict[str, Any]:
    """One model."""
    return _model(_named(owner, name, await _models(client.native)), client.base)


@router.get("/models/{owner}/{name}/examples")
async def list_examples(client: Known, owner: str, name: str) -> dict[str, Any]:
    """An empty list: models have no examples."""
    _named(owner, name, await _models(client.native))
    return _page([])


@router.get("/models/{owner}/{name}/readme", response_class=Response)
async def read_readme(client: Known, owner: str, name: str) -> Response:
    """Describe the model in Markdown."""
    model = _named(owner, name, await _models(client.native))
    return Response(f"# {OWNER}/{name}\n\n{model['summary']}\n", media_type="text/plain")


@router.get("/models/{owner}/{name}/versions")
async def list_versions(client: Known, owner: str, name: str) -> dict[str, Any]:
    """The only version of a model: the checkpoint that is loaded."""
    return _page([_version(_named(owner, name, await _models(client.native)))])


@router.get("/models/{owner}/{name}/versions/{version_id}")
async def read_version(client: Known, owner: str, name: str, version_id: str) -> dict[str, Any]:
    """One version."""
    version = _version(_named(owner, name, await _models(client.native)))
    if version["id"] != version_id:
        raise NotFound("There is no version with this id: a model has one, of the checkpoint that is loaded.")
    return version


def _model(model: dict[str, Any], base: str) -> dict[str, Any]:
    return {
        "url": f"{base}{PREFIX}/models/{OWNER}/{model['id']}",
        "owner": OWNER,
        "name": model["id"],
        "description": model["summary"],
        "visibility": "public",
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "cover_image_url": None,
        "is_official": True,
        "run_count": 0,
        "default_example": None,
        "latest_version": _version(model),
    }


def _version(model: dict[str, Any]) -> dict[str, Any]:
    parameters = {RENAMED.get(one["name"], one["name"]): _schema(one) for one in model["parameters"]}
    required = ["image", *(name for name, one in parameters.items() if one.pop("required"))]
    pictures = {name: {"type": "string", "format": "uri", "description": summary} for name, summary in URIS.items()}
    formats = {"type": "string", "enum": ["png", "jpg", "webp", "avif"], "default": "png"}
    properties = {**pictures, **parameters, "output_format": formats | {"description": "Of the edited picture."}}
    ordered = {
        name: {"title": name.replace("_", " ").capitalize(), "x-order": place, **one}
        for place, (name, one) in enumerate(properties.items())
    }
    schemas = {
        "Input": {"type": "object", "title": "Input", "required": required, "properties": ordered},
        "Output": {"type": "string", "title": "Output", "format": "uri"},
    }
    return {
        "id": _version_id(model),
        "created_at": MADE,
        "cog_version": COG,
        "openapi_schema": {
            "openapi": "3.0.2",
            "info": {"title": "Cog", "version": "0.1.0"},
            "paths": {},
            "components": {"schemas": schemas},
        },
    }


URIS = {
    "image": "The picture to edit: a data URI, an https address, or the address of a file.",
    "mask": "The area to edit, in white on black. Default: the whole picture.",
}
TYPES = {"text": "string", "choice": "string"}


def _schema(parameter: dict[str, Any]) -> dict[str, Any]:
    kind = parameter["kind"]
    lowest, highest = ("minLength", "maxLength") if kind == "text" else ("minimum", "maximum")
    facts = {
        "default": parameter["default"],
        "enum": parameter["choices"],
        lowest: parameter["minimum"],
        highest: parameter["maximum"],
    }
    schema = {"type": TYPES.get(kind, kind), "description": parameter["summary"], "required": parameter["required"]}
    return schema | {name: value for name, value in facts.items() if value is not None}


# ---- the rest


@router.get("/deployments")
async def list_deployments(client: Known) -> dict[str, Any]:
    """List the models. Each is deployed under its own name."""
    return _page([_deployment(model) for model in (await _models(client.native)).values()])


@router.get("/deployments/{owner}/{name}")
async def read_deployment(client: Known, owner: str, name: str) -> dict[str, Any]:
    """One deployment."""
    return _deployment(_named(owner, name, await _models(client.native)))


def _deployment(model: dict[str, Any]) -> dict[str, Any]:
    release = {
        "number": 1,
        "model": f"{OWNER}/{model['id']}",
        "version": _version_id(model),
        "created_at": MADE,
        "created_by": {"type": "organization", "username": OWNER, "name": OWNER, "github_url": None},
        "configuration": {"hardware": HARDWARE["sku"], "min_instances": 0, "max_instances": 1},
    }
    return {"owner": OWNER, "name": model["id"], "current_release": release}


HARDWARE = {"sku": "darkroom", "name": "The hardware of the workers"}


@router.get("/hardware")
async def list_hardware(_: Known) -> list[dict[str, str]]:
    """The hardware to run on: the workers."""
    return [HARDWARE]


@router.get("/account")
async def read_account(client: Known) -> dict[str, Any]:
    """The tenant whose predictions you see."""
    return {"type": "organization", "username": client.tenant, "name": client.tenant, "github_url": None}


@router.get("/webhooks/default/secret")
async def read_secret(client: Known) -> dict[str, str]:
    """The secret that signs webhooks."""
    return {"key": (await client.native.get("/v1/webhooks/default/secret"))["secret"]}


def invalid(field: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {detail}", FieldError(field, detail))


def app(native: FastAPI) -> FastAPI:
    """The dialect, in front of the app of the native API."""
    made = dialect_app("Replicate's API", router, native)
    made.state.links = Links(native.state.services.settings)
    return made
