from ipaddress import ip_address

import pytest
from makers import container, endpoint, network, subnet

from netd.addresses import Addresses, check_static
from netd.errors import ForbiddenError, InvalidError, UnavailableError
from netd.model import EndpointRequest, Network
from netd.store import Store

ANY = EndpointRequest()


def texts(addresses: object) -> list[str]:
    return [str(each) for each in addresses]


def test_a_dual_stack_network_gives_one_address_of_each_family(store: Store) -> None:
    front = network("front", subnet(), subnet("fd00::/64", "fd00::1"))

    given = Addresses(store).allocate(front, "web", ANY)

    assert texts(given) == ["10.0.0.2/24", "fd00::2/64"]


def test_addresses_of_running_containers_are_not_given_again_after_a_restart(
    store: Store,
) -> None:
    front = network()
    store.containers.put(container("web", endpoint(front, "10.0.0.2/24")))

    assert texts(Addresses(store).allocate(front, "cli", ANY)) == ["10.0.0.3/24"]


def test_a_name_gets_its_address_back_even_after_a_restart(store: Store) -> None:
    front = network()
    first = Addresses(store)
    web = first.allocate(front, "web", ANY)
    first.release(front, "web", web)

    second = Addresses(store)

    assert texts(second.allocate(front, "cli", ANY)) == ["10.0.0.3/24"]
    assert second.allocate(front, "web", ANY) == web


def test_a_static_address_is_reserved_while_its_container_exists(store: Store) -> None:
    front = network()
    addresses = Addresses(store)
    wanted = EndpointRequest(ipv4=ip_address("10.0.0.9"))
    addresses.reserve(front, "web", wanted)

    with pytest.raises(ForbiddenError, match="Address already in use"):
        addresses.reserve(front, "cli", wanted)
    assert texts(addresses.allocate(front, "web", wanted)) == ["10.0.0.9/24"]

    addresses.unreserve(front, "web", wanted)
    addresses.reserve(front, "cli", wanted)


def test_a_full_subnet_says_so_and_gives_nothing_of_the_other_family(store: Store) -> None:
    tiny = network("tiny", subnet("fd00::/64", "fd00::1"), subnet("10.0.0.0/30", "10.0.0.1"))
    addresses = Addresses(store)
    addresses.allocate(tiny, "one", ANY)

    with pytest.raises(UnavailableError, match="tiny"):
        addresses.allocate(tiny, "two", ANY)

    assert addresses.in_use(tiny, tiny.subnets[0].prefix) == 1


def test_releasing_may_be_repeated_and_takes_nothing_of_others(store: Store) -> None:
    front = network()
    addresses = Addresses(store)
    web = addresses.allocate(front, "web", ANY)

    addresses.release(front, "cli", web)

    assert addresses.in_use(front, front.subnets[0].prefix) == 1
    addresses.release(front, "web", web)
    addresses.release(front, "web", web)
    assert addresses.in_use(front, front.subnets[0].prefix) == 0


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (network("front", subnet(chosen=True)), "no configured subnet"),
        (network("front", subnet()), "user configured subnets"),
    ],
)
def test_an_address_that_cannot_be_had_is_named(net: Network, said: str) -> None:
    with pytest.raises(InvalidError, match=said) as caught:
        check_static(net, EndpointRequest(ipv4=ip_address("10.9.9.9")))

    assert "10.9.9.9" in str(caught.value)
