"""A port of the host leads to a container: who reaches it, who does not, and which rule says so."""

import shutil
import time
from collections.abc import Mapping, Sequence

from labs.host import Host, LabError
from labs.narrator import Narrator
from labs.outside import Outside
from labs.playing import played
from labs.publish.scene import PATIENCE_S, Scene

OPTIONS: Mapping[str, Sequence[str]] = {"firewall": ("iptables", "nftables")}

WEB = ("run", "-d", "--name", "web", "--network", "front")
SERVE = ("demo", "httpd", "-f", "-v", "-h", "/www")
DELETE_ALL: Mapping[str, Sequence[Sequence[str]]] = {
    "iptables": (("iptables-legacy", "-F"), ("iptables-legacy", "-t", "nat", "-F")),
    "nftables": (("nft", "flush", "ruleset"),),
}
# What tells most of the rules' text: what leads to web, and what drops what is for it.
TELLING = "(front: web [0-9]|: not directly)"
PICTURE = """
outside                     host
{outside[4]:<20} ------ {host[4]}
{outside[6]:<20}        {host[6]}
                              |
                              +-- front  {front}
                              |     +-- web    {web}  serves a page at its port 80
                              |     +-- cli    {cli}
                              |
                              +-- back   {back}
                                    +-- other  {other}
"""


def main(firewall: str = "") -> int:
    """Run the lab with a kind of firewall, or the one that the daemon chooses."""
    tell, host = Narrator(), Host(firewall=firewall)
    print("publish: a web server in a container, and everybody who may or may not reach it.")

    def play() -> None:
        with Outside(host) as outside:
            _Lab(Scene(host, outside, tell), outside, tell).run()

    verdict = "Done: published, reached, guarded, repaired, taken away. All of it is gone again."
    return played(host, tell, play, verdict)


