"""Packets that are not one plain question: told apart with dnslib, which is imported only then."""

from dns.question import (
    BADVERS,
    FORMERR,
    HEADER_OCTETS,
    NOTIMP,
    OPT,
    PLAIN_LIMIT,
    REFUSED,
    Question,
    bare_failure,
    edns_limit,
    failure,
    is_wire_name,
    opt_record,
)

_IN, _ANY_CLASS = 1, 255


def odd_question(packet: bytes) -> Question | bytes | None:
    """Return the packet's question, or the answer if it has none to look up.

    None for what must not be answered: responses (two servers could go on for ever) and packets
    without a whole header.
    """
    if len(packet) < HEADER_OCTETS or packet[2] & 0x80:
        return None
    if packet[2] & 0x78:
        return bare_failure(packet, NOTIMP)
    question = _question(packet)
    if question is None:
        return bare_failure(packet, FORMERR)
    if question.opt and question.opt[5]:  # its extended RCODE, see _question
        return failure(packet, question, BADVERS)
    question_class = int.from_bytes(packet[question.end - 2 : question.end])
    if question_class not in (_IN, _ANY_CLASS):
        return failure(packet, question, REFUSED)
    return question


def _question(packet: bytes) -> Question | None:
    from dnslib import DNSError, DNSRecord

    try:
        record = DNSRecord.parse(packet)
    except DNSError:
        return None
    # The name is taken from the packet: dnslib's has lost the wire form. A compressed one is
    # malformed, for there is nothing before the first question to point to.
    end = _name_end(packet)
    key = packet[HEADER_OCTETS:end].lower()
    options = [each for each in record.ar if each.rtype == OPT]
    if len(record.questions) != 1 or len(options) > 1 or not is_wire_name(key):
        return None
    kind = int.from_bytes(packet[end : end + 2])
    if not options:
        return Question(key, kind, end + 4, PLAIN_LIMIT, b"")
    size, flags, version = options[0].rclass, options[0].ttl & 0xFFFF, options[0].ttl >> 16 & 0xFF
    opt = opt_record(flags, BADVERS if version else 0)
    return Question(key, kind, end + 4, edns_limit(size), opt)


def _name_end(packet: bytes) -> int:
    position = HEADER_OCTETS
    while position < len(packet) and 0 < packet[position] < 64:
        position += packet[position] + 1
    return position + 1
