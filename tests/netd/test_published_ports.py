"""Containers get their ports of the host, keep them, and give them back."""

import asyncio
import logging
from collections.abc import Callable
from errno import EADDRINUSE, EADDRNOTAVAIL
from ipaddress import ip_address
from pathlib import Path

import pytest
from fake_port_process import FakePortProcess
from makers import container, endpoint, network, running, subnet
from msgspec.structs import replace

from drivers.ports import Hold
from netd.errors import InternalError
from netd.model import Container, HostConfig, PortMapping, PortRequest
from netd.ports import PublishedPorts
from netd.store import Store

FRONT = network()
DUAL = network("dual", subnet("10.1.0.0/24", "10.1.0.1"), subnet("fd00::/64", "fd00::1"))
V4, V6 = ip_address("0.0.0.0"), ip_address("::")
LOCAL = ip_address("127.0.0.1")
WEB = PortRequest(80, host_port=8080)
DEADLINE_S = 10


@pytest.fixture
def process() -> FakePortProcess:
    return FakePortProcess()


@pytest.fixture
async def ports(store: Store, process: FakePortProcess, tmp_path: Path):
    store.networks.put(FRONT)
    store.networks.put(DUAL)
    paths = (tmp_path / "ports.sock", tmp_path / "ports.log")
    ports = PublishedPorts(store, *paths, None, process, ipv6=lambda: True)
    yield ports
    await ports.stop(shutdown=False)


def asking(store: Store, *requests: PortRequest, name: str = "web", **more: object) -> Container:
    front = endpoint(FRONT, "10.0.0.2/24")
    made = container(name, front, host=HostConfig(ports=requests), **more)
    store.containers.put(running(made))
    return running(made)


def ends(published: Container) -> list[tuple[str, int, int]]:
    return [(str(each.host_address), each.host_port, each.port) for each in published.published]


def stored(store: Store, published: Container) -> Container:
    found = store.containers.get(published.id)
    assert found is not None
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_port_is_stored_and_held_at_all_addresses(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))

    assert ends(web) == [("0.0.0.0", 8080, 80), ("::", 8080, 80)]
    assert stored(store, web) == web
    assert [*process.held.values()] == [
        Hold("tcp", V6, 8080, dual=True, target=ip_address("10.0.0.2"), target_port=80)
    ]


async def test_a_container_without_ports_costs_nothing(ports, process, store) -> None:
    web = asking(store)

    assert await ports.publish(web) is web
    assert await ports.withdraw(web) is web
    assert process.calls == []


async def test_a_container_without_a_way_out_publishes_nothing(ports, process, store) -> None:
    web = replace(asking(store, WEB), endpoints=())

    assert await ports.publish(web) == web
    assert process.calls == []


async def test_free_ports_are_ones_that_the_kernel_would_give(ports, store) -> None:
    web = await ports.publish(asking(store, PortRequest(80)))

    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    (_, number, _), (_, same, _) = ends(web)
    assert first <= number == same <= last


async def test_publishing_again_changes_nothing(ports, process, store) -> None:
    web = await ports.publish(asking(store, PortRequest(80), PortRequest(81, host_port=8080)))
    held = dict(process.held)

    assert await ports.publish(web) == web
    assert process.held == held


async def test_further_ports_join_those_that_are_there(ports, process, store) -> None:
    web = await ports.publish(asking(store, PortRequest(80)))
    more = replace(web, host=HostConfig(ports=(PortRequest(80), WEB, PortRequest(81, "udp"))))

    extended = await ports.publish(more)

    assert extended.published[:2] == web.published
    assert len(extended.published) == 6 and len(process.held) == 3


async def test_ports_that_are_not_asked_for_any_more_are_released(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB, PortRequest(81, host_port=8081)))

    fewer = await ports.publish(replace(web, host=HostConfig(ports=(WEB,))))

    assert ends(fewer) == [("0.0.0.0", 8080, 80), ("::", 8080, 80)]
    assert stored(store, web) == fewer
    assert [key[2] for key in process.held] == [8080]


