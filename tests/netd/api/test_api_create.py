"""POST /containers/create: what clients write becomes a request, or is refused by name."""

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from netd.model import ContainerRequest, EndpointRequest, HostConfig, Mount, Resources, Ulimit
from tests.netd.api.conftest import Api

# What docker CLI 28 sends for `docker run demo`: every key, most of them not set.
CLI_HOST: dict[str, Any] = {
    "Binds": None, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}},
    "NetworkMode": "default", "PortBindings": {}, "RestartPolicy": {"Name": "no",
    "MaximumRetryCount": 0}, "AutoRemove": False, "VolumeDriver": "", "VolumesFrom": None,
    "ConsoleSize": [0, 0], "CapAdd": None, "CapDrop": None, "CgroupnsMode": "", "Dns": [],
    "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None, "GroupAdd": None, "IpcMode": "",
    "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "", "Privileged": False,
    "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "",
    "UsernsMode": "", "ShmSize": 0, "Isolation": "", "CpuShares": 0, "Memory": 0, "NanoCpus": 0,
    "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": [], "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [], "BlkioDeviceReadIOps": [], "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
    "CpusetCpus": "", "CpusetMems": "", "Devices": [], "DeviceCgroupRules": None,
    "DeviceRequests": None, "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": -1,
    "OomKillDisable": False, "PidsLimit": 0, "Ulimits": [], "CpuCount": 0, "CpuPercent": 0,
    "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "MaskedPaths": None, "ReadonlyPaths": None,
}  # fmt: skip
CLI_BODY: dict[str, Any] = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": True,
    "AttachStderr": True, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": None,
    "Cmd": ["sh", "-c", "true"], "Image": "demo", "Volumes": {}, "WorkingDir": "",
    "Entrypoint": None, "OnBuild": None, "Labels": {}, "HostConfig": CLI_HOST,
    "NetworkingConfig": {"EndpointsConfig": {"default": {
        "IPAMConfig": None, "Links": None, "Aliases": None, "MacAddress": "", "DriverOpts": None,
        "NetworkID": "", "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0,
        "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "DNSNames": None,
    }}},
}  # fmt: skip


async def request_of(api: Api, body: dict[str, Any], query: str = "") -> ContainerRequest:
    """Create, and return what the containers' service was asked for."""
    answer = await api("POST", f"/v1.45/containers/create{query}", {"Image": "demo", **body})
    assert answer.status == 201, answer.body
    verb, asked = api.daemon.containers.calls[-1]
    assert verb == "create" and isinstance(asked, ContainerRequest)
    return asked


async def refusal(api: Api, body: dict[str, Any]) -> str:
    """Create, and return the sentence that refuses it."""
    answer = await api("POST", "/v1.45/containers/create", {"Image": "demo", **body})
    assert answer.status == 400, answer.body
    assert api.daemon.containers.calls == []
    return str(answer.message)


async def test_the_clients_full_body_sets_nothing(api: Api) -> None:
    asked = await request_of(api, CLI_BODY, "?name=web&platform=linux/amd64")

    assert asked.host == HostConfig()
    assert (asked.name, asked.platform) == ("web", "linux/amd64")
    assert asked.config.cmd == ("sh", "-c", "true")
    assert asked.config.entrypoint is None
    assert asked.endpoints == {"bridge": EndpointRequest()}


async def test_the_answer_has_the_id_and_the_warnings(api: Api) -> None:
    answer = await api("POST", "/containers/create?name=warned", {"Image": "demo"})

    (made,) = api.daemon.containers.rows
    assert answer.status == 201
    assert answer.json == {"Id": made, "Warnings": ["mind the gap"]}


async def test_every_field_of_config_is_taken(api: Api) -> None:
    asked = await request_of(
        api,
        {
            "Cmd": "one word", "Entrypoint": ["/entry", "x"], "Env": ["A=b", "EMPTY="],
            "User": "1:2", "WorkingDir": "/w", "Hostname": "h", "Domainname": "d",
            "Labels": {"l": "v"}, "Tty": True, "OpenStdin": True, "StdinOnce": True,
            "AttachStdin": True, "AttachStdout": True, "AttachStderr": True,
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "7-8": {}}, "StopSignal": "SIGINT",
            "StopTimeout": 0, "Healthcheck": {"Test": ["NONE"]},
        },
    )  # fmt: skip

    config = asked.config
    assert (config.cmd, config.entrypoint) == (("one word",), ("/entry", "x"))
    assert (config.env, config.user, config.working_dir) == (("A=b", "EMPTY="), "1:2", "/w")
    assert (config.hostname, config.domainname, config.labels) == ("h", "d", {"l": "v"})
    assert config.tty and config.open_stdin and config.stdin_once
    assert config.attach_stdin and config.attach_stdout and config.attach_stderr
    assert config.exposed_ports == ("80/tcp", "53/udp", "7/tcp", "8/tcp")
    assert (config.stop_signal, config.stop_timeout_s) == ("SIGINT", 0)


