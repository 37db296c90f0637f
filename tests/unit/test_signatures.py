"""Signatures: the public library accepts what we sign, and nothing else. Our own check is tested in tests/darkroom."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.signatures import SigningKey, new_secret, sign

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


def test_the_thumbprint_is_that_of_rfc_8037():
    """From its appendix A.3."""
    seed = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    jwk = SigningKey(seed).jwk()
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
