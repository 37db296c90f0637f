"""The worker starts only with a certificate that can sign. Otherwise it says in one sentence why not."""

import datetime as dt
import io
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from PIL import Image
from pydantic import SecretStr

from darkroom.local.authority import Authority
from jobs.settings import Settings
from tests.certificates import authority_in, picture, read
from worker.certificates import CredentialsError
from worker.credentials import Edit, NotSigned, OutputSigner, load_signer

TIME_STAMPING = x509.ExtendedKeyUsageOID.TIME_STAMPING
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "avif": "AVIF"}


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return authority_in(tmp_path_factory.mktemp("ours"))


def settings_with(authority: Authority, **changes) -> Settings:
    given = {name.lower(): value for name, value in authority.settings.items()}
    return Settings(_env_file=None, **{**given, **changes})


@pytest.fixture(scope="module")
def signer(ours) -> OutputSigner:
    return OutputSigner(settings_with(ours))


def an_edit(**changes) -> Edit:
    usual = {"job": "0" * 26, "model": "pix2pix-full", "checkpoint": "micro 7", "seed": 7, "prompt": "a SECRET wish"}
    return Edit(**{**usual, "photo": picture("JPEG"), "photo_type": "image/jpeg", "photo_sha256": "ab" * 32, **changes})


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_valid_for_all_and_trusted_by_who_trusts_the_authority(signer, ours, name):
    kind = f"image/{name}"
    before = picture(FORMATS[name])
    after = signer.sign(before, kind, an_edit())
    assert read(after, kind).get_validation_state() == "Valid"
    assert read(after, kind, ours).get_validation_state() == "Trusted"
    assert Image.open(io.BytesIO(after)).tobytes() == Image.open(io.BytesIO(before)).tobytes()
    assert len(after) - len(before) < 20_000


def test_the_manifest_opens_the_photo_and_then_edits_it(signer):
    signed = signer.sign(picture("PNG"), "image/png", an_edit())
    manifest = read(signed, "image/png").get_active_manifest()
    (assertion,) = [one for one in manifest["assertions"] if one["label"].startswith("c2pa.actions")]
    opened, edited = assertion["data"]["actions"]
    (parent,) = manifest["ingredients"]
    assert (opened["action"], edited["action"], parent["relationship"]) == ("c2pa.opened", "c2pa.edited", "parentOf")
    assert opened["parameters"]["ingredients"][0]["url"].endswith(parent["label"])
    assert edited["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert edited["softwareAgent"]["name"] == "Darkroom"
    told = {name.removeprefix("org.darkroom."): value for name, value in edited["parameters"].items()}
    assert told == {
        "job": "0" * 26,
        "model": "pix2pix-full",
        "checkpoint": "micro 7",
        "seed": 7,
        "input_sha256": "ab" * 32,
    }


@pytest.mark.parametrize(("with_prompt", "there"), [(False, False), (True, True)])
def test_the_instruction_is_told_only_where_it_is_wanted(ours, with_prompt, there):
    signer = OutputSigner(settings_with(ours, credentials_prompt=with_prompt))
    assert (b"SECRET" in signer.sign(picture("PNG"), "image/png", an_edit())) == there


def test_threads_sign_at_the_same_time(signer, ours):
    with ThreadPoolExecutor(32) as threads:
        jobs = [f"{number:026}" for number in range(64)]
        signed = list(threads.map(lambda job: signer.sign(picture("PNG"), "image/png", an_edit(job=job)), jobs))
    for job, one in zip(jobs, signed, strict=True):
        assert job.encode() in one
        assert read(one, "image/png", ours).get_validation_state() == "Trusted"


def test_keys_are_for_their_owner_alone_and_a_prepared_authority_stays_as_it_is(tmp_path):
    authority = authority_in(tmp_path / "new")
    before = {file: file.read_bytes() for file in authority.folder.iterdir()}
    assert {oct(file.stat().st_mode & 0o777) for file in (authority.key, authority.root_key)} == {"0o600"}
    authority.prepare()
    assert {file: file.read_bytes() for file in authority.folder.iterdir()} == before


def test_an_old_certificate_is_renewed_by_the_same_authority(tmp_path):
    authority = authority_in(tmp_path)
    old, root = authority.certificate.read_bytes(), authority.root.read_bytes()
    os.utime(authority.certificate, (0, 0))
    authority.prepare()
    assert (authority.certificate.read_bytes() == old, authority.root.read_bytes() == root) == (False, True)
    signed = OutputSigner(settings_with(authority)).sign(picture("PNG"), "image/png", an_edit())
    assert read(signed, "image/png", authority).get_validation_state() == "Trusted"


# ---- what cannot sign


def made(
    authority: Authority,
    days: tuple[int, int] = (-1, 100),
    *,
    key=None,
    own: bool = False,
    usage: x509.ObjectIdentifier | None = x509.ExtendedKeyUsageOID.EMAIL_PROTECTION,
) -> dict:
    """A certificate of the authority with an unusual property, and its key, as two settings."""
    root = x509.load_pem_x509_certificate(authority.root.read_bytes())
    root_key = load_pem_private_key(authority.root_key.read_bytes(), None)
    key = key or ec.generate_private_key(ec.SECP256R1())
    now, ski = dt.datetime.now(dt.UTC), x509.SubjectKeyIdentifier.from_public_key(root.public_key())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Odd")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if own else root.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
    )
    if usage:
        signing = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        builder = builder.add_extension(signing, critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=usage == TIME_STAMPING)
    certificate = builder.sign(key if own else root_key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "credentials_cert": certificate.public_bytes(Encoding.PEM).decode(),
        "credentials_key": SecretStr(pem.decode()),
    }


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (lambda ours: made(ours, (-20, -10)), "CREDENTIALS_CERT has expired on"),
        (lambda ours: made(ours, (10, 20)), "CREDENTIALS_CERT is not valid before"),
        (lambda ours: made(ours) | {"credentials_key": SecretStr(str(ours.key))}, "not the key of CREDENTIALS_CERT"),
        (lambda ours: made(ours, own=True), "CREDENTIALS_CERT is signed by itself"),
        (lambda ours: made(ours, usage=None), "CREDENTIALS_CERT cannot sign"),
        (lambda ours: made(ours, key=ec.generate_private_key(ec.SECP256K1())), "a key that C2PA does not know"),
        (lambda ours: {"credentials_cert": "/none"}, "CREDENTIALS_CERT names a file that cannot be read"),
        (lambda ours: {"credentials_cert": str(ours.key)}, "CREDENTIALS_CERT has no certificate"),
        (lambda ours: {"credentials_key": SecretStr(str(ours.root))}, "CREDENTIALS_KEY has no private key"),
        (lambda ours: {"credentials_key": None}, "neither CREDENTIALS_KEY nor CREDENTIALS_COMMAND"),
        (lambda ours: {"credentials_command": "true"}, "CREDENTIALS_KEY and CREDENTIALS_COMMAND are both set"),
        (lambda ours: {"credentials_key": None, "credentials_command": "false"}, "CREDENTIALS_CERT cannot sign"),
        (lambda ours: {"credentials_cert": "", "credentials": "required"}, "CREDENTIALS is required"),
    ],
)
def test_what_cannot_sign_is_refused_in_a_sentence(ours, given, why):
    with pytest.raises(CredentialsError, match=why) as refused:
        load_signer(settings_with(ours, **given(ours)))
    text = str(refused.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert "PRIVATE KEY" not in text


@pytest.mark.parametrize("changes", [{"credentials": "off"}, {"credentials_cert": ""}])
def test_without_a_certificate_and_where_it_is_not_wanted_nothing_signs(ours, changes):
    assert load_signer(settings_with(ours, **changes)) is None


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)], ids=["P-384", "RSA"]
)
def test_other_keys_sign_too(ours, key):
    signed = OutputSigner(settings_with(ours, **made(ours, key=key))).sign(picture("PNG"), "image/png", an_edit())
    assert read(signed, "image/png", ours).get_validation_state() == "Trusted"