async def test_every_field_of_the_host_configuration_is_taken(api: Api) -> None:
    asked = await request_of(
        api,
        {"HostConfig": {
            "AutoRemove": True, "Dns": ["192.0.2.1"], "DnsSearch": ["s"], "DnsOptions": ["o"],
            "ExtraHosts": ["h:192.0.2.1", "g:host-gateway", "s:2001:db8::1"], "Privileged": True,
            "ReadonlyRootfs": True, "CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"], "GroupAdd": ["1"],
            "SecurityOpt": ["no-new-privileges"], "Sysctls": {"net.x": "1"}, "ShmSize": 1024,
            "OomScoreAdj": 5, "Runtime": "crun", "Init": True, "LogConfig": {"Type": "none"},
            "ConsoleSize": [24, 80], "Memory": 8 << 20, "MemoryReservation": 7 << 20,
            "MemorySwap": -1, "CpuShares": 2, "CpuPeriod": 3, "CpuQuota": 4, "CpusetCpus": "0",
            "CpusetMems": "1", "PidsLimit": 9,
            "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
        }},
    )  # fmt: skip

    assert asked.host == HostConfig(
        auto_remove=True, dns=("192.0.2.1",), dns_search=("s",), dns_options=("o",),
        extra_hosts=("h:192.0.2.1", "g:host-gateway", "s:2001:db8::1"), privileged=True,
        read_only_rootfs=True, cap_add=("NET_ADMIN",), cap_drop=("ALL",), group_add=("1",),
        security_opt=("no-new-privileges",), sysctls={"net.x": "1"}, shm_size=1024,
        oom_score_adj=5, runtime="crun", init=True, log_driver="none", console_size=(24, 80),
        resources=Resources(
            memory=8 << 20, memory_reservation=7 << 20, memory_swap=-1, cpu_shares=2,
            cpu_period=3, cpu_quota=4, cpuset_cpus="0", cpuset_mems="1", pids_limit=9,
            ulimits=(Ulimit("nofile", 1, 2),),
        ),
    )  # fmt: skip


async def test_mounts_are_taken_in_all_three_forms(api: Api, tmp_path: Path) -> None:
    asked = await request_of(
        api,
        {"HostConfig": {
            "Binds": ["/not/there/yet:/a:ro,rslave", "//tmp/../tmp:/b/"],
            "Tmpfs": {"/t": "size=1m,ro"},
            "Mounts": [
                {"Type": "bind", "Source": str(tmp_path), "Target": "/c", "ReadOnly": True,
                 "BindOptions": {"NonRecursive": True, "Propagation": "shared"}},
                {"Type": "tmpfs", "Target": "/d", "TmpfsOptions": {"SizeBytes": 9, "Mode": 0o1777}},
            ],
        }},
    )  # fmt: skip

    assert asked.host.mounts == (
        Mount("bind", "/a", "/not/there/yet", read_only=True, propagation="rslave"),
        Mount("bind", "/b", "/tmp"),
        Mount("tmpfs", "/t", read_only=True, options=("size=1m",)),
        Mount(
            "bind", "/c", str(tmp_path), read_only=True, options=("bind-nonrecursive",),
            propagation="shared",
        ),
        Mount("tmpfs", "/d", options=("size=9", "mode=1777")),
    )  # fmt: skip


