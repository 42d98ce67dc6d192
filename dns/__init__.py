"""The embedded DNS server: records, answers, forwarding, its process and the daemon's client.

It is handed bound sockets and records and knows neither namespaces nor containers. No module here
takes a name that dnspython has, so that both can be installed side by side.
"""
