"""What workers publish about their models, and how the web tier uses it."""

import json
from dataclasses import replace

from api.views import view_model
from jobs import redis_keys
from jobs.cards import Card
from jobs.models import Definition, built_in, on_checkpoint
from jobs.parameters import Parameter
from jobs.served_models import publish, read_models
from jobs.store import JobStore

MICRO = Card("micro", "7", {"pix2pix-full": {"steps": 2}})
SKY = Definition(
    "sky", "A model of a test.", (Parameter("steps", "integer", "Steps.", 1, 50, default=4),), revision="9"
)


def serve(store: JobStore, worker: str, *definitions: Definition, started_ms: int = 1, **more) -> None:
    """Act as a worker at its start and at each heartbeat."""
    publish(store, definitions, started_ms)
    models = [{"id": one.id, "digest": one.digest()} for one in definitions]
    store.renew(worker, {"slots": 1, "models": models, "started_ms": started_ms, **more}, [], lease_seconds=30)


def test_a_new_redis_knows_the_six_with_the_defaults_of_the_checkpoint(store):
    models = read_models(store, MICRO)
    assert [*models.by_id] == [one.id for one in built_in()]
    assert models.default.id == "pix2pix-full"
    assert models.resolve(None, {"prompt": "x"})[1]["steps"] == 2
    assert not any(one.workers for one in models.by_id.values())


def test_what_workers_serve_is_known_and_stays_known_when_they_are_away(store):
    serve(store, "w1", SKY)
    serve(store, "w2", SKY, started_ms=5)
    one = read_models(store, MICRO).by_id["sky"]
    assert (one.workers, one.since_ms, one.definition) == (2, 1, SKY)
    assert read_models(store, MICRO).default.id == "sky", "the only one that is served"
    store.retire("w1")
    store.retire("w2")
    gone = read_models(store, MICRO)
    assert [*gone.by_id] == ["sky"]
    assert gone.by_id["sky"].workers == 0
    assert gone.by_id["sky"].since_ms is None
    assert gone.resolve("sky", {"steps": "7"}) == ("sky", {"steps": 7})


def test_a_worker_of_an_older_version_serves_the_six_on_its_checkpoint(store):
    serve(store, "new", SKY)
    store.renew("old", {"slots": 1, "checkpoint": {"name": "other", "revision": "3"}}, [], lease_seconds=30)
    models = read_models(store, MICRO)
    assert [*models.by_id] == [*(one.id for one in built_in()), "sky"]
    assert models.by_id["pix2pix-1"].definition.checkpoint == "other"
    assert models.default.id == "pix2pix-full"


def test_of_two_revisions_the_newer_one_wins_and_the_other_is_told(store):
    serve(store, "new", replace(SKY, revision="10"), started_ms=1)
    serve(store, "old", SKY, started_ms=2)
    one = read_models(store, MICRO).by_id["sky"]
    assert (one.definition.revision, one.rivals, one.workers) == ("10", ("9",), 2)
    store.retire("old")
    store.retire("new")
    assert read_models(store, MICRO).by_id["sky"].definition.revision == "10", "also while both are away"
    serve(store, "back", SKY)
    assert read_models(store, MICRO).by_id["sky"].definition.revision == "9", "what is served counts"


def test_two_card_formats_stand_side_by_side(store):
    serve(store, "w", *on_checkpoint(MICRO))
    said = {
        **json.loads(json.dumps(SKY.record())),
        "tiles": [1],
        "rules": [{"when": "steps", "values": [1], "then": "steps", "value": 2}],
    }
    said["parameters"] += [{"name": "mood", "kind": "melody", "summary": "Of a newer version.", "octave": 3}]
    said["parameters"][0]["unit"] = "steps"
    store.redis.hset(redis_keys.DEFINITIONS, "newer", json.dumps(said))
    store.redis.hset(redis_keys.DEFINITIONS, "unreadable", json.dumps({"id": 3}))
    about = {"models": [{"id": "sky", "digest": "newer"}, {"id": "x", "digest": "unreadable"}], "shape": 1}
    store.renew("newer", about, [], lease_seconds=30)
    models = read_models(store, MICRO)
    assert [*models.by_id][-1] == "sky"
    assert len(models.by_id) == 7
    assert models.resolve("sky", {"steps": 3}) == ("sky", {"steps": 3})
    assert models.resolve("pix2pix-full", {"prompt": "x"})[1]["steps"] == 2


def test_definitions_that_nobody_names_any_more_are_removed(store):
    for number in range(210):
        serve(store, "w", replace(SKY, revision=str(number)), started_ms=number)
    assert store.redis.hlen(redis_keys.DEFINITIONS) < 210
    assert read_models(store, MICRO).by_id["sky"].definition.revision == "209"


def test_what_a_checkpoint_can_do_is_published_by_kind_and_older_workers_say_nothing_of_it():
    card = Card("micro", "8", abilities={"weather": {"fog": "make it foggy", "snow": "make it snowy"}})
    told = Definition.from_record(json.loads(json.dumps(on_checkpoint(card)[0].record())))
    assert told.abilities == {"weather": ["make it foggy", "make it snowy"]}
    older = {name: value for name, value in SKY.record().items() if name != "abilities"}
    assert Definition.from_record(older).abilities == {}
    assert Card.from_record({"name": "micro", "abilities": card.abilities}).examples() == card.examples()


def test_the_service_lists_what_a_model_can_do(store):
    told, silent = Card("micro", "8", abilities={"weather": {"fog": "make it foggy"}}), Card("other", "1")
    serve(store, "w1", *on_checkpoint(told))
    (one, *_) = read_models(store, silent).by_id.values()
    assert view_model(one, is_default=False).abilities == {"weather": ["make it foggy"]}
    store.retire("w1")
    serve(store, "w2", *on_checkpoint(silent), started_ms=9)
    (one, *_) = read_models(store, told).by_id.values()
    assert view_model(one, is_default=False).abilities == {}
