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
    """All settings. The defaults are for a laptop.

    Raises:
        ValidationError: for a value out of range, or default secrets in production.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    darkroom_mode: Literal["local", "production"] = Field("local", description="production refuses default secrets")
    log_format: Literal["text", "json"] = Field("text", description="format of the log; json: one object per line")

    auth: Literal["off", "on"] = Field("off", description="off: one tenant without keys, on loopback only")
    admin_key: SecretStr | None = Field(
        None, min_length=32, description="the key that makes the first keys; may be removed afterwards"
    )
    open_to_network: bool = Field(False, description="with AUTH=off, also serve other machines")
    allowed_hosts: str = Field(
        "",
        description="with OPEN_TO_NETWORK, host names of this service, with spaces between; IP addresses always work",
    )
    cors_origins: str = Field(
        "", description="sites whose pages may call the API, such as https://a.example, with spaces between"
    )
    session_seconds: Positive = Field(43_200, description="how long a browser stays signed in")
    reads_per_minute: Positive = Field(3000, description="GET requests per minute of one key")
    writes_per_minute: Positive = Field(300, description="other requests per minute of one key")
    max_queued_jobs: Positive = Field(10_000, description="jobs of one tenant that may wait at a time")
    max_running_jobs: Positive = Field(1000, description="jobs of one tenant that may run at a time")
    max_queue: Positive = Field(100_000, description="jobs of all tenants that may wait at a time")
    max_wait_seconds: Positive = Field(
        14_400, description="new jobs are refused while they would wait longer than this"
    )

    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey, 7 or newer, for the job records")
    broker_url: str | None = Field(None, description="Redis for the wake-ups. Default: REDIS_URL")
    redis_timeout_seconds: float = Field(
        0.8, gt=0, description="time limit of the web tier for connecting to Redis and for each answer"
    )

    s3_endpoint_url: str | None = Field(None, description="address of the S3 service. Default: Amazon")
    s3_public_endpoint_url: str | None = Field(
        None, description="address of the S3 service for clients. Default: S3_ENDPOINT_URL"
    )
    s3_region: str = Field("us-east-1", description="region of the S3 service")
    s3_bucket: str = Field("darkroom", description="the bucket of all pictures")
    s3_prefix: str = Field("", description="prefix of all keys, for a bucket that is shared with others")
    s3_addressing: Literal["path", "virtual"] = Field(
        "path", description="where requests name the bucket: in the path, or in the host name"
    )
    s3_encryption: Literal["none", "AES256", "aws:kms"] = Field(
        "none", description="server-side encryption that each write asks for"
    )
    s3_kms_key: str = Field("", description="key for aws:kms. Default: the bucket's own")
    s3_credentials: Literal["key", "chain"] = Field(
        "key", description="key: use the next two settings; chain: use what boto3 finds, such as a role"
    )
    s3_access_key_id: str = Field(
        "darkroom", description="id of a key that may read, write, list and delete in the bucket"
    )
    s3_secret_access_key: SecretStr = Field(SecretStr(LOCAL_SECRET), description="secret of that key")
    s3_timeout_seconds: float = Field(1.5, gt=0, description="time limit of the web tier for each answer of S3")

    editors: str = Field(
        "worker.editors.diffusion:load", description="what edits: module:factory (worker/editors/editor.py)"
    )
    checkpoint: str = Field("checkpoints/micro", description="a diffusers folder, an original single file, or a hub id")
    models: str = Field(
        "", description="a models file, TOML: what this worker serves (docs/models.md). Default: the six on CHECKPOINT"
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$",
        description="what computes: cpu, cuda, cuda:N or mps. auto: the first GPU, or the CPU",
    )
    model_memory: Positive | None = Field(
        None, description="bytes that the models of MODELS may take at a time, weights alone. Default: no limit"
    )
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None,
        description="numeric precision of the networks. Default: float16 on a GPU; on a CPU bfloat16 where that is "
        "measured to be faster and as good, else float32",
    )
    compile: bool = Field(
        False, description="compile the UNet, on a GPU into CUDA graphs; a worker's start takes minutes"
    )
    torch_threads: Positive | None = Field(
        None,
        description="threads of one worker. Default: the fastest number, measured at its start; a core stays free",
    )
    warm_up: str = Field(
        "256x256", description="sizes, with spaces between; a worker makes a short edit of each before it is ready"
    )
    worker_slots: Positive = Field(
        32, description="jobs that one worker holds at a time; the engine steps them together"
    )
    worker_grace_seconds: Positive = Field(25, description="time from SIGTERM until the worker has exited")

    credentials: Literal["required", "on", "off"] = Field(
        "on", description="sign outputs with content credentials; required: a job fails if its output cannot be signed"
    )
    credentials_cert: str = Field(
        "", description="the signing certificate followed by its chain: PEM, or the name of a file"
    )
    credentials_key: SecretStr | None = Field(
        None, description="the key of that certificate: PEM, or the name of a file"
    )
    credentials_command: str = Field(
        "", description="a command that signs in place of a key: it reads bytes and writes their signature"
    )
    credentials_tsa_url: str = Field("", description="a time-stamp authority (RFC 3161). Default: none")
    credentials_trust: str = Field(
        "", description="certificate authorities trusted by checks of credentials: PEM, or the name of a file"
    )
    credentials_prompt: bool = Field(False, description="write the instruction into the content credentials")

    lease_seconds: Positive = Field(
        30, description="how long a worker may be silent before its jobs are given to another"
    )
    patience_seconds: float = Field(
        60.0,
        gt=0,
        description="how long a job may go without progress, or ten times its mean step, whichever is longer",
    )
    max_crashes: Positive = Field(3, description="crashed attempts after which a job fails with the error `poison`")
    deadline_seconds: Positive = Field(
        86_400, description="time from a job's acceptance to its end, unless the job names its own"
    )
    retention_seconds: Positive = Field(86_400, description="how long an ended job and its pictures are kept")
    presign_seconds: int = Field(900, gt=0, le=900, description="how long a link to a picture works")

    backup_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="encrypts the backup of API keys and webhooks in the bucket; without it there is no backup",
    )

    max_streams: Positive = Field(
        4000, description="event streams and waiting requests that one web process holds open"
    )
    max_streams_per_tenant: Positive = Field(
        500, description="event streams and waiting requests of one tenant in one web process"
    )

    public_url: str = Field("", description="address of the API for clients; links in webhooks begin with it")
    fetch_ports: str = Field("80,443", description="ports of foreign servers that the service connects to")
    allow_private_networks: str = Field("", description="private networks (CIDR) that the service connects to")
    webhook_schedule: str = Field(
        "5,300,1800,7200,18000,36000,50400,72000,86400",
        description="seconds between the attempts of one delivery, each varied by up to a fifth",
    )
    webhook_timeout_seconds: float = Field(15.0, gt=0, description="time limit of one webhook attempt")
    webhook_circuit_seconds: float = Field(
        60.0, gt=0, description="how long a receiver that keeps failing is left alone"
    )
    webhook_senders: Positive = Field(64, description="deliveries that one keeper makes at a time")

    metrics_host: str = Field("127.0.0.1", description="address on which metrics are served without a key")
    api_metrics_port: Port = Field(0, description="port of the web tier's Prometheus metrics; 0: none")
    worker_metrics_port: Port = Field(0, description="port of a worker's Prometheus metrics; 0: none")
    keeper_metrics_port: Port = Field(0, description="port of a keeper's Prometheus metrics; 0: none")

    max_uploads: Positive = Field(1000, description="upload addresses that one tenant gets per day")
    max_files: Positive = Field(2000, description="files that one tenant may keep at a time")
    max_upload_bytes: Positive = Field(20 * 1024 * 1024, description="largest upload of a picture or file, in bytes")
    max_pixels: Positive = Field(
        200_000_000, description="most pixels of an uploaded JPEG; it is kept with at most OUTPUT_PIXELS"
    )
    max_side: Positive = Field(16_383, description="longest side of an uploaded picture, in pixels; the limit of WebP")
    output_pixels: Positive = Field(
        50_000_000, description="most pixels of a kept picture, and of an upload that is not a JPEG"
    )
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
        """The options for boto3 with each write."""
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
