"""Content credentials: what a picture says of its origin."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from api import examples, strict_json
from api.credentials import KINDS_IN_WORDS
from api.deps import Caller, Reader, Service, Services
from api.openapi import answers, raises
from api.submission import FormWithPicture, invalid
from jobs.errors import FieldError, InvalidPicture, MalformedBody, UnsupportedMediaType
from jobs.job import is_id

router = APIRouter(prefix="/v1/credentials", tags=["credentials"])

PICTURE = {"type": "string", "format": "binary", "description": KINDS_IN_WORDS[0].upper() + KINDS_IN_WORDS[1:] + "."}
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": PICTURE}},
            "example": {"image": "@photo.jpg"},
        },
    },
}
CHANGED = ("assertion.dataHash.mismatch", "assertion.bmffHash.mismatch", "assertion.boxesHash.mismatch")


class CredentialsProblem(BaseModel):
    """A problem with the credentials: its code in the C2PA specification, and a text."""

    code: str = Field(description="its name in the C2PA specification")
    text: str = Field(description="a description of the problem")


class ActionView(BaseModel):
    """An action on the picture. `by_ai`: a trained model did it."""

    action: str = Field(description="its name in the C2PA specification")
    agent: str = Field(description="the program that did it")
    by_ai: bool = Field(description="whether a trained model did it")


class ManifestView(BaseModel):
    """One signed manifest. `details` describe an edit that Darkroom made. `signed_at` is null without a time stamp."""

    issuer: str = Field(description="the organization in the certificate")
    common_name: str = Field(description="the name in the certificate")
    generator: str = Field(description="the program that wrote the manifest")
    signed_at: str | None = Field(description="when it was signed; null: there is no time stamp")
    actions: list[ActionView] = Field(description="what was done to the picture")
    details: dict[str, str] = Field(description="Darkroom's description of its own edit")


class CredentialsCheck(BaseModel):
    """What a picture's content credentials say. The manifests are ordered from the newest to the oldest.

    `valid`: the credentials are intact, and the picture has not changed since it was signed. `trusted`: in addition, an
    authority that this service trusts vouches for the issuer. `made_here`: this service made the picture, whatever
    credentials it carries now. `job`: your job that made it, if it is still kept. `pixels_sha256` is null if the pixels
    are not read.
    """

    object: Literal["credentials_check"] = "credentials_check"
    present: bool = Field(description="whether the picture has content credentials")
    valid: bool = Field(description="whether they are intact and the picture has not changed since it was signed")
    trusted: bool = Field(
        description="whether they are valid, and an authority that this service trusts vouches for the issuer"
    )
    sentence: str = Field(description="the result as a sentence")
    issuer: str | None = Field(description="the issuer of the newest manifest")
    edited_by_ai: bool = Field(description="whether any manifest says that a trained model edited it")
    made_here: bool = Field(description="whether this service made the picture, whatever it carries now")
    job: str | None = Field(description="the job that made it, if it is yours and still kept")
    problems: list[CredentialsProblem] = Field(description="what is wrong with them")
    manifests: list[ManifestView] = Field(description="the manifests, the newest first")
    pixels_sha256: str | None = Field(description="SHA-256 of the decoded pixels; null: they are not read")


async def read_picture(request: Request) -> bytes:
    """Read the picture of a form.

    Raises:
        UnsupportedMediaType, MalformedBody, InvalidRequest
    """
    strict_json.refuse_compressed(request)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "multipart/form-data":
        wanted = "must be multipart/form-data"
        raise UnsupportedMediaType("Send multipart/form-data with an `image` file.", FieldError("content-type", wanted))
    try:
        form = await FormWithPicture(request.headers, request.stream(), max_files=1, max_fields=1).parse()
    except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
        detail = getattr(error, "message", "it does not follow its boundary")
        raise MalformedBody(f"The form cannot be read: {detail}.", FieldError("body", "must be a form")) from error
    try:
        for name, value in form.multi_items():
            if name != "image":
                raise invalid(name, "is not known: the only field is `image`")
            if isinstance(value, UploadFile):
                return await value.read()
        raise invalid("image", f"is required: {KINDS_IN_WORDS}")
    finally:
        await form.close()


@router.post(
    "/check",
    summary="Check a picture's content credentials",
    openapi_extra={"requestBody": BODY},
    responses=answers(examples.CREDENTIALS) | raises(InvalidPicture),
)
async def check_credentials(
    caller: Reader, service: Service, picture: Annotated[bytes, Depends(read_picture)]
) -> CredentialsCheck:
    """Read a picture's content credentials (C2PA). It is not kept, and nothing that it refers to is fetched."""
    return await service.submitting.run(_checked, picture, caller, service)


def _checked(picture: bytes, caller: Caller, service: Services) -> CredentialsCheck:
    report = service.credentials.check(picture)
    state, manifests, problems = report["state"], report["manifests"], report["problems"]
    newest = manifests[0] if manifests else None
    known = _known(report["pixels_sha256"], service)
    signed_here = state == "trusted" and newest is not None and service.credentials.are_ours(newest)
    told = newest["details"].get("job", "") if newest and signed_here else known
    by_ai = any(action["by_ai"] for manifest in manifests for action in manifest["actions"])
    return CredentialsCheck(
        present=state != "none",
        valid=state in ("valid", "trusted"),
        trusted=state == "trusted",
        sentence=_sentence(report, by_ai=by_ai, made_here=signed_here or known is not None),
        issuer=newest["issuer"] if newest else None,
        edited_by_ai=by_ai,
        made_here=signed_here or known is not None,
        job=told if told and _is_callers(told, caller, service) else None,
        problems=[CredentialsProblem(**problem) for problem in problems],
        manifests=[ManifestView(**manifest) for manifest in manifests],
        pixels_sha256=report["pixels_sha256"],
    )


def _known(pixels: str | None, service: Services) -> str | None:
    return service.store.find_by_pixels(pixels) if pixels else None


def _is_callers(job_id: str, caller: Caller, service: Services) -> bool:
    return is_id(job_id) and service.store.get(job_id, caller.tenant) is not None


def _sentence(report: dict[str, Any], *, by_ai: bool, made_here: bool) -> str:
    """The verdict as a sentence."""
    issuer = report["manifests"][0]["issuer"] if report["manifests"] else "nobody"
    codes = {problem["code"] for problem in report["problems"]}
    match report["state"]:
        case "none":
            text = "This picture carries no content credentials."
            return text + (" Its pixels are those of a picture that this Darkroom has made." if made_here else "")
        case "invalid":
            changed = "it was changed after it was signed" if codes & set(CHANGED) else "they are broken or forged"
            return f"The content credentials of this picture are not valid: {changed}."
        case "trusted":
            text = f"The content credentials of this picture are valid, and come from {issuer}, which is trusted here."
        case _:
            text = f"The content credentials of this picture are valid, but {issuer} is not trusted here."
    return text + (" A trained model has made or edited it." if by_ai else "")
