"""The scene of the lab publish: a machine outside, a host, and containers; and how each asks."""

import json
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from labs.host import Host, LabError
from labs.narrator import Narrator
from labs.outside import Outside

Outcome = Literal["the page", "refused", "no answer", "an error"]

PAGE = "<h1>Hello from netd</h1>"  # of the demo image
WGET = ("wget", "-q", "-O", "-")
SILENCE_S = 1  # where no answer is to come
PATIENCE_S = 5  # for all else, which takes some milliseconds on a machine with nothing to do
TIMED_OUT = 124  # as timeout(1) says it
LISTENS = "0A"  # net/tcp_states.h


class Scene:
    """What can be done at the places of the lab; each command is shown with what it prints."""

    def __init__(self, host: Host, outside: Outside, tell: Narrator) -> None:
        """Speak by `tell`; the host and the machine beside it are there already."""
        self._host, self._outside, self._tell = host, outside, tell

    def netd(self, *words: str, piped: Sequence[str] = ()) -> str:
        """Run netd on the host; return its output, or that of a program that it is piped into."""
        output, command = self._host.netd(*words), shlex.join(("netd", *words))
        if piped:
            command += f" | {shlex.join(piped)}"
            output = subprocess.run(
                piped, check=True, input=output, capture_output=True, text=True
            ).stdout
        self._tell.show(command, output, at="host")
        return output

    def run(self, at: str, *words: str) -> str:
        """Run a program on the host or outside; return its output."""
        status, output = self._run(at, words)
        if status:
            raise LabError(f"{shlex.join(words)} ended with {status}: {output}")
        return output

    def fails(self, at: str, *words: str, because: str) -> None:
        """Run a program that is to end with an error; LabError unless it says why."""
        status, output = self._run(at, words)
        if not status or because not in output:
            raise LabError(f"{shlex.join(words)} did not fail with {because!r}: {output}")

    def ask(self, place: str, url: str, expected: Outcome) -> float:
        """Fetch a page from outside, the host or a container; return the seconds that it took.

        LabError unless what comes is what is expected.
        """
        limit_s = SILENCE_S if expected == "no answer" else PATIENCE_S
        words: Sequence[str] = ("busybox", *WGET, url)
        at, began = place, time.monotonic()
        if place in {"host", "outside"}:
            _, output = self._output(place, words, limit_s)
        else:
            at, words = "host", ("exec", place, "timeout", str(limit_s), *WGET, url)
            output = self._host.netd(*words, check=False)
            words = ("netd", *words)
        took_s = time.monotonic() - began
        self._tell.show(shlex.join(words), output or f"(no answer in {limit_s} s)", at=at)
        outcome = _outcome(output)
        if outcome != expected:
            raise LabError(f"{place} asks for {url}: {outcome}, not {expected}: {output}")
        return took_s

    def address(self, container: str, family: int = 4) -> str:
        """Return a container's address on its only network."""
        return self._endpoint(container)["IPAddress" if family == 4 else "GlobalIPv6Address"]

    def gateway(self, container: str) -> str:
        """Return the host's IPv4 address on a container's only network."""
        return self._endpoint(container)["Gateway"]

    def subnets(self, network: str) -> Sequence[str]:
        """Return a network's subnets."""
        ipam = cast("Mapping[str, object]", self._host.inspect(network)["IPAM"])
        return [each["Subnet"] for each in cast("list[Mapping[str, str]]", ipam["Config"])]

    def listening(self, container: str) -> None:
        """Wait until a container's server listens at port 80; nothing is asked of it."""
        state = cast("Mapping[str, object]", self._host.inspect(container)["State"])
        table = Path(f"/proc/{state['Pid']}/net/tcp6")
        deadline = time.monotonic() + PATIENCE_S
        while not any(_is_server(line.split()) for line in table.read_text().splitlines()):
            if time.monotonic() > deadline:
                raise LabError(f"{container} does not listen at port 80")
            time.sleep(0.01)

    def log(self, container: str, lines: int) -> Sequence[str]:
        """Wait for a container's log to have so many lines; show it, and return them."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self._host.netd("logs", container).splitlines()) < lines:
            if time.monotonic() > deadline:
                raise LabError(f"{container}'s log has less than {lines} lines")
        found = self.netd("logs", container).splitlines()
        if len(found) != lines:
            raise LabError(f"{container}'s log has {len(found)} lines, not {lines}")
        return found

    def rules(self, of: str = "") -> Sequence[Mapping[str, object]]:
        """Return the firewall's rules as the daemon tells them; nothing is shown."""
        words = filter(None, ("network", "rules", of, "--format", "json"))
        return [json.loads(line) for line in self._host.netd(*words).splitlines()]

    def repairs(self, since_ns: int) -> Sequence[int]:
        """Return when the daemon has put rules back since a time, in nanoseconds; not shown."""
        since = f"{since_ns // 10**9}.{since_ns % 10**9:09d}"
        words = ("events", "--since", since, "--until", "0s", "--filter", "event=repair")
        lines = self._host.netd(*words, "--format", "json").splitlines()
        return [json.loads(line)["timeNano"] for line in lines]

    def _run(self, at: str, words: Sequence[str]) -> tuple[int, str]:
        status, output = self._output(at, words, PATIENCE_S)
        self._tell.show(shlex.join(words), output, at=at)
        return status, output

    def _output(self, at: str, words: Sequence[str], limit_s: float) -> tuple[int, str]:
        machine = self._host if at == "host" else self._outside
        try:
            done = subprocess.run(
                [*machine.nsenter, *words],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            return TIMED_OUT, ""
        return done.returncode, done.stdout

    def _endpoint(self, container: str) -> Mapping[str, str]:
        settings = cast("Mapping[str, object]", self._host.inspect(container)["NetworkSettings"])
        networks = cast("Mapping[str, Mapping[str, str]]", settings["Networks"])
        (endpoint,) = networks.values()
        return endpoint


def _outcome(output: str) -> Outcome:
    if PAGE in output:
        return "the page"
    if "Connection refused" in output:
        return "refused"
    return "an error" if output else "no answer"


def _is_server(words: Sequence[str]) -> bool:
    return words[1].endswith(":0050") and words[3] == LISTENS  # proc_net_tcp(5), port 80
