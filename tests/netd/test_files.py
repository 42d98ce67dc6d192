import os
from ipaddress import ip_address
from pathlib import Path

from makers import container, endpoint, network

from netd import files
from netd.model import Config, HostConfig

HOST = "nameserver 192.0.2.53\nsearch lan example.org\noptions timeout:2\n"


def test_hosts_names_the_container_with_each_of_its_addresses() -> None:
    web = container(
        "web",
        endpoint(network(), "10.0.0.2/24", "fd00::2/64"),
        config=Config(image="demo", hostname="w", domainname="example.org"),
    )

    assert files.hosts(web, ()).splitlines()[-2:] == [
        "10.0.0.2\tw.example.org w",
        "fd00::2\tw.example.org w",
    ]


def test_hosts_carries_what_the_user_added_and_knows_the_host() -> None:
    host = HostConfig(extra_hosts=("db:192.0.2.7", "outside:host-gateway", "six:[2001:db8::1]"))
    gateways = (ip_address("172.17.0.1"), ip_address("fd00::1"))

    text = files.hosts(container("web", host=host), gateways)

    for line in ("192.0.2.7\tdb", "172.17.0.1\toutside", "fd00::1\toutside", "2001:db8::1\tsix"):
        assert f"{line}\n" in text


def test_resolv_conf_names_the_embedded_server_and_keeps_the_hosts_search_list() -> None:
    text = files.resolv_conf(container("web", endpoint(network(), "10.0.0.2/24")), HOST)

    assert text.splitlines()[1:] == [
        "nameserver 127.0.0.11",
        "search lan example.org",
        "options timeout:2 ndots:0",
    ]


def test_resolv_conf_on_the_hosts_network_is_the_hosts() -> None:
    text = files.resolv_conf(container("web", endpoint(network("host"))), HOST)

    assert text.splitlines()[1:] == [
        "nameserver 192.0.2.53",
        "search lan example.org",
        "options timeout:2",
    ]


def test_the_users_resolver_settings_win() -> None:
    host = HostConfig(dns=("192.0.2.9",), dns_search=(".",), dns_options=("ndots:2",))
    web = container("web", endpoint(network(), "10.0.0.2/24"), host=host)
    bare = container("web", endpoint(network("none")), host=host)

    assert files.resolv_conf(web, HOST).splitlines()[1:] == [
        "nameserver 127.0.0.11",
        "options ndots:2",
    ]
    assert "nameserver 192.0.2.9\n" in files.resolv_conf(bare, HOST)


def test_a_file_that_is_mounted_already_is_rewritten_in_place(tmp_path: Path) -> None:
    files.write(container("web"), tmp_path, ())
    before = (tmp_path / "hosts").stat().st_ino

    files.write(container("web", endpoint(network(), "10.0.0.2/24")), tmp_path, ())

    assert (tmp_path / "hosts").stat().st_ino == before
    assert "10.0.0.2" in (tmp_path / "hosts").read_text()


def test_a_shorter_text_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    web = container("web", endpoint(network(), "10.0.0.2/24", "fd00::2/64"))
    files.write(web, tmp_path, ())

    files.write(container("web"), tmp_path, ())

    assert (tmp_path / "hosts").read_text() == files.hosts(container("web"), ())


def test_a_file_that_stays_the_same_is_not_written_again(tmp_path: Path) -> None:
    files.write(container("web"), tmp_path, ())
    os.utime(tmp_path / "hosts", ns=(1, 1))

    files.write(container("web"), tmp_path, ())

    assert (tmp_path / "hosts").stat().st_mtime_ns == 1
