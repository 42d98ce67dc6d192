"""Each lab as a user runs it: to its end, and interrupted in the middle."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.leaks import Inventory, Scope, inventory, settled

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
END_TIMEOUT_S = 60


@dataclass(frozen=True)
class Play:
    """What is run, and what is to be seen of it."""

    words: tuple[str, ...]
    steps: int
    middle: str

    def __str__(self) -> str:
        return " ".join(self.words)


PING = Play(("ping-by-name",), 7, "3. Wires")
PUBLISH, PUBLISH_IPTABLES, PUBLISH_NFTABLES = (
    Play(("publish", *option), 8, "4. From everywhere")
    for option in ((), ("--firewall", "iptables"), ("--firewall=nftables",))
)


def plays(*of: Play) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("lab", of, indirect=True, ids=str)


@dataclass
class Lab:
    """A lab that runs in a session of its own, its temporary files in a folder of its own."""

    play: Play
    folder: Path
    process: subprocess.Popen[str]
    before: Inventory
    output: list[str] = field(default_factory=list)
    namespaces: set[str] = field(default_factory=set)  # of the network: the lab's hosts

    def goes_to_the_middle(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if line.strip() == self.play.middle:
                own = namespace_of(os.getpid())
                pids = descendants(self.process.pid)
                self.namespaces = {namespace_of(pid) for pid in pids} - {own, ""}
                return
        pytest.fail(f"the lab ended before its middle: {''.join(self.output)}")

    def ends(self) -> int:
        """Read to the end; return the exit status."""
        rest, _ = self.process.communicate(timeout=END_TIMEOUT_S)
        self.output.append(rest)
        return self.process.returncode

    def leaves_nothing(self) -> None:
        ids = re.findall(r"\b[0-9a-f]{64}\b", "".join(self.output))
        assert ids
        assert settled(self.before, scope(self.folder, *ids)) == []
        assert self.namespaces
        assert [pid for pid in pids() if namespace_of(pid) in self.namespaces] == []
        assert list(self.folder.iterdir()) == []


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    play: Play = request.param
    # Not tmp_path: the paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    before = inventory(scope(folder))
    with subprocess.Popen(
        [ROOT / "labs/run", *play.words],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Lab(play, folder, process, before)
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
    shutil.rmtree(folder)


def scope(folder: Path, *container_ids: str) -> Scope:
    """Return what is the lab's, and the machine's own network, which is to stay as it is."""
    return Scope(folders=(folder,), netns=Path("/proc/self/ns/net"), names=container_ids)


@plays(PING, PUBLISH_IPTABLES, PUBLISH_NFTABLES)
def test_a_lab_prints_its_steps_and_leaves_nothing(lab: Lab) -> None:
    lab.goes_to_the_middle()

    assert lab.ends() == 0

    steps = re.findall(r"^(\d)\. ", "".join(lab.output), re.MULTILINE)
    assert steps == [str(number) for number in range(1, lab.play.steps + 1)]
    assert "Done:" in lab.output[-1]
    lab.leaves_nothing()


@plays(PING, PUBLISH)
def test_a_lab_that_is_interrupted_from_the_keyboard_leaves_nothing(lab: Lab) -> None:
    lab.goes_to_the_middle()

    os.killpg(lab.process.pid, signal.SIGINT)

    assert lab.ends() == 130
    lab.leaves_nothing()


@plays(PING, PUBLISH)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_lab_that_is_ended_by_a_signal_leaves_nothing(lab: Lab, number: signal.Signals) -> None:
    lab.goes_to_the_middle()

    lab.process.send_signal(number)

    assert lab.ends() == 130
    lab.leaves_nothing()


@plays(PING)
def test_a_lab_that_is_interrupted_twice_leaves_nothing(lab: Lab) -> None:
    lab.goes_to_the_middle()

    os.killpg(lab.process.pid, signal.SIGINT)
    wait_for_cleaning_up(lab.process)
    os.killpg(lab.process.pid, signal.SIGINT)

    assert lab.ends() == 130
    lab.leaves_nothing()


def test_the_labs_are_listed() -> None:
    listed = subprocess.run([ROOT / "labs/run"], check=True, capture_output=True, text=True).stdout

    assert re.search(r"^  ping-by-name +Two containers", listed, re.MULTILINE)
    assert re.search(r"^  publish +A port of the host", listed, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("no-such",), "no lab 'no-such'; there are: ping-by-name, publish"),
        (("ping-by-name", "--firewall", "nftables"), "unrecognized arguments: --firewall nftables"),
        (("publish", "--fire=nftables"), "unrecognized arguments: --fire=nftables"),
        (("publish", "nftables"), "unrecognized arguments: nftables"),
        (("publish", "--firewall=ufw"), "--firewall: invalid choice: 'ufw'"),
        (("publish", "--firewall"), "--firewall: expected one argument"),
    ],
)
def test_what_a_lab_does_not_know_is_an_error(words: tuple[str, ...], error: str) -> None:
    done = subprocess.run([ROOT / "labs/run", *words], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr


def wait_for_cleaning_up(process: subprocess.Popen[str]) -> None:
    """Wait until further interrupts are ignored."""
    deadline = time.monotonic() + END_TIMEOUT_S
    ignored = 0
    while not ignored & 1 << signal.SIGINT - 1:
        assert time.monotonic() < deadline, "the lab does not begin to clean up"
        status = Path(f"/proc/{process.pid}/status").read_text()
        ignored = int(status.partition("SigIgn:")[2].split()[0], 16)


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def namespace_of(pid: int) -> str:
    """Return the network namespace of a process; empty once it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def descendants(ancestor: int) -> list[int]:
    parents: dict[int, int] = {}
    for pid in pids():
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text()
            parents[pid] = int(stat.rpartition(")")[2].split()[1])
    found = [ancestor]
    for each in found:
        found += [pid for pid, parent in parents.items() if parent == each]
    return found
