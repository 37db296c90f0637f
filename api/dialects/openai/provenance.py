"""What the content credentials of a picture say of its origin."""

import time
from typing import Any

from fastapi import APIRouter, Request

from api.dialects.native import Service
from api.dialects.openai.errors import lacking
from api.dialects.openai.ids import second
from api.forms import SentFile, read_form

router = APIRouter()


FILE = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILE}}}}


@router.post("/content_provenance_checks", openapi_extra=BODY)
async def check_provenance(native: Service, request: Request) -> dict[str, Any]:
    """Read a picture's content credentials. SynthID is never detected."""
    sent = dict(await read_form(request, {"file"}))
    file = sent.pop("file", None)
    if not isinstance(file, SentFile):
        raise lacking("file", "is required, as a file")
    native.ignore(sent)
    answer = await native.call("POST", "/v1/credentials/check", files={"image": file.data})
    results = [_c2pa(answer.json()), {"type": "synthid", "outcome": "not_detected"}]
    return {"object": "content_provenance_check", "created_at": int(time.time()), "results": results}


def _c2pa(check: dict[str, Any]) -> dict[str, Any]:
    if not check["present"]:
        return {"type": "c2pa", "outcome": "not_detected", "validation_state": "not_present"}
    state = "trusted" if check["trusted"] else "valid" if check["valid"] else "invalid"
    newest = check["manifests"][0] if check["manifests"] else {}
    signed = newest.get("signed_at")
    return {
        "type": "c2pa",
        "outcome": "detected",
        "validation_state": state,
        "issuer": check["issuer"],
        "model": newest.get("details", {}).get("model"),
        "generated_at": second(signed),
    }