def test_a_certificate_that_expires_while_the_worker_runs_signs_no_more(signer, monkeypatch):
    monkeypatch.setattr(signer, "expires", dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    with pytest.raises(NotSigned, match="has expired"):
        signer.sign(picture("PNG"), "image/png", an_edit())


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_a_command_can_sign_in_place_of_a_key(ours):
    command = f"openssl dgst -sha256 -sign {ours.key}"
    signer = OutputSigner(settings_with(ours, credentials_key=None, credentials_command=command))
    signed = signer.sign(picture("PNG"), "image/png", an_edit())
    assert read(signed, "image/png", ours).get_validation_state() == "Trusted"


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_an_authority_of_time_is_asked_for_each_output(ours, tmp_path):
    stamping = made(ours, usage=TIME_STAMPING)
    (tmp_path / "cert").write_text(stamping["credentials_cert"])
    (tmp_path / "key").write_text(stamping["credentials_key"].get_secret_value())
    (tmp_path / "serial").write_text("01")
    lines = ["[tsa]", "default_tsa=us", "[us]", f"serial={tmp_path}/serial", f"signer_cert={tmp_path}/cert"]
    lines += [f"signer_key={tmp_path}/key", "signer_digest=sha256", "default_policy=1.2.3", "digests=sha256"]
    (tmp_path / "settings").write_text("\n".join(lines))

    class TimeStamps(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = tmp_path / "asked"
            asked.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            command = ["openssl", "ts", "-reply", "-config", tmp_path / "settings", "-queryfile", asked]
            answer = subprocess.run(command, capture_output=True, check=True).stdout
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with HTTPServer(("127.0.0.1", 0), TimeStamps) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        signer = OutputSigner(settings_with(ours, credentials_tsa_url=url))
        reader = read(signer.sign(picture("PNG"), "image/png", an_edit()), "image/png", ours)
        server.shutdown()
    assert reader.get_validation_state() == "Trusted"
    assert reader.get_active_manifest()["signature_info"]["time"].startswith(f"{dt.datetime.now(dt.UTC):%Y-%m-%dT}")
    away = OutputSigner(settings_with(ours, credentials_tsa_url=url))  # is no reason not to start
    with pytest.raises(NotSigned):
        away.sign(picture("PNG"), "image/png", an_edit())


def test_a_worker_with_a_bad_certificate_ends_at_once_with_the_sentence(ours, tmp_path):
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "CREDENTIALS_CERT": str(ours.key)}
    command = [sys.executable, "-m", "worker.app"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, "CREDENTIALS_CERT has no certificate in PEM.\n")


def test_what_is_not_installed_is_named(ours, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(CredentialsError, match="c2pa-python is not installed"):
        load_signer(settings_with(ours))


def test_the_files_of_an_authority_are_whole_or_absent(tmp_path: Path):
    authority = authority_in(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ca.key", "ca.pem", "cert.key", "cert.pem"]
    authority.key.unlink()
    authority.prepare()
    assert OutputSigner(settings_with(authority)).issuer.startswith("Darkroom ")