NETWORKS: list[tuple[dict[str, Any], str, dict[str, EndpointRequest]]] = [
    ({}, "bridge", {}),
    ({"HostConfig": {"NetworkMode": "default"}}, "bridge", {}),
    ({"HostConfig": {"NetworkMode": "host"}}, "host", {}),
    ({"HostConfig": {"NetworkMode": "none"}}, "none", {}),
    (
        {"HostConfig": {"NetworkMode": "bridge"}, "MacAddress": "02:42:00:00:00:01"},
        "bridge",
        {"bridge": EndpointRequest(mac="02:42:00:00:00:01")},
    ),
    (
        # Compose gives an address twice; only the first counts.
        {
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkingConfig": {"EndpointsConfig": {"bridge": {
                "IPAMConfig": {"IPv4Address": "10.0.0.9", "IPv6Address": "fd00::9"},
                "IPAddress": "10.0.0.8", "Aliases": ["a", "b", "a"], "Links": ["x:y"],
                "MacAddress": "02:42:00:00:00:02", "DriverOpts": {"o": "1"}, "GwPriority": 7,
            }}},
        },
        "bridge",
        {"bridge": EndpointRequest(
            aliases=("a", "b"), ipv4=IPv4Address("10.0.0.9"), ipv6=IPv6Address("fd00::9"),
            mac="02:42:00:00:00:02", gateway_priority=7, driver_options={"o": "1"}, links=("x:y",),
        )},
    ),
    (
        {"NetworkingConfig": {"EndpointsConfig": {"default": {"Aliases": ["a"]}, "none2": None}}},
        "bridge",
        {"bridge": EndpointRequest(aliases=("a",)), "none2": EndpointRequest()},
    ),
    (
        # As low-level docker-py does: the named network takes the default one's place.
        {"NetworkingConfig": {"EndpointsConfig": {"none2": {}}}, "MacAddress": "02:42:00:00:00:01"},
        "none2",
        {"none2": EndpointRequest(mac="02:42:00:00:00:01")},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "mode", "endpoints"), NETWORKS)
async def test_networks_are_merged_from_all_places(
    api: Api, body: dict[str, Any], mode: str, endpoints: dict[str, EndpointRequest]
) -> None:
    await api("POST", "/networks/create", {"Name": "none2"})

    asked = await request_of(api, body)

    assert (asked.host.network_mode, asked.endpoints) == (mode, endpoints)


REFUSED: dict[str, Any] = {
    "Links": ["a:b"],
    "VolumesFrom": ["a"],
    "VolumeDriver": "nfs",
    "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x"}],
    "DeviceCgroupRules": ["c 1:3 mr"],
    "DeviceRequests": [{"Count": -1}],
    "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    "UsernsMode": "private",
    "PidMode": "host",
    "IpcMode": "container:x",
    "UTSMode": "host",
    "CgroupnsMode": "private",
    "Cgroup": "container:x",
    "CgroupParent": "/mine",
    "StorageOpt": {"size": "1G"},
    "Annotations": {"a": "b"},
    "OomKillDisable": True,
    "MemorySwappiness": 10,
    "KernelMemory": 1,
    "KernelMemoryTCP": 1,
    "BlkioWeight": 10,
    "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 10}],
    "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 10}],
    "CpuRealtimePeriod": 1,
    "Isolation": "hyperv",
    "MaskedPaths": [],
    "ReadonlyPaths": ["/proc"],
}


@pytest.mark.parametrize("field", REFUSED)
async def test_what_cannot_be_honoured_is_refused_by_name(api: Api, field: str) -> None:
    message = await refusal(api, {"HostConfig": {**CLI_HOST, field: REFUSED[field]}})

    assert message.startswith(f"netd does not support: HostConfig.{field} is ")
    assert str(REFUSED[field])[:20] in message


async def test_volumes_that_are_the_targets_of_mounts_are_taken(api: Api) -> None:
    mounts = {
        "Binds": ["/host:/bound:ro"],
        "Tmpfs": {"/scratch": ""},
        "Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/mounted"}],
    }
    volumes = {"/bound/": {}, "/scratch": {}, "/mounted": {}}

    asked = await request_of(api, {"Volumes": volumes, "HostConfig": mounts})

    assert {each.target for each in asked.host.mounts} == {"/bound", "/scratch", "/mounted"}


async def test_a_volume_beside_the_mounts_is_refused_alone(api: Api) -> None:
    body = {"Volumes": {"/a": {}, "/b": {}}, "HostConfig": {"Binds": ["/host:/a"]}}

    assert await refusal(api, body) == "netd does not support: Volumes is {'/b': {}}"


