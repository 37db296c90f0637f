"""Which models the workers serve: published by workers, read by the web tier, kept while all workers are away.

Each worker tells in its own record which models it serves, by the digests of their definitions; the definitions lie
beside that, once. Where two workers disagree about a model, the newer revision wins.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import redis_keys
from jobs.cards import Card
from jobs.errors import RecordsUnavailable
from jobs.models import DEFAULT_MODEL, Definition, in_order, on_checkpoint
from jobs.parameters import ParameterError
from jobs.scripts import ALIVE_MS, reaching_redis
from jobs.store import JobStore

KEPT_MS = 7 * 86_400_000  #: a model that nobody serves any more is known for as long as a job may wait for it
FRESH_SECONDS = 1.0  #: the web tier looks again after this
MOST_DEFINITIONS = 200  #: kept; beyond that, those that nobody names any more are removed


@dataclass(frozen=True)
class ServedModel:
    """A model, by how many living workers it is served, and since when (None: by none).

    `rivals` are the other revisions that workers serve under the same id. `troubles` say why workers cannot load it.
    """

    definition: Definition
    workers: int = 0
    since_ms: int | None = None
    rivals: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publication:
    """One worker's word on one model."""

    definition: Definition
    started_ms: int

    @property
    def rank(self) -> tuple[Any, ...]:
        """Greater is newer: by revision, whose numbers count as numbers, then by when the worker started."""
        parts = re.findall(r"\d+|\D+", self.definition.revision)
        return [(part.isdigit(), int(part) if part.isdigit() else part) for part in parts], self.started_ms


def publish(store: JobStore, definitions: Sequence[Definition], started_ms: int) -> None:
    """Keep the definitions that a worker serves, and remember those that win as the last known."""
    others = _read(store, Card()).publications
    seconds, micros = _time(store)
    now = seconds * 1000 + micros // 1000
    with reaching_redis():
        pipe = store.redis.pipeline(transaction=False)
        for one in definitions:
            winner = max([Publication(one, started_ms), *others.get(one.id, ())], key=lambda said: said.rank).definition
            for kept in (one, winner):
                pipe.hset(redis_keys.DEFINITIONS, kept.digest(), json.dumps(kept.record()))
            pipe.hset(redis_keys.MODELS, one.id, json.dumps({"digest": winner.digest(), "seen_ms": now}))
        pipe.hlen(redis_keys.DEFINITIONS)
        *_, kept = pipe.execute()
    if kept > MOST_DEFINITIONS:
        _forget_unnamed(store)


def _forget_unnamed(store: JobStore) -> None:
    with reaching_redis():
        said = [*store.redis.hvals(redis_keys.MODELS), *store.redis.hvals(redis_keys.WORKER_INFO)]
        digests = store.redis.hkeys(redis_keys.DEFINITIONS)
        unnamed = [digest for digest in digests if not any(digest in text for text in said)]
        if unnamed:
            store.redis.hdel(redis_keys.DEFINITIONS, *unnamed)


def _time(store: JobStore) -> tuple[int, int]:
    with reaching_redis():
        seconds, micros = store.redis.time()
    return int(seconds), int(micros)


@dataclass(frozen=True)
class _Records:
    """What Redis holds about models: the reports of living workers, and the models that no worker serves now."""

    publications: Mapping[str, Sequence[Publication]]
    troubles: Mapping[str, Sequence[str]]
    last_known: Sequence[Definition]


def _read(store: JobStore, fallback: Card) -> _Records:
    with reaching_redis():
        pipe = store.redis.pipeline(transaction=False)
        pipe.zrange(redis_keys.WORKERS, 0, -1, withscores=True)
        pipe.hgetall(redis_keys.WORKER_INFO)
        pipe.hgetall(redis_keys.MODELS)
        pipe.hgetall(redis_keys.DEFINITIONS)
        pipe.get(redis_keys.CHECKPOINT)
        pipe.time()
        heard, told, models, texts, latest, (seconds, micros) = pipe.execute()
    now = seconds * 1000 + micros // 1000
    definitions = {digest: found for digest, text in texts.items() if (found := _definition(text))}
    publications: dict[str, list[Publication]] = {}
    troubles: dict[str, list[str]] = {}
    for about in (_document(told.get(worker)) for worker, at in heard if at >= now - ALIVE_MS):
        for said in _publications(about, definitions, fallback):
            publications.setdefault(said.definition.id, []).append(said)
        for model, trouble in (about.get("troubles") or {}).items():
            troubles.setdefault(model, []).append(str(trouble))
    known = {name: _document(text) for name, text in models.items()}
    last_known = [
        definitions[said["digest"]]
        for said in known.values()
        if said.get("digest") in definitions and said.get("seen_ms", 0) >= now - KEPT_MS
    ]
    if not last_known and not publications:  # nothing was ever published here, or only by workers of an older version
        last_known = list(on_checkpoint(_card(_document(latest), fallback)))
    return _Records(publications, troubles, last_known)


