"""The pictures of all jobs, in an S3 bucket. Each job has a folder of its own:

{tenant}/{job}/input.*             what is edited; its metadata is the accepted job, written before its record
{tenant}/{job}/job.json            the accepted job, where it is too large for metadata
{tenant}/{job}/mask.png            where the input is to be edited, if not everywhere
{tenant}/{job}/input.credentials   the input's content credentials, if it has any
{tenant}/{job}/{fence}/output.*    the result of one attempt; the record names the one that counts
{tenant}/{job}/{fence}/whole.*     the edit at strength 1, where the result is at another
{tenant}/{job}/{fence}/render-*    the result in another strength, made later
{tenant}/{job}/{fence}/steps.jpg   small pictures of the steps
{tenant}/{job}/end.json            the job is over

What clients upload before they submit lies beside them for a day, as `_uploads/{tenant}/{upload}`; files of theirs that
are kept for longer, as `_files/{tenant}/{file}`; what belongs to batches, as `_batches/{tenant}/{batch}/*`; what the
service keeps for itself, as `_darkroom/*`. No tenant's name begins like that.

In a bucket that is shared with others, all of this lies below `S3_PREFIX`. No key here, in a record or in a document
has the prefix.
"""

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.handlers import add_expect_header

from jobs.errors import StorageUnavailable
from jobs.job import Job, Picture
from jobs.proxies import is_loopback
from jobs.retries import Budget, full_jitter
from jobs.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

T = TypeVar("T")

EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/avif": "avif"}
INPUTS = {f"input.{extension}" for extension in EXTENSIONS.values()}
JOB_DOCUMENT = "job.json"
JOB_METADATA = "darkroom-job"  #: the name of an input's metadata, which S3 allows 2 KB together with its name
MOST_METADATA = 1900
UPLOADS = "_uploads"
FILES = "_files"
BATCHES = "_batches"
OWN_FOLDER = "_darkroom"
LIFECYCLE_RULE = "darkroom"  #: the id of our lifecycle rule
HEADERS = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
}
UPLOAD_SECONDS = 86_400  #: how long an upload is kept, used or not
AWAY = 2.0  #: after a failure no new work begins for this many seconds; then one call tries again
MOST_TRIES = 4
PASSING = ("RequestTimeout", "SlowDown", "Throttling", "TooManyRequests")  #: error codes that a retry may cure


class NoSuchPicture(LookupError):
    """There is nothing under this key."""


class Refused(StorageUnavailable):
    """The storage refused the call, and would refuse it again."""


@dataclass(frozen=True)
class Folder:
    """A job's folder: its objects by key, each with the time at which it was written (seconds since 1970)."""

    tenant: str
    job_id: str
    objects: Mapping[str, float]

    @property
    def path(self) -> str:
        return f"{self.tenant}/{self.job_id}"

    @property
    def newest(self) -> float:
        """When the newest object was written."""
        return max(self.objects.values())

    def has(self, name: str) -> bool:
        """Whether this object is in the folder."""
        return f"{self.path}/{name}" in self.objects

    @property
    def job_key(self) -> str | None:
        """The object that holds the accepted job: `job.json`, or else the input. None: neither is here."""
        return min(filter(holds_job, self.objects), key=lambda key: not key.endswith(JOB_DOCUMENT), default=None)


@dataclass(frozen=True)
class PresignedUpload:
    """A presigned POST: its address, and the form's fields that precede the file."""

    url: str
    fields: Mapping[str, str]


def holds_job(key: str) -> bool:
    """Whether the object of a job's folder may hold the accepted job."""
    name = key.rpartition("/")[2]
    return key.count("/") == 2 and (name == JOB_DOCUMENT or name in INPUTS)


def as_metadata(document: bytes) -> str:
    """Encode a JSON document as metadata, which must be ASCII: compressed, in base64."""
    return base64.b64encode(zlib.compress(document)).decode()


