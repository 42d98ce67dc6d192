"""Addresses of one subnet: given, kept for their owners, given back."""

from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import ipam.leases
from ipam import (
    Address,
    AddressOutsideError,
    AddressTakenError,
    Leases,
    Subnet,
    SubnetExhaustedError,
)


def subnet(prefix: str, gateway: str = "", ip_range: str = "", **auxiliary: str) -> Subnet:
    return Subnet(
        ip_network(prefix),
        ip_address(gateway) if gateway else None,
        ip_network(ip_range) if ip_range else None,
        {name: ip_address(text) for name, text in auxiliary.items()},
    )


def all_of(leases: Leases) -> list[str]:
    """Take what is left, in the order it is given."""
    return [str(leases.allocate(f"owner {i}")) for i in range(leases.available)]


@pytest.mark.parametrize(
    ("of", "addresses"),
    [
        (subnet("10.0.0.0/29", "10.0.0.1"), [f"10.0.0.{i}" for i in (2, 3, 4, 5, 6)]),
        (subnet("10.0.0.0/29", "10.0.0.6"), [f"10.0.0.{i}" for i in (1, 2, 3, 4, 5)]),
        (subnet("10.0.0.0/29", nas="10.0.0.2"), [f"10.0.0.{i}" for i in (1, 3, 4, 5, 6)]),
        (subnet("10.0.0.0/30"), ["10.0.0.1", "10.0.0.2"]),
        (subnet("10.0.0.0/31"), ["10.0.0.0", "10.0.0.1"]),
        (subnet("10.0.0.0/31", "10.0.0.0"), ["10.0.0.1"]),
        (subnet("10.0.0.0/32"), ["10.0.0.0"]),
        (subnet("10.0.0.0/24", "10.0.0.1", "10.0.0.0/30"), ["10.0.0.2", "10.0.0.3"]),
        (
            subnet("10.0.0.0/24", "10.0.0.1", "10.0.0.252/30"),
            [f"10.0.0.{i}" for i in (252, 253, 254)],
        ),
        (subnet("fd00::/126", "fd00::1"), ["fd00::2", "fd00::3"]),
        (subnet("fd00::/127"), ["fd00::", "fd00::1"]),
        (subnet("fd00::/128"), ["fd00::"]),
    ],
)
def test_addresses_are_given_in_order_without_the_reserved_ones(
    of: Subnet, addresses: list[str]
) -> None:
    leases = Leases(of)

    assert all_of(leases) == addresses
    with pytest.raises(
        SubnetExhaustedError, match=f"no address is left in {of.ip_range or of.prefix}"
    ):
        leases.allocate("late")


def test_an_owner_gets_the_address_it_had() -> None:
    leases = Leases(subnet("10.0.0.0/24"))
    web = leases.allocate("web")
    leases.allocate("db")
    leases.release(web)
    leases.allocate("other")

    assert leases.allocate("web") == web


def test_an_owner_whose_address_was_taken_gets_another() -> None:
    leases = Leases(subnet("10.0.0.0/24"))
    web = leases.allocate("web")
    leases.release(web)
    leases.allocate("thief", web)

    assert leases.allocate("web") != web


def test_an_owner_with_two_addresses_gets_the_one_it_released_last() -> None:
    leases = Leases(subnet("10.0.0.0/24"))
    one, two = leases.allocate("web"), leases.allocate("web")
    leases.release(two)
    leases.release(one)

    assert leases.allocate("web") == one


def test_others_get_never_used_addresses_then_the_ones_released_longest_ago() -> None:
    leases = Leases(subnet("10.0.0.0/29"))
    for number in (4, 2):
        address = leases.allocate("gone", ip_address(f"10.0.0.{number}"))
        leases.release(address)

    given = [str(leases.allocate(f"new {i}")) for i in range(6)]

    assert given == [f"10.0.0.{i}" for i in (1, 3, 5, 6, 4, 2)]


