"""network rules: a table in words, the tools' own text, JSON and templates."""

import json
import os
import pty
import termios
from collections.abc import Callable
from typing import Any

import pytest

from netd.cli.rules import table

Netd = Callable[..., Any]


def rule(stage: str, owner: str, reason: str, **more: object) -> dict[str, Any]:
    network, _, container = owner.partition("/")
    return {
        "Owner": {"Network": network, "Container": container},
        "Stage": stage,
        "Reason": reason,
        "Verdict": "accept",
        "Packets": 0,
        "Bytes": 0,
        "Place": "inet netd forward",
        "Raw": f"counter packets 0 bytes 0 accept # {reason}",
        **more,
    }


RULES = [
    rule(
        "ports",
        "front/web",
        "packets to this host's TCP port 8080 go to web (10.7.0.2:80)",
        Verdict="led elsewhere",
        Packets=12,
        Bytes=1530,
        Place="inet netd published4_any",
        Raw="tcp . 8080 counter packets 5 bytes 1500\ntcp . 8081 counter packets 7 bytes 30",
    ),
    rule("forward", "", "answers pass", Packets=2, Bytes=60),
    rule("forward", "front", "nobody gets in", Verdict="drop"),
    rule("forward", "", "answers pass", Packets=3, Bytes=60),
    rule("send", "front/web", "web sends only as 10.7.0.2", Packets=None, Bytes=None),
]
TABLE = """\
PACKETS   BYTES  VERDICT  OWNER      WHAT HAPPENS

ports that lead to containers (counted once a connection)
     12  1.53kB  led      front/web  packets to this host's TCP port 8080 go to web (10.7.0.2:80)

what is forwarded
      5    120B  accept   all        answers pass
      0      0B  drop     front      nobody gets in

what containers may send
      -       -  accept   front/web  web sends only as 10.7.0.2
"""


def knows(engine: Any, rules: object = RULES) -> None:
    engine.answer("GET /netd/rules", {"Backend": "nftables", "Rules": rules})


def test_rules_are_shown_stage_by_stage_and_both_families_as_one(engine: Any, netd: Netd) -> None:
    knows(engine)

    assert netd("network", "rules") == (0, TABLE, "")
    assert engine.sent("GET .*").query == {}


def test_one_network_or_container_may_be_named(engine: Any, netd: Netd) -> None:
    knows(engine)

    assert netd("network", "rules", "a b").status == 0
    assert engine.sent("GET .*").query == {"of": "a b"}


def test_sentences_are_wrapped_to_the_terminal() -> None:
    lines = table(RULES, 84).splitlines()  # type: ignore[arg-type]

    assert max(map(len, lines)) <= 84
    assert lines[3:5] == [
        "     12  1.53kB  led      front/web  packets to this host's TCP port 8080 go to web",
        "                                     (10.7.0.2:80)",
    ]


def test_a_terminal_too_narrow_is_wrapped_to_what_can_be_read() -> None:
    lines = table(RULES, 20).splitlines()  # type: ignore[arg-type]

    assert max(map(len, lines[3:6])) > 60


def test_the_terminal_on_standard_output_is_measured(
    engine: Any, started: Callable[..., Any]
) -> None:
    knows(engine)
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))

    process = started("network", "rules", stdout=theirs)
    assert process.wait(10) == 0

    shown = os.read(terminal, 65536).decode()
    os.close(theirs)
    os.close(terminal)
    assert shown.replace("\r\n", "\n") == table(RULES, 80)  # type: ignore[arg-type]


def test_raw_text_is_that_of_the_tools_place_by_place(engine: Any, netd: Netd) -> None:
    knows(engine)

    assert netd("network", "rules", "--raw").out == (
        "# inet netd published4_any\n"
        "tcp . 8080 counter packets 5 bytes 1500\n"
        "tcp . 8081 counter packets 7 bytes 30\n"
        "\n"
        "# inet netd forward\n"
        "counter packets 0 bytes 0 accept # answers pass\n"
        "counter packets 0 bytes 0 accept # nobody gets in\n"
        "counter packets 0 bytes 0 accept # answers pass\n"
        "counter packets 0 bytes 0 accept # web sends only as 10.7.0.2\n"
    )


def test_json_has_every_rule_as_the_daemon_tells_it(engine: Any, netd: Netd) -> None:
    knows(engine)

    rows = [
        json.loads(line)
        for line in netd("network", "rules", "--format", "json").out.split("\n")[:-1]
    ]

    assert len(rows) == len(RULES)
    assert rows[0] == {
        **RULES[0], "Owner": "front/web", "Network": "front", "Container": "web",
    }  # fmt: skip
    assert (rows[4]["Packets"], rows[1]["Owner"]) == (None, "all")


def test_a_template_prints_what_it_names(engine: Any, netd: Netd) -> None:
    knows(engine)

    assert netd("network", "rules", "--format", "{{.Packets}} {{.Stage}}").out.splitlines()[:2] == [
        "12 ports",
        "2 forward",
    ]
    assert netd("network", "rules", "--format", "table {{.Owner}}\t{{.Reason}}").out.startswith(
        "OWNER       WHAT HAPPENS\nfront/web   packets"
    )


@pytest.mark.parametrize("more", [(), ("--raw",)])
def test_what_no_rule_concerns_is_told_beside_the_output(
    engine: Any, netd: Netd, more: tuple[str, ...]
) -> None:
    knows(engine, [])

    assert netd("network", "rules", "host", *more) == (0, "", "no rule of netd concerns host\n")
    assert netd("network", "rules", "host", "--format", "json") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("x",), "no such network or container: x"),
        (("",), "a name or id is needed, not ''"),
        (("--raw", "--format", "json"), "--raw and --format cannot be combined"),
        (("front", "web"), "got unexpected extra argument"),
    ],
)
def test_what_cannot_be_shown_is_an_error(
    engine: Any, netd: Netd, words: tuple[str, ...], sentence: str
) -> None:
    engine.answer("GET /netd/rules", {"message": "no such network or container: x"}, 404)

    result = netd("network", "rules", *words)

    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"netd: {sentence}")
