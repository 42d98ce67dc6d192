"""How long a command takes to start, beside an interpreter that does nothing.

    .venv/bin/python tests/bench/bench_cli.py

The ratio is what counts: it does not depend on the machine. The daemon's answer is not part of
it, so `netd version` asks a socket that is not there.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

ROUNDS = 15
NOBODY = "unix:///nowhere/netd.sock"
COMMANDS: dict[str, Sequence[str]] = {
    "python -c pass": (sys.executable, "-c", "pass"),
    "netd version": (sys.executable, "-m", "netd.cli.main", "-H", NOBODY, "version"),
    "netd ps": (sys.executable, "-m", "netd.cli.main", "-H", NOBODY, "ps"),
    "netd run x": (sys.executable, "-m", "netd.cli.main", "-H", NOBODY, "run", "x"),
    "netd --help": (sys.executable, "-m", "netd.cli.main", "--help"),
}


def main() -> None:
    """Print the median of each command and its ratio to an empty interpreter."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):  # interleaved, so that a busy moment hits all of them
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    empty = statistics.median(times["python -c pass"])
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:16} {median * 1000:6.1f} ms  {median / empty:5.1f} x")


def seconds(command: Sequence[str]) -> float:
    """Run a command; give how long it took."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
