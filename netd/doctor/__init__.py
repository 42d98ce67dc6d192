"""What this machine has and lacks for containers; behind `netd doctor`.

examination.py   all of it, once
findings.py      one sentence a topic, from the facts of the others
host.py          facts that only need reading
probes.py        facts that need trying, in a child process with namespaces of its own
netlink.py       the few netlink messages the probes send
"""
