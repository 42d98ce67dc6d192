"""The situations that docs/firewall tells of: what they are for, and what makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BRIDGE = "com.docker.network.bridge"
SUBNETS = "--subnet 10.7.0.0/24 --subnet fd00:7::/64"
FRONT = f"netd network create --ipv6 {SUBNETS} front"
WEB = "netd run -d --name web --network front demo httpd -f -h /www"


@dataclass(frozen=True, slots=True)
class Page:
    """A typical situation, and how it comes about."""

    name: str  # of the file
    title: str
    summary: str  # for the index
    about: str
    commands: str
    own_commands: Mapping[str, str] = field(default_factory=dict)  # by firewall, after the others
    networks: tuple[str, ...] = ("front",)  # in the order of their rules
    router: bool = True  # the host forwarded packets before there was netd
    guard: bool = False  # it is about the guard of ports, not about the firewall


def with_options(*options: str) -> str:
    """Return the command that makes network front with these options."""
    return " \\\n    ".join((f"netd network create --ipv6 {SUBNETS}", *options, "front"))


FIRST = Page(
    name="network",
    title="A network with a container",
    summary="the default, and all that is there at any time; the other pages show what differs",
    about="""\
One network with both families, and one container in it. Containers reach each other and the
world; the world sees the host's address and not theirs, and gets in by published ports alone.
What is said here holds on every page: the others show only what is added (`+`) and what is
missing (`-`).""",
    commands=f"{FRONT}\n{WEB}",
)

PAGES = (
    FIRST,
    Page(
        name="two-networks",
        title="Two networks",
        summary="networks are kept apart from each other",
        about="""\
A second network has the same rules once more, with its own bridge. There is no rule for each
pair of networks: what goes into a network, and is neither an answer nor led there by a published
port, is dropped before anything that leaves a network is accepted. So the order of the rules
keeps networks apart, however many there are. A container that is to reach both is connected to
both.""",
        commands=f"{FRONT}\n"
        "netd network create --ipv6 --subnet 10.8.0.0/24 --subnet fd00:8::/64 back\n"
        f"{WEB}\n"
        "netd run -d --name db --network back demo sleep infinity",
        networks=("front", "back"),
    ),
    Page(
        name="published-ports",
        title="Published ports",
        summary="ports of the host lead to a container: of all addresses, of one, of 127.0.0.1; "
        "a range; UDP; both families",
        about="""\
The kernel leads packets to a container by changing their destination (DNAT), so the server sees
the address of whoever asked. A port without an address is published at all addresses of the
host, of both families. Nothing is added where packets are forwarded: what has been led there is
accepted by a rule that is there anyway. Here the host has the addresses 192.0.2.1 and
2001:db8::1.""",
        commands=f"""\
{FRONT}
netd run -d --name web --network front \\
    -p 8080:80 \\
    -p 192.0.2.1:8081:80 \\
    -p '[2001:db8::1]:8082:80' \\
    -p 127.0.0.1:8083:80 \\
    -p 9000-9002:6000-6002 \\
    -p 5353:53/udp \\
    demo httpd -f -h /www""",
    ),
    Page(
        name="internal",
        title="An internal network",
        summary="no way in and no way out",
        about="""\
Containers of an internal network reach each other, and nobody else: nothing is forwarded out of
it or into it, so there is nothing to masquerade and no port to publish. It suits a database that
only containers ask. No other network has IPv6 here, so ip6tables lacks what such networks need.""",
        commands=f"{with_options('--internal')}\n{WEB}",
    ),
    Page(
        name="kept-apart",
        title="Containers kept apart",
        summary="containers of one network do not reach each other (icc off)",
        about="""\
