"""Ports of a container that is there already: more of them, fewer of them, and mistakes."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from makers import container, endpoint, network, running
from msgspec.structs import replace

from netd.errors import ConflictError, InternalError, NotFoundError
from netd.events import Events
from netd.locks import Locks
from netd.model import Config, Container, HostConfig, PortMapping, PortRequest
from netd.publishing import Publishing
from netd.store import Store

FRONT = network()
WEB, TLS = PortRequest(80, host_port=8080), PortRequest(443, host_port=8443)
RUN = PortRequest(9000, host_port=19000, count=5)


class FakePublisher:
    """Publishes what is asked for, each at 0.0.0.0; or nothing at all."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = ""
        self.published: list[Container] = []

    async def publish(self, container: Container, /) -> Container:
        if self.broken:
            raise InternalError(self.broken)
        mappings = [
            PortMapping(ip_address("0.0.0.0"), each.host_port or 40000, each.port, each.protocol)
            for each in container.host.ports
        ]
        container = replace(container, published=tuple(mappings))
        self._store.containers.put(container)
        self.published.append(container)
        return container


@pytest.fixture
def publisher(store: Store) -> FakePublisher:
    return FakePublisher(store)


@pytest.fixture
def publishing(store: Store, publisher: FakePublisher) -> Publishing:
    store.networks.put(FRONT)
    return Publishing(store, Events(), Locks(), publisher)


def made(store: Store, *ports: PortRequest, **host: object) -> Container:
    front = endpoint(FRONT, "10.0.0.2/24")
    container_ = running(container("web", front, host=HostConfig(ports=ports, **host)))
    store.containers.put(container_)
    return container_


def stored(store: Store) -> Container:
    found = store.containers.named("web")
    assert found is not None
    return found


async def test_a_further_port_of_a_running_container_is_published_at_once(
    store: Store, publishing: Publishing, publisher: FakePublisher
) -> None:
    made(store, WEB)

    after = await publishing.add("web", [TLS])

    assert [each.host_port for each in after.published] == [8080, 8443]
    assert stored(store).host.ports == (WEB, TLS)
    assert stored(store).config.exposed_ports == ("80/tcp", "443/tcp")


async def test_the_same_port_again_changes_nothing(store: Store, publishing: Publishing) -> None:
    made(store, WEB)

    await publishing.add("web", [WEB])

    assert stored(store).host.ports == (WEB,)


async def test_a_container_that_does_not_run_gets_its_ports_when_it_starts(
    store: Store, publishing: Publishing, publisher: FakePublisher
) -> None:
    store.containers.put(container("web", endpoint(FRONT)))

    await publishing.add("web", [WEB])

    assert stored(store).host.ports == (WEB,)
    assert publisher.published == []


async def test_a_port_that_cannot_be_had_leaves_all_as_it_was(
    store: Store, publishing: Publishing, publisher: FakePublisher
) -> None:
    before = made(store, WEB)
    publisher.broken = "port is already allocated"

    with pytest.raises(InternalError, match="already allocated"):
        await publishing.add("web", [TLS])

    assert stored(store) == before


@pytest.mark.parametrize(
    ("published", "removed", "left"),
    [
        ([WEB, TLS], [PortRequest(80)], [TLS]),
        ([WEB, TLS], [WEB], [TLS]),
        ([WEB, replace(WEB, host_port=8081)], [PortRequest(80)], []),
        ([WEB, replace(WEB, host_port=8081)], [WEB], [replace(WEB, host_port=8081)]),
        ([RUN], [PortRequest(9000)], [PortRequest(9001, host_port=19001, count=4)]),
        (
            [RUN],
            [PortRequest(9002)],
            [replace(RUN, count=2), PortRequest(9003, host_port=19003, count=2)],
        ),
        ([RUN], [replace(RUN, count=5)], []),
        ([WEB, replace(WEB, protocol="udp")], [WEB], [replace(WEB, protocol="udp")]),
        (
            [replace(WEB, host_address=ip_address("127.0.0.1")), WEB],
            [replace(WEB, host_address=ip_address("127.0.0.1"))],
            [WEB],
        ),
        ([WEB, TLS], [PortRequest(80), PortRequest(443)], []),
    ],
)
async def test_ports_are_taken_away_and_the_others_stay(
    store: Store,
    publishing: Publishing,
    published: Sequence[PortRequest],
    removed: Sequence[PortRequest],
    left: Sequence[PortRequest],
) -> None:
    made(store, *published)

    await publishing.remove("web", removed)

    assert stored(store).host.ports == tuple(left)


async def test_a_port_that_the_daemon_picked_is_taken_away_by_its_number(
    store: Store, publishing: Publishing
) -> None:
    made(store)
    await publishing.add("web", [PortRequest(80)])

    await publishing.remove("web", [PortRequest(80, host_port=40000)])

    assert stored(store).host.ports == ()


async def test_of_all_exposed_ports_one_is_taken_away(store: Store, publishing: Publishing) -> None:
    before = made(store, publish_all=True)
    config = Config(image="demo", exposed_ports=("80/tcp", "53/udp"))
    store.containers.put(replace(before, config=config))

    await publishing.remove("web", [PortRequest(80)])

    assert stored(store).host == HostConfig(ports=(PortRequest(53, "udp"),))


@pytest.mark.parametrize(
    "request_", [PortRequest(81), PortRequest(80, "udp"), PortRequest(80, host_port=9)]
)
async def test_a_port_that_is_not_published_is_an_error_and_none_goes(
    store: Store, publishing: Publishing, request_: PortRequest
) -> None:
    before = made(store, WEB, TLS)

    with pytest.raises(NotFoundError, match=f"web does not publish .*{request_.port}/"):
        await publishing.remove("web", [TLS, request_])

    assert stored(store) == before


async def test_a_container_on_the_hosts_network_publishes_nothing(
    store: Store, publishing: Publishing
) -> None:
    host = network("host", driver="host", subnets=())
    store.networks.put(host)
    store.containers.put(running(container("web", endpoint(host))))

    with pytest.raises(ConflictError, match="web is on the host's network"):
        await publishing.add("web", [WEB])


async def test_a_container_that_is_not_there_is_an_error(publishing: Publishing) -> None:
    with pytest.raises(NotFoundError, match="nope"):
        await publishing.add("nope", [WEB])


async def test_ports_are_taken_away_whatever_an_image_calls_its_own(
    store: Store, publishing: Publishing
) -> None:
    before = made(store, WEB, publish_all=True)
    config = Config(image="demo", exposed_ports=("9000", "8000-8002/tcp", "80/tcp"))
    store.containers.put(replace(before, config=config))

    await publishing.remove("web", [PortRequest(8001)])

    left = [(each.port, each.host_port) for each in stored(store).host.ports]
    assert sorted(left) == [(80, 8080), (8000, 0), (8002, 0), (9000, 0)]
