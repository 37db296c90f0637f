"""The receiver's check of a webhook, against the service's own signatures."""

import json

import pytest

from darkroom.webhooks import InvalidSignature, verify
from jobs.signatures import SigningKey, new_secret, sign

BODY = json.dumps({"type": "job.completed", "data": {"id": "x"}}).encode()
NOW = 1_700_000_000


def headers(*signatures: str, at: int = NOW) -> dict[str, str]:
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(at), "Webhook-Signature": " ".join(signatures)}


def test_a_message_signed_by_the_secret_or_the_key_is_the_services():
    secret, key = new_secret(), SigningKey(SigningKey.new_seed())
    both = headers("v1,AAAA", sign(secret, "msg_1", NOW, BODY), key.sign("msg_1", NOW, BODY))
    jwks = {"keys": [SigningKey(SigningKey.new_seed()).jwk(), key.jwk()]}
    assert verify(BODY, both, secret=secret, now=NOW)["data"]["id"] == "x"
    assert verify(BODY, both, jwks=jwks, now=NOW + 299)["type"] == "job.completed"


@pytest.mark.parametrize(
    ("body", "at", "secret_again"), [(BODY + b" ", NOW, True), (BODY, NOW + 301, True), (BODY, NOW, False)]
)
def test_another_body_time_or_secret_is_refused(body, at, secret_again):
    secret = new_secret()
    signed = headers(sign(secret, "msg_1", NOW, BODY))
    with pytest.raises(InvalidSignature):
        verify(body, signed, secret=secret if secret_again else new_secret(), now=at)
    with pytest.raises(InvalidSignature):
        verify(body, signed, jwks={"keys": [SigningKey(SigningKey.new_seed()).jwk()]}, now=at)


def test_a_message_without_its_headers_is_refused():
    with pytest.raises(InvalidSignature, match="webhook-signature"):
        verify(BODY, {}, secret=new_secret())


def test_a_signature_for_one_scheme_does_not_pass_for_the_other():
    secret = new_secret()
    swapped = headers(sign(secret, "msg_1", NOW, BODY).replace("v1,", "v1a,"))
    with pytest.raises(InvalidSignature):
        verify(BODY, swapped, secret=secret, now=NOW)
