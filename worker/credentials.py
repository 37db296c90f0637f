"""Signs outputs with content credentials (C2PA): what was edited, by which model, in which job.

A signed output is final: changing a byte of it makes its credentials invalid.
"""

import io
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from jobs.provenance import AI_EDITED, CONTEXT, PARAMETER_PREFIX, InputCredentials
from jobs.settings import Settings
from jobs.version import version
from worker.certificates import Certificate, CredentialsError

log = logging.getLogger(__name__)

INPUT = "input"  #: the ingredient's name within its archive
PRIVATE = "c2pa.PII.present"  #: why an assertion was removed


class NotSigned(Exception):
    """An output could not be signed."""


@dataclass(frozen=True)
class Edit:
    """What an output's manifest says: the job, and the photo that it edited."""

    job: str
    model: str
    checkpoint: str
    seed: int
    prompt: str
    photo: bytes
    photo_type: str
    photo_sha256: str
    credentials: InputCredentials | None = None
    strength: float = 1.0

    @property
    def redactions(self) -> tuple[str, ...]:
        return self.credentials.redactions if self.credentials else ()

    def actions(self, *, with_prompt: bool) -> list[dict[str, Any]]:
        """The actions of the manifest. The specification requires the opening first."""
        said = {"job": self.job, "model": self.model, "checkpoint": self.checkpoint, "seed": self.seed}
        said |= {"input_sha256": self.photo_sha256} | ({"prompt": self.prompt} if with_prompt else {})
        said |= {"strength": self.strength} if self.strength != 1 else {}
        edited = {
            "action": "c2pa.edited",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "softwareAgent": {"name": "Darkroom", "version": version()},
            "digitalSourceType": AI_EDITED,
            "parameters": {PARAMETER_PREFIX + name: value for name, value in said.items()},
        }
        removed = [
            {"action": "c2pa.redacted", "parameters": {"redacted": address}, "reason": PRIVATE}
            for address in self.redactions
        ]
        return [{"action": "c2pa.opened", "parameters": {"ingredientIds": [INPUT]}}, *removed, edited]


class OutputSigner:
    """Signs outputs with one certificate. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            CredentialsError: the settings do not name a working signer.
        """
        certificate = Certificate(settings.credentials_cert)
        self.issuer, self.expires = certificate.issuer, certificate.expires
        self._with_prompt = settings.credentials_prompt
        self._context = _context(settings, certificate, verify=False)
        self._careful = _context(settings, certificate, verify=True)
        _try(_context(settings, certificate, verify=False, stamped=False))

    def sign(self, data: bytes, content_type: str, edit: Edit) -> bytes:
        """Returns the same picture with a signed manifest in it.

        Raises:
            NotSigned
        """
        if datetime.now(UTC) > self.expires:
            raise NotSigned(f"the certificate has expired on {self.expires:%Y-%m-%d}")
        if edit.credentials:
            try:  # the input comes from a client, so the result is verified
                return self._sign(self._careful, data, content_type, edit)
            except NotSigned as error:
                log.warning("job %s: the credentials of its input are left out: %s", edit.job, error)
        return self._sign(self._context, data, content_type, replace(edit, credentials=None))

    def _sign(self, context: Any, data: bytes, content_type: str, edit: Edit) -> bytes:
        return _signed(context, data, content_type, edit, edit.actions(with_prompt=self._with_prompt))


def load_signer(settings: Settings) -> OutputSigner | None:
    """The signer of this worker's outputs. None: outputs are not signed.

    Raises:
        CredentialsError
    """
    if settings.credentials == "off":
        return None
    if not settings.credentials_cert:
        if settings.credentials == "required":
            raise CredentialsError("CREDENTIALS is required, but CREDENTIALS_CERT is not set.")
        log.warning("outputs carry no content credentials: CREDENTIALS_CERT is not set")
        return None
    try:
        import c2pa  # noqa: F401
    except ImportError as error:
        wanted = "it is the extra `credentials`"
        raise CredentialsError(f"CREDENTIALS_CERT is set, but c2pa-python is not installed: {wanted}.") from error
    return OutputSigner(settings)


def _signed(context: Any, data: bytes, content_type: str, edit: Edit, actions: list[dict[str, Any]]) -> bytes:
    """
    Raises:
        NotSigned
    """
    import c2pa

    manifest = {
        "claim_generator_info": [{"name": "Darkroom", "version": version()}],
        "redactions": edit.redactions,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    signed = io.BytesIO()
    try:
        with c2pa.Builder(manifest, context=context) as builder:
            if edit.credentials:
                builder.add_ingredient_from_archive(io.BytesIO(edit.credentials.archive))
            else:
                parent = {"relationship": "parentOf", "label": INPUT}
                builder.add_ingredient(parent, edit.photo_type, io.BytesIO(edit.photo))
            builder.sign(content_type, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise NotSigned(str(error)) from error
    return signed.getvalue()


def _try(context: Any) -> None:
    """Sign a test picture and verify it. This finds faults of a certificate that our own checks miss.

    It asks for no time stamp, because a time-stamp authority that is down must not keep a worker from starting.
    """
    import c2pa

    drawn = io.BytesIO()
    Image.new("RGB", (16, 16)).save(drawn, "PNG")
    edit = Edit("0" * 26, "none", "none", 0, "", drawn.getvalue(), "image/png", "0" * 64)
    try:
        signed = _signed(context, drawn.getvalue(), "image/png", edit, edit.actions(with_prompt=False))
        with c2pa.Reader("image/png", io.BytesIO(signed), context=c2pa.Context.from_dict(CONTEXT)) as reader:
            state, results = reader.get_validation_state(), reader.get_validation_results() or {}
    except (NotSigned, c2pa.C2paError) as error:
        raise CredentialsError(f"CREDENTIALS_CERT cannot sign: {error}.") from error
    if state == "Invalid":
        wrong = [one["explanation"] for one in results["activeManifest"]["failure"]]
        raise CredentialsError(f"CREDENTIALS_CERT makes signatures that are not valid: {'; '.join(wrong)}.")


def _context(settings: Settings, certificate: Certificate, *, verify: bool, stamped: bool = True) -> Any:
    """Make c2pa's signing context. `verify`: verify each signature. `stamped`: add time stamps, if configured."""
    import c2pa

    authority = (settings.credentials_tsa_url or None) if stamped else None
    hosts = [urlsplit(authority).netloc] if authority else []
    own = {
        **CONTEXT,
        "core": CONTEXT["core"] | {"allowed_network_hosts": hosts},
        "verify": CONTEXT["verify"] | {"verify_after_sign": verify},
    }
    if settings.credentials_command and settings.credentials_key:
        raise CredentialsError("CREDENTIALS_KEY and CREDENTIALS_COMMAND are both set: only one of them can sign.")
    try:
        if settings.credentials_command:
            sign = certificate.asking(settings.credentials_command)
            kind = c2pa.C2paSigningAlg[certificate.algorithm]
            signer = c2pa.Signer.from_callback(sign, kind, certificate.pem, authority)
        elif settings.credentials_key:
            key = certificate.key(settings.credentials_key.get_secret_value())
            kind = certificate.algorithm.lower().encode()
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(kind, certificate.pem.encode(), key, authority))
        else:
            raise CredentialsError("CREDENTIALS_CERT is set, but neither CREDENTIALS_KEY nor CREDENTIALS_COMMAND is.")
        return c2pa.Context(c2pa.Settings.from_dict(own), signer)
    except c2pa.C2paError as error:
        raise CredentialsError(f"CREDENTIALS_CERT cannot sign: {error}.") from error
