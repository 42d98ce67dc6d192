"""The host's published ports: held by a process of their own, which outlives the daemon.

The kernel leads published ports to containers by DNAT, before a socket is asked. A port is held all
the same, so that no other program can bind what is published; and what DNAT cannot serve arrives at
the held socket and is relayed: IPv6 from ::1 and from link-local addresses, and IPv6 to a container
that has IPv4 only.

    PortsClient --- a unix socket ---> the holding process --- relayed IPv6 ---> container
    (the daemon)    lines of JSON      a socket for each port

IPv4 never gets into a held socket. While the rules of the firewall are missing for a moment,
clients say their SYN again instead of being refused.
"""

from drivers.ports.client import PortsClient
from drivers.ports.protocol import Hold, PortRefusedError, PortsError

__all__ = ["Hold", "PortRefusedError", "PortsClient", "PortsError"]
