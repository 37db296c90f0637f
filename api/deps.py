"""The dependencies of the routes, under short names. The services are made when the app starts, and belong to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, cast

from fastapi import Depends, Header, Query, Request
from fastapi import Path as PathParameter
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.credentials import Credentials
from api.guards import own_origin
from api.photos import Photos
from api.subscriptions import ConnectionLimits, Subscriptions
from api.threads import Threads
from jobs import logs
from jobs.api_keys import LOCAL_TENANT, ApiKeys, Key, Scope
from jobs.batches import BatchStore
from jobs.cards import Card
from jobs.decoders import WAIT_SECONDS
from jobs.errors import Forbidden, NotFound, TooManyRequests, Unauthorized
from jobs.fetch import Fetcher
from jobs.files import FileStore
from jobs.job import Job, is_id
from jobs.operator import Operator
from jobs.outbox import Outbox
from jobs.pages import PLACE
from jobs.pictures import PictureStore
from jobs.renders import Renders
from jobs.served_models import ServedModels
from jobs.settings import Settings
from jobs.store import JobStore
from jobs.store.requests import Known, Limits, QueuePosition
from jobs.throttle import Allowance, Counted, Throttle
from jobs.wakeups import Wakeups

STORING = 14  #: submissions that are stored at a time, in addition to those whose picture is decoded


@dataclass(frozen=True)
class Caller:
    """The sender of a request. A request only touches what belongs to its tenant."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None


#: In the scope of a request that our own code makes in this process, this names the caller, who is already identified.
VOUCHED = "darkroom.caller"

NOBODY_ELSE = Caller(LOCAL_TENANT, frozenset({Scope.SUBMIT, Scope.READ}), None)  # the caller of a service without keys


@dataclass(frozen=True)
class Services:
    """All services that the web tier uses."""

    settings: Settings
    store: JobStore
    models: ServedModels
    pictures: PictureStore
    files: FileStore
    batches: BatchStore
    photos: Photos
    credentials: Credentials
    wakeups: Wakeups
    subscriptions: Subscriptions
    api_keys: ApiKeys
    throttle: Throttle
    outbox: Outbox
    renders: Renders
    operator: Operator
    fetcher: Fetcher
    connections: ConnectionLimits
    submitting: Threads

    @classmethod
    def connect(cls, settings: Settings) -> "Services":
        """Make all clients, without connecting yet."""
        store = JobStore.connect(settings.redis_url, timeout=settings.redis_timeout_seconds)
        pictures = PictureStore.connect(settings, timeout=settings.s3_timeout_seconds)
        admin_key = settings.admin_key
        return cls(
            settings,
            store,
            ServedModels(store, lambda: Card.read(Path(settings.checkpoint))),
            pictures,
            FileStore(store.redis, pictures),
            BatchStore(store.redis, pictures),
            Photos(settings),
            Credentials(settings),
            Wakeups.connect(settings, store, timeout=settings.redis_timeout_seconds),
            Subscriptions(settings.redis_url, timeout=settings.redis_timeout_seconds),
            ApiKeys(store.redis, admin_key.get_secret_value() if admin_key else None),
            Throttle(store.redis),
            Outbox(store),
            Renders(store),
            Operator(store),
            Fetcher(settings),
            ConnectionLimits(settings.max_streams, settings.max_streams_per_tenant),
            Threads(settings.decoders + STORING, WAIT_SECONDS),
        )

    @property
    def limits(self) -> Limits:
        """The limits on queued jobs and their wait."""
        settings = self.settings
        return Limits(settings.max_queued_jobs, settings.max_queue, settings.max_wait_seconds)

    def job(self, job_id: str, caller: Caller) -> Job:
        """The caller's job with this id.

        Raises:
            NotFound: there is none, or it belongs to another tenant.
        """
        job = self.store.get(job_id, caller.tenant) if is_id(job_id) else None
        if job is None:
            raise no_job()
        logs.note(job_id=job.id)
        return job

    def job_and_position(self, job_id: str, caller: Caller) -> tuple[Job, QueuePosition | None]:
        """Like `job`, with its position if it is queued."""
        found = self.store.read(job_id, caller.tenant) if is_id(job_id) else None
        if found is None:
            raise no_job()
        logs.note(job_id=job_id)
        return found