async def test_a_run_that_is_cut_is_held_on(ports, process, store) -> None:
    web = await ports.publish(asking(store, PortRequest(80, count=5, host_port=8000)))
    pieces = (PortRequest(80, count=2, host_port=8000), PortRequest(83, count=2, host_port=8003))

    cut = await ports.publish(replace(web, host=HostConfig(ports=pieces)))

    assert ends(cut)[::2] == [("0.0.0.0", 8000, 80), ("0.0.0.0", 8003, 83)]
    assert sorted(key[2] for key in process.held) == [8000, 8001, 8003, 8004]
    assert [(each.port, each.count) for each in process.released] == [(8002, 1)]


async def test_one_address_becomes_all(ports, process, store) -> None:
    local = replace(WEB, host_address=LOCAL)
    web = await ports.publish(asking(store, local))

    wider = await ports.publish(replace(web, host=HostConfig(ports=(local, WEB))))

    assert ends(wider) == [("0.0.0.0", 8080, 80), ("::", 8080, 80)]
    assert [*process.held] == [("tcp", V6, 8080, True)]


async def test_ports_go_with_the_way_out_and_come_back_with_it(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))

    cut_off = await ports.publish(replace(web, endpoints=()))

    assert (cut_off.published, process.held) == ((), {})
    assert stored(store, web).published == ()
    assert ends(await ports.publish(replace(cut_off, endpoints=web.endpoints))) == ends(web)


async def test_ipv6_is_relayed_to_the_new_address_when_the_way_out_changes(
    ports, process, store
) -> None:
    web = await ports.publish(asking(store, WEB))
    moved = replace(web, endpoints=(endpoint(DUAL, "10.1.0.7/24", "fd00::7/64"),))

    assert (await ports.publish(moved)).published == web.published
    (hold,) = process.held.values()
    assert hold.target == ip_address("fd00::7")


async def test_ports_of_another_container_are_refused_before_anything_changes(
    ports, process, store
) -> None:
    await ports.publish(asking(store, WEB, name="db"))
    web = asking(store, PortRequest(81, host_port=8081), WEB)
    process.calls.clear()

    with pytest.raises(InternalError) as refused:
        await ports.publish(web)

    (only,) = web.endpoints
    assert str(refused.value) == (
        f"driver failed programming external connectivity on endpoint web ({only.id}): "
        "Bind for 0.0.0.0:8080 failed: port is already allocated (by container db)"
    )
    assert (stored(store, web), process.calls) == (web, [])


async def test_an_exact_port_that_is_in_use_fails_at_once_and_leaves_nothing(
    ports, process, store
) -> None:
    process.in_use[8080] = EADDRINUSE
    web = asking(store, PortRequest(81, host_port=8081), WEB)

    with pytest.raises(InternalError, match=r"bind host port 0\.0\.0\.0:8080/tcp: address alr"):
        await ports.publish(web)

    assert (stored(store, web), process.held) == (web, {})
    assert process.calls.count("hold") == 1


async def test_an_address_that_the_host_has_not_is_named(ports, process, store) -> None:
    process.in_use[8080] = EADDRNOTAVAIL
    asked = replace(WEB, host_address=ip_address("192.0.2.9"))

    with pytest.raises(InternalError, match=r"192\.0\.2\.9:8080/tcp: cannot assign requested add"):
        await ports.publish(asking(store, asked))


async def test_no_other_port_is_tried_where_the_address_is_the_trouble(
    ports, process, store
) -> None:
    process.in_use[8000] = EADDRNOTAVAIL
    asked = PortRequest(80, host_port=8000, host_last=8010)

    with pytest.raises(InternalError, match="cannot assign requested address"):
        await ports.publish(asking(store, asked))


