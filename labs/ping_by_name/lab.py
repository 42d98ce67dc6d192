"""Two containers on a network of their own ping each other by name, and you see why it works."""

from collections.abc import Mapping
from typing import cast

from labs.host import Host, LabError
from labs.narrator import Narrator
from labs.playing import played


def main() -> int:
    """Run the lab; return the exit status."""
    tell, host = Narrator(), Host()
    print("ping-by-name: a network, two containers, and what happens when one calls the other.")
    verdict = "Done: names, addresses, wires. Network, containers and daemon are gone again."
    return played(host, tell, _Lab(host, tell).run, verdict)


class _Lab:
    def __init__(self, host: Host, tell: Narrator) -> None:
        self._host, self._tell = host, tell

    def run(self) -> None:
        """Go through all steps."""
        self._network()
        self._containers()
        self._wires()
        self._name()
        self._ping()
        self._alias_and_reverse()
        self._elsewhere()

    def _network(self) -> None:
        self._tell.step("A network")
        self._tell.say(
            "A custom network is a switch of its own. netd makes a Linux bridge for it, picks a",
            "subnet that collides with nothing on this host, and gives the bridge the first",
            "address: the gateway of all containers on it.",
        )
        self._netd("network", "create", "front")
        config = cast(
            "list[Mapping[str, str]]",
            cast("Mapping[str, object]", self._host.inspect("front")["IPAM"])["Config"],
        )[0]
        self._tell.say(f"Subnet {config['Subnet']}, gateway {config['Gateway']}:")
        bridge = f"nd-{cast('str', self._host.inspect('front')['Id'])[:12]}"
        self._inside("ip", "-br", "-4", "addr", "show", "dev", bridge)

    def _containers(self) -> None:
        self._tell.step("Two containers")
        self._tell.say(
            "web serves a page and may also be called www; cli is where we sit. Each gets a",
            "network namespace: its own interfaces, routes and ports.",
        )
        web = ("--network", "front", "--network-alias", "www")
        self._netd("run", "-d", "--name", "web", *web, "demo", "httpd", "-f", "-h", "/www")
        self._netd("run", "-d", "--name", "cli", "--network", "front", "demo", "sleep", "1000")

    def _wires(self) -> None:
        self._tell.step("Wires")
        self._tell.say(
            "A veth pair is a cable: one end is eth0 inside the container, the other is plugged",
            "into the bridge. These are the bridge's ports on the host:",
        )
        self._inside("ip", "-br", "link", "show", "type", "veth")
        self._tell.say("And this is the other end, with the address that netd leased to cli:")
        self._netd("exec", "cli", "ip", "addr", "show", "eth0")
        self._netd("exec", "cli", "ip", "route")

    def _name(self) -> None:
        self._tell.step("The name")
        self._tell.say(
            "Nobody wrote web's address down in cli. Its resolv.conf names 127.0.0.11, where",
            "netd's DNS server answers inside every container:",
        )
        self._netd("exec", "cli", "grep", "nameserver", "/etc/resolv.conf")
        answer = self._netd("exec", "cli", "nslookup", "web")
        if self._address("web") not in answer:
            raise LabError(f"the answer does not name web's address {self._address('web')}")

    def _ping(self) -> None:
        self._tell.step("The ping")
        self._tell.say("Before the first packet cli knows no hardware address of web:")
        self._netd("exec", "cli", "ip", "neigh")
        self._tell.say(
            "ping resolves the name, asks by ARP who has the address (a broadcast that the bridge",
            "floods to all ports), and then talks to web's MAC directly.",
        )
        self._netd("exec", "cli", "ping", "-c", "2", "web")
        neighbours = self._netd("exec", "cli", "ip", "neigh")
        if self._mac("web") not in neighbours:
            raise LabError(f"the neighbour table lacks web's MAC {self._mac('web')}")
        self._tell.say("The answer to the ARP request is kept in cli's neighbour table (above).")
        self._tell.say("The bridge has learned behind which port each MAC lives:")
        self._inside("bridge", "fdb", "show", "dynamic")

    def _alias_and_reverse(self) -> None:
        self._tell.step("Other names, and the way back")
        self._tell.say("The alias leads to the same container, for ping as for a browser:")
        self._netd("exec", "cli", "ping", "-c", "1", "www")
        self._netd("exec", "cli", "wget", "-q", "-O", "-", "http://www/")
        self._tell.say("A PTR question turns the address into a name again:")
        answer = self._netd("exec", "cli", "nslookup", self._address("web"))
        if "web.front" not in answer:
            raise LabError("the reverse answer does not name web.front")
        self._tell.say("And it works both ways:")
        self._netd("exec", "web", "ping", "-c", "1", "cli")

    def _elsewhere(self) -> None:
        self._tell.step("Who is not on the network")
        self._tell.say(
            "A container on another network does not even learn the name, and its packets to",
            "the address end at the firewall between the two bridges:",
        )
        self._netd("network", "create", "back")
        run = ("run", "--rm", "--network", "back", "demo")
        self._fails(*run, "nslookup", "web")
        self._fails(*run, "ping", "-c", "1", "-W", "1", self._address("web"))

    def _netd(self, *words: str) -> str:
        output = self._host.netd(*words)
        self._tell.show(f"netd {' '.join(words)}", output)
        return output

    def _fails(self, *words: str) -> None:
        output = self._host.netd(*words, check=False)
        self._tell.show(f"netd {' '.join(words)}", output)
        if "1 packets received" in output or f"Address: {self._address('web')}" in output:
            raise LabError(f"netd {' '.join(words)} got an answer from another network")

    def _inside(self, *words: str) -> None:
        self._tell.show(" ".join(words), self._host.inside(*words))

    def _endpoint(self, name: str) -> Mapping[str, str]:
        settings = cast("Mapping[str, object]", self._host.inspect(name)["NetworkSettings"])
        networks = cast("Mapping[str, Mapping[str, str]]", settings["Networks"])
        return networks["front"]

    def _address(self, name: str) -> str:
        return self._endpoint(name)["IPAddress"]

    def _mac(self, name: str) -> str:
        return self._endpoint(name)["MacAddress"]
