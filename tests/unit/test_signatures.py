"""Signatures: what we sign, the public library accepts; what was changed, nobody does."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.signatures import SigningKey, new_secret, sign, verify, verify_public

NOW = int(time.time())
text = st.text(st.characters(codec="utf-8"), max_size=50)


@given(body=text)
def test_the_public_library_accepts_what_we_sign(body):
    secret, at = new_secret(), int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at)}
    headers["webhook-signature"] = (
        f"{sign(new_secret(), 'msg_1', at, body.encode())} {sign(secret, 'msg_1', at, body.encode())}"
    )
    Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + "x", headers, json_parse=False)


def test_a_secret_has_32_random_bytes():
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    "changed", [{"message": "msg_2"}, {"timestamp": NOW + 1}, {"body": b"{ }"}, {"now": NOW + 301}, {"now": NOW - 301}]
)
def test_neither_signature_survives_a_change(changed):
    secret, key = new_secret(), SigningKey(SigningKey.new_seed())
    signatures = f"{sign(secret, 'msg_1', NOW, b'{}')} {key.sign('msg_1', NOW, b'{}')}"
    told = {"message": "msg_1", "timestamp": NOW, "body": b"{}", "now": NOW, "signatures": signatures}
    assert verify(secret, **told)
    assert verify_public(key.jwk(), **told)
    assert not verify(secret, **{**told, **changed})
    assert not verify_public(key.jwk(), **{**told, **changed})
    assert not verify(new_secret(), **told)
    assert not verify_public(SigningKey(SigningKey.new_seed()).jwk(), **told)


def test_nonsense_is_no_signature():
    key = SigningKey(SigningKey.new_seed())
    for signatures in ("", "v1", "v1a,", "v1a,!!", "v1,é", "v2,AAAA"):
        assert not verify(new_secret(), "m", NOW, b"", signatures, now=NOW)
        assert not verify_public(key.jwk(), "m", NOW, b"", signatures, now=NOW)


def test_the_thumbprint_is_that_of_rfc_8037():
    """Its appendix A.3."""
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    jwk = SigningKey(seed).jwk()
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
