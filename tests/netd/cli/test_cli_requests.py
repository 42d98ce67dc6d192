"""Flags turned into the bodies of requests."""

from pathlib import Path

import pytest

from netd.cli.create_request import create_body
from netd.cli.daemon import DaemonOptions, given
from netd.cli.errors import CliError
from netd.cli.execs import ExecOptions, exec_body
from netd.cli.mount_words import binds, mounts, tmpfs
from netd.cli.network_words import network_word, pairs, pools
from netd.cli.networks import CreateOptions
from netd.cli.networks import create_body as network_body
from netd.cli.run_options import ContainerOptions


def body(*, detach: bool = False, **words: object) -> dict[str, object]:
    options = ContainerOptions(image="demo", **words)  # type: ignore[arg-type]
    return create_body(options, detach=detach, console=(24, 80), environment={"HOME": "/root"})


def test_a_plain_run_sends_only_what_it_must() -> None:
    assert body() == {
        "Image": "demo",
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {"NetworkMode": "default"},
    }


def test_every_flag_has_its_place() -> None:
    made = body(
        command=["sleep", "9"], entrypoint="", env=["A=1", "HOME", "NONE"], user="1:2",
        workdir="/w", hostname="h", label=["k=v", "bare"], tty=True, interactive=True,
        stop_signal="INT", stop_timeout=0, rm=True, privileged=True, cap_add=["NET_RAW"],
        cap_drop=["ALL"], read_only=True, init=True, memory="64m", memory_swap="-1", cpus="1.5",
        pids_limit=9, ulimit=["nofile=10:20", "core=0"], sysctl=["net.x=1"], shm_size="1m",
        dns=["10.0.0.1"], dns_search=["lab"], dns_option=["ndots:1"], add_host=["a:10.0.0.2"],
        tmpfs=["/t:size=1m", "/u"], volume=["/a:/b:ro"], expose=["80", "53/udp"],
        publish=["8080:80"], publish_all=True,
    )  # fmt: skip

    assert made == {
        "Image": "demo",
        "Cmd": ["sleep", "9"],
        "Entrypoint": [""],
        "Env": ["A=1", "HOME=/root"],
        "User": "1:2",
        "WorkingDir": "/w",
        "Hostname": "h",
        "Labels": {"k": "v", "bare": ""},
        "Tty": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "StopSignal": "INT",
        "StopTimeout": 0,
        "HostConfig": {
            "NetworkMode": "default",
            "AutoRemove": True,
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            "PublishAllPorts": True,
            "Binds": ["/a:/b:ro"],
            "Tmpfs": {"/t": "size=1m", "/u": ""},
            "Dns": ["10.0.0.1"],
            "DnsSearch": ["lab"],
            "DnsOptions": ["ndots:1"],
            "ExtraHosts": ["a:10.0.0.2"],
            "Privileged": True,
            "CapAdd": ["NET_RAW"],
            "CapDrop": ["ALL"],
            "Sysctls": {"net.x": "1"},
            "ReadonlyRootfs": True,
            "Init": True,
            "ShmSize": 1 << 20,
            "Memory": 64 << 20,
            "MemorySwap": -1,
            "NanoCpus": 1_500_000_000,
            "PidsLimit": 9,
            "Ulimits": [
                {"Name": "nofile", "Soft": 10, "Hard": 20},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "ConsoleSize": [24, 80],
        },
    }


def test_a_detached_container_has_no_streams_attached() -> None:
    made = body(detach=True, interactive=True)

    assert made["OpenStdin"] is True
    assert not {"StdinOnce", "AttachStdin", "AttachStdout"} & made.keys()


def test_short_flags_belong_to_the_first_network() -> None:
    made = body(network=["front", "name=back,ip=10.9.0.5"], network_alias=["web"], ip="10.8.0.5")

    assert made["HostConfig"] == {"NetworkMode": "front"}
    assert made["NetworkingConfig"] == {
        "EndpointsConfig": {
            "front": {"IPAMConfig": {"IPv4Address": "10.8.0.5"}, "Aliases": ["web"]},
            "back": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}},
        }
    }


