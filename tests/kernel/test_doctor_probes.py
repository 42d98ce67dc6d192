"""netd doctor tries things without changing the machine."""

import subprocess
import sys

import pytest

from netd.doctor.netlink import aliases, link_problem
from netd.doctor.probes import LINK_KINDS, probed

pytestmark = pytest.mark.kernel


IN_PRIVATE = ("unshare", "--net", "--mount", sys.executable, "-c")


def said(script: str) -> str:
    """Run a script in namespaces of its own, so that others' tests cannot be seen."""
    return subprocess.run([*IN_PRIVATE, script], capture_output=True, text=True, check=True).stdout


def test_the_probes_leave_nothing_behind() -> None:
    out = said(
        "import os; from pathlib import Path; from netd.doctor.probes import probed;"
        "state = lambda: (Path('/proc/self/mountinfo').read_text(), os.listdir('/proc/net'),"
        " Path('/proc/net/dev').read_text(), os.readlink('/proc/self/ns/net'));"
        "before = state(); facts = probed(); assert state() == before;"
        "print(facts.namespaces, *facts.links)"
    )

    assert out == f" {' '.join(LINK_KINDS)}\n"


def test_the_probes_say_why_they_could_not_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    assert "No such file or directory" in probed().namespaces


def test_an_unknown_kind_of_link_has_a_problem_and_marks_are_read() -> None:
    out = said(
        "import subprocess; from netd.doctor.netlink import *;"
        "subprocess.run('ip link add nd-1 type bridge; ip link set nd-1 alias \"netd front\"',"
        " shell=True, check=True);"
        "print(link_problem('nosuchkind'), link_problem('veth'), aliases(), sep='|')"
    )

    assert out == "Operation not supported||{'nd-1': 'netd front'}\n"


def test_looking_at_links_needs_no_privileges() -> None:
    assert isinstance(aliases(), dict)
    assert link_problem("nosuchkind") == "Operation not supported"


def test_the_command_says_a_line_a_topic_and_its_status_is_the_verdict() -> None:
    words = ("-H", "unix:///nowhere", "doctor", "--format", "{{.Verdict}} {{.Topic}}")
    command = [sys.executable, "-m", "netd.cli.main", *words]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    verdicts = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert {"kernel", "bridge", "overlayfs", "cgroups", "conmon", "daemon"} <= verdicts.keys()
    assert done.returncode == int(not {"missing", "unknown"}.isdisjoint(verdicts.values()))
