"""What a crash, a kill or a reboot of the daemon does to containers: nothing."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from labs.host import Host
from netd.store import Store
from tests.live.clients import client_of

pytestmark = pytest.mark.kernel

DEADLINE_S = 30


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_containers_and_their_names_outlive_a_killed_daemon(own_host: Host) -> None:
    host = own_host
    host.netd("network", "create", "front")
    host.netd("run", "-d", "--name", "web", "--network", "front", "demo", "sleep", "1000")
    host.netd("run", "-d", "--name", "cli", "--network", "front", "demo", "sh", "-c",
              "while sleep 0.1; do nslookup -type=a web && echo ok; done")  # fmt: skip
    pid = host.inspect("cli")["State"]["Pid"]

    host.stop_daemon(signal.SIGKILL)

    # While there is no daemon, names are answered: the counter in the container's log goes on.
    logs = list((host.folder / "data/containers").glob("*/ctr.log"))

    def answers() -> int:
        return sum(path.read_text().count(" ok") for path in logs)

    before = answers()
    until(lambda: answers() > before + 5, "names went silent")

    host.start_daemon()

    assert host.inspect("cli")["State"]["Pid"] == pid
    assert "0% packet loss" in host.netd("exec", "cli", "ping", "-c", "1", "web")
    host.netd("run", "--rm", "--network", "front", "demo", "ping", "-c", "1", "web")
    assert "ok" in host.netd("logs", "--tail", "5", "cli")
    assert host.netd("stop", "-t", "0", "web").strip() == "web"


def test_ends_that_nobody_saw_are_known_with_their_codes(own_host: Host) -> None:
    host = own_host
    script = "while [ ! -e /stop ]; do sleep 0.05; done; exit 7"
    host.netd("run", "-d", "--name", "seven", "demo", "sh", "-c", script)
    host.netd("run", "-d", "--rm", "--name", "temporary", "demo", "sh", "-c", script)
    host.netd("exec", "-d", "seven", "touch", "/stop")
    pids = [host.inspect(name)["State"]["Pid"] for name in ("seven", "temporary")]
    host.stop_daemon(signal.SIGKILL)
    os.kill(pids[1], signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "they go on")

    host.start_daemon()

    assert host.netd("wait", "seven").strip() == "7"
    assert host.inspect("seven")["State"]["Status"] == "exited"
    until(lambda: "temporary" not in host.netd("ps", "-a"), "--rm was forgotten")


def test_a_kill_in_the_middle_of_twenty_starts_leaves_nothing_half_made(own_host: Host) -> None:
    host = own_host
    host.netd("network", "create", "front")
    names = [f"c{number}" for number in range(20)]

    def run(name: str) -> None:
        with suppress(subprocess.SubprocessError):
            host.netd("run", "-d", "--name", name, "--network", "front", "demo", "sleep", "1000",
                      check=False)  # fmt: skip

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    until(lambda: len(list((host.folder / "run/c").glob("*/conmon.pid"))) >= 5, "no start")
    host.stop_daemon(signal.SIGKILL)
    for thread in threads:
        thread.join()

    host.start_daemon()

    with client_of(host) as client:
        states = {each.name: each.status for each in client.containers.list(all=True)}
        running = [name for name, state in states.items() if state == "running"]
        assert running and set(states.values()) <= {"running", "created"}
        loop = f"for n in {' '.join(running)}; do ping -c1 -W2 $n >/dev/null || echo no $n; done"
        code, text = client.containers.get(running[0]).exec_run(["sh", "-c", loop])
        assert (code, text) == (0, b"")
        # Of those that do not run nothing is in the kernel: one port a running container.
        ports = host.inside("ip", "-o", "link", "show", "type", "veth").splitlines()
        assert len(ports) == len(running)
        for folder in ("run/c", "run/netns"):
            assert len(list((host.folder / folder).iterdir())) == len(running)
        mounts = Path("/proc/self/mountinfo").read_text().count(f"{host.folder}/run/c/")
        assert mounts == len(running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_that_goes_while_containers_end_loses_no_exit_code(
    own_host: Host, number: signal.Signals
) -> None:
    host = own_host
    script = "while [ ! -e /stop/now ]; do sleep 0.02; done; exit 7"
    stop = host.folder / "stop"
    stop.mkdir()
    names = [f"c{each}" for each in range(9)]
    for name in (*names, "temporary"):
        more = ("--rm",) if name == "temporary" else ()
        host.netd("run", "-d", *more, "-v", f"{stop}:/stop", "--name", name, "demo", "sh", "-c",
                  script)  # fmt: skip
    (stop / "now").touch()
    until(lambda: "Exited" in host.netd("ps", "-a"), "none ended")
    host.stop_daemon(number)

    host.start_daemon()

    assert host.netd("wait", *names).split() == ["7"] * 9
    until(lambda: "temporary" not in host.netd("ps", "-a"), "--rm was forgotten")


def test_what_cannot_be_taken_down_does_not_stop_the_daemon(own_host: Host) -> None:
    host = own_host
    host.stop_daemon()
    (host.folder / "run/c/stray").touch()
    (host.folder / "run/netns/stray").mkdir()
    (host.folder / "data/containers/stray").touch()
    (host.folder / "data/tmp/stray").mkdir()

    host.start_daemon()

    assert "demo" in host.netd("run", "--rm", "demo", "echo", "demo")
    (host.folder / "run/netns/stray").rmdir()


def test_a_removal_that_was_cut_is_finished(own_host: Host) -> None:
    host = own_host
    host.netd("create", "--name", "web", "demo", "true")
    host.stop_daemon()
    # The row as a daemon that is killed in the middle of a removal leaves it.
    store = Store(host.folder / "data/netd.db")
    web = store.containers.find("web")
    store.containers.put(replace(web, state=replace(web.state, removing=True)))
    store.close()

    host.start_daemon()

    assert "web" not in host.netd("ps", "-a")
    assert list((host.folder / "data/containers").iterdir()) == []


def test_a_stopped_container_can_leave_a_network_that_is_gone(own_host: Host) -> None:
    host = own_host
    host.netd("network", "create", "front")
    host.netd("create", "--name", "web", "--network", "front", "demo", "true")
    host.netd("network", "rm", "front")
    host.netd("network", "create", "front")

    assert "front" in host.netd("start", "web", check=False)
    host.netd("network", "disconnect", "front", "web")
    host.netd("network", "connect", "front", "web")

    assert host.netd("start", "web").strip() == "web"


def test_after_a_reboot_stopped_containers_and_networks_are_as_they_were(own_host: Host) -> None:
    host = own_host
    host.netd("network", "create", "--subnet", "10.240.0.0/24", "front")
    host.netd("run", "-d", "--name", "web", "--network", "front", "demo", "sleep", "1000")
    host.netd("create", "--name", "idle", "--network", "front", "demo", "true")
    network = host.inspect("front")
    pid = host.inspect("web")["State"]["Pid"]
    host.stop_daemon(signal.SIGKILL)

    reboot(host, [pid])
    host.start_daemon()

    assert host.inspect("front")["Id"] == network["Id"]
    assert host.inspect("web")["State"]["Running"] is False
    assert host.netd("start", "web", "idle").split() == ["web", "idle"]
    run = ("run", "--rm", "--network", "front", "demo")
    assert "0% packet loss" in host.netd(*run, "ping", "-c", "1", "web")


def test_sigterm_leaves_containers_running_and_a_second_daemon_is_refused(own_host: Host) -> None:
    host = own_host
    host.netd("run", "-d", "--name", "web", "demo", "sleep", "1000")
    pid = host.inspect("web")["State"]["Pid"]

    second = subprocess.run(
        [*host.nsenter, *host.daemon_words()], capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert "another netd daemon" in second.stderr and str(host.folder) in second.stderr

    assert host.stop_daemon() == 0
    assert Path(f"/proc/{pid}").exists()
    assert not host.socket.exists()
    host.start_daemon()
    assert host.inspect("web")["State"]["Pid"] == pid


def reboot(host: Host, pids: list[int]) -> None:
    """Do to a host's processes, mounts, links and run folder what a reboot does."""
    text = str(host.folder).encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if text in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(lines):
        if str(host.folder) in line.split()[4]:
            subprocess.run(["umount", "-l", line.split()[4]], check=True)
    host.renew_namespace()
    subprocess.run(["rm", "-rf", f"{host.folder}/run"], check=True)
