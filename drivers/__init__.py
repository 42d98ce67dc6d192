"""Network drivers: what a container's network is made of in the kernel.

`contract` says what a driver is; `bridge`, `host` and `null` are the ones netd brings along. Only
`link` speaks rtnetlink and only `iptables` changes rules, which `firewall` computes. Everything
here is synchronous and belongs to one thread: sockets, `setns` and libiptc know threads, not tasks.
"""
