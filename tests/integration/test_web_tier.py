"""The web tier as a process: killed while clients submit, and called by clients that violate HTTP."""

import concurrent.futures
import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jobs.settings import Settings
from tests.waiting import until
from tests.web_tier import WebTier, web_tier

POSTS = 50
PICTURE = {"prompt": "make it sepia", "seed": "1"}


@pytest.fixture(scope="module")
def one_tier(parts: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebTier]:
    with web_tier(parts, tmp_path_factory.mktemp("tier")) as tier:
        yield tier


@pytest.fixture
def tier(settings: Settings, one_tier: WebTier) -> WebTier:
    """A web tier that a test may stop or kill."""
    return one_tier if one_tier.running else one_tier.start()


@pytest.fixture(scope="module")
def one_hasty(parts: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebTier]:
    with web_tier(parts, tmp_path_factory.mktemp("hasty"), "tests.web_tier:Hasty") as tier:
        yield tier


@pytest.fixture
def hasty(settings: Settings, one_hasty: WebTier) -> WebTier:
    return one_hasty


def test_one_key_is_one_job_though_the_web_tier_dies_in_between(tier, store, jpeg):
    """Fifty clients post at once with one key and repeat the request until it is answered. The tier is killed twice."""
    answered: list[str] = []
    http = httpx.Client(
        base_url=tier.url,
        headers={"Idempotency-Key": "order-7"},
        timeout=10,
        limits=httpx.Limits(max_connections=POSTS, max_keepalive_connections=0),
        trust_env=False,
    )

    def post(_: int) -> tuple[str, int]:
        failures, ends = 0, time.monotonic() + 60
        while time.monotonic() < ends:
            try:
                answer = http.post("/v1/jobs", files={"image": jpeg}, data=PICTURE)
            except httpx.HTTPError:
                failures += 1
                time.sleep(0.05)
                continue
            if answer.status_code == 202:
                answered.append(answer.json()["id"])
                return answered[-1], failures
            assert answer.status_code == 503, answer.text
            time.sleep(0.05)
        raise AssertionError("never answered")

    def restart() -> None:
        tier.kill()
        tier.start()

    with http, concurrent.futures.ThreadPoolExecutor(POSTS) as pool:
        posts = [pool.submit(post, number) for number in range(POSTS)]
        while not store.redis.keys("*queue*") and not answered:  # the first is being written at this moment
            time.sleep(0.001)
        restart()
        time.sleep(0.1)
        restart()
        results = [one.result() for one in posts]
    assert sum(failures for _, failures in results) > 0, "nobody noticed that the tier was killed"
    assert len({job for job, _ in results}) == 1
    listed = httpx.get(f"{tier.url}/v1/jobs", trust_env=False).json()["data"]
    assert [job["id"] for job in listed] == [results[0][0]]
    assert store.queue().queued == 1


Bytes = bytes | list[bytes]

BOUNDARY = b"multipart/form-data; boundary=b"


def head(*lines: bytes, request: bytes = b"POST /v1/jobs HTTP/1.1") -> bytes:
    return b"\r\n".join([request, b"Host: localhost", *lines, b"", b""])


def parts(count: int) -> bytes:
    one = b'--b\r\nContent-Disposition: form-data; name="p%d"\r\n\r\nx\r\n'
    return b"".join(one % number for number in range(count)) + b"--b--\r\n"


def form(body: bytes) -> bytes:
    return head(b"Content-Type: " + BOUNDARY, b"Content-Length: %d" % len(body)) + body


def chunked(body: bytes) -> bytes:
    return head(b"Content-Type: application/json", b"Transfer-Encoding: chunked") + body


