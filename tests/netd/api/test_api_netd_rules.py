"""netd's own request about the firewall's rules."""

import pytest

from netd.errors import NotFoundError
from netd.rule_view import Owner, ShownRule
from tests.netd.api.conftest import Api

PORT = ShownRule(
    owner=Owner("front", "web"),
    stage="ports",
    reason="packets to this host's TCP port 8080 go to web (10.7.0.2:80)",
    verdict="led elsewhere",
    packets=1,
    bytes=60,
    place="inet netd published4_any",
    raw="tcp . 8080 counter packets 1 bytes 60",
)
GUARD = ShownRule(
    owner=Owner("front", "web"),
    stage="send",
    reason="web sends only as 10.7.0.2, MAC 02:42:0a:07:00:02",
    verdict="check",
    packets=None,
    bytes=None,
    place="bridge netd ports",
    raw='"nd0" comment "netd front: web"',
)


@pytest.mark.parametrize("path", ["/netd/rules", "/v1.45/netd/rules"])
async def test_rules_are_told_with_owner_reason_and_counters(api: Api, path: str) -> None:
    api.daemon.rules.rows = [PORT, GUARD]

    answer = await api("GET", path)

    assert api.daemon.rules.calls == [("shown", "")]
    assert (answer.status, answer.json["Backend"]) == (200, "nftables")
    assert answer.json["Rules"][0] == {
        "Owner": {"Network": "front", "Container": "web"},
        "Stage": "ports",
        "Reason": "packets to this host's TCP port 8080 go to web (10.7.0.2:80)",
        "Verdict": "led elsewhere",
        "Packets": 1,
        "Bytes": 60,
        "Place": "inet netd published4_any",
        "Raw": "tcp . 8080 counter packets 1 bytes 60",
    }
    assert [answer.json["Rules"][1][name] for name in ("Packets", "Bytes")] == [None, None]


async def test_without_rules_the_list_is_empty(api: Api) -> None:
    assert (await api("GET", "/netd/rules")).json == {"Backend": "nftables", "Rules": []}


@pytest.mark.parametrize("of", ["front", "a b/c?"])
async def test_the_rules_of_one_thing_are_asked_for_by_name(api: Api, of: str) -> None:
    await api("GET", "/netd/rules", params={"of": of})

    assert api.daemon.rules.calls == [("shown", of)]


async def test_what_is_neither_network_nor_container_is_not_found(api: Api) -> None:
    api.daemon.rules.errors["shown"] = NotFoundError("no such network or container: x")

    answer = await api("GET", "/netd/rules?of=x")

    assert (answer.status, answer.message) == (404, "no such network or container: x")


async def test_rules_cannot_be_posted(api: Api) -> None:
    assert (await api("POST", "/netd/rules", {})).status == 404
