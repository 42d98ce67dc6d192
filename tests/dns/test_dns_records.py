from dataclasses import replace
from ipaddress import ip_address

import pytest

from dns.control import ControlError, EndpointRecords, NetworkRecords, Snapshot
from dns.records import AAAA, PTR, A, Records, wire_name

FRONT = NetworkRecords("front", "Front")
WEB = EndpointRecords("e1", "front", ("web", "WWW"), (ip_address("10.0.0.2"),), "web.front")


def key(name: str) -> bytes:
    wire = wire_name(name)
    assert wire is not None
    return wire.lower()


def addresses(records: Records, name: str, *networks: str, kind: int = A) -> list[str] | None:
    entry = records.entry(networks, key(name))
    if entry is None:
        return None
    size = 4 if kind == A else 16
    return [str(ip_address(record[-size:])) for record in entry.answers(kind)]


@pytest.mark.parametrize(
    "name", ["web", "WEB", "www", "web.Front", "web.front", "Www.FRONT", "web.front."]
)
def test_each_name_is_known_plain_and_qualified_in_any_case(name: str) -> None:
    records = Records()
    records.put_network(FRONT)
    records.put_endpoint(WEB)

    assert addresses(records, name, "front") == ["10.0.0.2"]


def test_names_of_networks_that_are_not_shared_are_unknown(records: Records) -> None:
    assert addresses(records, "db", "front") is None
    assert addresses(records, "db", "back") == ["10.2.0.4"]
    assert addresses(records, "db", "elsewhere") is None


def test_a_holder_on_several_networks_has_its_addresses_in_the_order_of_the_view(
    records: Records,
) -> None:
    answers = {tuple(addresses(records, "web", "front", "back") or ()) for _ in range(50)}
    others = {tuple(addresses(records, "web", "back", "front") or ()) for _ in range(50)}

    assert answers == {("10.1.0.2", "10.2.0.2")}
    assert others == {("10.2.0.2", "10.1.0.2")}


def test_several_holders_are_all_answered_in_changing_order(records: Records) -> None:
    answers = {tuple(addresses(records, "www", "front") or ()) for _ in range(100)}

    assert answers == {("10.1.0.2", "10.1.0.3"), ("10.1.0.3", "10.1.0.2")}


def test_a_name_without_the_asked_family_is_known_but_has_no_answer(records: Records) -> None:
    assert addresses(records, "api", "front", kind=AAAA) == []
    assert addresses(records, "web", "front", kind=AAAA) == ["fd01::2"]


def test_reverse_names_of_both_families_lead_to_the_ptr_name(records: Records) -> None:
    for address in ("10.1.0.2", "fd01::2"):
        entry = records.entry(("front",), key(ip_address(address).reverse_pointer))

        assert entry is not None
        assert [each[12:] for each in entry.answers(PTR)] == [wire_name("web.front")]
    assert records.entry(("back",), key("2.0.1.10.in-addr.arpa")) is None


def test_a_removed_endpoint_leaves_the_other_holders_names(records: Records) -> None:
    records.remove_endpoint("e1")
    records.remove_endpoint("e1")

    assert addresses(records, "web", "front") is None
    assert addresses(records, "www", "front") == ["10.1.0.3"]
    assert records.entry(("front",), key("2.0.1.10.in-addr.arpa")) is None


def test_a_replaced_endpoint_loses_its_former_names(records: Records) -> None:
    records.put_endpoint(replace(WEB, names=("new",)))

    assert addresses(records, "0123456789ab", "front") is None
    assert addresses(records, "new.front", "front") == ["10.0.0.2"]


def test_a_renamed_network_renames_the_qualified_names(records: Records) -> None:
    records.put_network(NetworkRecords("front", "edge"))

    assert addresses(records, "api.front", "front") is None
    assert addresses(records, "api.edge", "front") == ["10.1.0.3"]


def test_a_removed_network_takes_its_endpoints_along(records: Records) -> None:
    records.remove_network("front")
    records.remove_network("front")
    records.put_network(FRONT)

    assert addresses(records, "api", "front") is None
    assert addresses(records, "web", "front", "back") == ["10.2.0.2"]


def test_an_endpoint_without_its_network_is_refused_and_changes_nothing(records: Records) -> None:
    stray = replace(WEB, network="nowhere")

    with pytest.raises(ControlError, match="nowhere"):
        records.replace(Snapshot((FRONT,), (stray,)))
    with pytest.raises(ControlError, match="e1"):
        records.put_endpoint(stray)

    assert addresses(records, "web", "front") == ["10.1.0.2"]


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "a\0b", "\ud800", ".".join("a" * 130)])
def test_what_no_question_can_hold_is_no_name(name: str) -> None:
    assert wire_name(name) is None


def test_such_names_are_left_out_and_the_others_of_the_endpoint_kept() -> None:
    records = Records()
    records.put_network(FRONT)
    records.put_endpoint(replace(WEB, names=("x" * 64, "", "web", "web", "WEB"), ptr=""))
    records.remove_endpoint("e1")
    records.put_endpoint(replace(WEB, names=("x" * 64, "", "web", "web", "WEB"), ptr=""))

    assert addresses(records, "web", "front") == ["10.0.0.2"]
    assert records.entry(("front",), key("2.0.0.10.in-addr.arpa")) is None


def test_a_thousand_holders_of_one_name_are_put_and_asked_for() -> None:
    records = Records()
    records.put_network(FRONT)
    for number in range(1000):
        address = ip_address("10.0.0.0") + number
        records.put_endpoint(EndpointRecords(str(number), "front", ("www",), (address,), "p"))

    assert len(addresses(records, "www", "front") or ()) == 1000