JSON = b"Content-Type: application/json"
ABUSE: dict[str, Bytes] = {
    "a length too short": head(JSON, b"Content-Length: 3") + b'{"prompt": "x"}',
    "a length below zero": head(JSON, b"Content-Length: -1") + b"{}",
    "a length that is none": head(JSON, b"Content-Length: many") + b"{}",
    "a length beyond all numbers": head(JSON, b"Content-Length: " + b"9" * 40) + b"{}",
    "two lengths": head(JSON, b"Content-Length: 2", b"Content-Length: 3") + b"{}",
    "a length and chunks": head(JSON, b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
    "a chunk that says it is longer than all memory": chunked(b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"),
    "a chunk with a size in words": chunked(b"two\r\n{}\r\n0\r\n\r\n"),
    "a chunk below zero": chunked(b"-2\r\n{}\r\n0\r\n\r\n"),
    "a chunk without its end": chunked(b"2\r\n{}XX0\r\n\r\n"),
    "a chunk with a long extension": chunked(b"2;" + b"a" * 100_000 + b"\r\n{}\r\n0\r\n\r\n"),
    "chunks without end": [chunked(b"")] + [b"100000\r\n" + b"x" * 0x100000 + b"\r\n"] * 40 + [b"0\r\n\r\n"],
    "1,001 parts": form(parts(1001)),
    "100,000 parts": form(parts(100_000)),
    "a part with a huge head": form(b"--b\r\nContent-Disposition: form-data; name=" + b"n" * 5_000_000 + b"\r\n\r\n"),
    "a part with 10,000 headers": form(b"--b\r\n" + b"a: b\r\n" * 10_000 + b"\r\nx\r\n--b--\r\n"),
    "a field of 5 MB": form(b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\n' + b"x" * 5_000_000),
    "a boundary of 1 MB": head(b"Content-Type: multipart/form-data; boundary=" + b"b" * 1_000_000),
    "a header of 10 MB": [b"POST /v1/jobs HTTP/1.1\r\nX: "] + [b"x" * 1_000_000] * 10 + [b"\r\n\r\n"],
    "a million headers": [b"GET / HTTP/1.1\r\nHost: localhost\r\n"] + [b"a: b\r\n" * 100_000] * 10,
    "an address of 10 MB": [b"GET /"] + [b"a" * 1_000_000] * 10 + [b" HTTP/1.1\r\n\r\n"],
    "a header without a colon": head(b"nonsense", request=b"GET /healthz HTTP/1.1"),
    "a header with a space before its colon": head(b"Accept : a", request=b"GET /healthz HTTP/1.1"),
    "a header folded": head(b"Accept: a\r\n b", request=b"GET /healthz HTTP/1.1"),
    "a header with a zero": head(b"Accept: a\0b", request=b"GET /healthz HTTP/1.1"),
    "two hosts": head(b"Host: example.com", request=b"GET /healthz HTTP/1.1"),
    "two keys": head(b"Authorization: Bearer a", b"Authorization: Bearer b", request=b"GET /v1/jobs HTTP/1.1"),
    "two idempotency keys": head(JSON, b"Idempotency-Key: a", b"Idempotency-Key: b", b"Content-Length: 2") + b"{}",
    "two types": head(JSON, b"Content-Type: text/plain", b"Content-Length: 2") + b"{}",
    "a method that is none": head(request=b"G@T /v1/jobs HTTP/1.1"),
    "a method that nobody has": head(request=b"BREW /v1/jobs HTTP/1.1"),
    "a method of 1 MB": [b"A" * 1_000_000, b" / HTTP/1.1\r\n\r\n"],
    "TRACE": head(request=b"TRACE /v1/jobs HTTP/1.1"),
    "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "another version": head(request=b"GET /healthz HTTP/9.9"),
    "no version": b"GET /v1/nothing\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an address with a space": head(request=b"GET /v1/jobs /x HTTP/1.1"),
    "an address that is not ASCII": head(request=b"GET /v1/jobs/\xff\xfe HTTP/1.1"),
    "an address with dots": head(request=b"GET /v1/../../etc/passwd HTTP/1.1"),
    "an address with coded dots": head(request=b"GET /v1/jobs/%2e%2e%2f%2e%2e%2fetc/passwd HTTP/1.1"),
    "an address with a coded zero": head(request=b"GET /v1/jobs/%00 HTTP/1.1"),
    "a whole address of another host": head(request=b"GET http://example.com/v1/nothing HTTP/1.1"),
    "a websocket": head(
        b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eA==",
        request=b"GET /v1/nothing HTTP/1.1",
    ),
}  # fmt: skip
HALF: dict[str, bytes] = {
    "nothing at all": b"",
    "half a request line": b"POST /v1/jo",
    "half a head": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: ",
    "a length too long": head(JSON, b"Content-Length: 1000") + b'{"prompt": "x"}',
    "half a chunk": chunked(b"FF\r\n{}"),
    "no last chunk": chunked(b"2\r\n{}\r\n"),
    "half a form": head(b"Content-Type: " + BOUNDARY, b"Content-Length: 20000000") + b"--b\r\n" + b"x" * 100_000,
}


def exchange(tier: WebTier, data: Bytes, seconds: float = 10) -> bytes:
    """The answer of the tier until it hangs up or falls silent."""
    with socket.create_connection(("127.0.0.1", tier.port), timeout=seconds) as line:
        try:
            for piece in [data] if isinstance(data, bytes) else data:
                line.sendall(piece)
        except OSError:
            pass  # it has hung up, as it may
        return listen(line)


def listen(line: socket.socket) -> bytes:
    answer = b""
    try:
        while not (b"\r\n\r\n" in answer and answer.count(b"\r\n\r\n") and _whole(answer)):
            piece = line.recv(65_536)
            if not piece:
                break
            answer += piece
    except ConnectionError:
        pass
    return answer


def _whole(answer: bytes) -> bool:
    top, _, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in top.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].split(b":")[1])


def refused(answer: bytes) -> bool:
    """The connection was closed without an answer, or the answer blames the client."""
    return not answer or answer.startswith(b"HTTP/1.1 4")


def test_who_waits_when_the_web_tier_is_told_to_end_is_answered_and_not_broken_off(tier, jpeg):
    url = {"base_url": tier.url, "timeout": 60, "trust_env": False}
    with httpx.Client(**url) as http, concurrent.futures.ThreadPoolExecutor(2) as pool:
        job = http.post("/v1/jobs", files={"image": jpeg}, data=PICTURE).json()
        with http.stream("GET", job["urls"]["events"]) as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("event: ")
            waiting = pool.submit(httpx.get, f"{tier.url}/v1/jobs/{job['id']}?wait=50", timeout=60, trust_env=False)
            time.sleep(1)
            began = time.monotonic()
            stopping = pool.submit(tier.stop)
            assert (waiting.result().status_code, waiting.result().json()["status"]) == (200, "queued")
            assert not [line for line in lines if line.startswith("event: done")], "it ends, and as it should"
        stopping.result()
        assert time.monotonic() - began < 30


def test_what_is_not_http_is_refused_and_costs_nothing(tier, store, pytestconfig):
    for data in list(ABUSE.values())[:3]:
        exchange(tier, data)
    before, files = tier.kilobytes("VmHWM"), open_files(tier)
    each_its_own = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=tier.url, limits=each_its_own, trust_env=False) as http:
        for _ in range(5 if pytestconfig.getoption("--slow") else 1):
            for name, data in ABUSE.items():
                assert refused(answer := exchange(tier, data)), (name, answer[:300])
                assert http.get("/healthz").status_code == 200, name
    assert tier.kilobytes("VmHWM") - before < 60_000
    assert tier.spooled() == 0
    assert open_files(tier) <= files + 10
    assert store.queue().queued == 0


