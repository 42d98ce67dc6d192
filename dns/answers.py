"""What a packet gets: an answer from the records, a refusal, silence, or the way upstream."""

from dns.control import View
from dns.question import (
    NXDOMAIN,
    REFUSED,
    STREAM_LIMIT,
    Question,
    answer,
    failure,
    is_wire_name,
    plain_question,
)
from dns.records import Records
from dns.slowpath import odd_question

_IXFR, _AXFR = 251, 252


def response(
    packet: bytes, view: View, records: Records, *, stream: bool
) -> bytes | Question | None:
    """Return the answer to the view's packet; its question if that must be forwarded.

    None: it is not to be answered at all. `stream` tells TCP, where answers may be long.
    """
    question = plain_question(packet)
    if question is not None:
        entry = records.entry(view.networks, question.key)
        if entry is not None:
            limit = STREAM_LIMIT if stream else question.limit
            return answer(packet, question, entry.answers(question.kind), limit)
        if is_wire_name(question.key):
            return _unknown(packet, question, view)
    odd = odd_question(packet)
    if not isinstance(odd, Question):
        return odd
    entry = records.entry(view.networks, odd.key)
    if entry is None:
        return _unknown(packet, odd, view)
    return answer(packet, odd, entry.answers(odd.kind), STREAM_LIMIT if stream else odd.limit)


def _unknown(packet: bytes, question: Question, view: View) -> bytes | Question:
    if question.kind in (_AXFR, _IXFR):  # their answers are many messages, which none here awaits
        return failure(packet, question, REFUSED)
    if not view.upstreams:
        return failure(packet, question, NXDOMAIN)
    return question
