"""The receiver's check of webhook signatures, against the signatures of the service itself."""

import json

import pytest

from darkroom.webhooks import InvalidSignature, verify
from jobs.signatures import SigningKey, new_secret, sign

BODY = json.dumps({"type": "job.completed", "data": {"id": "x"}}).encode()
NOW = 1_700_000_000


def headers(*signatures: str, message: str = "msg_1", at: int = NOW) -> dict[str, str]:
    return {"Webhook-Id": message, "Webhook-Timestamp": str(at), "Webhook-Signature": " ".join(signatures)}


def a_key() -> tuple[SigningKey, dict]:
    """A key pair, and its public half as the service publishes it."""
    key = SigningKey(SigningKey.new_seed())
    return key, {"keys": [key.jwk()]}


def test_a_message_signed_by_the_secret_or_the_key_is_the_services():
    secret, (key, jwks) = new_secret(), a_key()
    both = headers("v1,AAAA", sign(secret, "msg_1", NOW, BODY), key.sign("msg_1", NOW, BODY))
    others = {"keys": [{"kty": "RSA"}, a_key()[0].jwk(), *jwks["keys"]]}
    assert verify(BODY, both, secret=secret, now=NOW)["data"]["id"] == "x"
    assert verify(BODY, both, jwks=others, now=NOW + 299)["type"] == "job.completed"


@pytest.mark.parametrize(
    "changed", [{"message": "msg_2"}, {"at": NOW + 1}, {"body": b"{ }"}, {"now": NOW + 301}, {"now": NOW - 301}, {}]
)
def test_neither_signature_survives_a_change(changed):
    """The change may be of id, time, body or the time of the check; and if nothing else changes, of secret and key."""
    secret, (key, jwks) = new_secret(), a_key()
    told = {"message": "msg_1", "at": NOW, "body": b"{}", "now": NOW} | changed
    body, now = told.pop("body"), told.pop("now")
    signed = headers(sign(secret, "msg_1", NOW, b"{}"), key.sign("msg_1", NOW, b"{}"), **told)
    for proof in ({"secret": secret if changed else new_secret()}, {"jwks": jwks if changed else a_key()[1]}):
        with pytest.raises(InvalidSignature):
            verify(body, signed, **proof, now=now)


def test_nonsense_is_no_signature():
    for signatures in ("", "v1", "v1,", "v1a,", "v1a,!!", "v1,é", "v1a,é", "v2,AAAA"):
        for proof in ({"secret": new_secret()}, {"jwks": a_key()[1]}, {}):
            with pytest.raises(InvalidSignature):
                verify(BODY, headers(signatures), **proof, now=NOW)


def test_a_message_without_its_headers_is_refused():
    with pytest.raises(InvalidSignature, match="webhook-signature"):
        verify(BODY, {}, secret=new_secret())


def test_a_signature_for_one_scheme_does_not_pass_for_the_other():
    secret, (key, jwks) = new_secret(), a_key()
    swapped = headers(
        sign(secret, "msg_1", NOW, BODY).replace("v1,", "v1a,"), key.sign("msg_1", NOW, BODY).replace("v1a,", "v1,")
    )
    for proof in ({"secret": secret}, {"jwks": jwks}):
        with pytest.raises(InvalidSignature):
            verify(BODY, swapped, **proof, now=NOW)