def test_environment_files_come_before_flags(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# comment\n\nA=1\nHOME\nB=x y\n")

    assert body(env_file=[str(file)], env=["A=2"])["Env"] == ["A=1", "HOME=/root", "B=x y", "A=2"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"attach": ["stdlog"]}, "--attach 'stdlog'"),
        ({"env": ["=x"]}, "environment variable '=x'"),
        ({"env_file": ["/nowhere"]}, "cannot read '/nowhere'"),
        ({"network": ["front", "front"]}, "network front is given twice"),
        ({"network": ["name=front,ip=10.0.0.1"], "ip": "10.0.0.2"}, "network front: IPAMConfig"),
        ({"network": ["name=front,color=red"]}, "cannot read 'color=red'"),
        ({"network": ["alias=x"]}, "names no network"),
        ({"expose": ["http"]}, "--expose 'http'"),
        ({"publish": ["http:80"]}, "invalid hostPort: http"),
        ({"add_host": ["name"]}, "--add-host 'name'"),
        ({"cpus": "many"}, "--cpus 'many'"),
        ({"ulimit": ["nofile"]}, "--ulimit 'nofile'"),
        ({"volume": ["data:/x"]}, "-v 'data:/x' names no path"),
        ({"volume": ["/x"]}, "-v '/x' names no path"),
        ({"mount": ["type=disk,target=/x"]}, "type 'disk'"),
        ({"mount": ["type=bind,target=/x"]}, "needs a target, and a source"),
        ({"mount": ["colour=red"]}, "cannot read 'colour=red'"),
        ({"sysctl": ["=1"]}, "--sysctl '=1' has no key"),
    ],
)
def test_words_that_make_no_sense_are_named(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(CliError) as caught:
        body(**words)

    assert sentence in caught.value.message


def test_a_network_in_the_long_form_has_all_its_parts() -> None:
    name, settings = network_word(
        "name=front,alias=a,alias=b,ip=10.0.0.5,ip6=fd00::5,mac-address=02:00:00:00:00:01,"
        "gw-priority=7,driver-opt=k=v"
    )

    assert name == "front"
    assert settings == {
        "IPAMConfig": {"IPv4Address": "10.0.0.5", "IPv6Address": "fd00::5"},
        "MacAddress": "02:00:00:00:00:01",
        "Aliases": ["a", "b"],
        "GwPriority": 7,
        "DriverOpts": {"k": "v"},
    }


def test_gateways_ranges_and_addresses_go_to_their_subnet() -> None:
    assert pools(
        ["10.1.0.0/16", "fd00::/64"],
        ["fd00::1", "10.1.0.1"],
        ["10.1.5.0/24"],
        ["router=10.1.0.2"],
    ) == [
        {
            "Subnet": "10.1.0.0/16",
            "Gateway": "10.1.0.1",
            "IPRange": "10.1.5.0/24",
            "AuxiliaryAddresses": {"router": "10.1.0.2"},
        },
        {"Subnet": "fd00::/64", "Gateway": "fd00::1"},
    ]


@pytest.mark.parametrize("gateway", ["10.2.0.1", "nonsense"])
def test_what_fits_no_subnet_is_left_to_the_daemon(gateway: str) -> None:
    made = pools(["10.1.0.0/16"], [gateway], ["10.3.0.0/24"], ["a=9.9.9.9"])

    assert made == [
        {
            "Subnet": "10.1.0.0/16",
            "Gateway": gateway,
            "IPRange": "10.3.0.0/24",
            "AuxiliaryAddresses": {"a": "9.9.9.9"},
        }
    ]


def test_a_subnet_has_one_gateway() -> None:
    with pytest.raises(CliError, match="two values of Gateway"):
        pools(["10.1.0.0/16"], ["10.1.0.1", "10.1.0.2"], [], [])


def test_network_create_sends_all_its_flags() -> None:
    options = CreateOptions(name="front", subnet=["10.9.0.0/24"], internal=True, ipv6=True,
                            opt=["com.docker.network.driver.mtu=1400"], label=["lab"])  # fmt: skip

    assert network_body(options) == {
        "Name": "front",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": True,
        "Internal": True,
        "Attachable": False,
        "IPAM": {"Driver": "default", "Options": {}, "Config": [{"Subnet": "10.9.0.0/24"}]},
        "Options": {"com.docker.network.driver.mtu": "1400"},
        "Labels": {"lab": ""},
    }


def test_exec_sends_its_terminal_and_streams() -> None:
    options = ExecOptions(container="web", command=["sh"], interactive=True, tty=True, env=["A=1"])

    assert exec_body(options, (24, 80)) == {
        "Cmd": ["sh"],
        "Env": ["A=1"],
        "User": "",
        "WorkingDir": "",
        "Privileged": False,
        "Tty": True,
        "DetachKeys": "",
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "ConsoleSize": [24, 80],
    }


def test_host_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert binds(["./a:/b", "/c:/d:ro"]) == [f"{tmp_path}/a:/b", "/c:/d:ro"]


def test_mounts_are_read_in_words() -> None:
    assert mounts(["type=bind,src=/a,dst=/b,readonly", "type=tmpfs,target=/c,tmpfs-size=1m"]) == [
        {"Type": "bind", "Target": "/b", "Source": "/a", "ReadOnly": True},
        {"Type": "tmpfs", "Target": "/c", "TmpfsOptions": {"SizeBytes": 1 << 20}},
    ]
    assert tmpfs(["/a:size=1m", "/b"]) == {"/a": "size=1m", "/b": ""}


def test_pairs_may_hold_further_equal_signs() -> None:
    assert pairs(["a=b=c"], "--opt") == {"a": "b=c"}


def test_the_daemon_is_given_only_what_was_said() -> None:
    options = DaemonOptions(data_root="/d", dns=["10.0.0.1"], mtu=1400, firewall_backend="nftables")

    assert given(options) == {
        "data-root": "/d",
        "dns": ["10.0.0.1"],
        "mtu": 1400,
        "firewall-backend": "nftables",
    }
    assert given(options, "unix:///s")["host"] == "unix:///s"