async def test_a_failure_is_told_and_not_logged_as_well(ports, process, store, caplog) -> None:
    process.in_use[8080] = EADDRINUSE

    with pytest.raises(InternalError):
        await ports.publish(asking(store, WEB))

    assert caplog.records == []


async def test_a_failure_leaves_the_ports_that_were_there(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))
    held = dict(process.held)
    process.in_use[8081] = EADDRINUSE
    other = replace(WEB, host_port=8081)

    with pytest.raises(InternalError, match="address already in use"):
        await ports.publish(replace(web, host=HostConfig(ports=(other,))))

    assert process.held == held
    assert stored(store, web).published == web.published


async def test_ports_in_use_are_left_out_of_a_range(ports, process, store) -> None:
    process.in_use |= dict.fromkeys((8000, 8001), EADDRINUSE)
    web = await ports.publish(asking(store, PortRequest(80, host_port=8000, host_last=8005), WEB))

    assert ends(web)[::2] == [("0.0.0.0", 8002, 80), ("0.0.0.0", 8080, 80)]
    assert stored(store, web) == web


async def test_a_range_that_is_full_names_who_has_it(ports, process, store) -> None:
    process.in_use[8001] = EADDRINUSE
    await ports.publish(asking(store, PortRequest(80, host_port=8000), name="db"))
    web = asking(store, PortRequest(80, host_port=8000, host_last=8001))

    with pytest.raises(InternalError, match=r"\(8000 by container db, 8001 by another process\)$"):
        await ports.publish(web)

    assert stored(store, web) == web
    assert [key[2] for key in process.held] == [8000]


async def test_free_ports_are_tried_ten_times(ports, process, store) -> None:
    process.in_use = dict.fromkeys(range(1, 65536), EADDRINUSE)

    with pytest.raises(InternalError, match="address already in use"):
        await ports.publish(asking(store, PortRequest(80)))

    assert process.calls.count("hold") == 10


async def test_a_publication_that_is_cancelled_is_undone(ports, process, store) -> None:
    await ports.publish(asking(store, PortRequest(80, host_port=8000), name="db"))
    web = asking(store, WEB)
    process.stalling = True
    publishing = asyncio.create_task(ports.publish(web))
    await process.stalled.wait()
    publishing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await publishing
    assert stored(store, web) == web
    assert [key[2] for key in process.held] == [8000]


async def test_two_containers_never_get_the_same_port(ports, store) -> None:
    names = [f"web{number}" for number in range(20)]
    asked = PortRequest(80, host_port=8000, host_last=8019)

    made = await asyncio.gather(*(ports.publish(asking(store, asked, name=name)) for name in names))

    assert {ends(each)[0][1] for each in made} == {*range(8000, 8020)}


async def test_ports_are_given_back(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))

    for _ in range(2):
        web = await ports.withdraw(web)
        assert (web.published, stored(store, web), process.held) == ((), web, {})

    assert ends(await ports.publish(asking(store, WEB, name="db")))


async def test_ports_of_a_removed_container_are_given_back(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))
    store.containers.remove(web.id)

    await ports.withdraw(web)

    assert process.held == {} and web.id not in store.containers


async def test_ports_are_given_back_when_the_process_is_dead(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))
    process.broken = "no memory"
    process.die()

    assert (await ports.withdraw(web)).published == ()
    assert stored(store, web).published == ()


async def test_without_ports_no_process_is_started(ports, process, store) -> None:
    asking(store, WEB)

    await ports.start()

    assert (process.starts, process.alive) == (0, False)


async def test_a_process_is_started_for_ports_that_were_held_before(ports, process, store) -> None:
    store.containers.put(replace(asking(store, WEB), published=(PortMapping(V4, 8080, 80),)))

    await ports.start()

    assert [*process.held] == [("tcp", V4, 8080, False)]


