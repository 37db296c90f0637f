"""Webhooks: endpoints that receive the events of a tenant's jobs, their secrets and their deliveries."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from api import examples
from api.deps import Caller, Reader, SecretReader, Service, Services, Submitter
from api.openapi import answers, raises
from api.strict_json import StrictBody
from api.submission import LONGEST_URL, Events, invalid
from api.views import moment, moment_or_none
from jobs.errors import Conflict, NotFound
from jobs.fetch import FetchError
from jobs.outbox import MOST_ENDPOINTS, Delivery, Endpoint, Event

router = APIRouter(tags=["webhooks"])


class NewWebhook(BaseModel, extra="forbid"):
    """The endpoint to register."""

    url: str = Field(max_length=LONGEST_URL, description="the https address of the receiver")
    events: Events = [Event.COMPLETED]


class WebhookView(BaseModel):
    """An endpoint. The one named `default` has no address: its secret signs for the webhooks that jobs name."""

    id: str = Field(description="the endpoint")
    object: Literal["webhook"] = "webhook"
    url: str | None = Field(description="the address of the receiver; null for `default`")
    events: list[Event] = Field(description="the events that it receives")
    enabled: bool = Field(description="whether messages are sent")
    disabled_because: str | None = Field(description="why no messages are sent; null: they are sent")
    created_at: datetime | None = Field(description="when it was registered")


class SecretView(BaseModel):
    """The secret that signs messages. Until `old_valid_until`, the previous secret signs them too."""

    id: str = Field(description="the endpoint")
    object: Literal["webhook_secret"] = "webhook_secret"
    secret: str = Field(description="the secret that signs messages")
    old_valid_until: datetime | None = Field(description="until when the previous secret signs too; null: it does not")


class NewWebhookView(WebhookView):
    """A new endpoint, with its secret."""

    secret: str = Field(description="the secret that signs messages")


class WebhookListView(BaseModel):
    """All endpoints."""

    object: Literal["list"] = "list"
    data: list[WebhookView] = Field(description="the endpoints")


class WebhookAttemptView(BaseModel):
    """One attempt: the receiver's status (null: no answer), the milliseconds, the first 200 bytes of the answer."""

    at: datetime = Field(description="when the attempt began")
    ms: int = Field(description="milliseconds until the answer")
    status: int | None = Field(description="the status of the answer; null: there was none")
    answer: str = Field(description="the first 200 bytes of the answer")


class DeliveryView(BaseModel):
    """One message. Its id is the `webhook-id` of every attempt."""

    id: str = Field(description="the `webhook-id` of every attempt")
    object: Literal["delivery"] = "delivery"
    type: str = Field(description="the type of the event")
    job: str | None = Field(description="the job of the event; null: it is about no job")
    status: Literal["pending", "delivered", "failed"] = Field(description="`pending`: it will be sent, or sent again")
    created_at: datetime = Field(description="when the message was made")
    attempts: list[WebhookAttemptView] = Field(description="the attempts so far")


class DeliveryListView(BaseModel):
    """An endpoint's last deliveries, newest first."""

    object: Literal["list"] = "list"
    data: list[DeliveryView] = Field(description="the messages")


WebhookId = Annotated[str, Path(description="the webhook's id, or `default`", max_length=64)]


def find_endpoint(webhook_id: str, caller: Caller, service: Services) -> Endpoint:
    """The caller's endpoint with this id.

    Raises:
        NotFound: there is none, or it belongs to another tenant.
    """
    endpoint = service.outbox.endpoint(webhook_id, caller.tenant)
    if endpoint is None:
        raise NotFound("There is no webhook with this id.")
    return endpoint


def endpoint_to_read(webhook_id: WebhookId, caller: Reader, service: Service) -> Endpoint:
    return find_endpoint(webhook_id, caller, service)


def endpoint_with_secret(webhook_id: WebhookId, caller: SecretReader, service: Service) -> Endpoint:
    return find_endpoint(webhook_id, caller, service)


def endpoint_to_change(webhook_id: WebhookId, caller: Submitter, service: Service) -> Endpoint:
    return find_endpoint(webhook_id, caller, service)


ReadEndpoint = Annotated[Endpoint, Depends(endpoint_to_read)]
OwnEndpoint = Annotated[Endpoint, Depends(endpoint_to_change)]
SecretEndpoint = Annotated[Endpoint, Depends(endpoint_with_secret)]


def check_webhook(field: str, url: str, service: Services) -> None:
    """Refuse an address that can never receive events. The address of its host is checked at each delivery."""
    try:
        service.fetcher.check(url)
    except FetchError:
        ports = ", ".join(str(port) for port in sorted(service.settings.ports))
        raise invalid(field, f"must be an https URL without user and password, on one of the ports {ports}") from None


NEW_WEBHOOK = StrictBody(NewWebhook, example={"url": "https://you.example/darkroom", "events": ["job.completed"]})


@router.post(
    "/v1/webhooks",
    summary="Register a webhook endpoint",
    status_code=201,
    openapi_extra=NEW_WEBHOOK.openapi,
    responses=answers(examples.WEBHOOK | {"secret": examples.SECRET}, 201) | raises(Conflict),
)
def create_webhook(
    caller: Submitter, new: Annotated[NewWebhook, Depends(NEW_WEBHOOK)], service: Service
) -> NewWebhookView:
    """Register an endpoint that receives the events of all your jobs. Keep its secret: it signs the messages."""
    check_webhook("url", new.url, service)
    endpoint = service.outbox.register(caller.tenant, new.url, tuple(new.events))
    if endpoint is None:
        raise Conflict(f"There can be at most {MOST_ENDPOINTS} webhooks: delete one first.")
    return NewWebhookView(**_view(endpoint).model_dump(), secret=endpoint.secret)


