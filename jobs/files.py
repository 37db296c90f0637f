"""Files that clients upload and name in later requests, for some days. Their content is not checked.

The bytes lie in the bucket as `_files/{tenant}/{file}`; what is known of them is in Redis.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from jobs import redis_keys
from jobs.errors import TooManyFiles
from jobs.job import born_ms, is_id, new_id
from jobs.pages import page_of
from jobs.pictures import NoSuchPicture, PictureStore
from jobs.scripts import reaching_redis

LONGEST_SECONDS = 7 * 86_400  #: that a file is kept; the bucket itself removes what is older than that by some days


@dataclass(frozen=True)
class File:
    """A file's description; `name`, `content_type` and `metadata` are as its owner gave them."""

    id: str
    tenant: str
    name: str
    content_type: str
    bytes: int
    sha256: str
    expires_ms: int
    metadata: Mapping[str, Any]

    @property
    def created_ms(self) -> int:
        return born_ms(self.id)

    @classmethod
    def from_record(cls, record: Mapping[str, str]) -> Self:
        texts = {name: record[name] for name in ("id", "tenant", "name", "content_type", "sha256")}
        metadata = json.loads(record["metadata"])
        return cls(**texts, bytes=int(record["bytes"]), expires_ms=int(record["expires_ms"]), metadata=metadata)

    def record(self) -> dict[str, str | int]:
        """Its fields in Redis."""
        return {**vars(self), "metadata": json.dumps(self.metadata)}


class FileStore:
    """The files of all tenants.

    Raises:
        RecordsUnavailable, StorageUnavailable: from any method.
    """

    def __init__(self, client: Any, pictures: PictureStore) -> None:
        self.redis = client
        self._pictures = pictures

    def put(
        self, tenant: str, data: bytes, *, name: str, content_type: str, metadata: Mapping[str, Any], seconds: int
    ) -> File:
        """Keep a file for so many seconds."""
        file_id = new_id()
        expires_ms = born_ms(file_id) + seconds * 1000
        digest = hashlib.sha256(data).hexdigest()
        file = File(file_id, tenant, name, content_type, len(data), digest, expires_ms, metadata)
        self._pictures.put_file(tenant, file_id, data, content_type)
        with reaching_redis(), self.redis.pipeline() as pipe:
            pipe.hset(redis_keys.FILE + file_id, mapping=file.record())
            pipe.pexpireat(redis_keys.FILE + file_id, expires_ms)
            pipe.zadd(redis_keys.FILES + tenant, {file_id: file.created_ms})
            pipe.expire(redis_keys.FILES + tenant, LONGEST_SECONDS, gt=True)
            pipe.expire(redis_keys.FILES + tenant, LONGEST_SECONDS, nx=True)
            pipe.execute()
        return file

    def refuse_more_than(self, most: int, tenant: str) -> None:
        """
        Raises:
            TooManyFiles: the tenant keeps so many already.
        """
        with reaching_redis():
            if self.redis.zcard(redis_keys.FILES + tenant) < most:
                return
            ids = self.redis.zrange(redis_keys.FILES + tenant, 0, -1)
        if len(self._found(ids, tenant)) >= most:
            raise TooManyFiles(f"At most {most} files of yours may be kept at a time (MAX_FILES).", retry_after=3600)

    def get(self, file_id: str, tenant: str) -> File | None:
        """A tenant's file; None if it is absent, another tenant's, or expired."""
        if not is_id(file_id):
            return None
        with reaching_redis():
            record = self.redis.hgetall(redis_keys.FILE + file_id)
        return File.from_record(record) if record.get("tenant") == tenant else None

    def read(self, file_id: str, tenant: str) -> bytes:
        """A file's bytes.

        Raises:
            NoSuchPicture: the tenant has no such file.
        """
        if self.get(file_id, tenant) is None:
            raise NoSuchPicture(file_id)
        return self._pictures.read_file(tenant, file_id)

    def page(self, tenant: str, *, limit: int, after: str | None) -> tuple[list[File], str | None]:
        """A page of a tenant's files, newest first, and where the next page begins."""
        with reaching_redis():
            ids, place = page_of(self.redis, redis_keys.FILES + tenant, limit=limit, after=after, newest_first=True)
        return self._found(ids, tenant), place

    def delete(self, file_id: str, tenant: str) -> bool:
        """Remove a file. False: the tenant has no such file."""
        if self.get(file_id, tenant) is None:
            return False
        with reaching_redis(), self.redis.pipeline() as pipe:
            pipe.delete(redis_keys.FILE + file_id)
            pipe.zrem(redis_keys.FILES + tenant, file_id)
            pipe.execute()
        self._pictures.delete_file(tenant, file_id)
        return True

    def known(self, ids: list[str]) -> set[str]:
        """Those of these ids that belong to files."""
        with reaching_redis(), self.redis.pipeline(transaction=False) as pipe:
            for file_id in ids:
                pipe.exists(redis_keys.FILE + file_id)
            return {file_id for file_id, there in zip(ids, pipe.execute(), strict=True) if there}

    def _found(self, ids: list[str], tenant: str) -> list[File]:
        """The files with these ids. Expired ones are removed from the tenant's list."""
        with reaching_redis(), self.redis.pipeline(transaction=False) as pipe:
            for file_id in ids:
                pipe.hgetall(redis_keys.FILE + file_id)
            records = pipe.execute()
            if gone := [file_id for file_id, record in zip(ids, records, strict=True) if not record]:
                self.redis.zrem(redis_keys.FILES + tenant, *gone)
        return [File.from_record(record) for record in records if record]
