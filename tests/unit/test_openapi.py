"""For every operation the OpenAPI document describes its purpose, parameters, answers and errors."""

import json

import jsonschema_rs
import pytest

from api.main import create_app
from jobs.errors import DarkroomError
from jobs.settings import Settings

DOCUMENT = create_app(Settings(_env_file=None)).openapi()
EACH = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]


ABSTRACT = {"too-many", "unavailable"}  # only narrower ones are raised


def subclasses(kind: type[DarkroomError]) -> set[str]:
    return {kind.slug}.union(*map(subclasses, kind.__subclasses__()))


def fits(example: object, schema: dict) -> bool:
    return jsonschema_rs.is_valid({**schema, "components": DOCUMENT["components"]}, example)


@pytest.mark.parametrize(("method", "path"), EACH)
def test_an_operation_says_all_that_a_client_needs(method, path):
    operation = DOCUMENT["paths"][path][method]
    assert operation["summary"] != operation["operationId"].replace("_", " ").title(), "the route gives no summary"
    assert operation["description"].endswith((".", ":"))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        assert content["example"], kind
        assert kind == "multipart/form-data" or fits(content["example"], content["schema"])
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items():
            if status < "300" and kind in ("application/json", "text/event-stream"):
                assert content["example"], (status, kind)
            if status < "300" and kind == "application/json":
                assert fits(content["example"], content["schema"]), (status, content["example"])
        if status >= "400":
            problems = answer["content"]["application/problem+json"]
            assert problems["examples"], status
            for slug, problem in problems["examples"].items():
                assert fits(problem["value"], problems["schema"])
                assert problem["value"]["type"].endswith(":" + slug)
                assert str(problem["value"]["status"]) == status


def test_every_problem_that_we_know_is_told_somewhere():
    told = json.dumps(DOCUMENT)
    assert {slug for slug in subclasses(DarkroomError) if f"urn:darkroom:problem:{slug}" not in told} <= ABSTRACT
