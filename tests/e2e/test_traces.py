"""One request followed through all processes, by its trace and by its log lines."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chaos.house import House, Plan, until
from chaos.webhooks import Receiver
from tests.local_stack import DEAD_PROXY

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Spans(dict[str, tuple[str, str, str]]):
    """The spans that a collector received: by id the process, the span's name and its parent's id."""

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            process = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if span.trace_id.hex() == TRACE:
                        self[span.span_id.hex()] = (process, span.name, span.parent_span_id.hex())

    def path(self, name: str) -> list[str]:
        """The names from the span with this name up to the first that is not ours."""
        at = next((key for key, (_, named, _) in self.items() if named == name), "")
        names = []
        while at in self:
            process, named, at = self[at]
            names.append(f"{process}: {named}")
        return names


@contextmanager
def collector() -> Iterator[tuple[str, Spans]]:
    """A collector of traces. Gives its address and what it receives."""
    spans = Spans()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            spans.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.timeout(240)
def test_a_request_is_one_trace_and_one_name_from_the_client_to_the_webhook():
    with collector() as (address, spans), Receiver() as receiver:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "LOG_FORMAT": "json",
            "FETCH_PORTS": str(receiver.port),
            "ALLOW_PRIVATE_NETWORKS": "127.0.0.1/32",
            **DEAD_PROXY,
        }
        with House(Plan(workers=1, settings=settings)) as house:
            house.http.headers.update({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-Id": "followed"})
            job = house.submit(fields={"webhook": receiver.url}).id
            assert house.wait_for_all(60) is not None
            assert until(lambda: spans.path("webhook") and spans.path("store"), 30) is not None
            logs = {file.stem: file.read_text() for file in (house.folder / "logs").glob("*.log")}
    submission = "darkroom-api: POST /v1/jobs"
    assert spans.path("webhook") == ["darkroom-keeper: webhook", submission]
    for part in ("fetch", "edit", "store"):
        assert spans.path(part) == [f"darkroom-worker: {part}", "darkroom-worker: job", submission]
    for process in ("api", "worker-0", "keeper"):
        lines = [json.loads(line) for line in logs[process].splitlines() if line.startswith("{")]
        assert [line for line in lines if (line.get("request_id"), line.get("job_id")) == ("followed", job)], process
