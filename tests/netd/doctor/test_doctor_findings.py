"""What netd doctor makes of the facts of a machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from netd.doctor.findings import Finding, Verdict, findings, leftovers
from netd.doctor.host import NAMESPACES, PACKAGES, Disk, Host, host
from netd.doctor.probes import Probes
from runtime.features import HostFeatures, Program

HOST = Host(
    release="6.1.0",
    root=True,
    capabilities=frozenset({"CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_MKNOD"}),
    namespaces=frozenset(NAMESPACES),
    settings={"net/ipv4/ip_forward": 1, "net/bridge/bridge-nf-call-iptables": 1},
    packages=frozenset(PACKAGES),
    disk=Disk(Path("/var/lib"), "ext4", free=50_000_000_000, size=100_000_000_000),
)
PROBES = Probes(links=dict.fromkeys(("bridge", "veth", "vxlan", "macvlan"), ""))
RUNC = Program("runc", Path("/usr/sbin/runc"), "1.1.5")
FEATURES = HostFeatures(
    architecture="x86_64",
    kernel=(6, 1),
    cgroup_mode="v2",
    controllers=frozenset({"cpu", "memory", "pids"}),
    capabilities=frozenset(),
    conmon=Program("conmon", Path("/usr/bin/conmon"), "2.1.6"),
    runtimes=(Program("crun", problem="crun is not installed"), RUNC),
)


def found(
    topic: str, host: Host = HOST, probes: Probes = PROBES, features: HostFeatures = FEATURES
) -> Finding:
    return next(f for f in findings(host, probes, features) if f.topic == topic)


def test_a_machine_that_has_all_is_well() -> None:
    assert {finding.verdict for finding in findings(HOST, PROBES, FEATURES)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("topic", "probes"),
    [
        ("bridge", replace(PROBES, links={"bridge": "Operation not supported"})),
        ("veth", replace(PROBES, links={"veth": "Operation not supported"})),
        ("overlayfs", replace(PROBES, overlay="No such device")),
        ("iptables", replace(PROBES, iptables="no table nat", nftables="Protocol not supported")),
        ("namespaces", Probes(namespaces="Operation not permitted")),
    ],
)
def test_what_containers_need_is_missing_with_advice(topic: str, probes: Probes) -> None:
    finding = found(topic, probes=probes)

    assert finding.verdict is Verdict.MISSING
    assert finding.advice


@pytest.mark.parametrize(
    ("topic", "probes"),
    [
        ("vxlan", replace(PROBES, links={"vxlan": "Operation not supported"})),
        ("nftables", replace(PROBES, nftables="Protocol not supported")),
        ("sctp", replace(PROBES, sctp="Protocol not supported")),
    ],
)
def test_what_only_some_networks_need_is_a_note(topic: str, probes: Probes) -> None:
    assert found(topic, probes=probes).verdict is Verdict.NOTE


def test_one_firewall_of_two_is_enough() -> None:
    finding = found("iptables", probes=replace(PROBES, iptables="no table nat"))

    assert finding.verdict is Verdict.OK
    assert finding.text == "not used: no table nat; rules go into nftables"


@pytest.mark.parametrize(
    ("topic", "features"),
    [
        ("kernel", replace(FEATURES, kernel=(4, 19))),
        ("cgroups", replace(FEATURES, cgroup_problem="no cgroup hierarchy is mounted")),
        ("runc", replace(FEATURES, runtimes=(Program("runc", problem="not installed"),))),
        ("conmon", replace(FEATURES, conmon=Program("conmon", problem="not installed"))),
    ],
)
def test_missing_programs_and_kernels_that_are_too_old_are_told(
    topic: str, features: HostFeatures
) -> None:
    assert found(topic, features=features).verdict is Verdict.MISSING


def test_one_runtime_of_several_is_enough() -> None:
    assert found("crun").verdict is Verdict.OK
    assert "not used: crun is not installed" in found("crun").text


@pytest.mark.parametrize(
    ("topic", "host", "verdict"),
    [
        ("privileges", replace(HOST, root=False), Verdict.UNKNOWN),
        ("iptables", replace(HOST, root=False), Verdict.UNKNOWN),
        ("privileges", replace(HOST, capabilities=frozenset()), Verdict.MISSING),
        ("namespaces", replace(HOST, namespaces=frozenset({"net"})), Verdict.MISSING),
        ("python", replace(HOST, packages=frozenset()), Verdict.MISSING),
        ("disk", replace(HOST, disk=replace(HOST.disk, filesystem="overlay")), Verdict.MISSING),
        ("disk", replace(HOST, disk=replace(HOST.disk, free=10)), Verdict.NOTE),
    ],
)
def test_facts_of_the_host_have_their_verdict(topic: str, host: Host, verdict: Verdict) -> None:
    assert found(topic, host).verdict is verdict


def test_controllers_that_are_missing_are_named() -> None:
    finding = found("cgroups", features=replace(FEATURES, controllers=frozenset({"cpu"})))

    assert (finding.verdict, finding.text) == (Verdict.NOTE, "v2 without memory, pids")


def test_a_full_connection_table_is_noted() -> None:
    settings = {"net/netfilter/nf_conntrack_max": 100, "net/netfilter/nf_conntrack_count": 99}

    assert found("conntrack", replace(HOST, settings=settings)).verdict is Verdict.NOTE


def test_leftovers_are_counted_and_named() -> None:
    left = replace(HOST, leftover_links=("nd-1", "nd-2"), leftover_sandboxes=1)

    (finding,) = leftovers(left)

    assert finding.text.startswith("2 links (nd-1, nd-2) and 1 network namespaces")
    assert list(leftovers(HOST)) == []


def test_reading_the_host_works_where_nothing_is_installed(tmp_path: Path) -> None:
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns" / "abc").touch()

    facts = host(tmp_path / "not" / "there", tmp_path)

    assert facts.disk.path == tmp_path
    assert facts.disk.size > 0
    assert facts.leftover_sandboxes == 1
    assert "net" in facts.namespaces