def test_a_released_address_is_reused_last() -> None:
    leases = Leases(subnet("10.0.0.0/29"))
    taken = [leases.allocate(f"owner {i}") for i in range(6)]
    for address in reversed(taken):
        leases.release(address)

    assert [leases.allocate(f"new {i}") for i in range(6)] == taken[::-1]


def test_what_was_held_and_released_before_is_taken_up_again() -> None:
    first = Leases(subnet("10.0.0.0/29"))
    for owner in ("a", "b", "c"):
        first.allocate(owner)
    first.release(ip_address("10.0.0.2"))
    first.release(ip_address("10.0.0.1"))

    again = Leases(subnet("10.0.0.0/29"), first.held, first.released)

    assert (again.held, again.released) == (first.held, first.released)
    assert again.available == first.available == 5
    assert str(again.allocate("a")) == "10.0.0.1"
    assert [str(again.allocate(f"new {i}")) for i in range(4)] == [
        f"10.0.0.{i}" for i in (4, 5, 6, 2)
    ]


def test_a_released_address_that_is_held_again_counts_as_held() -> None:
    one = ip_address("10.0.0.1")

    leases = Leases(subnet("10.0.0.0/29"), {one: "web"}, [(one, "old"), (one, "older")])

    assert leases.released == [] and leases.available == 5


def test_a_held_address_outside_the_subnet_is_refused() -> None:
    with pytest.raises(
        AddressOutsideError, match=r"address fd00::1 is outside subnet 10\.0\.0\.0/29"
    ):
        Leases(subnet("10.0.0.0/29"), {ip_address("fd00::1"): "web"})


def test_a_wanted_address_is_given_also_outside_the_range() -> None:
    leases = Leases(subnet("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25"))
    wanted = ip_address("10.0.0.7")

    assert leases.allocate("web", wanted) == wanted
    assert leases.available == 127


def test_an_address_outside_the_range_is_not_given_to_who_wants_none() -> None:
    leases = Leases(subnet("10.0.0.0/24", "10.0.0.1", "10.0.0.128/25"))
    leases.release(leases.allocate("web", ip_address("10.0.0.7")))

    assert str(leases.allocate("web")) == "10.0.0.128"


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ("10.0.1.1", AddressOutsideError, "address 10.0.1.1 is outside subnet 10.0.0.0/24"),
        ("fd00::1", AddressOutsideError, "address fd00::1 is outside subnet 10.0.0.0/24"),
        ("10.0.0.0", AddressTakenError, "address 10.0.0.0 is the network address of 10.0.0.0/24"),
        (
            "10.0.0.255",
            AddressTakenError,
            "address 10.0.0.255 is the broadcast address of 10.0.0.0/24",
        ),
        ("10.0.0.1", AddressTakenError, "address 10.0.0.1 is the gateway of 10.0.0.0/24"),
        (
            "10.0.0.9",
            AddressTakenError,
            "address 10.0.0.9 is the auxiliary address nas of 10.0.0.0/24",
        ),
        ("10.0.0.2", AddressTakenError, "address 10.0.0.2 is in use by web"),
    ],
)
def test_a_wanted_address_that_cannot_be_had_is_told_with_the_reason(
    wanted: str, kind: type[Exception], message: str
) -> None:
    leases = Leases(subnet("10.0.0.0/24", "10.0.0.1", nas="10.0.0.9"))
    leases.allocate("web")

    with pytest.raises(kind) as caught:
        leases.allocate("other", ip_address(wanted))

    assert str(caught.value) == message
    assert len(leases.held) == 1


def test_releasing_again_or_what_nobody_has_changes_nothing() -> None:
    leases = Leases(subnet("10.0.0.0/24"))
    address = leases.allocate("web")
    for each in (address, address, ip_address("10.0.0.99"), ip_address("fd00::1")):
        leases.release(each)

    assert leases.released == [(address, "web")] and leases.available == 254


