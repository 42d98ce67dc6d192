"""Which rules are about what was asked for, by name, id or the first digits of an id."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from makers import container, endpoint, network, running, subnet
from msgspec.structs import replace

from drivers.firewall import FirewallState, LiveRule
from netd.errors import InvalidError, NotFoundError
from netd.model import Container, Network, PortMapping
from netd.publications import firewall_state
from netd.rules import Rules
from netd.store import Store
from tests.netd.live_rules import KINDS

FRONT = network("front", subnet("10.7.0.0/24", "10.7.0.1"))
BACK = network("back", subnet("10.8.0.0/24", "10.8.0.1"))
HOST = network("host", driver="host", subnets=())
EVERYBODY = {""}


class FakeFirewall:
    """Has the rules of a state."""

    backend = "nftables"

    def __init__(self, state: FirewallState) -> None:
        self._state = state

    async def rules(self) -> Sequence[LiveRule]:
        return [*KINDS[self.backend](self._state)]

    def state(self) -> FirewallState:
        return self._state


def plumbed(name: str, net: Network, address: str, port: int) -> Container:
    end = replace(endpoint(net, address), host_interface=f"nd{name}")
    mapping = PortMapping(ip_address("0.0.0.0"), port, 80)
    return running(container(name, end, published=(mapping,)))


@pytest.fixture
def rules(store: Store) -> Rules:
    for net in (FRONT, BACK, HOST):
        store.networks.put(net)
    for made in (
        plumbed("web", FRONT, "10.7.0.2/24", 80),
        plumbed("db", BACK, "10.8.0.2/24", 81),
        plumbed("cli", FRONT, "10.7.0.3/24", 82),
        running(container("bare", endpoint(HOST))),
    ):
        store.containers.put(made)
    return Rules(store, FakeFirewall(firewall_state(store.networks, store.containers)))


async def owners(rules: Rules, of: str) -> tuple[set[str], set[str]]:
    """Return the networks and the containers of the rules that are shown."""
    found = await rules.shown(of)
    return {each.owner.network for each in found}, {each.owner.container for each in found}


async def test_all_rules_are_shown_unless_something_is_named(rules: Rules) -> None:
    assert rules.backend == "nftables"
    assert await owners(rules, "") == (
        EVERYBODY | {"front", "back"},
        EVERYBODY | {"web", "db", "cli"},
    )


@pytest.mark.parametrize("of", ["front", FRONT.id, FRONT.id[:9]])
async def test_a_network_has_its_rules_and_its_containers(rules: Rules, of: str) -> None:
    assert await owners(rules, of) == (EVERYBODY | {"front"}, EVERYBODY | {"web", "cli"})


@pytest.mark.parametrize("of", ["web", container("web").id, container("web").id[:9]])
async def test_a_container_has_its_rules_and_its_networks(rules: Rules, of: str) -> None:
    assert await owners(rules, of) == (EVERYBODY | {"front"}, EVERYBODY | {"web"})


@pytest.mark.parametrize("of", ["host", "bare"])
async def test_what_has_no_rules_is_shown_none(rules: Rules, of: str) -> None:
    assert await owners(rules, of) == (set(), set())


async def test_a_name_goes_before_the_digits_of_an_id(rules: Rules, store: Store) -> None:
    name = FRONT.id[:5]
    store.containers.put(container(name, endpoint(BACK)))

    assert await owners(rules, name) == (EVERYBODY | {"back"}, EVERYBODY)


async def test_a_network_goes_before_a_container_of_the_same_name(
    rules: Rules, store: Store
) -> None:
    store.containers.put(container("front", endpoint(BACK)))

    assert "front" in (await owners(rules, "front"))[0]


async def test_a_container_is_found_by_its_new_name(rules: Rules, store: Store) -> None:
    web = store.containers.find("web")
    store.containers.put(replace(web, name="site"))

    assert await owners(rules, "site") == (EVERYBODY | {"front"}, EVERYBODY | {"site"})


@pytest.mark.parametrize("of", ["nobody", "ffff"])
async def test_what_is_neither_is_named(rules: Rules, of: str) -> None:
    with pytest.raises(NotFoundError, match=f"^no such network or container: {of}$"):
        await rules.shown(of)


async def test_digits_of_several_are_refused(rules: Rules, store: Store) -> None:
    store.containers.put(container("web2"))

    with pytest.raises(InvalidError, match="multiple IDs found with provided prefix: 7765"):
        await rules.shown("7765")
