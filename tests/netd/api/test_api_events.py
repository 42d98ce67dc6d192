"""GET /events."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from netd.model import Config
from tests.netd.api.conftest import Api, missing_fields, until
from tests.netd.makers import container


async def test_events_are_objects_a_line(api: Api) -> None:
    events = api.daemon.events
    raw = await api.raw("GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    assert b"200 OK" in await raw.until(b"\r\n\r\n")
    await until(lambda: events.listeners)

    events.container("start", container("web"))

    line = (await raw.until(b"}\n")).partition(b"\r\n")[2]
    event = json.loads(line)
    assert missing_fields("event", event) == set()
    assert (event["status"], event["id"], event["from"]) == (
        "start", container("web").id, "demo",
    )  # fmt: skip
    assert event["Actor"]["Attributes"] == {"image": "demo", "name": "web"}
    assert event["timeNano"] // 10**9 == event["time"]
    raw.close()
    await until(lambda: not events.listeners)


EVENT_FILTERS: list[tuple[str, list[str]]] = [
    ("{}", ["start", "exec_create: sh", "connect", "tag"]),
    ('{"event":["exec_create"]}', ["exec_create: sh"]),
    ('{"type":["network"]}', ["connect"]),
    ('{"container":["we"]}', ["start", "exec_create: sh", "connect"]),
    ('{"network":{"front":true}}', ["connect"]),
    ('{"image":["demo"]}', ["start", "exec_create: sh", "tag"]),
    ('{"label":["l=v"]}', ["start", "exec_create: sh"]),
    ('{"label":["l=v","no"]}', []),
    ('{"scope":["swarm"]}', []),
    ('{"volume":["x"]}', []),
]


@pytest.mark.parametrize(("filters", "actions"), EVENT_FILTERS)
async def test_events_are_filtered(api: Api, filters: str, actions: list[str]) -> None:
    events = api.daemon.events
    made = replace(container("web"), config=Config(image="demo", labels={"l": "v"}))
    events.container("start", made)
    events.container("exec_create: sh", made)
    events.publish("network", "connect", "n" * 64, {"name": "front", "container": "web"})
    events.publish("image", "tag", "sha256:" + "a" * 64, {"name": "demo:latest"})
    query = {"since": "1", "until": "4000000000", "filters": filters}

    found: list[str] = []
    async with api.session.get("http://d/events", params=query) as answer:
        while len(found) < len(actions):
            found.append((await asyncio.wait_for(answer.content.readline(), 5)).decode())

    assert [line.partition('"Action":"')[2].partition('"')[0] for line in found] == actions


async def test_events_of_the_past_end(api: Api) -> None:
    api.daemon.events.publish("network", "create", "n", {})

    answer = await api("GET", "/events?since=1&until=2")

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("query", ["since=x", "until=nan", 'filters={"x":["y"]}', "since=1e999"])
async def test_events_with_values_that_cannot_be_are_refused(api: Api, query: str) -> None:
    assert (await api("GET", f"/events?{query}")).status == 400
