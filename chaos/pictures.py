"""Thousands of hostile pictures through the public API: `./dev chaos pictures [--seed N] [--count N] [--json]`.

Holds: no 5xx, every refusal a problem document within two seconds, every crafted picture meets its fate, the web tier
lives, and nothing that was hidden in a picture comes out again.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock

import httpx

from benchmarks._stack import servers, web_tier
from chaos.hostile import MARKER, Sample, corpus
from darkroom.local.services import Api

PATIENCE = 2.0  #: seconds that a refusal may take
AT_ONCE = 4
LOCK = Lock()


@dataclass
class Report:
    """What became of the pictures; `wrong` names each that broke a rule."""

    seed: int
    pictures: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    slowest_refusal_seconds: float = 0.0
    slowest_acceptance_seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    decoders_ended: int = 0
    web_tier_survived: bool = True
    web_tier_megabytes: float = 0.0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.wrong and self.web_tier_survived

    def note(self, sample: Sample, answer: httpx.Response, seconds: float) -> None:
        """Judge one answer."""
        self.pictures += 1
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
        taken = answer.status_code == httpx.codes.ACCEPTED
        if taken:
            self.slowest_acceptance_seconds = max(self.slowest_acceptance_seconds, round(seconds, 3))
        else:
            self.slowest_refusal_seconds = max(self.slowest_refusal_seconds, round(seconds, 3))
        rules = {
            "an answer that is neither 202 nor 413 nor 422": answer.status_code in (202, 413, 422),
            "no problem document": taken or answer.headers["content-type"] == "application/problem+json",
            "a slow refusal": taken or seconds <= PATIENCE,
            f"was to be {sample.fate}": sample.fate == "either" or taken == (sample.fate == "taken"),
        }
        self.wrong += [f"{sample.name}: {rule} ({answer.status_code})" for rule, kept in rules.items() if not kept]


def post(client: httpx.Client, sample: Sample, report: Report) -> None:
    """Submit one picture, judge the answer, and look for what it hid."""
    started = time.monotonic()
    answer = client.post("/v1/jobs", files={"image": sample.data}, data={"prompt": "make it sepia"})
    seconds = time.monotonic() - started
    with LOCK:
        report.note(sample, answer, seconds)
    if answer.status_code == httpx.codes.ACCEPTED and MARKER in sample.data:
        kept = client.get(answer.json()["urls"]["self"] + "/input", params={"proxy": 1})
        if MARKER in kept.content:
            report.wrong.append(f"{sample.name}: its hidden part is kept")


def attack(seed: int, count: int) -> Report:
    """Send `count` pictures to a web tier of its own."""
    report = Report(seed)
    started = time.monotonic()
    with servers(MAX_QUEUED_JOBS="100000") as parts:
        tier = web_tier(parts)
        tier.patience = 300.0
        with tier:
            send(tier, seed, count, report)
    report.seconds = round(time.monotonic() - started, 1)
    return report


def send(tier: Api, seed: int, count: int, report: Report) -> None:
    """Send the corpus, and look how the web tier is afterwards."""
    pid = tier.pid
    with httpx.Client(base_url=tier.url, timeout=30, trust_env=False) as client:
        pictures = corpus(seed, count)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while batch := list(islice(pictures, 8 * AT_ONCE)):
                list(pool.map(lambda sample: post(client, sample, report), batch))
    report.web_tier_survived = tier.running and tier.pid == pid
    report.web_tier_megabytes = round(peak_megabytes(pid), 1)
    report.decoders_ended = tier.log.read_text(encoding="utf-8").count("has ended its decoder")


def peak_megabytes(pid: int) -> float:
    """The most memory that a process ever held (Linux)."""
    status = Path(f"/proc/{pid}/status")
    return int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) / 1024 if status.exists() else 0.0


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos pictures", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=3500, help="pictures, the crafted ones among them")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(words)
    report = attack(arguments.seed, arguments.count)
    said = {**asdict(report), "holds": report.holds}
    if arguments.json:
        print(json.dumps(said, indent=1))
    else:
        for name, value in said.items():
            print(f"{name:28} {value}")
    return 0 if report.holds else 1
