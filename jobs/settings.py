"""Every setting of the service, read from the environment (or a `.env` file) under these names in capitals."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.connections import SCHEME, Group

LOCAL_SECRET = "darkroom-local"  # noqa: S105 - the value that production refuses

ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?")

Positive = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Network = IPv4Network | IPv6Network


class Settings(BaseSettings):
    """All that can be set; the defaults are those of a laptop.

    Raises:
        ValidationError: for a value out of range, or default secrets in production.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    darkroom_mode: Literal["local", "production"] = Field("local", description="production refuses default secrets")
    log_format: Literal["text", "json"] = Field("text", description="of the log: text, or json, one object a line")

    auth: Literal["off", "on"] = Field("off", description="off: one tenant without keys, on loopback only")
    admin_key: SecretStr | None = Field(None, min_length=32, description="makes the first keys; may be emptied then")
    open_to_network: bool = Field(False, description="with AUTH=off, serve others than this machine too")
    allowed_hosts: str = Field(
        "", description="with OPEN_TO_NETWORK, names under which it is reached, in a row; addresses always work"
    )
    cors_origins: str = Field("", description="sites that browsers may call from, such as https://a.example, in a row")
    session_seconds: Positive = Field(43_200, description="how long a browser stays signed in")
    reads_per_minute: Positive = Field(3000, description="GET requests of one key")
    writes_per_minute: Positive = Field(300, description="other requests of one key")
    max_queued_jobs: Positive = Field(10_000, description="jobs of one tenant that may wait at a time")
    max_running_jobs: Positive = Field(1000, description="and those that may run at a time")
    max_queue: Positive = Field(100_000, description="jobs of all tenants that may wait at a time")
    max_wait_seconds: Positive = Field(14_400, description="jobs are refused while a new one would wait longer")

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey, 7 or newer, of the jobs' records")
    broker_url: str | None = Field(None, description="Redis of the wake-ups; REDIS_URL if absent")
    redis_timeout_seconds: float = Field(0.8, gt=0, description="of the web tier, for connecting and for each answer")

    s3_endpoint_url: str | None = Field(None, description="the S3 service; Amazon's if absent")
    s3_public_endpoint_url: str | None = Field(None, description="what clients reach; S3_ENDPOINT_URL if absent")
    s3_region: str = Field("us-east-1", description="its region")
    s3_bucket: str = Field("darkroom", description="the bucket of all pictures")
    s3_prefix: str = Field("", description="of all keys, in a bucket that is shared with others")
    s3_addressing: Literal["path", "virtual"] = Field("path", description="the bucket in the path, or before the host")
    s3_encryption: Literal["none", "AES256", "aws:kms"] = Field("none", description="asked for with each write")
    s3_kms_key: str = Field("", description="of aws:kms; the bucket's own if absent")
    s3_credentials: Literal["key", "chain"] = Field("key", description="the next two, or what boto3 finds: roles")
    s3_access_key_id: str = Field(
        "darkroom", description="of a key that may read, write, list and delete in the bucket"
    )
    s3_secret_access_key: SecretStr = Field(SecretStr(LOCAL_SECRET), description="and its secret")
    s3_timeout_seconds: float = Field(1.5, gt=0, description="of the web tier, for each answer")

    editors: str = Field(
        "worker.editors.diffusion:load", description="what edits: module:factory (worker/editors/editor.py)"
    )
    checkpoint: str = Field("checkpoints/micro", description="a diffusers folder, an original single file, or a hub id")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="of what the networks compute in; float32 if absent"
    )
    compile: bool = Field(False, description="compile the UNet, on a GPU into CUDA graphs; first steps take a minute")
    torch_threads: Positive | None = Field(
        None, description="of one worker; measured at its start, a core left, if absent"
    )
    warm_up: str = Field(
        "256x256", description="sizes that a worker makes one short edit of each before it is ready, in a row"
    )
    worker_slots: Positive = Field(
        32, description="jobs that one worker holds at a time; the engine steps them together"
    )
    worker_grace_seconds: Positive = Field(25, description="from SIGTERM until the worker is gone")

    credentials: Literal["required", "on", "off"] = Field(
        "on", description="content credentials in every output; required: a job fails rather than leave unsigned"
    )
    credentials_cert: str = Field("", description="the certificate that signs, PEM or a file, its chain behind it")
    credentials_key: SecretStr | None = Field(None, description="and its key, PEM or a file")
    credentials_command: str = Field("", description="signs in place of a key: bytes in, their signature out")
    credentials_tsa_url: str = Field("", description="a time-stamp authority (RFC 3161); none if absent")
    credentials_trust: str = Field("", description="authorities that a check of credentials trusts, PEM or a file")
    credentials_prompt: bool = Field(False, description="write the instruction into the credentials")

    lease_seconds: Positive = Field(30, description="after which a silent worker's jobs are given to another")
    patience_seconds: float = Field(60.0, gt=0, description="that a job may go without progress; or ten of its steps")
    max_crashes: Positive = Field(3, description="after so many crashed attempts a job fails as poison")
    deadline_seconds: Positive = Field(
        86_400, description="a job's time from acceptance to its end, unless it names one"
    )
    retention_seconds: Positive = Field(86_400, description="how long an ended job and its pictures are kept")
    presign_seconds: int = Field(900, gt=0, le=900, description="how long a link to a picture works")

    backup_key: SecretStr | None = Field(
        None, min_length=32, description="encrypts the copy of keys and webhooks in the bucket; none is made without"
    )

    max_streams: Positive = Field(4000, description="event streams and waiting requests of one web process")
    max_streams_per_tenant: Positive = Field(500, description="and those of one tenant")

    public_url: str = Field("", description="where clients reach the API, for the links in webhooks")
    fetch_ports: str = Field("80,443", description="ports of other people's servers that we connect to")
    allow_private_networks: str = Field("", description="private networks (CIDR) that we connect to")
    webhook_schedule: str = Field(
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        description="seconds between the attempts at one delivery, each give or take a fifth",
    )
    webhook_timeout_seconds: float = Field(15.0, gt=0, description="of one attempt")
    webhook_circuit_seconds: float = Field(60.0, gt=0, description="rest of a receiver that keeps failing")
    webhook_senders: Positive = Field(64, description="deliveries that one keeper has under way at a time")

    metrics_host: str = Field("127.0.0.1", description="where metrics are served without a key")
    api_metrics_port: Port = Field(0, description="of the web tier's Prometheus metrics; 0: none")
    worker_metrics_port: Port = Field(0, description="of a worker's Prometheus metrics; 0: none")
    keeper_metrics_port: Port = Field(0, description="of a keeper's Prometheus metrics; 0: none")

    max_uploads: Positive = Field(1000, description="addresses for uploads that one tenant is given in a day")
    max_files: Positive = Field(2000, description="files that one tenant may keep at a time")
    max_upload_bytes: Positive = Field(20 * 1024 * 1024, description="of an uploaded picture or file")
    max_pixels: Positive = Field(200_000_000, description="of an uploaded JPEG; it is kept with OUTPUT_PIXELS")
    max_side: Positive = Field(16_383, description="longest side of an uploaded picture, pixels; WebP ends there")
    output_pixels: Positive = Field(50_000_000, description="of what is kept; of uploads that are no JPEGs")
    decoders: Positive = Field(2, description="pictures that one web process decodes at a time, about 1 GB each")

    @model_validator(mode="after")
    def _refuse_default_secrets(self) -> Self:
        if self.darkroom_mode == "local":
            return self
        if self.s3_credentials == "key" and self.s3_secret_access_key.get_secret_value() == LOCAL_SECRET:
            raise ValueError("S3_SECRET_ACCESS_KEY still has its default value: set it in production")
        if "@" not in self.redis_url or f":{LOCAL_SECRET}@" in self.redis_url:
            raise ValueError("REDIS_URL has no password of your own: set one in production")
        if self.admin_key and self.admin_key.get_secret_value().startswith(LOCAL_SECRET):
            raise ValueError("ADMIN_KEY still has its default value: set it, or empty it, in production")
        if self.auth == "off":
            raise ValueError("AUTH is off: set AUTH=on in production")
        return self

    @model_validator(mode="after")
    def _refuse_unreadable_group(self) -> Self:
        for name in ("redis_url", "broker_url"):
            try:
                if (url := getattr(self, name) or "").startswith(SCHEME):
                    Group.of(url)
            except ValueError as error:
                raise ValueError(f"{name.upper()} cannot be read: {error}") from error
        return self

    @model_validator(mode="after")
    def _refuse_any_origin(self) -> Self:
        for origin in self.allowed_origins:
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"CORS_ORIGINS: {origin} is no origin, such as https://a.example")
        return self

    @property
    def s3_folder(self) -> str:
        """S3_PREFIX with its slash, or nothing."""
        folder = self.s3_prefix.strip("/")
        return f"{folder}/" if folder else ""

    @property
    def s3_encryption_headers(self) -> dict[str, str]:
        """What boto3 is told with each write."""
        if self.s3_encryption == "none":
            return {}
        key = {"SSEKMSKeyId": self.s3_kms_key} if self.s3_encryption == "aws:kms" and self.s3_kms_key else {}
        return {"ServerSideEncryption": self.s3_encryption, **key}

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names in ALLOWED_HOSTS."""
        return tuple(self.allowed_hosts.lower().split())

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The sites that browsers may call from."""
        return tuple(self.cors_origins.split())

    @model_validator(mode="after")
    def _refuse_unreadable_lists(self) -> Self:
        lists = {
            "fetch_ports": "ports",
            "allow_private_networks": "private_networks",
            "webhook_schedule": "webhook_delays",
        }
        for name, parsed in lists.items():
            try:
                getattr(self, parsed)
            except ValueError as error:
                raise ValueError(f"{name.upper()} cannot be read: {error}") from error
        return self

    @property
    def ports(self) -> frozenset[int]:
        """The ports in FETCH_PORTS."""
        return frozenset(int(port) for port in self.fetch_ports.split(","))

    @property
    def private_networks(self) -> tuple[Network, ...]:
        """The networks in ALLOW_PRIVATE_NETWORKS."""
        return tuple(ip_network(part.strip()) for part in self.allow_private_networks.split(",") if part.strip())

    @property
    def webhook_delays(self) -> tuple[float, ...]:
        """The seconds in WEBHOOK_SCHEDULE."""
        return tuple(float(seconds) for seconds in self.webhook_schedule.split(","))

    @property
    def broker(self) -> str:
        """The Redis that carries wake-ups."""
        return self.broker_url or self.redis_url