class _Lab:
    def __init__(self, scene: Scene, outside: Outside, tell: Narrator) -> None:
        self._scene, self._tell = scene, tell
        self._outsides, self._hosts = outside.addresses, outside.host_addresses
        self._url = f"http://{self._hosts[4]}:8080/"
        self._firewall = ""

    def run(self) -> None:
        """Go through all steps."""
        self._begin()
        self._nothing_published()
        self._publish()
        self._from_everywhere()
        self._not_from_there()
        self._rules()
        self._deleted()
        self._unpublish()

    def _begin(self) -> None:
        self._tell.step("The scene")
        self._tell.say(
            "A host has two networks, front with IPv4 and IPv6, back with IPv4 only. Each is a",
            "bridge of its own. On front web serves a page, and cli is its neighbour; other is on",
            "back. outside is another machine: one wire leads from it to the host.",
        )
        self._scene.netd("network", "create", "--ipv6", "front")
        self._scene.netd("network", "create", "back")
        self._scene.netd(*WEB, *SERVE)
        for name, network in (("cli", "front"), ("other", "back")):
            self._scene.netd(
                *("run", "-d", "--name", name, "--network", network, "demo", "sleep", "1000")
            )
        self._scene.listening("web")
        containers = {name: self._scene.address(name) for name in ("web", "cli", "other")}
        networks = {name: ", ".join(self._scene.subnets(name)) for name in ("front", "back")}
        given = {"outside": _texts(self._outsides), "host": _texts(self._hosts)}
        self._tell.draw(PICTURE.format(**given, **networks, **containers))
        self._know_the_firewall()

    def _know_the_firewall(self) -> None:
        places = [str(rule["Place"]) for rule in self._scene.rules()]
        has_iptables = any(place.startswith("iptables ") for place in places)
        self._firewall = "iptables" if has_iptables else "nftables"
        self._tell.say(f"The rules of this lab are in {self._firewall}.")
        tool = DELETE_ALL[self._firewall][0][0]
        if shutil.which(tool) is None:
            raise LabError(f"it needs the program {tool}: apt-get install {self._firewall}")

    def _nothing_published(self) -> None:
        self._tell.step("Nothing is published")
        self._tell.say("web serves: its neighbour reaches it, by name.")
        self._scene.ask("cli", "http://web/", "the page")
        self._tell.say(
            "outside knows the host only. There nobody listens, and the host says so, at once:"
        )
        self._scene.ask("outside", f"http://{self._hosts[4]}/", "refused")
        self._scene.ask("outside", self._url, "refused")
        self._tell.say(
            "outside even has a way to web's own address: it sends all to the host, and the host",
            "has a bridge to web. But netd lets nobody from elsewhere get directly to a",
            "container. Such packets are dropped, so there is no answer, not even a refusal:",
        )
        self._scene.run("outside", "ip", "route")
        self._scene.ask("outside", f"http://{self._scene.address('web')}/", "no answer")

    def _publish(self) -> None:
        self._tell.step("A published port")
        self._tell.say(
            "Now web is made again with -p 8080:80: port 8080 of the host leads to its port 80.",
            "It gets the addresses back that it had, for they stay with its name.",
        )
        before = self._scene.address("web")
        self._scene.netd("rm", "-f", "web")
        self._scene.netd(*WEB, "-p", "8080:80", *SERVE)
        if self._scene.address("web") != before:
            raise LabError(f"web had {before}, and has {self._scene.address('web')} now")
        self._tell.say("A port can be added while web runs, too. This one is for the host alone:")
        self._has(self._scene.netd("port", "add", "web", "127.0.0.1:9090:80"), "127.0.0.1:9090")
        self._has(self._scene.netd("port", "web", "80"), "0.0.0.0:8080", "[::]:8080")
        self._tell.say(
            "The host's ports are really taken: a process of netd's has them, though it is the",
            "kernel that leads packets to web. So no program of the host can be started at a port",
            "where nobody would ever reach it:",
        )
        self._has(self._scene.run("host", "ss", "-ltnp", "sport = 8080"), ":8080", "pid=")
        self._scene.fails("host", "busybox", "httpd", "-f", "-p", "8080", because="in use")
        self._scene.listening("web")

    def _has(self, output: str, *texts: str) -> None:
        for text in texts:
            if text not in output:
                raise LabError(f"{text!r} is not in {output}")

    def _from_everywhere(self) -> None:
        self._tell.step("From everywhere")
        self._tell.say("The machine outside asks at the host's addresses:")
        by_address = [f"http://{self._hosts[4]}:8080/", f"http://[{self._hosts[6]}]:8080/"]
        self._ask_all([("outside", url) for url in by_address])
        self._tell.say("The host asks itself, at its addresses and at its loopback:")
        loopback = ["http://127.0.0.1:8080/", "http://[::1]:8080/"]
        self._ask_all([("host", url) for url in (*by_address, *loopback)])
        self._tell.say(
            "Containers ask at the host's address: web's neighbour, one on another network, and",
            "web itself, whose packets turn around at the host like a hairpin:",
        )
        self._ask_all([(name, self._url) for name in ("cli", "other", "web")])
        self._seen()

    def _ask_all(self, questions: Sequence[tuple[str, str]]) -> None:
        for place, url in questions:
            self._scene.ask(place, url, "the page")

    def _seen(self) -> None:
        self._tell.say("web's log has a line for each of the nine, in this order:")
        lines = self._scene.log("web", 9)
        gateway = self._scene.gateway("web")
        self._tell.say(
            "The first two are outside's own addresses: only where packets go was changed, not",
            "where they come from, so a server knows its clients. 127.0.0.1, cli and web itself",
            f"come as {gateway}, the host on front: web could not answer 127.0.0.1, and would",
            "answer a neighbour directly, from an address that this one has not asked.",
        )
        outside, neighbour = self._outsides, f"[::ffff:{gateway}]"
        expected = {0: f"[::ffff:{outside[4]}]", 1: f"[{outside[6]}]"} | dict.fromkeys(
            (4, 6, 8), neighbour
        )
        for number, client in expected.items():
            if not lines[number].startswith(client):
                raise LabError(f"web's log names {lines[number]} instead of {client}")

    def _not_from_there(self) -> None:
        self._tell.step("Not from there")
        self._tell.say(
            "What is published is one port. web's own addresses are as closed as before:"
        )
        directly = f"http://{self._scene.address('web')}/"
        self._scene.ask("outside", directly, "no answer")
        self._scene.ask("outside", f"http://[{self._scene.address('web', 6)}]/", "no answer")
        self._tell.say("To the other networks of this host, too:")
        self._scene.ask("other", directly, "no answer")
        self._tell.say("Port 80 is web's, not the host's:")
        self._scene.ask("outside", f"http://{self._hosts[4]}/", "refused")
        self._tell.say("And port 9090 is there for the host at 127.0.0.1, and for nobody else:")
        self._scene.ask("host", "http://127.0.0.1:9090/", "the page")
        self._scene.ask("outside", f"http://{self._hosts[4]}:9090/", "refused")
        self._tell.say(
            "outside can bend its own routes, so that packets for 127.0.0.1 go out to the host.",
            "The host knows that they came over a wire, and drops them:",
        )
        bend = (
            f"ip address del 127.0.0.1/8 dev lo && ip route add 127.0.0.1 via {self._hosts[4]}"
            " && echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"
        )
        self._scene.run("outside", "sh", "-c", bend)
        self._scene.ask("outside", "http://127.0.0.1:9090/", "no answer")

    def _rules(self) -> None:
        self._tell.step("The rules that did it")
        self._tell.say(
            "netd tells its rules in plain words, in the order in which packets meet them. These",
            "are the ones for web that have counted something, which you have just seen happen:",
        )
        self._scene.netd("network", "rules", "web", piped=("grep", "-v", "^ *0 "))
        self._counted()
        self._tell.say(
            "What leads to web was counted in step 4, what drops in step 5. This is the text of",
            f"these rules, as {self._firewall} has them:",
        )
        raw = ("network", "rules", "web", "--raw")
        self._scene.netd(*raw, piped=("grep", "-E", TELLING))

    def _counted(self) -> None:
        rules = [rule for rule in self._scene.rules("web") if rule["Packets"]]
        told = {(rule["Stage"], rule["Owner"]) for rule in rules}
        drops = [str(rule["Reason"]) for rule in rules if rule["Verdict"] == "drop"]
        for what, found in {
            "leads to web": ("ports", "front/web") in told,
            "keeps others away from front": any("gets directly" in reason for reason in drops),
            "keeps others away from 127.0.0.1": any("127.0.0.0/8" in reason for reason in drops),
            "lets neighbours come as the host": ("out", "front") in told,
        }.items():
            if not found:
                raise LabError(f"no rule that {what} has counted a packet")

    def _deleted(self) -> None:
        self._tell.step("Somebody deletes the rules")
        self._tell.say("A careless administrator, or a script that means well:")
        began_ns = time.time_ns()
        for words in DELETE_ALL[self._firewall]:
            deleted_ns = time.time_ns()
            self._scene.run("host", *words)
        took_s = self._scene.ask("outside", self._url, "the page")
        back_s = max(self._repaired(began_ns) - deleted_ns, 0) / 1e9
        self._tell.say(
            f"The page came, after {took_s:.1f} s. netd knows which rules there should be, and had",
            f"put them back {back_s:.2f} s after they were deleted. In between nobody is refused:",
            "netd's process at the port keeps silent, so TCP tries again, a second later. An event",
            "says what was lost, so that somebody can ask who it was:",
        )
        since = ("events", "--since", "1m", "--until", "0s", "--filter", "event=repair")
        self._has(self._scene.netd(*since), "repair", self._firewall)

    def _repaired(self, began_ns: int) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while not (moments := self._scene.repairs(began_ns)):
            if time.monotonic() > deadline:
                raise LabError("no event says that the rules were put back")
        return max(moments)

    def _unpublish(self) -> None:
        self._tell.step("No longer published")
        self._tell.say("Both ports lead to web's port 80, and are taken away together, at once:")
        self._scene.netd("port", "rm", "web", "80")
        if self._scene.netd("port", "web"):
            raise LabError("web still has ports")
        self._scene.ask("outside", self._url, "refused")
        self._scene.ask("host", "http://127.0.0.1:9090/", "refused")
        self._tell.say("web goes on serving, for its neighbours:")
        self._scene.ask("cli", "http://web/", "the page")


def _texts(addresses: Mapping[int, object]) -> Mapping[int, str]:
    return {family: str(address) for family, address in addresses.items()}
