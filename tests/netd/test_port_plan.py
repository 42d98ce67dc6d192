"""Which ports of the host containers get."""

from ipaddress import ip_address

import pytest

from drivers.ports import Hold
from netd.errors import InternalError
from netd.model import Address, PortMapping
from netd.port_plan import ATTEMPTS, Choice, Claims, ephemeral_ports, host_end
from netd.port_wishes import Wish

V4, V6 = ip_address("0.0.0.0"), ip_address("::")
LOCAL = ip_address("127.0.0.1")
ONE = ip_address("192.0.2.1")
EPHEMERAL = range(32768, 32788)


def wish(
    port: int = 80,
    first: int = 0,
    last: int = 0,
    *addresses: Address,
    count: int = 1,
    protocol: str = "tcp",
) -> Wish:
    return Wish(port, protocol, count, first, last or first, addresses or (V4, V6))


def mapping(address: Address, host_port: int, port: int = 80, **more: object) -> PortMapping:
    return PortMapping(address, host_port, port, **more)


def taken(address: Address, host_port: int, owner: str = "container db", **more: object) -> Claims:
    return Claims(owner, [mapping(address, host_port, 5432, **more)])


def choice(
    *wishes: Wish,
    kept: tuple[PortMapping, ...] = (),
    others: tuple[Claims, ...] = (),
    start: int = 0,
) -> Choice:
    return Choice(wishes, kept, others, EPHEMERAL, start)


def numbers(chosen: Choice) -> list[int]:
    return list(
        {(each.port, each.host_port): each.host_port for each in chosen.mappings()}.values()
    )


def test_an_exact_port_is_published_at_each_address() -> None:
    assert choice(wish(80, 8080)).mappings() == (mapping(V4, 8080), mapping(V6, 8080))


def test_exact_ports_come_before_ranges_and_ranges_before_free_ones() -> None:
    chosen = choice(wish(80), wish(81, 32768, 32769), wish(82, 32768), wish(83, 8000, 8001))

    assert numbers(chosen) == [32770, 32769, 32768, 8000]


def test_a_free_port_is_looked_for_from_the_start_on_and_round() -> None:
    assert numbers(choice(wish(80), wish(81), start=19)) == [32787, 32768]
    assert numbers(choice(wish(80), start=23)) == [32771]


def test_ports_of_others_are_left_out_of_ranges_and_free_ones() -> None:
    others = (taken(V4, 8000), taken(LOCAL, 32768), taken(V6, 32769))

    assert numbers(choice(wish(80, 8000, 8010), wish(81), others=others)) == [8001, 32770]


def test_other_protocols_families_and_addresses_are_in_nobodys_way() -> None:
    others = (taken(V4, 8080, protocol="udp"), taken(V6, 8080), taken(ONE, 8080))

    assert numbers(choice(wish(80, 8080, 0, LOCAL), others=others)) == [8080]


def test_routed_ports_need_no_number_and_take_none() -> None:
    routed = Wish(80, "tcp", 1, 8080, 8080, routed=(V4,))

    chosen = choice(routed, wish(81, 8080), others=(taken(V4, 0),))

    assert chosen.mappings() == (mapping(V4, 0), mapping(V4, 8080, 81), mapping(V6, 8080, 81))


@pytest.mark.parametrize(
    ("asked", "other", "end"),
    [
        (wish(80, 8080), taken(V4, 8080), "0.0.0.0:8080"),
        (wish(80, 8080), taken(V6, 8080), "[::]:8080"),
        (wish(80, 8080), taken(LOCAL, 8080), "0.0.0.0:8080"),
        (wish(80, 8080, 0, LOCAL), taken(V4, 8080), "127.0.0.1:8080"),
        (wish(80, 8080, 0, LOCAL), taken(LOCAL, 8080), "127.0.0.1:8080"),
        (wish(80, 8000, count=10), taken(V4, 8005, count=10), "0.0.0.0:8005"),
        (wish(80, 8005, count=10), taken(V4, 8000, count=6), "0.0.0.0:8005"),
    ],
)
def test_an_exact_port_that_another_container_has_is_refused(
    asked: Wish, other: Claims, end: str
) -> None:
    with pytest.raises(InternalError) as refused:
        choice(asked, others=(other,)).mappings()

    words = f"Bind for {end} failed: port is already allocated (by container db)"
    assert str(refused.value) == words


def test_runs_that_only_touch_are_no_clash() -> None:
    others = (taken(V4, 8000, count=5), taken(V4, 8010))

    assert numbers(choice(wish(80, 8005, count=5), others=others)) == [8005]


def test_a_container_can_be_in_its_own_way() -> None:
    with pytest.raises(InternalError, match=r"already allocated \(by this container\)"):
        choice(wish(80, 8080), wish(81, 8080)).mappings()


def test_a_full_range_names_who_has_it() -> None:
    others = tuple(taken(V4, port, f"container c{port}") for port in range(8000, 8005))

    with pytest.raises(InternalError) as refused:
        choice(wish(80, 8000, 8004), others=others).mappings()

    assert str(refused.value) == (
        "Bind for 0.0.0.0:8000-8004 failed: all ports are allocated (8000 by container c8000, "
        "8001 by container c8001, 8002 by container c8002, ...)"
    )


