"""`/netd/rules`: the firewall's rules in force, told in words; netd's own."""

from aiohttp import web

from netd.api.answers import json_answer
from netd.api.docker.shapes import Json
from netd.api.state import daemon_of
from netd.rule_view import ShownRule


async def rules(request: web.Request) -> web.Response:
    """GET /netd/rules: in the order in which packets meet them; `of` a network or a container."""
    service = daemon_of(request).rules
    found = await service.shown(request.query.get("of", ""))
    return json_answer({"Backend": service.backend, "Rules": [_answer(each) for each in found]})


def _answer(rule: ShownRule) -> Json:
    return {
        "Owner": {"Network": rule.owner.network, "Container": rule.owner.container},
        "Stage": rule.stage,
        "Reason": rule.reason,
        "Verdict": rule.verdict,
        "Packets": rule.packets,  # null: nothing counts there
        "Bytes": rule.bytes,
        "Place": rule.place,
        "Raw": rule.raw,
    }


ROUTES = (web.get("/netd/rules", rules),)
