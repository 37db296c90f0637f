"""Every command and program on every page works on a real stack, or stands below with the reason."""

import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.local_stack import OBEDIENT, Up

#: Pages with tests of their own, which compare what comes with what the page says.
ELSEWHERE = {"api.md", "cli.md", "clients.md", "webhooks.md"}
DOCS = sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in ELSEWHERE)
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in DOCS))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
INSIDE = re.compile(r"\$\((darkroom [^)]*)\)")
PROGRAM = re.compile(
    r"(\./dev|\.ci/run|\.venv/bin/\S+|darkroom(?= )|curl|docker|kubectl|git|pip|python|sh|openssl)( |$)"
)

#: What begins like this is not run here, and why.
CANNOT = {
    "docker ": "needs a Docker engine, as `./dev test tests/deploy/engine --slow` does",
    "sh docker/images.sh": "needs a Docker engine, as `./dev test tests/deploy/engine --slow` does",
    "sh docker/upgrade.sh": "needs a Docker engine, as `./dev test tests/deploy/engine --slow` does",
    "apt-get ": "needs a Docker engine, as `./dev test tests/deploy/engine --slow` does",
    "syft ": "needs a Docker engine, as `./dev test tests/deploy/engine --slow` does",
    "kubectl ": "there is no cluster; tests/deploy holds the manifests to their schemas",
    "git clone": "it is told without the address, and the project has none here",
    "pip install": "tests/package installs the wheel, and asks a service with it",
    "darkroom up": "the stack of these tests is one",
    "./dev run": "installs, then is `darkroom up`",
    "./dev test": "is what runs this",
    "./dev check": "a minute, beside the tests in .ci/run",
    ".ci/run": "a clean checkout, installed and tested",
    "./dev train": "hours",
    "./dev evaluate": "minutes",
    "./dev bench": "minutes each",
    "TORCH=cuda": "there is no GPU",
    "cd darkroom": "it is told without the address, and the project has none here",
    "./dev docs": "writes into the checkout; `./dev check` compares what it would write",
    "python docs/": "writes into the checkout; `./dev check` compares what it would write",
    "python -m training": "minutes",
    "python -m benchmarks": "minutes each",
    "./dev chaos": "minutes to an hour each",
    ".venv/bin/python web/client.py": "writes into the checkout; `./dev check` compares what it would write",
}


def reason(command: str) -> str | None:
    """Why a command is not run here, if it is not."""
    return next((why for start, why in CANNOT.items() if (command + " ").startswith(start)), None)


@dataclass(frozen=True)
class Told:
    """What a page tells its reader to type: the lines of a block of one language, or one command in a sentence."""

    page: str
    language: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.lines[0]}"


def told() -> Iterator[Told]:
    """All of it, in the order of the pages; what is in a sentence only if it is nowhere before."""
    seen: set[str] = set()
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for language, body in BLOCK.findall(text):
            if language == "text":  # a drawing
                continue
            lines = body.splitlines()
            block = Told(page, language, tuple(filter(None, map(bare, lines)) if language == "sh" else lines))
            seen.update(block.lines)
            yield block
        commands = filter(PROGRAM.match, INLINE.findall(BLOCK.sub("", text)))
        for command in [*commands, *INSIDE.findall(text)]:
            if command not in seen:
                seen.add(command)
                yield Told(page, "sh", (command,))


def bare(line: str) -> str:
    """A line of a shell's block without its comment."""
    return re.split(r"(?:^|\s)#", line)[0].strip()


ALL = list(told())
RUN = [one for one in ALL if one.language != "sh" or not all(map(reason, one.lines))]


def test_blocks_are_of_languages_that_are_run_and_every_reason_is_needed():
    assert {one.language for one in ALL} == {"sh", "python", "toml"}
    lines = [line for one in ALL if one.language == "sh" for line in one.lines]
    assert {why for line in lines if (why := reason(line))} == set(CANNOT.values())


def test_what_is_told_of_dev_is_there():
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
    words = [line.split() for one in ALL for line in one.lines if line.startswith("./dev ")]
    for _, word, *arguments in words:
        assert f"./dev {word}" in usage
        if word == "bench" and arguments:
            assert (ROOT / "benchmarks" / f"{arguments[0]}.py").exists(), arguments[0]


READ_MODELS = """
import sys
from pathlib import Path

from worker.models_file import read_models

Path("models.toml").write_text(sys.argv[1])
Path("weights/winter").mkdir(parents=True)
assert read_models(Path("models.toml"))
"""


@dataclass(frozen=True)
class Service:
    """A running service, a finished job of it, its worker, and a key that may go."""

    up: Up
    key: str
    job: str
    worker: str
    spare: str

    def in_place(self, text: str) -> str:
        """A command with our address, key and job where the page has an example's."""
        ours = {
            "http://127.0.0.1:8000": self.up.url,
            "https://darkroom.example": self.up.url,
            "--model winter": "--model pix2pix-full",
            "DARKROOM_KEY=...": f"DARKROOM_KEY={self.key}",
            'api_key="any"': f'api_key="{self.key}"',
            'Client("http://127.0.0.1:8000")': f'Client("{self.up.url}", key="{self.key}")',
            "3f0a9c4be27d1586": self.spare,
            ".../v1/jobs/ID": f"{self.up.url}/v1/jobs/{self.job}",
            "drain WORKER": f"drain {self.worker}",
        }
        for example, real in ours.items():
            text = text.replace(example, real)
        return text


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("docs") / ".darkroom"
    with Up(folder, "--auth", **OBEDIENT) as up:
        job = up.submit(steps=2)
        up.until_over(job)
        worker = up.http.get("/v1/admin/workers").json()["data"][0]["name"]
        spare = up.http.post("/v1/admin/keys", json={"name": "spare"}).json()["id"]
        yield Service(up, (folder / "admin_key").read_text(encoding="utf-8").strip(), job, worker, spare)


@pytest.fixture
def folder(service: Service, tmp_path: Path) -> Path:
    """A folder as the reader's: the checkout's files, the data folder, a photo, and curl's knowledge of the key."""
    for name in ("docker", "checkpoints", ".env.example"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".darkroom").symlink_to(service.up.folder)
    (tmp_path / "dev").symlink_to(ROOT / "dev")
    (tmp_path / ".curlrc").write_text(f'header = "Authorization: Bearer {service.key}"\nfail\n', encoding="utf-8")
    with Image.open(ROOT / "examples" / "mountains.jpg") as photo:
        photo.resize((64, 64)).save(tmp_path / "photo.jpg")
    return tmp_path


@pytest.mark.parametrize("one", RUN, ids=str)
def test_it_works_as_told(one, service, folder):
    """A block is one script, for its lines may need each other."""
    runnable = [line for line in one.lines if one.language != "sh" or not reason(line)]
    script = service.in_place("\n".join(runnable))
    command = {
        "sh": ["sh", "-ec", script],
        "python": [sys.executable, "-c", script],
        "toml": [sys.executable, "-c", READ_MODELS, script],
    }[one.language]
    environment = {
        "HOME": str(folder),
        "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
        "DTYPE": "float32",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


def test_the_page_of_the_command_line_shows_what_it_says(service):
    cli = runpy.run_path(str(ROOT / "docs" / "cli.py"))
    assert cli["lasting"](cli["page"](service.up.folder)) == cli["lasting"](
        (ROOT / "docs" / "cli.md").read_text("utf-8")
    )


def test_the_service_is_still_well_after_all_that(service):
    assert httpx.get(f"{service.up.url}/readyz", trust_env=False).status_code == 200