def _publications(about: Mapping[str, Any], definitions: Mapping[str, Definition], fallback: Card) -> list[Publication]:
    """The models that a worker reports. One of an older version reports none, and serves the six built-in models."""
    started = int(about.get("started_ms") or 0)
    if "models" not in about:
        return [Publication(one, started) for one in on_checkpoint(_card(about, fallback))]
    digests = [str(said.get("digest")) for said in about["models"] if isinstance(said, dict)]
    return [Publication(definitions[digest], started) for digest in digests if digest in definitions]


def _card(about: Mapping[str, Any], fallback: Card) -> Card:
    said = about.get("checkpoint")
    return Card.from_record(said) if isinstance(said, dict) and said else fallback


def _document(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _definition(text: str) -> Definition | None:
    """The definition that any version has published. None: this version cannot read it."""
    try:
        return Definition.from_record(json.loads(text))
    except (KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Models:
    """All models that are known at one moment, by id, as they are listed."""

    by_id: Mapping[str, ServedModel]

    @property
    def default(self) -> Definition:
        """The model of a job that names none: `pix2pix-full` if it is served, otherwise the first served model."""
        served = [one.definition for one in self.by_id.values() if one.workers] or [
            one.definition for one in self.by_id.values()
        ]
        return next((one for one in served if one.id == DEFAULT_MODEL), served[0])

    def resolve(self, model: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The model's id, and all its parameters: those given, checked, and the defaults for the rest.

        Raises:
            ParameterError: for the first unknown, missing or out-of-range parameter, or an unknown model.
        """
        if model is None:
            return self.default.id, self.default.resolve(given)
        if model not in self.by_id:
            raise ParameterError("model", f"must be one of {', '.join(self.by_id)}")
        return model, self.by_id[model].definition.resolve(given)


def read_models(store: JobStore, fallback: Card) -> Models:
    """All models that workers serve, and those that they served last; the six on `fallback` if there were none yet."""
    records = _read(store, fallback)
    found = {one.id: ServedModel(one, troubles=tuple(records.troubles.get(one.id, ()))) for one in records.last_known}
    for name, said in records.publications.items():
        newest = max(said, key=lambda one: one.rank).definition
        rivals = {one.definition.revision for one in said if one.definition != newest}
        since = min((one.started_ms for one in said if one.started_ms), default=None)
        troubles = tuple(records.troubles.get(name, ()))
        found[name] = ServedModel(newest, len(said), since, tuple(sorted(rivals)), troubles)
    order = [one.id for one in in_order(one.definition for one in found.values())]
    return Models({name: found[name] for name in order})


class ServedModels:
    """The models as the web tier sees them: read at most once a second."""

    def __init__(self, store: JobStore, fallback: Callable[[], Card]) -> None:
        self._store = store
        self._fallback = fallback
        self._read: tuple[float, Models] | None = None

    def now(self) -> Models:
        """All models.

        Raises:
            RecordsUnavailable
        """
        if self._read is None or time.monotonic() - self._read[0] > FRESH_SECONDS:
            self._read = time.monotonic(), read_models(self._store, self._fallback())
        return self._read[1]

    def resolve(self, model: str | None, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Like `Models.resolve`. An unknown model is looked up again, because its worker may have just started."""
        if model is not None and model not in self.now().by_id:
            self.forget()
        return self.now().resolve(model, given)

    def is_served(self, model: str) -> bool:
        """Whether a worker serves the model now. True also while this cannot be determined."""
        try:
            found = self.now().by_id.get(model)
        except RecordsUnavailable:
            return True
        return found is not None and found.workers > 0

    def forget(self) -> None:
        """Read the models again at the next call."""
        self._read = None