def no_job() -> NotFound:
    """The same answer for a job that does not exist, belongs to another tenant, or has an invalid id."""
    return NotFound("There is no job with this id.")


async def services_of(request: Request) -> Services:  # async, because FastAPI would run a plain function in a thread
    return cast(Services, request.app.state.services)


Service = Annotated[Services, Depends(services_of)]

COOKIE = "darkroom_session"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
SEND_A_KEY = "Send a key that is valid here, as `Authorization: Bearer dk_…`."

Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(HTTPBearer(auto_error=False, description="An API key, `dk_…`.")),
]
Cookie = Annotated[
    str | None,
    Depends(APIKeyCookie(name=COOKIE, auto_error=False, description="A session of the site, from `POST /v1/session`.")),
]


class Needs:
    """A dependency: the caller. Its key must have these scopes, and some of its allowance of requests left."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = scopes

    async def __call__(self, request: Request, service: Service, bearer: Bearer, cookie: Cookie) -> Caller:
        """
        Raises:
            Unauthorized, Forbidden, TooManyRequests
        """
        key = bearer.credentials if bearer else None
        if service.settings.auth == "off":  # Redis is not asked, so no thread is needed
            return self.allowed(request, service, key, cookie)
        return await run_in_threadpool(self._counted, request, service, key, cookie)

    def _counted(self, request: Request, service: Services, key: str | None, session: str | None) -> Caller:
        caller = self.allowed(request, service, key, session)
        if caller.key_id:
            count(request, service, caller.key_id, caller.tenant)
        return caller

    def allowed(self, request: Request, service: Services, key: str | None, session: str | None) -> Caller:
        """The caller. Its request is not counted yet."""
        caller = _identify(request, service, key, session)
        logs.note(tenant=caller.tenant)
        for scope in self.scopes:
            if scope not in caller.scopes:
                raise Forbidden(f"This needs a key with the scope `{scope}`.")
        return caller


def _identify(request: Request, service: Services, key: str | None, session: str | None) -> Caller:
    if isinstance(vouched := request.scope.get(VOUCHED), Caller):  # a request cannot set this by a header
        return vouched
    if service.settings.auth == "off":
        refuse_other_sites(request, *service.settings.allowed_origins)
        return NOBODY_ELSE
    if key:
        found = find_key(service, key)
        return Caller(found.tenant, found.scopes, found.id)
    if session:
        refuse_other_sites(request, must=True)
        signed_in = service.api_keys.session(session)
        if signed_in:
            return Caller(signed_in.tenant, signed_in.scopes, signed_in.id)
    raise Unauthorized(SEND_A_KEY)


def still_allowed(request: Request, service: Service, bearer: Bearer, cookie: Cookie) -> Callable[[], bool]:
    """A check for long requests, whether the caller is still allowed, because its key can be revoked meanwhile."""

    def is_allowed() -> bool:
        try:
            _identify(request, service, bearer.credentials if bearer else None, cookie)
        except Unauthorized:
            return False
        return True

    return is_allowed


StillAllowed = Annotated[Callable[[], bool], Depends(still_allowed)]


def find_key(service: Services, text: str) -> Key:
    """The API key with this text.

    Raises:
        Unauthorized
    """
    key = service.api_keys.find(text)
    if key is None:
        raise Unauthorized(SEND_A_KEY)
    return key


def refuse_other_sites(request: Request, *friends: str, must: bool = False) -> None:
    """Refuse requests from pages of other sites, which act with the cookies that a browser sends by itself.

    `must`: a request that changes something must say from which page it comes.
    """
    origin = request.headers.get("origin", "").lower()
    if request.method not in SAFE_METHODS and (origin or must) and origin not in (own_origin(request), *friends):
        raise Forbidden("Without a key in its header, this takes requests of its own pages only (the Origin header).")


def count(request: Request, service: Services, key_id: str, tenant: str) -> None:
    """Take one request from the key's allowance, and report the rest in the headers of the answer.

    Raises:
        TooManyRequests
    """
    counted = counted_as(request, service, key_id)
    tell_allowance(request, service.throttle.take(counted.caller, counted.kind, counted.per_minute, tenant))


def counted_as(request: Request, service: Services, key_id: str) -> Counted:
    """The kind and the limit by which a request of this key is counted."""
    if request.method in SAFE_METHODS:
        return Counted(key_id, "reads", service.settings.reads_per_minute)
    return Counted(key_id, "writes", service.settings.writes_per_minute)


def tell_allowance(request: Request, allowance: Allowance) -> None:
    """Report the rest of an allowance in the headers of the answer.

    Raises:
        TooManyRequests: nothing was left.
    """
    request.state.headers.update(allowance.headers())
    if not allowance.allowed:
        raise TooManyRequests(
            f"A key may make {allowance.limit} such requests a minute.", retry_after=allowance.retry_after
        )


class NeedsOperator(Needs):
    """A dependency: an operator. That is a caller with an admin key or, if keys are off, any caller on this machine."""

    def __init__(self) -> None:
        super().__init__(Scope.ADMIN)

    async def __call__(self, request: Request, service: Service, bearer: Bearer, cookie: Cookie) -> Caller:
        if service.settings.auth == "off" and not service.settings.open_to_network:
            refuse_other_sites(request, *service.settings.allowed_origins)
            return NOBODY_ELSE
        return await super().__call__(request, service, bearer, cookie)


IdempotencyHeader = Annotated[
    str | None, Header(min_length=1, max_length=255, description="makes a submission safe to repeat")
]
Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
Submitter = Annotated[Caller, Depends(Needs(Scope.SUBMIT))]
SecretReader = Annotated[Caller, Depends(Needs(Scope.SUBMIT, Scope.READ))]
Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]
Operating = Annotated[Caller, Depends(NeedsOperator())]


@dataclass(frozen=True)
class Admission:
    """A caller whose job has room. `known`: what was already submitted with its idempotency key."""

    caller: Caller
    known: Known | None


class Admits(Needs):
    """A dependency that admits or refuses a submission before its body is read."""

    async def __call__(  # type: ignore[override]
        self,
        request: Request,
        service: Service,
        bearer: Bearer,
        cookie: Cookie,
        idempotency_key: IdempotencyHeader = None,
    ) -> Admission:
        """
        Raises:
            Unauthorized, Forbidden, TooManyRequests, TooManyJobs, QueueFull, StorageUnavailable
        """
        key = bearer.credentials if bearer else None
        return await run_in_threadpool(self._admission, request, service, key, cookie, idempotency_key)

    def _admission(
        self, request: Request, service: Services, key: str | None, session: str | None, idempotency_key: str | None
    ) -> Admission:
        caller = self.allowed(request, service, key, session)
        counted = counted_as(request, service, caller.key_id) if caller.key_id else None
        tell = partial(tell_allowance, request)
        known = service.store.admit(caller.tenant, service.limits, idempotency_key, counted, tell)
        service.pictures.refuse_while_away()
        return Admission(caller, known)


Admitted = Annotated[Admission, Depends(Admits(Scope.SUBMIT))]

JobId = Annotated[str, PathParameter(description="the job's id", max_length=64)]

PageSize = Annotated[int, Query(ge=1, le=1000, description="the most entries of a page")]
PlaceInPages = Annotated[str | None, Query(pattern=PLACE, description="`next` of the page before")]


def find_job(job_id: JobId, service: Service, caller: Reader) -> Job:
    return service.job(job_id, caller)


FoundJob = Annotated[Job, Depends(find_job)]