@router.get("/v1/webhooks", summary="List webhook endpoints", responses=answers(examples.list_of(examples.WEBHOOK)))
def list_webhooks(caller: Reader, service: Service) -> WebhookListView:
    """Your registered endpoints, oldest first."""
    return WebhookListView(data=[_view(endpoint) for endpoint in service.outbox.endpoints(caller.tenant)])


@router.get("/v1/webhooks/{webhook_id}", summary="Read a webhook endpoint", responses=answers(examples.WEBHOOK))
def read_webhook(endpoint: ReadEndpoint) -> WebhookView:
    """One endpoint."""
    return _view(endpoint)


@router.delete("/v1/webhooks/{webhook_id}", summary="Delete a webhook endpoint", status_code=204)
def delete_webhook(caller: Submitter, webhook_id: WebhookId, service: Service) -> None:
    """Delete an endpoint. Messages that were not delivered yet are dropped."""
    if not service.outbox.unregister(webhook_id, caller.tenant):
        raise NotFound("There is no webhook with this id.")


@router.get(
    "/v1/webhooks/{webhook_id}/secret", summary="Read an endpoint's secret", responses=answers(examples.WEBHOOK_SECRET)
)
def read_secret(endpoint: SecretEndpoint) -> SecretView:
    """The secret that signs messages to this endpoint, for a key that may submit and read."""
    return _view_secret(endpoint)


@router.post(
    "/v1/webhooks/{webhook_id}/rotate",
    summary="Change an endpoint's secret",
    responses=answers(examples.ROTATED_SECRET),
)
def rotate_secret(endpoint: SecretEndpoint, service: Service) -> SecretView:
    """Make a new secret, for a key that may submit and read.

    For a day messages carry signatures by both secrets, so that receivers can switch.
    """
    rotated = service.outbox.rotate(endpoint)
    if rotated is None:
        raise NotFound("There is no webhook with this id.")
    return _view_secret(rotated)


@router.post(
    "/v1/webhooks/{webhook_id}/test",
    summary="Send a test message",
    status_code=202,
    responses=answers(
        examples.DELIVERY | {"type": "webhook.test", "job": None, "status": "pending", "attempts": []}, 202
    )
    | raises(Conflict),
)
def test_webhook(endpoint: OwnEndpoint, service: Service) -> DeliveryView:
    """Send a `webhook.test` message."""
    _refuse_silent(endpoint)
    return _view_delivery(service.outbox.test(endpoint))


@router.get(
    "/v1/webhooks/{webhook_id}/deliveries",
    summary="List an endpoint's deliveries",
    responses=answers(examples.list_of(examples.DELIVERY)),
)
def list_deliveries(
    endpoint: ReadEndpoint, service: Service, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> DeliveryListView:
    """The last messages to an endpoint and its answers. They are kept for three days, progress for ten minutes."""
    return DeliveryListView(data=[_view_delivery(one) for one in service.outbox.deliveries(endpoint, limit)])


@router.post(
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    summary="Send a message again",
    status_code=202,
    responses=answers(examples.DELIVERY | {"status": "pending"}, 202) | raises(Conflict),
)
def redeliver(
    endpoint: OwnEndpoint, delivery_id: Annotated[str, Path(max_length=128)], service: Service
) -> DeliveryView:
    """Send a message again with its old id. Its schedule starts again."""
    if endpoint.disabled_ms:
        _refuse_silent(endpoint)
    delivery = service.outbox.redeliver(delivery_id, endpoint)
    if delivery is None:
        raise NotFound("There is no delivery with this id.")
    return _view_delivery(delivery)


@router.get(
    "/.well-known/jwks.json", summary="Read the public keys of the webhook signatures", responses=answers(examples.JWKS)
)
def read_keys(service: Service) -> dict[str, Any]:
    """The public keys (Ed25519) of the `v1a` signatures."""
    return {"keys": [service.outbox.signing_key().jwk()]}


def _refuse_silent(endpoint: Endpoint) -> None:
    if endpoint.disabled_ms:
        raise Conflict(f"The webhook is disabled ({endpoint.disabled_because}): delete it and register it again.")
    if not endpoint.url:
        raise Conflict("The default webhook has no address of its own: it signs for the webhooks that jobs name.")


def _view(endpoint: Endpoint) -> WebhookView:
    return WebhookView(
        id=endpoint.id,
        url=endpoint.url or None,
        events=list(endpoint.events),
        enabled=endpoint.disabled_ms is None,
        disabled_because=endpoint.disabled_because,
        created_at=moment_or_none(endpoint.created_ms),
    )


def _view_secret(endpoint: Endpoint) -> SecretView:
    until = endpoint.old_secret_until_ms
    still = until > datetime.now(UTC).timestamp() * 1000
    return SecretView(id=endpoint.id, secret=endpoint.secret, old_valid_until=moment(until) if still else None)


def _view_delivery(delivery: Delivery) -> DeliveryView:
    return DeliveryView(
        id=delivery.id,
        type=delivery.type,
        job=delivery.job,
        status=delivery.status,
        created_at=moment(delivery.at_ms),
        attempts=[
            WebhookAttemptView(at=moment(one.at_ms), ms=one.ms, status=one.status, answer=one.answer)
            for one in delivery.attempts
        ],
    )
