"""Network drivers: what a container's network is made of in the kernel.

`contract` says what a driver is; `bridge`, `host` and `null` are the ones netd brings along. Only
`link` knows pyroute2, only `iptables` knows python-iptables, only `libnftables` knows that library;
rules are computed by `iptables_rules`, `nft_rules` and `spoofing` from what `firewall` describes.
Everything here is synchronous and belongs to one thread, because sockets, `setns` and libiptc know
threads, not tasks; but for `ports`, the process that holds published ports, and its client.
"""
