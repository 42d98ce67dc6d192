"""What a published port costs beside many others: tests/bench/bench_publish.py [PORTS...].

For each firewall, a daemon in a network namespace of its own, a machine outside of it, and one
container that listens. With 1, 100, 1,000 and 10,000 ports published (each on its own, so that no
run of ports makes it cheaper) it prints how long one more takes, through the API, and how long a
TCP connect from outside takes, through the first port and the last. The connects of one line take
turns with those through a port of nobody's firewall: the host's own, which tells how busy it is.
"""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from labs.host import DEMO_IMAGE, NETD, Host

OUTSIDE, HOST = "198.51.100.9", "198.51.100.1"
FIRST = 10_001  # ports are every second one from here, so none is the next of another
CONNECTS, MORE = 300, 15
BACKENDS = ("nftables", "iptables")
LISTEN = """
import socket, sys
s = socket.create_server(("", int(sys.argv[1])), backlog=1024)
print("listens", flush=True)
while True: s.accept()[0].close()
"""
CONNECT = """
import socket, statistics, sys, time
ports = [int(word) for word in sys.argv[3:]]
spent = {port: [] for port in ports}
for _ in range(int(sys.argv[2])):
    for port in ports:
        start = time.perf_counter()
        s = socket.create_connection((sys.argv[1], port))
        spent[port].append(time.perf_counter() - start)
        s.close()
for port in ports: print(statistics.median(spent[port]) * 1e6)
"""


class Publisher(http.client.HTTPConnection):
    """The API over its socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("netd")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def ask(self, method: str, path: str, body: object = None) -> object:
        self.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {text.decode()}")
        return json.loads(text) if text else None


def bindings(numbers: Sequence[int]) -> dict[str, list[dict[str, str]]]:
    """Return ports of the container that are published at other numbers of all addresses."""
    ports: dict[str, list[dict[str, str]]] = {}
    for number in numbers:
        # One port of the container has them all: it is the host's ports that are counted.
        ports.setdefault("80/tcp", []).append({"HostPort": str(FIRST + 2 * number)})
    return ports


class Bench:
    """One daemon with one firewall."""

    def __init__(self, backend: str) -> None:
        self.host, self._children = Host(), list[subprocess.Popen[str]]()
        self.host.renew_namespace()
        self.host.start_daemon(f"--firewall-backend={backend}", "--log-level=error")
        self.host.netd("load", "-q", "-i", str(DEMO_IMAGE))
        self.api = Publisher(self.host.socket)
        self._outside()

    def _outside(self) -> None:
        words = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo && exec sleep infinity"]
        outside = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._children.append(outside)
        assert outside.stdout
        outside.stdout.readline()
        self.there = ("nsenter", f"--net=/proc/{outside.pid}/ns/net")
        self.host.inside("ip", "link", "add", "up0", "type", "veth", "peer", "up1",
                         "netns", str(outside.pid))  # fmt: skip
        for words, device, address in (
            (self.host.nsenter, "up0", HOST),
            (self.there, "up1", OUTSIDE),
        ):
            for command in (f"addr add {address}/24 dev", "link set up dev"):
                subprocess.run([*words, "ip", *command.split(), device], check=True)

    def container(self, name: str, ports: Sequence[int]) -> float:
        """Make a container with these ports; return the seconds that its start took."""
        body = {
            "Image": "demo", "Cmd": ["sleep", "100000"],
            "HostConfig": {"PortBindings": bindings(ports)},
        }  # fmt: skip
        self.api.ask("POST", f"/containers/create?name={name}", body)
        start = time.perf_counter()
        self.api.ask("POST", f"/containers/{name}/start")
        return time.perf_counter() - start

    def listen(self, where: Sequence[str], port: int) -> None:
        """Let something listen in a namespace."""
        words = [*where, sys.executable, "-c", LISTEN, str(port)]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self._children.append(child)
        assert child.stdout
        child.stdout.readline()

    def connects(self, *ports: int) -> list[float]:
        """Return the microseconds of a connect from outside to each port, in turns."""
        words = [*self.there, sys.executable, "-c", CONNECT, HOST, str(CONNECTS), *map(str, ports)]
        out = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        return [float(line) for line in out.split()]

    def one_more(self, name: str) -> float:
        """Return the milliseconds that it takes to publish a further port, and take it away."""
        spent = []
        for number in range(MORE):
            body = {"PortBindings": bindings([20_000 + number])}
            start = time.perf_counter()
            self.api.ask("POST", f"/netd/containers/{name}/ports", body)
            spent.append((time.perf_counter() - start) * 1000)
            self.api.ask("DELETE", f"/netd/containers/{name}/ports", body)
        return statistics.median(spent)

    def close(self) -> None:
        """End everything."""
        self.api.close()
        for child in self._children:
            child.kill()
            child.wait()
        self.host.close()


def measure(backend: str, counts: Sequence[int]) -> None:
    """Print the lines of one firewall."""
    bench = Bench(backend)
    try:
        bench.container("more", [])
        bench.listen(bench.host.nsenter, 9)
        alone = 0.0
        for count in counts:
            start = bench.container("many", range(count))
            pid = str(bench.host.inspect("many")["State"]["Pid"])  # type: ignore[index]
            bench.listen(("nsenter", f"--net=/proc/{pid}/ns/net"), 80)
            own, first, last = bench.connects(9, FIRST, FIRST + 2 * (count - 1))
            more = bench.one_more("more")
            alone = alone or first / own
            ratio = max(first, last) / own / alone
            print(
                f"{backend:9} {count:6} {start:8.2f} s {more:8.1f} ms {first:8.1f} us "
                f"{last:8.1f} us {own:8.1f} us {ratio:8.2f}",
                flush=True,
            )
            bench.api.ask("DELETE", "/containers/many?force=1")
    finally:
        bench.close()


def main() -> None:
    """Measure and print."""
    if os.geteuid() or not NETD.exists():
        raise SystemExit("must be root, and set up")
    counts = [int(word) for word in sys.argv[1:]] or [1, 100, 1_000, 10_000]
    print("                      start    publish  connect,    by last    to host   of one")
    print("firewall   ports   with them   one more     first       port     itself     port")
    for backend in BACKENDS:
        measure(backend, counts)


if __name__ == "__main__":
    main()