def test_who_does_not_finish_is_hung_up_on(hasty):
    """All connections at once. Each is closed within about a second, and the tier serves others meanwhile."""
    lines = {name: socket.create_connection(("127.0.0.1", hasty.port), timeout=5) for name in HALF}
    drip = socket.create_connection(("127.0.0.1", hasty.port), timeout=5)
    for name, line in lines.items():
        line.sendall(HALF[name])
    drip.sendall(head(JSON, b"Content-Length: 1000"))
    started = time.monotonic()
    with contextlib.suppress(OSError):  # it is hung up on as well
        while time.monotonic() - started < 5:
            drip.sendall(b" ")
            time.sleep(0.05)
    for name, line in lines.items():
        answer = listen(line)
        assert refused(answer), (name, answer)
        assert answer.count(b"HTTP/1.1") <= 1
        line.close()
    assert time.monotonic() - started < 4
    drip.close()
    assert httpx.get(f"{hasty.url}/healthz", trust_env=False).status_code == 200


def test_a_reader_that_stops_reading_is_hung_up_on_and_holds_no_memory(hasty, store, jpeg):
    """Twenty streams of some megabytes each that nobody reads."""
    answer = httpx.post(f"{hasty.url}/v1/jobs", files={"image": jpeg}, data=PICTURE, trust_env=False)
    job = answer.json()["id"]
    events = {"type": "progress", "data": '{"step": 1, "note": "' + "x" * 20_000 + '"}'}
    for _ in range(450):
        store.redis.xadd("dk:events:" + job, events)
    before = hasty.kilobytes("VmHWM")
    request = head(request=f"GET /v1/jobs/{job}/events HTTP/1.1".encode())
    lines = []
    for _ in range(20):
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", hasty.port))
        line.sendall(request)
        lines.append(line)
    until(lambda: connections(hasty) >= len(lines))
    until(lambda: connections(hasty) == 0)
    assert hasty.kilobytes("VmHWM") - before < 60_000
    for line in lines:
        line.close()


def open_files(tier: WebTier) -> int:
    return len(list(Path(f"/proc/{tier.pid}/fd").iterdir()))


def connections(tier: WebTier) -> int:
    """The number of connections of the tier: those established in the kernel's table."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{tier.port:04X}") and row[3] == "01" for row in rows)
