"""Refusals that only a service with keys and a short queue gives, as OpenAI's own client raises them."""

import httpx
import openai
import pytest
from openai import OpenAI

from jobs.api_keys import ApiKeys, Scope
from tests.integration.test_events import serving


@pytest.fixture
def client_of(settings, store):
    """A client with a key of these scopes. Its tenant may have one job waiting."""
    with serving(settings.model_copy(update={"auth": "on", "max_queued_jobs": 1})) as http:

        def make(*scopes: Scope) -> OpenAI:
            key = ApiKeys(store.redis).make("acme", frozenset(scopes))[1] if scopes else "sk-of-nobody"
            caller = httpx.Client(trust_env=False)
            return OpenAI(base_url=f"{http.base_url}/openai/v1", api_key=key, http_client=caller, max_retries=0)

        yield make


def test_a_key_that_is_unknown_and_one_that_may_not(client_of, jpeg):
    with pytest.raises(openai.AuthenticationError):
        client_of().models.list()
    with pytest.raises(openai.AuthenticationError):
        client_of().images.edit(image=jpeg, prompt="sepia")
    with pytest.raises(openai.PermissionDeniedError):
        client_of(Scope.READ).images.edit(image=jpeg, prompt="sepia")


def test_a_full_queue_is_a_rate_limit_and_says_when_to_come_back(client_of, jpeg):
    client = client_of(Scope.READ, Scope.SUBMIT)
    edit = client.images.with_raw_response.edit
    first = edit(image=jpeg, prompt="sepia", extra_headers={"Prefer": "respond-async"})
    assert first.status_code == 202
    with pytest.raises(openai.RateLimitError) as refused:
        edit(image=jpeg, prompt="another", extra_headers={"Prefer": "respond-async"})
    assert int(refused.value.response.headers["retry-after"]) >= 1