def from_metadata(text: str) -> Any:
    """Decode the result of `as_metadata`."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


@contextmanager
def reaching_s3() -> Iterator[None]:
    """Turn "no such key" into NoSuchPicture, and every other failure into StorageUnavailable."""
    try:
        yield
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in ("NoSuchKey", "404", "NoSuchLifecycleConfiguration"):
            raise NoSuchPicture(str(error)) from error
        kind = StorageUnavailable if status >= 500 or code in PASSING else Refused
        raise kind("The picture store (S3) refused the request.") from error
    except (BotoCoreError, HTTPClientError, OSError) as error:
        raise StorageUnavailable("The picture store (S3) does not answer.") from error


def is_answer(error: StorageUnavailable) -> bool:
    """Whether the storage works and refused only this call (4xx)."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["ResponseMetadata"]["HTTPStatusCode"] < 500


def described(key: str, data: bytes, content_type: str, size: tuple[int, int]) -> Picture:
    """The record of a picture that has, or will have, this key. `size` is its width and height."""
    return Picture(key, content_type, *size, len(data), hashlib.sha256(data).hexdigest())


def input_picture(folder: str, data: bytes, content_type: str, size: tuple[int, int]) -> Picture:
    """The record of a job's input before it is stored."""
    return described(f"{folder}/input.{EXTENSIONS[content_type]}", data, content_type, size)


