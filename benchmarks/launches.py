"""What a busy Python thread does to a step of many short launches: `./dev bench launches [--quick] [--json]`.

A step of a UNet in eager mode is hundreds of launches from Python, each of which lets go of Python's lock and takes it
again. Here a launch is a checksum, which does the same for some microseconds. The step runs in this process with three
switch intervals, in a process of its own that gets and returns the latents of eight edits as messages, and as one call
(the replay of a graph). Each time it runs alone and beside a thread that never rests. Figures are multiples of the step
alone in this process; they need a machine with two idle cores.
"""

import argparse
import importlib
import json
import multiprocessing
import statistics
import sys
import threading
import time
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection

from benchmarks._machine import describe

PYTHON = 150  # additions in Python between two launches
BLOCK = bytes(60_000)  # what a launch takes the checksum of: about 10 microseconds
LATENTS = bytes(8 * 4 * 64 * 64 * 4)  # of eight edits of 512 x 512 pixels, in float32
INTERVALS = (0.005, 0.0005, 0.00005)  # seconds; the first is Python's default


def step(launches: int) -> None:
    for _ in range(launches):
        total = 0
        for number in range(PYTHON):
            total += number
        zlib.crc32(BLOCK)


def graph(launches: int) -> None:
    """The same work on the device, launched by one call."""
    zlib.crc32(BLOCK * launches)


def serve(pipe: Connection, launches: int) -> None:
    """Take a step for each message, until the pipe is closed."""
    while pipe.recv_bytes():
        step(launches)
        pipe.send_bytes(LATENTS)


def median(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def beside_thread(run: Callable[[], object], rounds: int) -> float:
    """The median beside a thread that does nothing but Python."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            sum(range(10_000))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        return median(run, rounds)
    finally:
        ended.set()
        thread.join()


def measure(launches: int, rounds: int) -> dict[str, dict[str, float]]:
    """For each way, the step alone and beside the thread, in multiples of the first."""
    before, found = sys.getswitchinterval(), {}
    alone = median(lambda: step(launches), rounds)

    def note(name: str, run: Callable[[], object]) -> None:
        found[name] = {"alone": median(run, rounds) / alone, "beside": beside_thread(run, rounds) / alone}

    for seconds in INTERVALS:
        sys.setswitchinterval(seconds)
        note(f"this process, {1000 * seconds:g} ms", lambda: step(launches))
    here, there = multiprocessing.Pipe()
    target = importlib.import_module("benchmarks.launches").serve  # by a name that the other process finds
    other = multiprocessing.get_context("spawn").Process(target=target, args=(there, launches), daemon=True)
    other.start()

    def ask() -> None:
        here.send_bytes(LATENTS)
        here.recv_bytes()

    ask()
    note("a process of its own", ask)
    here.send_bytes(b"")
    other.join()
    note("one call", lambda: graph(launches))
    sys.setswitchinterval(before)
    return {name: {kind: round(value, 2) for kind, value in both.items()} for name, both in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few launches, two rounds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(20, 2) if arguments.quick else measure(300, 30)
    if arguments.json:
        print(json.dumps({"machine": describe(), "entries": found}, indent=1))
    else:
        for name, values in found.items():
            print(f"{name:24} alone {values['alone']:6.2f}   beside {values['beside']:6.2f}")


if __name__ == "__main__":
    main()
