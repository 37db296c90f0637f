"""Sign-in from a browser: a key is exchanged for a cookie that no script can read and no other site can use."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api import examples
from api.deps import COOKIE, Bearer, Cookie, Reader, Service, Services, count, find_key, refuse_other_sites
from api.openapi import answers, raises
from jobs.api_keys import Scope
from jobs.errors import Conflict, Unauthorized

router = APIRouter(prefix="/v1/session", tags=["session"])


class CallerView(BaseModel):
    """The caller."""

    tenant: str = Field(description="the tenant whose jobs you see")
    scopes: list[Scope] = Field(description="what you may do")
    keys_needed: bool = Field(description="whether this service asks for keys")


class SessionView(BaseModel):
    """A new session."""

    tenant: str = Field(description="the tenant whose jobs you see")
    scopes: list[Scope] = Field(description="what you may do")
    expires_at: datetime = Field(description="when the session ends")


@router.post("", summary="Sign in", status_code=201, responses=answers(examples.SESSION, 201) | raises(Conflict))
def sign_in(request: Request, response: Response, service: Service, bearer: Bearer) -> SessionView:
    """Exchange the key in `Authorization` for a session cookie. It ends with the key, or after `SESSION_SECONDS`."""
    _refuse_without_keys(service)
    key = find_key(service, bearer.credentials if bearer else "")
    count(request, service, key.id, key.tenant)
    seconds = service.settings.session_seconds
    response.set_cookie(
        COOKIE,
        service.api_keys.open_session(key, seconds),
        max_age=seconds,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    return SessionView(tenant=key.tenant, scopes=sorted(key.scopes), expires_at=ends)


@router.get("", summary="Read who you are", responses=answers(examples.CALLER))
def read_caller(caller: Reader, service: Service) -> CallerView:
    """The tenant whose jobs you see, and what you may do."""
    needed = service.settings.auth == "on"
    return CallerView(tenant=caller.tenant, scopes=sorted(caller.scopes), keys_needed=needed)


@router.delete("", summary="Sign out", status_code=204, responses=raises(Conflict))
def sign_out(request: Request, response: Response, service: Service, cookie: Cookie) -> None:
    """End the session."""
    _refuse_without_keys(service)
    refuse_other_sites(request, must=True)
    if not cookie or not service.api_keys.session(cookie):
        raise Unauthorized("There is no session to end.")
    service.api_keys.close_session(cookie)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _refuse_without_keys(service: Services) -> None:
    if service.settings.auth == "off":
        raise Conflict("This service runs without keys: there are no sessions.")
