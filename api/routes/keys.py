"""API keys, for admins: make, list and revoke them."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from pydantic import BaseModel, ConfigDict, Field

from api import examples
from api.deps import Admin, PageSize, PlaceInPages, Service
from api.openapi import answers
from api.strict_json import StrictBody
from api.views import Page, moment
from jobs.api_keys import LOCAL_TENANT, TENANT, Key, Scope
from jobs.errors import NotFound

router = APIRouter(prefix="/v1/admin/keys", tags=["keys"])


class NewKey(BaseModel):
    """The key to make."""

    model_config = ConfigDict(extra="forbid")

    tenant: str = Field(LOCAL_TENANT, pattern=f"^{TENANT}$", description="the tenant whose jobs the key can see")
    scopes: list[Scope] = Field(
        [Scope.SUBMIT, Scope.READ], min_length=1, max_length=len(Scope), description="what the key may do"
    )
    name: str = Field("", max_length=100, description="a name by which you tell keys apart")


class KeyView(BaseModel):
    """A key without its secret."""

    id: str = Field(description="a name of the key that is not secret")
    object: Literal["key"] = "key"
    tenant: str = Field(description="the tenant whose jobs it can see")
    scopes: list[Scope] = Field(description="what it may do")
    name: str = Field(description="the name that you gave it")
    created_at: datetime = Field(description="when it was made")


class MadeKeyView(KeyView):
    """A new key. `key` is the text that its owner sends; it is never shown again."""

    key: str = Field(description="the text that its owner sends; it is never shown again")


class KeyListView(Page[KeyView]):
    """A page of the keys that are not revoked, oldest first. `next` is the cursor of the next page."""


NEW_KEY = StrictBody(NewKey, example={"tenant": "acme", "scopes": ["read", "submit"], "name": "the shop"})


@router.post(
    "",
    summary="Make a key",
    status_code=201,
    openapi_extra=NEW_KEY.openapi,
    responses=answers(examples.KEY | {"key": "dk_3f9c2a7be1_…"}, 201),
)
def make_key(_: Admin, service: Service, wanted: Annotated[NewKey, Depends(NEW_KEY)]) -> MadeKeyView:
    """Make a key for a tenant."""
    key, text = service.api_keys.make(wanted.tenant, frozenset(wanted.scopes), wanted.name)
    return MadeKeyView(key=text, **_view(key).model_dump())


@router.get("", summary="List keys", responses=answers(examples.list_of(examples.KEY, has_more=False, next=None)))
def list_keys(_: Admin, service: Service, limit: PageSize = 100, after: PlaceInPages = None) -> KeyListView:
    """The keys of all tenants, page by page."""
    page, following = service.api_keys.page(limit, after)
    return KeyListView(data=[_view(key) for key in page], has_more=following is not None, next=following)


@router.delete("/{key_id}", summary="Revoke a key", status_code=204)
def revoke_key(_: Admin, service: Service, key_id: Annotated[str, PathParameter(max_length=64)]) -> None:
    """Revoke a key and end its sessions, at once."""
    if not service.api_keys.revoke(key_id):
        raise NotFound("There is no key with this id.")


def _view(key: Key) -> KeyView:
    made = moment(key.created_ms)
    return KeyView(id=key.id, tenant=key.tenant, scopes=sorted(key.scopes), name=key.name, created_at=made)
