"""The pages of docs/firewall, written from what is live: pure functions."""

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from tests.live.firewall_live import Captured, Line
from tests.live.firewall_pages import FIRST, INDEX, PAGES, Page
from tests.live.firewall_places import GUARD, IPTABLES, NFTABLES, Place, place_of

PLACES = {"iptables": IPTABLES, "nftables": NFTABLES}
WIDTH = 100

Tools = Mapping[str, Sequence[Line]]  # the lines of a place by iptables, ip6tables, nft


def index_text() -> str:
    """Return the index of the pages as Markdown."""
    rows = (f"| [{page.title}]({page.name}.md) | {page.summary} |" for page in PAGES)
    return INDEX.format(table="\n".join(rows))


def page_text(page: Page, found: Mapping[str, Captured], first: Mapping[str, Captured]) -> str:
    """Return a page as Markdown, from what each firewall has, and has on the first page."""
    parts = [f"# {page.title}", page.about, _block(page.commands)]
    if page.guard:
        parts += ["## Table bridge netd", *_whole(found["nftables"].guard, GUARD)]
        return _joined(parts)
    if page is not FIRST:
        parts.append(f"What differs from [the first page]({FIRST.name}.md):")
    for backend, places in PLACES.items():
        parts.append(f"## {backend}")
        if backend in page.own_commands:
            parts.append(_block(page.own_commands[backend]))
        lines = found[backend].firewall
        if page is FIRST:
            parts += _whole(lines, places)
        else:
            parts += _differing(first[backend].firewall, lines, places)
    return _joined(parts)


def _whole(lines: Sequence[Line], places: tuple[Place, ...]) -> Iterator[str]:
    for name, tools in _by_place(lines, places).items():
        yield from _heading(name, places)
        yield from _blocks({tool: [*_commented(of)] for tool, of in tools.items()}, "")


def _differing(
    before: Sequence[Line], after: Sequence[Line], places: tuple[Place, ...]
) -> Iterator[str]:
    first, here = _by_place(before, places), _by_place(after, places)
    for name in sorted({**first, **here}, key=lambda name: place_of(name, places)[0]):
        old, new = first.get(name, {}), here.get(name, {})
        tools = {
            tool: [*_difference(old.get(tool, ()), new.get(tool, ()))] for tool in {**old, **new}
        }
        if any(tools.values()):
            yield from _heading(name, places)
            yield from _blocks({tool: said for tool, said in tools.items() if said}, "diff")


def _by_place(lines: Sequence[Line], places: tuple[Place, ...]) -> Mapping[str, Tools]:
    found: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in sorted(lines, key=lambda line: place_of(line.place, places)[0]):
        found[line.place][line.tool].append(line)
    return found


def _commented(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines, each below its sentence; one that is the same again is left out."""
    sentence = ""
    for line in lines:
        if line.sentence != sentence:
            sentence = line.sentence
            yield f"# {sentence}"
        yield line.text


def _difference(before: Sequence[Line], after: Sequence[Line]) -> Iterator[str]:
    """Yield what is added and what is missing, and how much is the same in between."""
    old, new = ([line.text for line in lines] for lines in (before, after))
    if old == new:
        return
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            rules = sum(bool(line.sentence) for line in before[i:j])
            yield f"  ({rules} as on the first page)"
            continue
        # What is missing stands on the first page; its sentence is enough to find it there.
        yield from dict.fromkeys(f"- # {line.sentence}" for line in before[i:j])
        for text in _commented(after[k:m]):
            yield f"  {text}" if text.startswith("#") else f"+ {text}"


def _heading(name: str, places: tuple[Place, ...]) -> Iterator[str]:
    yield f"### {name[0].upper()}{name[1:]}"
    yield textwrap.fill(place_of(name, places)[1].when, WIDTH)


def _blocks(tools: Mapping[str, Sequence[str]], language: str) -> Iterator[str]:
    """Yield a block for each tool, or one if iptables and ip6tables say the same."""
    texts = {tool: "\n".join(lines) for tool, lines in tools.items()}
    if len(texts) == 2 and len({*texts.values()}) == 1:
        texts = {"iptables and ip6tables alike": texts["iptables"]}
    for tool, text in texts.items():
        if tool != "nft":
            yield f"{tool}:"
        yield _block(text, language)


def _block(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
