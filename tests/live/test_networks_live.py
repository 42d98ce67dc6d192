"""Networks as containers see them: real packets between real containers."""

import ipaddress
import threading

import pytest
from docker.client import DockerClient
from docker.errors import APIError
from docker.models.containers import Container

from labs.host import Host

pytestmark = pytest.mark.kernel


def started(client: DockerClient, name: str, network: str, **more: object) -> Container:
    return client.containers.run(
        "demo", ["sleep", "1000"], name=name, network=network, detach=True, **more
    )


def says(container: Container, *command: str) -> tuple[int, str]:
    code, output = container.exec_run(list(command))
    return code, output.decode()


def address(container: Container, network: str, key: str = "IPAddress") -> str:
    container.reload()
    return container.attrs["NetworkSettings"]["Networks"][network][key]


def test_two_networks_may_have_containers_that_answer_to_the_same_name(
    client: DockerClient,
) -> None:
    here, there = (client.networks.create(name) for name in ("here", "there"))
    for number, net in enumerate((here, there)):
        started(client, f"db{number}", net.name)
        net.disconnect(f"db{number}")
        net.connect(f"db{number}", aliases=["db"])
    asking = [started(client, f"ask{n}", net.name) for n, net in enumerate((here, there))]

    answers = [says(each, "nslookup", "-type=a", "db") for each in asking]

    for number, (net, (code, text)) in enumerate(zip((here, there), answers, strict=True)):
        own = address(client.containers.get(f"db{number}"), net.name)
        other = address(client.containers.get(f"db{1 - number}"), (there, here)[number].name)
        assert code == 0 and own in text and other not in text


def test_a_dual_stack_network_carries_both_families_by_name(client: DockerClient) -> None:
    client.networks.create("dual", enable_ipv6=True)
    web = started(client, "web", "dual")
    cli = started(client, "cli", "dual")

    for flag in ("-4", "-6"):
        code, text = says(cli, "ping", flag, "-c", "1", "-W", "2", "web")
        assert code == 0, text
    v6 = ipaddress.ip_address(address(web, "dual", "GlobalIPv6Address"))
    assert v6.is_private and v6 in ipaddress.ip_network("fd00::/8")


def test_a_network_cannot_reach_another_one_by_address(client: DockerClient) -> None:
    for name in ("front", "back"):
        client.networks.create(name, enable_ipv6=True)
    web, cli = started(client, "web", "front"), started(client, "cli", "back")
    both = started(client, "both", "front")
    client.networks.get("back").connect("both")

    for key in ("IPAddress", "GlobalIPv6Address"):
        target = address(web, "front", key)
        assert says(cli, "ping", "-c", "1", "-W", "1", target)[0] == 1
        # The control: one that is on both networks reaches it.
        assert says(both, "ping", "-c", "1", "-W", "2", target)[0] == 0


def test_an_internal_network_has_no_way_out(host: Host, client: DockerClient) -> None:
    client.networks.create("inside", internal=True)
    client.networks.create("outside")
    web, cli = started(client, "web", "inside"), started(client, "cli", "inside")
    free = started(client, "free", "outside")

    assert says(cli, "ping", "-c", "1", "-W", "2", "web")[0] == 0
    assert "default" not in says(cli, "ip", "route")[1]
    assert "default" in says(free, "ip", "route")[1]
    assert says(free, "ping", "-c", "1", "-W", "1", address(web, "inside"))[0] == 1


def test_a_running_container_gets_and_loses_a_second_interface_and_name(
    client: DockerClient,
) -> None:
    front, back = (client.networks.create(name) for name in ("front", "back"))
    web, cli = started(client, "web", front.name), started(client, "cli", back.name)
    assert says(cli, "nslookup", "web")[0] != 0

    back.connect(web, aliases=["www"])

    assert "eth1" in says(web, "ip", "-o", "addr")[1]
    for name in ("web", "www"):
        assert says(cli, "ping", "-c", "1", "-W", "2", name)[0] == 0
    assert address(web, "back") in says(web, "cat", "/etc/hosts")[1]

    gone = address(web, "back")
    back.disconnect(web)

    assert "eth1" not in says(web, "ip", "-o", "addr")[1]
    assert says(cli, "nslookup", "web")[0] != 0
    assert gone not in says(web, "cat", "/etc/hosts")[1]


