from ipaddress import ip_address
from pathlib import Path

import pytest

from netd.config import daemon_config
from netd.errors import InvalidError


def test_without_settings_the_folders_are_the_systems() -> None:
    config = daemon_config({}, {})

    assert config.data_root == Path("/var/lib/netd")
    assert config.host == Path("/run/netd/netd.sock")


def test_the_socket_and_pidfile_follow_the_run_folder() -> None:
    config = daemon_config({"exec-root": "/tmp/x"}, {})

    assert config.host == Path("/tmp/x/netd.sock")
    assert config.pidfile == Path("/tmp/x/netd.pid")


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "netd.toml"
    file.write_text('mtu = 1300\nlog-level = "debug"\ndata-root = "/file"\n')
    environment = {"NETD_MTU": "1400", "NETD_DATA_ROOT": "/environment"}

    config = daemon_config({"data-root": "/flag"}, environment, file)

    assert (config.data_root, config.mtu, config.log_level) == (Path("/flag"), 1400, "debug")


def test_lists_come_from_the_file_as_arrays_and_from_the_environment_as_words(
    tmp_path: Path,
) -> None:
    file = tmp_path / "netd.toml"
    file.write_text('dns = ["192.0.2.1"]\n')

    from_file = daemon_config({}, {}, file)
    from_environment = daemon_config({}, {"NETD_DNS": "192.0.2.1 2001:db8::1"}, file)

    assert from_file.dns == (ip_address("192.0.2.1"),)
    assert from_environment.dns == (ip_address("192.0.2.1"), ip_address("2001:db8::1"))


def test_the_address_of_published_ports_and_the_firewall_are_left_open() -> None:
    config = daemon_config({}, {})

    assert (config.ip, config.firewall_backend) == (None, "")


def test_the_address_of_published_ports_and_the_firewall_are_taken_from_all_places(
    tmp_path: Path,
) -> None:
    file = tmp_path / "netd.toml"
    file.write_text('ip = "192.0.2.1"\nfirewall-backend = "iptables"\n')

    from_file = daemon_config({}, {}, file)
    from_environment = daemon_config({}, {"NETD_IP": "::1"}, file)
    from_flag = daemon_config(
        {"firewall-backend": "nftables"}, {"NETD_FIREWALL_BACKEND": "iptables"}, file
    )

    assert (from_file.ip, from_file.firewall_backend) == (ip_address("192.0.2.1"), "iptables")
    assert from_environment.ip == ip_address("::1")
    assert from_flag.firewall_backend == "nftables"


def test_all_mistakes_are_told_at_once() -> None:
    flags = {
        "mtu": "99999",
        "dns": ["nowhere"],
        "data-root": "relative",
        "host": "tcp://0.0.0.0:1",
        "log-level": "loud",
        "firewall-backend": "bricks",
        "ip": "10.0.0.256",
        "default-address-pool": ["base=10.0.0.0/8"],
    }

    with pytest.raises(InvalidError) as caught:
        daemon_config(flags, {})

    for value in ("99999", "nowhere", "relative", "tcp://0.0.0.0:1", "loud", "base=10.0.0.0/8"):
        assert value in str(caught.value)
    assert "firewall-backend must be one of iptables, nftables: 'bricks'" in str(caught.value)
    assert "ip is not an address: '10.0.0.256'" in str(caught.value)


@pytest.mark.parametrize("value", [["192.0.2.1", "192.0.2.2"], 5, "fe80::1%eth0"])
def test_published_ports_have_one_plain_address(value: object) -> None:
    with pytest.raises(InvalidError, match="ip "):
        daemon_config({"ip": value}, {})


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "netd.toml"
    file.write_text("dat-root = '/x'\n")

    with pytest.raises(InvalidError, match="dat-root"):
        daemon_config({}, {}, file)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"missing\.toml"):
        daemon_config({"config-file": tmp_path / "missing.toml"}, {})


def test_a_socket_path_longer_than_the_kernel_takes_is_refused() -> None:
    with pytest.raises(InvalidError, match="107"):
        daemon_config({"host": f"unix:///{'x' * 107}"}, {})