With `enable_icc=false` the containers of a network do not reach each other, though they share a
bridge. Everything else is as before: the world, published ports, answers. Frames that stay on
the bridge are seen by these rules where the kernel shows them here (br_netfilter); elsewhere the
bridge itself keeps its ports apart ("isolated").""",
        commands=f"""\
{with_options(f"-o {BRIDGE}.enable_icc=false")}
{WEB}
netd run -d --name db --network front demo sleep infinity""",
    ),
    Page(
        name="routed",
        title="A routed network",
        summary="containers are reached at their own addresses, without NAT",
        about="""\
In the mode `routed` addresses are not changed: other machines have a route to the network that
goes by this host, and see the containers' own addresses. Pings are let in, and of the ports only
those that are published; they are reached at the container's address, and not at the host's.""",
        commands=f"""\
{with_options(f"-o {BRIDGE}.gateway_mode_ipv4=routed", f"-o {BRIDGE}.gateway_mode_ipv6=routed")}
netd run -d --name web --network front -p 80 demo httpd -f -h /www""",
    ),
    Page(
        name="nat-unprotected",
        title="An unprotected network",
        summary="everybody gets to every port of the containers",
        about="""\
In the mode `nat-unprotected` connections of containers still go out with the host's address, and
ports can be published; but whoever has a route to the network may also ask any port of a
container directly.""",
        commands=f"""\
{
            with_options(
                f"-o {BRIDGE}.gateway_mode_ipv4=nat-unprotected",
                f"-o {BRIDGE}.gateway_mode_ipv6=nat-unprotected",
            )
        }
{WEB}""",
    ),
    Page(
        name="source-address",
        title="A chosen source address",
        summary="what leaves the network carries a certain address of the host",
        about="""\
A host with several addresses may give each network one of its own, so that others can tell them
apart. Without that, the kernel takes the address of the interface by which a packet goes out.
Here the host has the addresses 192.0.2.1 and 2001:db8::1.""",
        commands=f"""\
{
            with_options(
                "-o com.docker.network.host_ipv4=192.0.2.1",
                "-o com.docker.network.host_ipv6=2001:db8::1",
            )
        }
{WEB}""",
    ),
    Page(
        name="guard",
        title="The guard of ports",
        summary="no container speaks with the address of another (anti-spoofing)",
        about="""\
Where a container's wire ends at the bridge, a frame is looked at before anything else is: a
container sends with its own MAC, IPv4 and IPv6 addresses only, and is neither a router nor a
DHCP server. These rules are in nftables with both firewalls, because only there a frame shows by
which wire it came. They are not for networks with `-o netd.anti_spoofing=false`.""",
        commands=f"{FRONT}\n{WEB}",
        guard=True,
    ),
    Page(
        name="user-rules",
        title="Your own rules",
        summary="a chain that netd asks first and never changes",
        about="""\
Rules of your own go into the chain `NETD-USER`, or the chain `user` of the table `inet netd`.
They are asked before all others about what is forwarded, and netd leaves them alone, also when
it puts its own rules back or is stopped. These two keep containers away from 192.168.50.0/24,
and let only 192.0.2.0/24 ask the published port 8080. By then DNAT has changed the destination,
so the port is found by the number that it had before. iptables asks these for IPv4 alone:
ip6tables has a chain NETD-USER of its own.""",
        commands=f"""\
{FRONT}
netd run -d --name web --network front -p 8080:80 demo httpd -f -h /www""",
        own_commands={
            "iptables": """\
iptables-legacy -A NETD-USER -d 192.168.50.0/24 -i nd-+ \\
    -m comment --comment "not to the office" -j DROP
iptables-legacy -A NETD-USER ! -s 192.0.2.0/24 -o nd-+ -p tcp \\
    -m conntrack --ctstate DNAT --ctorigdstport 8080 \\
    -m comment --comment "8080 is for the neighbours" -j DROP""",
            "nftables": """\
nft add rule inet netd user ip daddr 192.168.50.0/24 iifname @bridges \\
    drop comment '"not to the office"'