def test_a_64_is_served_at_once() -> None:
    leases = Leases(subnet("fd00::/64", "fd00::1"))

    assert str(leases.allocate("web")) == "fd00::2"
    assert leases.available == 2**64 - 3


def test_only_so_many_released_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipam.leases, "REMEMBERED", 3)
    leases = Leases(subnet("fd00::/64"))
    for number in range(10):
        leases.release(leases.allocate(f"owner {number}"))

    assert [str(address) for address, _ in leases.released] == ["fd00::8", "fd00::9", "fd00::a"]
    assert str(leases.allocate("owner 0")) == "fd00::b"
    assert str(leases.allocate("owner 8")) == "fd00::9"


def test_forgotten_addresses_are_given_again_when_all_others_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ipam.leases, "REMEMBERED", 2)
    leases = Leases(subnet("10.0.0.0/29"))
    for address in [leases.allocate(f"owner {number}") for number in range(6)]:
        leases.release(address)

    assert all_of(leases) == [f"10.0.0.{i}" for i in (1, 2, 3, 4, 5, 6)]


class LeaseMachine(RuleBasedStateMachine):
    """Any order of calls on a small subnet, beside a plain table of who has what."""

    def __init__(self) -> None:
        super().__init__()
        self.subnet = subnet("10.0.0.0/28", "10.0.0.1", "10.0.0.0/29", nas="10.0.0.3")
        self.reserved = {ip_address(f"10.0.0.{i}") for i in (0, 1, 3, 15)}
        self.dynamic = {ip_address(f"10.0.0.{i}") for i in (2, 4, 5, 6, 7)}
        self.leases = Leases(self.subnet)
        self.held: dict[Address, str] = {}
        self.gone: dict[Address, str] = {}  # oldest first
        self.last: dict[str, Address] = {}
        self.remembered = ipam.leases.REMEMBERED
        ipam.leases.REMEMBERED = 3

    def teardown(self) -> None:
        ipam.leases.REMEMBERED = self.remembered

    def took(self, address: Address, owner: str) -> None:
        assert address in self.subnet.prefix
        assert address not in self.reserved
        assert address not in self.held
        self.held[address] = owner
        self.gone.pop(address, None)

    @rule(owner=st.sampled_from("abc"))
    def allocate(self, owner: str) -> None:
        free = self.dynamic - self.held.keys()
        mine = self.last.get(owner)
        try:
            address = self.leases.allocate(owner)
        except SubnetExhaustedError:
            assert not free
            return
        assert address in free
        unused = free - self.gone.keys()  # never used, or forgotten
        if mine is not None and self.gone.get(mine) == owner:
            assert address == mine
        elif owner not in self.gone.values():
            assert address in unused or (not unused and address == next(iter(self.gone)))
        self.took(address, owner)

    @rule(owner=st.sampled_from("abc"), number=st.integers(0, 17))
    def allocate_wanted(self, owner: str, number: int) -> None:
        wanted = IPv4Address(0x0A000000 + number)
        try:
            self.took(self.leases.allocate(owner, wanted), owner)
        except AddressOutsideError:
            assert number > 15
        except AddressTakenError:
            assert wanted in self.reserved or wanted in self.held

    @precondition(lambda self: self.held)
    @rule(choice=st.randoms(use_true_random=False))
    def release(self, choice) -> None:  # type: ignore[no-untyped-def]  # hypothesis's own Random
        address = choice.choice(sorted(self.held))
        self.leases.release(address)
        owner = self.held.pop(address)
        if address in self.dynamic:
            self.gone[address] = owner
            self.last[owner] = address
            if len(self.gone) > 3:
                del self.gone[next(iter(self.gone))]

    @rule()
    def restart(self) -> None:
        self.leases = Leases(self.subnet, self.leases.held, self.leases.released)

    @invariant()
    def table_and_leases_agree(self) -> None:
        assert self.leases.held == self.held
        assert list(self.leases.released) == list(self.gone.items())
        assert self.leases.available == len(self.dynamic - self.held.keys())


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