def test_an_alias_of_two_containers_rotates(client: DockerClient) -> None:
    net = client.networks.create("front")
    for name in ("one", "two"):
        made = client.containers.create("demo", ["sleep", "1000"], name=name)
        client.networks.get("bridge").disconnect(made)
        net.connect(made, aliases=["web"])
        made.start()
    cli = started(client, "cli", "front")
    holders = {address(client.containers.get(name), "front") for name in ("one", "two")}

    firsts = set()
    for _ in range(40):
        text = says(cli, "nslookup", "-type=a", "web")[1]
        found = [line.split()[1] for line in text.splitlines() if line.startswith("Address: ")]
        assert set(found) == holders
        firsts.add(found[0])

    assert firsts == holders


def test_a_small_network_is_filled_to_the_last_address_and_again(client: DockerClient) -> None:
    pool = {"Driver": "default", "Config": [{"Subnet": "10.250.0.0/29"}]}
    client.networks.create("tiny", ipam=pool)
    made = [started(client, f"c{number}", "tiny") for number in range(5)]
    addresses = {address(each, "tiny") for each in made}
    assert addresses == {f"10.250.0.{last}" for last in range(2, 7)}

    late = client.containers.create("demo", ["sleep", "1"], name="late", network="tiny")
    with pytest.raises(APIError, match="tiny"):
        late.start()

    for each in made:
        each.remove(force=True)
    again = {address(started(client, f"d{n}", "tiny"), "tiny") for n in range(5)}
    assert again == addresses


def test_a_name_keeps_its_address(client: DockerClient) -> None:
    client.networks.create("front")
    web = started(client, "web", "front")
    before = address(web, "front")
    web.remove(force=True)
    started(client, "other", "front")

    assert address(started(client, "web", "front"), "front") == before


def test_thirty_containers_started_at_once_are_all_right_and_all_different(
    client: DockerClient,
) -> None:
    client.networks.create("crowd", enable_ipv6=True)
    names = [f"c{number}" for number in range(30)]
    errors: list[Exception] = []

    def start(name: str) -> None:
        try:
            started(client, name, "crowd")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    made = [client.containers.get(name) for name in names]
    for key in ("IPAddress", "GlobalIPv6Address", "MacAddress"):
        assert len({address(each, "crowd", key) for each in made}) == 30
    code, text = says(made[0], "sh", "-c", f"for n in {' '.join(names)}; do "
                      "ping -4 -c 1 -W 2 $n > /dev/null || echo no $n; done")  # fmt: skip
    assert (code, text) == (0, "")


def test_the_host_and_none_networks_are_what_they_say(host: Host, client: DockerClient) -> None:
    on_host = started(client, "on-host", "host")
    alone = started(client, "alone", "none")

    seen = says(on_host, "ip", "-o", "link")[1]

    for line in host.inside("ip", "-o", "link").splitlines():
        assert line.split(": ")[1].split("@")[0] in seen
    assert [line.split(": ")[1] for line in says(alone, "ip", "-o", "link")[1].splitlines()] == [
        "lo"
    ]


def test_a_container_may_run_its_own_server_on_port_53(client: DockerClient) -> None:
    client.networks.create("front")
    web = started(client, "web", "front")
    # Both would fail if netd's server held the port in this namespace.
    code, _ = says(web, "sh", "-c", "nc -l -p 53 & sleep 0.2; echo x | nc -w 1 127.0.0.1 53; "
                   "nslookup web > /dev/null")  # fmt: skip

    assert code == 0


def test_a_static_address_is_kept_and_refused_to_others(client: DockerClient) -> None:
    pool = {"Driver": "default", "Config": [{"Subnet": "10.251.0.0/24"}]}
    net = client.networks.create("static", ipam=pool)
    made = client.containers.create("demo", ["sleep", "1000"], name="one")
    net.connect(made, ipv4_address="10.251.0.77")
    made.start()
    other = client.containers.create("demo", ["sleep", "1000"], name="two")

    assert address(made, "static") == "10.251.0.77"
    with pytest.raises(APIError) as caught:
        net.connect(other, ipv4_address="10.251.0.77")
    assert caught.value.status_code == 403 and "Address already in use" in str(caught.value)
    with pytest.raises(APIError) as caught:
        net.connect(other, ipv4_address="10.9.9.9")
    assert caught.value.status_code == 400 and "10.9.9.9" in str(caught.value)