nft add rule inet netd user ip saddr != 192.0.2.0/24 oifname @bridges meta l4proto tcp \\
    ct status dnat ct original proto-dst 8080 \\
    drop comment '"8080 is for the neighbours"'""",
        },
    ),
    Page(
        name="no-router",
        title="A host that was no router",
        summary="others' packets do not pass only because netd turned forwarding on",
        about="""\
Containers need the kernel to forward packets. On a host that did not do so before, turning it on
would let everybody pass between its other networks, too. So what concerns no network of netd is
dropped at the end, unless [a rule of your own](user-rules.md) has accepted it before. A host
that was a router already, as on all other pages, goes on as it was.""",
        commands=f"{FRONT}\n{WEB}",
        router=False,
    ),
)

INDEX = """\
# The firewall, rule by rule

The real rules of typical networks, in iptables and in nftables, with a sentence each. These pages
are written by a test: it starts a daemon, types the commands that stand on a page, and looks at
what is in the kernel then; where a page says something else, the test fails.

| Page | What it shows |
|---|---|
{table}

The first page shows everything. The others show what differs from it: `+` is there in addition,
`-` is missing, and of what is missing only the sentence is repeated. On your own host,
`netd network rules` tells the same sentences with what each rule has counted, and
`netd network rules --raw` the tools' own text.

## The way of a packet

netd uses one of the two firewalls; `netd daemon --firewall-backend` chooses. What a container sends
passes [the guard](guard.md) first, with both.

With iptables, each chain is entered from the built-in chain beside it:

```
      a packet comes in                              a process of this host sends one
              |                                                     |
 raw     PREROUTING    NETD-PREROUTING                              |
 nat     PREROUTING    NETD-DNAT (1)                nat   OUTPUT    NETD-DNAT (1)
              |                                                     |
        for this host? -- yes --> one of its processes              |
              | no                                                  |
 filter  FORWARD       NETD-FORWARD, which asks NETD-USER first     |
              |        NETD-STRANGERS (2), behind all others        |
              |                                                     |
 nat     POSTROUTING   NETD-POSTROUTING (1) <-----------------------+
              |
        it goes out
```

With nftables, all are in the table `inet netd`:

```
      a packet comes in                              a process of this host sends one
              |                                                     |
        chain raw                                                   |
        chain prerouting --> published (1)              chain output --> published (1)
              |                                                     |
        for this host? -- yes --> one of its processes              |
              | no                                                  |
        chain forward --> user           your own rules             |
              |       --> closed-NAME    by the bridge it came from |
              |       --> into-NAME      by the bridge it goes to   |
              |       --> out            by the bridge it came from |
              |       --> strangers (2)  no bridge of netd          |
              |                                                     |
        chain postrouting --> returning-NAME, leaving-NAME (1) <----+
              |
        it goes out
```

- (1) Only the first packet of each connection: the kernel remembers what was done to it.
- (2) Only on [a host that was no router](no-router.md) before netd turned forwarding on.

## What is not as on your host

- Names that differ each time have plain words in their place: a bridge is `nd-front` instead of
  `nd-` and 12 digits of the network's id, chains of a network end likewise (`into-front`), and
  the host's end of a container's wire is `ndweb` instead of `nd` and 12 digits.
- The names of chains and tables are those of a host's only daemon. One that runs beside it, with
  a `--data-root` of its own, adds 6 digits: `NETD-FORWARD-4ea20a`, `netd-4ea20a`.
- The predefined network `bridge` has the rules of any other network with IPv4 alone. They are
  left out. Because it is always there, iptables keeps what is there for all networks, while
  ip6tables has that only as long as a network with IPv6 needs it.
- Rules are shown without counters. Rules and elements of nftables are shown as netd gives them to
  the kernel: each version of nft(8) lists some of them in other words.
- Two more rules, in each container's own network namespace, lead questions for 127.0.0.11 port 53
  to netd's DNS service. They are no part of the host's firewall.

To write the pages anew: `.venv/bin/python -m pytest tests/live/test_firewall_docs.py --update`
"""