async def test_all_that_is_refused_is_said_at_once(api: Api) -> None:
    body = {"HostConfig": {"PidMode": "host", "Links": ["a"]}, "Volumes": {"/v": {}}}

    assert await refusal(api, body) == (
        "netd does not support: Volumes is {'/v': {}}; HostConfig.Links is ['a']; "
        "HostConfig.PidMode is 'host'"
    )


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"Image": ""}, "no image is named"),
    ({"WorkingDir": "rel"}, "the working directory 'rel' is invalid, it needs to be an absolute"),
    ({"Env": ["=x"]}, "invalid environment variable: '=x'"),
    ({"Hostname": "a b"}, "invalid hostname format: a b"),
    ({"ExposedPorts": {"99999/tcp": {}}}, "invalid exposed port: '99999/tcp'"),
    ({"NetworkDisabled": True}, "netd does not support: NetworkDisabled is True"),
    ({"Healthcheck": {"Test": ["CMD", "x"]}}, "netd does not support: Healthcheck is "),
    ({"Cmd": [1]}, "invalid JSON: Cmd[0]: expected str, got int"),
    ({"StopTimeout": 1 << 64}, "invalid JSON: StopTimeout: expected int <= 9223372036854775807"),
    ({"HostConfig": {"NetworkMode": "container:x"}}, "netd does not support: HostConfig.NetworkMo"),
    ({"HostConfig": {"Memory": 1024}}, "Minimum memory limit allowed is 6MB"),
    ({"HostConfig": {"Memory": -1}}, "invalid memory limits"),
    ({"HostConfig": {"MemorySwap": 8 << 20}}, "You should always set the Memory limit when using"),
    (
        {"HostConfig": {"Memory": 8 << 20, "MemorySwap": 7 << 20}},
        "Minimum memoryswap limit should be larger than memory limit",
    ),
    (
        {"HostConfig": {"Memory": 8 << 20, "MemoryReservation": 9 << 20}},
        "Minimum memory limit can not be less than memory reservation limit",
    ),
    (
        {"HostConfig": {"NanoCpus": 1, "CpuQuota": 1}},
        "Conflicting options: Nano CPUs and CPU Quota cannot both be set.",
    ),
    ({"HostConfig": {"NanoCpus": -1}}, "invalid nano cpus: -1"),
    ({"HostConfig": {"ShmSize": -1}}, "SHM size can not be less than 0"),
    ({"HostConfig": {"OomScoreAdj": 5000}}, "Invalid value 5000, range for oom score adj is"),
    ({"HostConfig": {"Dns": ["x"]}}, "invalid dns address: 'x'"),
    ({"HostConfig": {"ExtraHosts": ["x"]}}, "bad format for add-host: 'x'"),
    ({"HostConfig": {"ExtraHosts": ["x:y"]}}, "invalid add-host address: 'y'"),
    ({"HostConfig": {"LogConfig": {"Type": "syslog"}}}, "logger: no log driver named 'syslog' is"),
    (
        {"HostConfig": {"LogConfig": {"Type": "", "Config": {"max-size": "1m"}}}},
        "unknown log opt 'max-size' for json-file log driver",
    ),
    ({"HostConfig": {"Binds": ["data:/x"]}}, "volume 'data' for '/x': netd has no volumes"),
    ({"HostConfig": {"Binds": ["/x"]}}, "volume for '/x': netd has no volumes"),
    ({"HostConfig": {"Binds": ["/a:b"]}}, "invalid mount '/a:b': invalid mount path: 'b' mount pa"),
    ({"HostConfig": {"Binds": ["/a:/"]}}, "invalid mount '/a:/': destination can't be '/'"),
    ({"HostConfig": {"Binds": ["/a:/b:wx"]}}, "invalid mode 'wx' of bind '/a:/b:wx'"),
    ({"HostConfig": {"Binds": ["/a:/b:ro,rw"]}}, "invalid mode 'ro,rw' of bind"),
    ({"HostConfig": {"Binds": ["/a:/b"], "Tmpfs": {"/b/": ""}}}, "Duplicate mount point: /b"),
    (
        {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/x"}]}},
        'invalid mount config for type "bind": bind source path does not exist: /no/such',
    ),
    (
        {"HostConfig": {"Mounts": [{"Type": "bind", "Source": "rel", "Target": "/x"}]}},
        "invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be abso",
    ),
    (
        {"HostConfig": {"Mounts": [{"Type": "volume", "Source": "v", "Target": "/x"}]}},
        "invalid mount type 'volume' for '/x': netd has bind and tmpfs",
    ),
    (
        {"HostConfig": {"Mounts": [{"Type": "tmpfs", "Source": "v", "Target": "/x"}]}},
        'invalid mount config for type "tmpfs": field Source must not be specified: v',
    ),
    (
        {"HostConfig": {"Mounts": [
            {"Type": "bind", "Source": "/", "Target": "/x", "BindOptions": {"Propagation": "odd"}}
        ]}},
        "invalid propagation mode: odd",
    ),
    (
        {"HostConfig": {"NetworkMode": "host"},
         "NetworkingConfig": {"EndpointsConfig": {"bridge": {}}}},
        "container sharing network namespace with another container or host cannot be connected",
    ),
    (
        {"HostConfig": {"NetworkMode": "bridge"},
         "NetworkingConfig": {"EndpointsConfig": {"none": {}}}},
        "container cannot be connected to multiple networks with one of the networks in private",
    ),
    (
        {"HostConfig": {"NetworkMode": "host"}, "MacAddress": "02:42:00:00:00:01"},
        "conflicting options: mac-address and the network mode",
    ),
    (
        {"MacAddress": "02:42:00:00:00:01", "NetworkingConfig": {"EndpointsConfig": {
            "bridge": {"MacAddress": "02:42:00:00:00:02"}}}},
        "the container-wide MAC address must match the endpoint-specific MAC address",
    ),
    (
        {"NetworkingConfig": {"EndpointsConfig": {
            "front": {"IPAMConfig": {"IPv4Address": "fd00::1"}}}}},
        "invalid config for network front: invalid endpoint settings: invalid IPv4 address: fd00",
    ),
    (
        {"NetworkingConfig": {"EndpointsConfig": {
            "front": {"IPAMConfig": {"IPv6Address": "nonsense"}}}}},
        "invalid config for network front: invalid endpoint settings: invalid IPv6 address: nons",
    ),
    (
        {"NetworkingConfig": {"EndpointsConfig": {
            "front": {"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}}}},
        "invalid config for network front: invalid endpoint settings: link-local addresses cannot",
    ),
    (
        {"HostConfig": {"NetworkMode": "none"}, "NetworkingConfig": {"EndpointsConfig": {
            "none": {"Aliases": ["a"]}}}},
        "invalid config for network none: invalid endpoint settings: network-scoped alias is supp",
    ),
    (
        {"NetworkingConfig": {"EndpointsConfig": {"": {}}}},
        "NetworkingConfig.EndpointsConfig: a network's name is empty",
    ),
    ({"Domainname": "x\n192.0.2.1 bank"}, "invalid domainname format: x\n192.0.2.1 bank"),
    ({"HostConfig": {"DnsSearch": ["x\nnameserver 192.0.2.1"]}}, "invalid DNS search domain: 'x\\"),
    ({"HostConfig": {"DnsOptions": ["a b"]}}, "invalid DNS option: 'a b'"),
    ({"HostConfig": {"DnsOptions": [""]}}, "invalid DNS option: ''"),
    ({"HostConfig": {"ConsoleSize": [-1, 1]}}, "invalid JSON: HostConfig.ConsoleSize"),
    ({"HostConfig": {"ConsoleSize": [1, 65536]}}, "invalid JSON: HostConfig.ConsoleSize"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), INVALID)
async def test_what_makes_no_sense_is_refused_in_a_sentence(
    api: Api, body: dict[str, Any], message: str
) -> None:
    assert (await refusal(api, body)).startswith(message)


async def test_unmasked_paths_become_the_security_option_they_were(api: Api) -> None:
    asked = await request_of(api, {"HostConfig": {"MaskedPaths": [], "ReadonlyPaths": []}})

    assert asked.host.security_opt == ("systempaths=unconfined",)


async def test_a_mountpoint_may_be_made(api: Api) -> None:
    mount = {
        "Type": "bind", "Source": "/no/such", "Target": "/x",
        "BindOptions": {"CreateMountpoint": True},
    }  # fmt: skip

    asked = await request_of(api, {"HostConfig": {"Mounts": [mount]}})

    assert asked.host.mounts == (Mount("bind", "/x", "/no/such"),)


async def test_an_unknown_image_is_not_found(api: Api) -> None:
    answer = await api("POST", "/containers/create", {"Image": "nosuch"})

    assert (answer.status, answer.message) == (404, "No such image: nosuch:latest")


async def test_a_taken_name_is_a_conflict(api: Api) -> None:
    await api("POST", "/containers/create?name=web", {"Image": "demo"})

    answer = await api("POST", "/containers/create?name=web", {"Image": "demo"})

    assert answer.status == 409
    assert answer.message.startswith('Conflict. The container name "/web" is already in use')