def test_without_free_ports_there_is_an_error() -> None:
    others = (taken(V4, EPHEMERAL[0], count=len(EPHEMERAL)),)

    with pytest.raises(InternalError, match=r"^Bind for 0\.0\.0\.0 failed: all ephemeral ports"):
        choice(wish(80), others=others).mappings()


@pytest.mark.parametrize("asked", [wish(80), wish(80, 8000, 9000)])
def test_a_number_that_a_port_has_stays(asked: Wish) -> None:
    number = 32775 if not asked.first else 8500
    kept = (mapping(V4, number), mapping(V6, number))

    assert choice(wish(81), asked, kept=kept).mappings()[2:] == kept


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (wish(80, 8000, 8020), wish(80, 8010)),
        (wish(80), wish(80, 32768, 32770)),
        (wish(80, 8000, 8005), wish(80, 8003, 8010)),
        (wish(80, 8000, 8020), wish(80, 8010, 0, V4, LOCAL)),
        (wish(80, 0, 0, V4), wish(80, 32768, 32770, V4, V6)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_wishes_for_one_port_find_their_own_numbers_again(
    first: Wish, second: Wish, turned: bool
) -> None:
    both = (second, first) if turned else (first, second)
    given = choice(*both).mappings()

    assert choice(*both, kept=given).mappings() == given


def test_a_further_wish_for_a_port_leaves_the_others_their_number() -> None:
    kept = (mapping(V4, 32770),)

    chosen = choice(wish(80, 32768, 32770), wish(80, 0, 0, V4), kept=kept)

    assert chosen.mappings()[2:] == kept


def test_a_new_address_of_a_port_gets_the_number_that_the_others_have() -> None:
    kept = (mapping(V4, 32775),)

    assert choice(wish(80), kept=kept).mappings() == (*kept, mapping(V6, 32775))


def test_a_kept_number_is_refused_where_a_new_address_cannot_have_it() -> None:
    chosen = choice(wish(80), kept=(mapping(V4, 32775),), others=(taken(V6, 32775),))

    with pytest.raises(InternalError, match=r"^Bind for \[::\]:32775 failed: .* container db"):
        chosen.mappings()


@pytest.mark.parametrize(
    "had",
    [
        mapping(V4, 7000),
        mapping(V4, 8000, 81),
        mapping(V4, 8000, protocol="udp"),
        mapping(LOCAL, 8000),
    ],
)
def test_a_number_that_does_not_fit_the_wish_is_not_kept(had: PortMapping) -> None:
    assert numbers(choice(wish(80, 8001, 8010), kept=(had,))) == [8001]


def test_a_port_that_was_routed_gets_a_number() -> None:
    assert numbers(choice(wish(80), kept=(mapping(V4, 0),))) == [32768]


def test_a_range_goes_on_behind_each_port_that_the_kernel_refuses() -> None:
    chosen = choice(wish(80, 8000, 8020))
    for port in range(8000, 8020):
        assert numbers(chosen) == [port]
        assert chosen.refused(Hold("tcp", V6, port, dual=True), port, "nginx, pid 5")

    assert numbers(chosen) == [8020]


def test_a_range_whose_last_port_is_refused_names_all() -> None:
    chosen = choice(wish(80, 8000, 8001), others=(taken(V4, 8000),))
    chosen.mappings()
    chosen.refused(Hold("tcp", V6, 8001, dual=True), 8001, "nginx, pid 5")

    with pytest.raises(InternalError, match=r"8000 by container db, 8001 by nginx, pid 5\)$"):
        chosen.mappings()


def test_free_ports_are_tried_ten_times() -> None:
    chosen = choice(wish(80), wish(81))
    others = []
    for port in EPHEMERAL[:ATTEMPTS]:
        tried, _ = numbers(chosen)
        others.append(chosen.refused(Hold("tcp", V6, tried, dual=True), tried, "nginx, pid 5"))
        assert tried == port

    assert others == [True] * (ATTEMPTS - 1) + [False]


@pytest.mark.parametrize(
    ("asked", "kept"), [(wish(80, 8080), ()), (wish(80), (mapping(V4, 8080),))]
)
def test_an_exact_and_a_kept_number_have_no_other(
    asked: Wish, kept: tuple[PortMapping, ...]
) -> None:
    chosen = choice(asked, kept=kept)
    chosen.mappings()

    assert not chosen.refused(Hold("tcp", V6, 8080, dual=True), 8080, "nginx, pid 5")


def test_the_kernels_free_ports_are_its_range_without_the_reserved() -> None:
    assert ephemeral_ports("32768\t60999\n", "\n") == range(32768, 61000)
    assert ephemeral_ports("8000 8009", "8001,8003-8008,9999\n") == [8000, 8002, 8009]


def test_an_end_is_written_as_in_an_url() -> None:
    assert (host_end(LOCAL, 80), host_end(V6, "80-81")) == ("127.0.0.1:80", "[::]:80-81")
