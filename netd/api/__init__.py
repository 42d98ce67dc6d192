"""The Docker Engine API over aiohttp: what clients say, in the daemon's words, and back.

connection.py   octets      heads, half-closed clients, connections taken over
app.py          requests    routes, versions, errors
containers.py … nouns       one module of handlers each: decode, ask a service, encode
docker/         words       the only place that knows Docker's field names
services.py     the services asked: protocols, so that tests can hand in fakes
"""
