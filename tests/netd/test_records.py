from ipaddress import ip_address
from pathlib import Path

from makers import container, endpoint, network, subnet
from msgspec.structs import replace

from netd.model import Config, HostConfig
from netd.records import endpoint_records, nameservers, snapshot, view
from netd.store import Store

HOSTS = (ip_address("192.0.2.53"),)


def test_a_container_answers_to_its_name_aliases_short_id_and_hostname() -> None:
    config = Config(image="demo", hostname="w1")
    web = container("web", endpoint(network(), "10.0.0.2/24", aliases=("www",)), config=config)

    records = endpoint_records(web, web.endpoints[0])

    assert records.names == ("web", "www", web.short_id, "w1")
    assert records.addresses == (ip_address("10.0.0.2"),)
    assert records.ptr == "web.front"


def test_foreign_names_go_to_the_hosts_servers_or_the_users(store: Store) -> None:
    front = network()
    store.networks.put(front)
    web = container("web", endpoint(front, "10.0.0.2/24"))
    own = replace(web, host=HostConfig(dns=("192.0.2.9",)))

    assert view(web, store, HOSTS).upstreams == ((ip_address("192.0.2.53"), 53),)
    assert view(own, store, HOSTS).upstreams == ((ip_address("192.0.2.9"), 53),)


def test_nothing_leaves_an_internal_network_but_to_a_server_on_it(store: Store) -> None:
    inside = network("inside", subnet("10.5.0.0/24", "10.5.0.1"), internal=True)
    store.networks.put(inside)
    dns = HostConfig(dns=("192.0.2.9", "10.5.0.53"))
    web = container("web", endpoint(inside, "10.5.0.2/24"))

    assert view(web, store, HOSTS).upstreams == ()
    assert view(replace(web, host=dns), store, HOSTS).upstreams == ((ip_address("10.5.0.53"), 53),)


def test_a_way_out_on_a_second_network_opens_forwarding(store: Store) -> None:
    inside, front = network("inside", internal=True), network()
    for net in (inside, front):
        store.networks.put(net)
    web = container("web", endpoint(inside, "10.5.0.2/24"), endpoint(front, "10.0.0.2/24"))

    assert view(web, store, HOSTS).networks == (inside.id, front.id)
    assert view(web, store, HOSTS).upstreams != ()


def test_the_snapshot_holds_what_runs_and_nothing_else(store: Store) -> None:
    front = network()
    store.networks.put(front)
    store.containers.put(container("web", endpoint(front, "10.0.0.2/24")))
    store.containers.put(container("stopped", endpoint(front)))

    taken = snapshot(store, HOSTS)

    assert [each.name for each in taken.networks] == ["front"]
    assert [each.ptr for each in taken.endpoints] == ["web.front"]
    assert len(taken.views) == 1


def test_nameservers_are_the_first_three_that_make_sense(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# x\nnameserver no\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver\n"
    )

    assert [str(each) for each in nameservers(file)] == ["192.0.2.1", "fe80::1%eth0"]
    assert nameservers(tmp_path / "missing") == ()