async def test_a_running_process_is_made_to_hold_what_running_containers_have(
    ports, process, store
) -> None:
    process.alive = True
    stale = Hold("tcp", V4, 9999)
    process.held = dict.fromkeys(stale.keys, stale)
    web = replace(asking(store, WEB), published=(PortMapping(V4, 8080, 80),))
    cut_off = container("off", published=(PortMapping(V4, 8081, 80),))
    store.containers.put(web)
    store.containers.put(cut_off)

    await ports.start()

    assert (process.starts, [*process.held]) == (0, [("tcp", V4, 8080, False)])
    assert stored(store, cut_off).published == ()
    assert stored(store, web) == web


async def test_ports_that_cannot_be_held_at_the_start_are_told(
    ports, process, store, caplog
) -> None:
    process.in_use[8080] = EADDRINUSE
    both = (PortMapping(V4, 8080, 80), PortMapping(V4, 8081, 81))
    store.containers.put(replace(asking(store), published=both))

    await ports.start()

    assert [*process.held] == [("tcp", V4, 8081, False)]
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert told.getMessage() == (
        "container web: failed to bind host port 0.0.0.0:8080/tcp: address already in use"
    )


async def test_a_process_that_cannot_be_started_does_not_keep_the_daemon_from_it(
    ports, process, store, caplog
) -> None:
    store.containers.put(replace(asking(store), published=(PortMapping(V4, 8080, 80),)))
    process.broken = "no memory"

    await ports.start()

    assert "the host's ports are not held: no memory" in caplog.text
    process.broken = ""
    await until(lambda: bool(process.held))


async def test_a_process_that_cannot_be_started_fails_the_publication(
    ports, process, store
) -> None:
    process.broken = "no memory"
    web = asking(store, WEB)

    with pytest.raises(InternalError, match=r"endpoint web .*: no memory"):
        await ports.publish(web)

    assert stored(store, web) == web


async def test_a_process_that_refuses_is_not_started_anew(ports, process, store) -> None:
    web = await ports.publish(asking(store, WEB))
    process.refuses = "no such verb"

    with pytest.raises(InternalError, match=r"endpoint db .*: no such verb"):
        await ports.publish(asking(store, PortRequest(80), name="db"))

    assert process.calls.count("open") == 1
    assert {key[2] for key in process.held} == {each.host_port for each in web.published}


async def test_ports_come_back_after_a_publication_that_could_not_start_the_process(
    ports, process, store
) -> None:
    await ports.publish(asking(store, WEB))
    process.die()
    process.broken = "no memory"
    with pytest.raises(InternalError, match="no memory"):
        await ports.publish(asking(store, PortRequest(80), name="db"))

    process.broken = ""

    await until(lambda: {key[2] for key in process.held} == {8080})


async def test_a_process_that_dies_is_started_anew_with_all_ports(
    ports, process, store, caplog
) -> None:
    await ports.publish(asking(store, WEB))
    await ports.publish(asking(store, PortRequest(80), name="db"))
    held = dict(process.held)

    process.die()

    await until(lambda: process.held == held)
    assert process.starts == 2
    assert "ended; starting it anew" in caplog.text


async def test_a_dead_process_is_noticed_by_the_next_publication(ports, process, store) -> None:
    await ports.publish(asking(store, WEB))
    process.die()

    await ports.publish(asking(store, PortRequest(80, host_port=8081), name="db"))

    assert {key[2] for key in process.held} == {8080, 8081}


async def test_a_process_that_dies_without_ports_stays_away_until_one_is_needed(
    ports, process, store
) -> None:
    await ports.withdraw(await ports.publish(asking(store, WEB)))
    process.calls.clear()
    process.die()
    await until(lambda: "close" in process.calls)

    assert process.starts == 1
    await ports.publish(asking(store, WEB))
    assert process.starts == 2


async def test_stopping_lets_the_process_go_on_unless_it_is_to_end(ports, process, store) -> None:
    await ports.publish(asking(store, WEB))

    await ports.stop(shutdown=False)
    assert (process.alive, len(process.held)) == (True, 1)

    await ports.start()
    await ports.stop(shutdown=True)
    assert not process.alive