class PictureStore:
    """Reads and writes pictures.

    Raises:
        StorageUnavailable: from any method, when S3 does not answer in time.
        NoSuchPicture: from the methods that read.
    """

    def __init__(
        self,
        client: "S3Client",
        signer: "S3Client",
        bucket: str,
        patience: float,
        *,
        prefix: str = "",
        encryption: Mapping[str, str] | None = None,
    ) -> None:
        """`prefix` precedes every key. `encryption` has the arguments of a write that choose the encryption."""
        self._s3 = client
        self._signer = signer
        self.bucket = bucket
        self._patience = patience
        self._prefix = prefix
        self._encryption: Any = encryption or {}
        self._budget = Budget()
        self._failed_at: float | None = None

    @classmethod
    def connect(cls, settings: Settings, *, timeout: float, patience: float = 0.5) -> Self:
        """A store on the settings' bucket; connecting and each answer may take `timeout` seconds.

        A call that fails within `patience` seconds is tried again.
        """

        own_key = settings.s3_credentials == "key"  # else boto3 finds a role, a web identity, a profile

        def client(endpoint: str | None) -> "S3Client":
            made = boto3.client(
                "s3",
                endpoint_url=endpoint,
                region_name=settings.s3_region,
                aws_access_key_id=settings.s3_access_key_id if own_key else None,
                aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() if own_key else None,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": settings.s3_addressing},
                    connect_timeout=timeout,
                    read_timeout=timeout,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=50,
                    proxies={} if endpoint and is_loopback(endpoint) else None,  # None: the proxies of the environment
                ),
            )
            # Pictures are small: asking first whether they may be sent costs a round trip, or a silent second.
            made.meta.events.unregister("before-call.s3", add_expect_header)
            return made

        public = settings.s3_public_endpoint_url or settings.s3_endpoint_url
        return cls(
            client(settings.s3_endpoint_url),
            client(public),
            settings.s3_bucket,
            patience,
            prefix=settings.s3_folder,
            encryption=settings.s3_encryption_headers,
        )

    @property
    def events(self) -> Any:
        """boto3's hooks around each call."""
        return self._s3.meta.events

    def _call(self, request: Callable[[], T]) -> T:
        """Make a call, and repeat it after a passing failure, within the patience and the budget."""
        started, tries = time.monotonic(), 0
        self._budget.earn()
        while True:
            try:
                with reaching_s3():
                    answer = request()
            except NoSuchPicture:
                self._failed_at = None
                raise
            except StorageUnavailable as error:
                tries += 1
                late = time.monotonic() - started > self._patience
                if late or tries == MOST_TRIES or isinstance(error, Refused) or not self._budget.spend():
                    self._failed_at = None if is_answer(error) else time.monotonic()
                    raise
                time.sleep(full_jitter(tries, base=0.05, cap=1.0))
            else:
                self._failed_at = None
                return answer

    @property
    def failing(self) -> bool:
        """Whether the last call failed, and none has succeeded since."""
        return self._failed_at is not None

    def refuse_while_away(self) -> None:
        """Raises StorageUnavailable, without asking, when the storage failed a moment ago."""
        failed_at = self._failed_at
        if failed_at is not None and time.monotonic() - failed_at < AWAY:
            raise StorageUnavailable("The picture store (S3) did not answer a moment ago.")

    def _put(self, key: str, data: bytes, content_type: str, metadata: Mapping[str, str] | None = None) -> None:
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()  # S3 compares it
        what: dict[str, Any] = {"Body": data, "ContentType": content_type, "ContentMD5": digest, **self._encryption}
        what |= {"Metadata": metadata} if metadata else {}
        try:
            self._call(lambda: self._s3.put_object(Bucket=self.bucket, Key=self._prefix + key, **what))
        except NoSuchPicture as error:  # this answer does not come from an S3 service
            raise StorageUnavailable("The picture store (S3) took no picture.") from error

    def put_job(self, picture: Picture, data: bytes, document: Mapping[str, Any]) -> None:
        """Store a job's input and the accepted job itself, in one object unless the job is too large for that."""
        with self._holding(picture, document) as metadata:
            self._put(picture.key, data, picture.content_type, metadata)

    def copy_job(self, source: Picture, picture: Picture, document: Mapping[str, Any]) -> None:
        """The same, with the input of another job."""
        with self._holding(picture, document) as metadata:
            what: Any = {"CopySource": {"Bucket": self.bucket, "Key": self._prefix + source.key}}
            what |= {"MetadataDirective": "REPLACE", "Metadata": metadata, "ContentType": picture.content_type}
            what |= self._encryption
            self._call(lambda: self._s3.copy_object(Bucket=self.bucket, Key=self._prefix + picture.key, **what))

    @contextmanager
    def _holding(self, picture: Picture, document: Mapping[str, Any]) -> Iterator[dict[str, str]]:
        """The metadata of a job's input. A job that is too large for them is stored after the input."""
        text = json.dumps(document).encode()
        metadata = as_metadata(text)
        fits = len(metadata) <= MOST_METADATA
        yield {JOB_METADATA: metadata} if fits else {}
        if not fits:
            self._put(f"{picture.key.rpartition('/')[0]}/{JOB_DOCUMENT}", text, "application/json")

    def job_document(self, folder: Folder) -> dict[str, Any] | None:
        """The accepted job of a folder. None: it was never completely stored, or is deleted."""
        key = folder.job_key
        if key is None or key.endswith(JOB_DOCUMENT):
            return self.document(folder.path, JOB_DOCUMENT) if key else None
        try:
            head = self._call(lambda: self._s3.head_object(Bucket=self.bucket, Key=self._prefix + key))
        except NoSuchPicture:
            return None
        metadata = head["Metadata"].get(JOB_METADATA)
        return dict(from_metadata(metadata)) if metadata else None

    def put_input(self, folder: str, data: bytes, content_type: str, size: tuple[int, int]) -> Picture:
        """Store an input without a job. `size` is its width and height."""
        picture = input_picture(folder, data, content_type, size)
        self._put(picture.key, data, content_type)
        return picture

    def put_mask(self, folder: str, data: bytes) -> str:
        """Store a mask, a PNG of where the input is to be edited. Returns its key."""
        key = f"{folder}/mask.png"
        self._put(key, data, "image/png")
        return key

    def copy_mask(self, key: str, folder: str) -> str:
        """Copy the mask into another job's folder."""
        return self.put_mask(folder, self.read(key))

    def put_credentials(self, folder: str, data: bytes) -> str:
        """Store an input's content credentials. Returns their key."""
        key = f"{folder}/input.credentials"
        self._put(key, data, "application/json")
        return key

    def put_result(
        self, job: Job, data: bytes, content_type: str, size: tuple[int, int], name: str = "output"
    ) -> Picture:
        """Store a result under the job's fence, where no other attempt can write."""
        key = f"{job.folder}/{job.fence}/{name}.{EXTENSIONS[content_type]}"
        picture = self._put_picture(key, data, content_type, size)
        head = self._call(lambda: self._s3.head_object(Bucket=self.bucket, Key=self._prefix + key))
        if head["ContentLength"] != len(data):
            raise StorageUnavailable("The picture store (S3) did not keep the whole result.")
        return picture

    def put_sprite(self, job: Job, jpeg: bytes, size: tuple[int, int]) -> Picture:
        """Store the small pictures of a job's steps, beside its result."""
        return self._put_picture(f"{job.folder}/{job.fence}/steps.jpg", jpeg, "image/jpeg", size)

    def _put_picture(self, key: str, data: bytes, content_type: str, size: tuple[int, int]) -> Picture:
        self._put(key, data, content_type)
        return described(key, data, content_type, size)

    def put_document(self, folder: str, name: str, document: Mapping[str, Any]) -> None:
        """Store `end.json`, or a document of the service itself."""
        self._put(f"{folder}/{name}", json.dumps(document).encode(), "application/json")

    def document(self, folder: str, name: str) -> dict[str, Any] | None:
        """Read a document. None: there is none."""
        try:
            return dict(json.loads(self.read(f"{folder}/{name}")))
        except NoSuchPicture:
            return None

    def copy_credentials(self, key: str, folder: str) -> str:
        """Copy the input's credentials into another job's folder."""
        return self.put_credentials(folder, self.read(key))

    def read(self, key: str) -> bytes:
        """Read a whole object."""
        return self._call(lambda: self._s3.get_object(Bucket=self.bucket, Key=self._prefix + key)["Body"].read())

    def read_picture(self, picture: Picture) -> bytes:
        """Read a stored picture."""
        data = self.read(picture.key)
        if hashlib.sha256(data).hexdigest() != picture.sha256:
            raise StorageUnavailable("The picture store (S3) gave another picture than it was given.")
        return data

    def link(self, key: str, *, filename: str, content_type: str, seconds: int) -> str:
        """A presigned address from which one picture can be downloaded for a while, and nothing else."""
        return self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": self._prefix + key,
                "ResponseContentType": content_type,
                "ResponseContentDisposition": f'attachment; filename="{filename}"',
                "ResponseCacheControl": "private, no-store",
            },
            ExpiresIn=seconds,
        )

    def presign_upload(self, tenant: str, upload: str, *, most_bytes: int, seconds: int) -> PresignedUpload:
        """An address to which one file of limited size can be posted for a while, and the form's other fields."""
        fields = {HEADERS[name]: value for name, value in self._encryption.items()}
        post = self._signer.generate_presigned_post(
            self.bucket,
            f"{self._prefix}{UPLOADS}/{tenant}/{upload}",
            Fields=fields,
            Conditions=[["content-length-range", 1, most_bytes], *({name: value} for name, value in fields.items())],
            ExpiresIn=seconds,
        )
        return PresignedUpload(post["url"], post["fields"])

    def read_upload(self, tenant: str, upload: str) -> bytes:
        """Read an upload."""
        return self.read(f"{UPLOADS}/{tenant}/{upload}")

    def put_file(self, tenant: str, file: str, data: bytes, content_type: str) -> None:
        """Store a file of a client's."""
        self._put(f"{FILES}/{tenant}/{file}", data, content_type)

    def read_file(self, tenant: str, file: str) -> bytes:
        """Read a client's file."""
        return self.read(f"{FILES}/{tenant}/{file}")

    def delete_file(self, tenant: str, file: str) -> None:
        """Remove a file of a client's, if it is there."""
        self.delete(f"{FILES}/{tenant}/{file}")

    def put_lines(self, folder: str, lines: bytes) -> None:
        """Store the lines of a batch."""
        self._put(f"{folder}/lines.jsonl", lines, "application/jsonl")

    def put_sheet(self, folder: str, jpeg: bytes) -> None:
        """Store a batch's contact sheet."""
        self._put(f"{folder}/sheet.jpg", jpeg, "image/jpeg")

    def drop_old_uploads(self, now: float) -> int:
        """Remove the uploads that have been kept for a day; `now` is seconds since 1970. Returns how many."""
        dropped, after = 0, ""
        while True:
            page = self._below(UPLOADS, after)
            for entry in page:
                if now - entry["LastModified"].timestamp() > UPLOAD_SECONDS:
                    self.delete(entry["Key"])
                    dropped += 1
            if not page:
                return dropped
            after = page[-1]["Key"]

    def folders(self) -> "Iterator[Folder]":
        """All jobs' folders, with their tenant and id."""
        for (tenant, job_id), entries in groupby(self._objects(), lambda entry: tuple(entry["Key"].split("/")[:2])):
            if not tenant.startswith("_"):
                yield Folder(tenant, job_id, {entry["Key"]: entry["LastModified"].timestamp() for entry in entries})

    def _objects(self) -> "Iterator[ObjectTypeDef]":
        after = ""
        while True:
            yield from (entries := self._listed("", after))
            if not entries:
                return
            after = entries[-1]["Key"]

    def _listed(self, folder: str, after: str = "") -> "list[ObjectTypeDef]":
        """A page of the objects below a folder, beginning behind `after`."""
        since = self._prefix + after if after else ""
        page = self._call(
            lambda: self._s3.list_objects_v2(Bucket=self.bucket, Prefix=self._prefix + folder, StartAfter=since)
        )
        return [{**entry, "Key": entry["Key"].removeprefix(self._prefix)} for entry in page.get("Contents", [])]

    def limit_age(self, days: int) -> bool:
        """Set a lifecycle rule that removes older objects if everything else fails to. Other rules stay as they are.

        Returns False, and changes nothing, where the bucket has others' rules and we have no prefix: a rule for the
        whole bucket would remove what is theirs.
        """
        ours: Any = {
            "ID": LIFECYCLE_RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": self._prefix},
            "Expiration": {"Days": days},
        }
        rules = self._lifecycle_rules()
        others = [rule for rule in rules if rule.get("ID") != LIFECYCLE_RULE]
        if others and not self._prefix:
            return False
        if ours not in rules:
            merged: Any = {"Rules": [*others, ours]}
            self._call(
                lambda: self._s3.put_bucket_lifecycle_configuration(Bucket=self.bucket, LifecycleConfiguration=merged)
            )
        return True

    def _lifecycle_rules(self) -> list[Any]:
        try:
            found = self._call(lambda: self._s3.get_bucket_lifecycle_configuration(Bucket=self.bucket))
        except NoSuchPicture:
            return []
        return list(found.get("Rules", []))

    def files(self) -> "Iterator[list[tuple[str, str, float]]]":
        """All clients' files, a page at a time: tenant, id, and when it was written (seconds since 1970)."""
        after = ""
        while page := self._below(FILES, after):
            after = page[-1]["Key"]
            yield [(*entry["Key"].split("/")[1:3], entry["LastModified"].timestamp()) for entry in page]  # type: ignore[misc]

    def batch_documents(self) -> "Iterator[list[tuple[str, float]]]":
        """The keys of all documents of batches, a page at a time, and when each was written (seconds since 1970)."""
        after = ""
        while page := self._below(BATCHES, after):
            after = page[-1]["Key"]
            yield [(entry["Key"], entry["LastModified"].timestamp()) for entry in page]

    def _below(self, folder: str, key: str) -> "list[ObjectTypeDef]":
        return self._listed(f"{folder}/", key)

    def empty(self, folder: str) -> None:
        """Remove everything in a job's folder. An empty folder is no error."""
        keys = [entry["Key"] for entry in self._listed(f"{folder}/")]
        # What holds the job comes first, because a rebuild makes no job of a folder without it.
        for key in sorted(keys, key=lambda key: (not holds_job(key), not key.endswith(JOB_DOCUMENT))):
            self.delete(key)

    def delete(self, key: str) -> None:
        """Remove one object, if it is there."""
        self._call(lambda: self._s3.delete_object(Bucket=self.bucket, Key=self._prefix + key))

    def now(self) -> float:
        """Seconds since 1970 by the storage's clock, as in `Folder`, because our own clock may be wrong."""
        answer = self._call(lambda: self._s3.head_bucket(Bucket=self.bucket))
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()

    def ping(self) -> None:
        """Raises StorageUnavailable when the bucket cannot be reached."""
        try:
            self._call(lambda: self._s3.head_bucket(Bucket=self.bucket))
        except NoSuchPicture as error:
            raise StorageUnavailable(f"There is no bucket {self.bucket}.") from error
