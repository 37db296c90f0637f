"""The backup of what only Redis has, apart from jobs: API keys, tenants, webhooks and their secrets.

The bucket keeps it, encrypted with the setting BACKUP_KEY (Fernet: AES-128-CBC and HMAC-SHA256).
"""

import base64
import hashlib
import json
import logging
import time
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from jobs import redis_keys
from jobs.api_keys import LOCAL_TENANT
from jobs.outbox import Event
from jobs.pictures import OWN_FOLDER, PictureStore
from jobs.scripts import JOB_ENDPOINT, reaching_redis
from jobs.store import JobStore

log = logging.getLogger(__name__)

NAME = "backup.json"
REFRESH = 86_400.0  #: an unchanged backup is rewritten after a day, because the bucket's rule removes old objects


class BackupError(Exception):
    """The backup cannot be read with this BACKUP_KEY."""


class Backup:
    """Saves and restores the backup.

    Raises:
        Unavailable: from any method, when Redis or S3 does not answer.
    """

    def __init__(self, store: JobStore, pictures: PictureStore, secret: str) -> None:
        self._redis = store.redis
        self._pictures = pictures
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(secret.encode()).digest()))
        self._saved: dict[str, Any] | None = None
        self._saved_at = 0.0

    def save(self, instance: str) -> bool:
        """Write the backup if it has changed. False: it has not, or this Redis is not `instance`."""
        with reaching_redis():
            found = {name: value for name in self._names() if (value := self._value(name))}
            same = self._redis.get(redis_keys.INSTANCE) == instance  # read last: it is lost with the rest, not before
        if not same or (found == self._saved and time.monotonic() - self._saved_at < REFRESH):
            return False
        sealed = self._fernet.encrypt(json.dumps(found).encode()).decode()
        self._pictures.put_document(OWN_FOLDER, NAME, {"sealed": sealed})
        self._saved, self._saved_at = found, time.monotonic()
        log.info("the backup is written: %s keys of Redis", len(found))
        return True

    def restore(self) -> int:
        """Restore the backup over what Redis has now. Returns the number of Redis keys.

        Raises:
            BackupError
        """
        document = self._pictures.document(OWN_FOLDER, NAME)
        if document is None:
            return 0
        try:
            found = json.loads(self._fernet.decrypt(document["sealed"]))
        except InvalidToken as error:
            raise BackupError("The backup was written under another BACKUP_KEY.") from error
        pipe = self._redis.pipeline()
        for name, value in found.items():
            pipe.delete(name)
            match value:
                case str():
                    pipe.set(name, value)
                case {"set": members}:
                    pipe.sadd(name, *members)
                case {"zset": pairs}:
                    pipe.zadd(name, dict(pairs))
                case {"hash": fields}:
                    pipe.hset(name, mapping=fields)
        with reaching_redis():
            pipe.execute()
        return len(found)

    def _names(self) -> list[str]:
        """The names of the Redis keys to save."""
        key_ids = self._redis.zrange(redis_keys.KEYS, 0, -1)
        owners = {self._redis.hget(redis_keys.KEY + key_id, "tenant") for key_id in key_ids}
        tenants = sorted({LOCAL_TENANT, *self._redis.smembers(redis_keys.TENANTS), *filter(None, owners)})
        names = [
            redis_keys.KEYS,
            redis_keys.TENANTS,
            redis_keys.SIGNING_KEY,
            *(redis_keys.KEY + key_id for key_id in key_ids),
        ]
        names += [redis_keys.LIMITS + tenant for tenant in tenants]
        for tenant in tenants:
            endpoints = self._redis.zrange(redis_keys.ENDPOINTS + tenant, 0, -1)
            names += [redis_keys.ENDPOINTS + tenant, f"{redis_keys.ENDPOINT}{JOB_ENDPOINT}:{tenant}"]
            names += [redis_keys.ENDPOINT + endpoint for endpoint in endpoints]
            names += [f"{redis_keys.LISTENERS}{tenant}:{event}" for event in Event]
        return names

    def _value(self, name: str) -> Any:
        match self._redis.type(name):
            case "string":
                return self._redis.get(name)
            case "set":
                return {"set": sorted(self._redis.smembers(name))}
            case "zset":
                return {"zset": self._redis.zrange(name, 0, -1, withscores=True)}
            case "hash":
                return {"hash": self._redis.hgetall(name)}
        return None
