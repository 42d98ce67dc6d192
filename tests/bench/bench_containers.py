"""What a container costs: its life, its place on a network, its share of the daemon's memory.

    .venv/bin/python tests/bench/bench_containers.py [ROUNDS]

As root, with a daemon of its own in a network namespace of its own. The ratio is what counts: the
bare OCI runtime runs the same root file system by the same config.json in turn with the daemon, so
a busy moment hits both.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from labs.host import Host
from runtime.overlay import Overlay, mount_overlay, unmount
from tests.rawapi import Api

ROUNDS = 15
AT_ONCE = 8
MANY = 50
SLEEP = ("sleep", "1000")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with Host() as host:
        host.netd("network", "create", "--ipv6", "front")
        api = Api(host.socket)
        _life(host, api, rounds)
        _joining(api, rounds)
        _at_once(host, api)
        _memory(host, api)


def _life(host: Host, api: Api, rounds: int) -> None:
    """Compare a whole life with the bare OCI runtime's `run`."""
    steps: dict[str, list[float]] = {}
    whole: list[float] = []
    bare: list[float] = []
    with _bundle(host, api) as (words, folder):
        for _ in range(rounds):
            whole.append(_milliseconds(lambda: _lived(api, steps)))
            bare.append(_milliseconds(lambda: subprocess.run(words, cwd=folder, check=True)))
    _told("create, start, end, remove", whole)
    for step, spent in steps.items():
        _told(f"  {step}", spent)
    _told("the bare OCI runtime's run", bare)
    ratio = statistics.median(whole) / statistics.median(bare)
    print(f"{'ratio (aim: 2.5 at most)':40} {ratio:8.2f} x")


def _lived(api: Api, steps: dict[str, list[float]]) -> None:
    id_ = ""

    def create() -> None:
        nonlocal id_
        id_ = api.created("", ("true",), "front")

    acts: dict[str, Callable[[], object]] = {
        "create": create,
        "start": lambda: api.start(id_),
        "end": lambda: api.wait(id_),
        "remove": lambda: api.remove(id_),
    }
    for step, act in acts.items():
        steps.setdefault(step, []).append(_milliseconds(act))


@contextmanager
def _bundle(host: Host, api: Api) -> Iterator[tuple[Sequence[str], Path]]:
    """Give the words of the bare runtime for a container as the daemon makes it."""
    id_ = api.created("", SLEEP, "front")
    api.start(id_)
    config = json.loads((host.folder / "run/c" / id_ / "config.json").read_text())
    layers = api.call("GET", f"/containers/{id_}/json")["GraphDriver"]["Data"]["LowerDir"]
    folder = host.folder / "bare"
    for name in ("upper", "work", "rootfs"):
        (folder / name).mkdir(parents=True)
    for name in ("hosts", "hostname", "resolv.conf"):
        shutil.copy(host.folder / "data/containers" / id_ / name, folder)
    api.remove(id_)
    text = json.dumps(config).replace(str(host.folder / "data/containers" / id_), str(folder))
    config = json.loads(text.replace(id_, "bare"))
    config["root"]["path"] = str(folder / "rootfs")
    config["process"]["args"] = ["true"]
    for namespace in config["linux"]["namespaces"]:
        namespace.pop("path", None)  # a new and empty one
    (folder / "config.json").write_text(json.dumps(config))
    lower = tuple(Path(layer) for layer in reversed(layers.split(":")))
    mount_overlay(Overlay(lower, folder / "upper", folder / "work"), folder / "rootfs")
    runtime = shutil.which("runc") or "crun"
    try:
        yield (runtime, "--root", str(folder / "state"), "run", f"bench-{os.getpid()}"), folder
    finally:
        unmount(folder / "rootfs")


def _joining(api: Api, rounds: int) -> None:
    """Measure a running container's way onto a second network and off it."""
    api.call("POST", "/networks/create", {"Name": "second"})
    id_ = api.created("", SLEEP, "front")
    api.start(id_)
    joined, left = [], []
    body = {"Container": id_}
    for _ in range(rounds * 2):
        joined.append(_milliseconds(lambda: api.call("POST", "/networks/second/connect", body)))
        left.append(_milliseconds(lambda: api.call("POST", "/networks/second/disconnect", body)))
    api.remove(id_)
    _told("connect (aim: 6 ms)", joined)
    _told("disconnect", left)


def _at_once(host: Host, api: Api) -> None:
    """Measure starts that come at one time."""
    ids = [api.created("", SLEEP, "front") for _ in range(AT_ONCE)]
    apis = [Api(host.socket) for _ in ids]
    for each in apis:
        each.call("GET", "/version")
    with ThreadPoolExecutor(AT_ONCE) as threads:

        def all_started() -> None:
            list(threads.map(lambda pair: pair[0].start(pair[1]), zip(apis, ids, strict=True)))

        spent = _milliseconds(all_started)
        list(threads.map(lambda pair: pair[0].remove(pair[1]), zip(apis, ids, strict=True)))
    print(f"{f'{AT_ONCE} starts at once, until the last runs':40} {spent:8.1f} ms")


def _memory(host: Host, api: Api) -> None:
    """Show the daemon's resident memory with no and with many containers."""
    assert host.daemon is not None
    before = _resident_mib(host.daemon.pid)
    ids = [api.created("", SLEEP, "front") for _ in range(MANY)]
    for id_ in ids:
        api.start(id_)
    with_many = _resident_mib(host.daemon.pid)
    for id_ in ids:
        api.remove(id_)
    after = _resident_mib(host.daemon.pid)
    print(f"{'memory of the daemon, no container':40} {before:8.1f} MiB")
    print(f"{f'  {MANY} containers (aim: 70)':40} {with_many:8.1f} MiB")
    print(f"{'  none again':40} {after:8.1f} MiB")


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _milliseconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def _told(what: str, spent: Sequence[float]) -> None:
    median, least, most = statistics.median(spent), min(spent), max(spent)
    print(f"{what:40} {median:8.1f} ms  (least {least:.1f}, most {most:.1f})")


if __name__ == "__main__":
    main()
