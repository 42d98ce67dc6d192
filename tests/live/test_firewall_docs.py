"""docs/firewall tells of the rules that are live: what differs fails, `--update` writes it anew."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from difflib import unified_diff
from pathlib import Path

import pytest

from labs.host import Host
from tests.live.backends import BACKENDS
from tests.live.firewall_docs import index_text, page_text
from tests.live.firewall_host import start_again
from tests.live.firewall_live import Captured, captured
from tests.live.firewall_pages import FIRST, PAGES

pytestmark = pytest.mark.kernel

FOLDER = Path(__file__).parent.parent.parent / "docs/firewall"
FILES = ("README.md", *(f"{page.name}.md" for page in PAGES))
REWRITE = "if it is to be so: .venv/bin/python -m pytest tests/live/test_firewall_docs.py --update"

Found = Mapping[str, Mapping[str, Captured]]  # by page, by firewall


@pytest.fixture(scope="module")
def found() -> Found:
    """What is live on each page, with each firewall; both hosts work at the same time."""
    with ExitStack() as hosts:
        each = [hosts.enter_context(Host(firewall=backend)) for backend in BACKENDS]
        with ThreadPoolExecutor() as pool:
            looks = dict(zip(BACKENDS, pool.map(all_pages, each), strict=True))
    return {page.name: {b: looks[b][page.name] for b in BACKENDS} for page in PAGES}


@pytest.fixture(scope="module")
def texts(found: Found) -> Mapping[str, str]:
    first = found[FIRST.name]
    pages = {f"{page.name}.md": page_text(page, found[page.name], first) for page in PAGES}
    return {"README.md": index_text(), **pages}


def all_pages(host: Host) -> Mapping[str, Captured]:
    looks = {}
    # Each start takes a second: routers first, then those that are none.
    for router in (True, False):
        start_again(host, router=router)
        of_this = (page for page in PAGES if page.router is router and not page.guard)
        looks.update({page.name: captured(host, page) for page in of_this})
    # The guard is looked at on every page; this one is the first page's other half.
    looks.update({page.name: looks[FIRST.name] for page in PAGES if page.guard})
    return looks


def compare(path: Path, text: str, *, update: bool) -> None:
    """Fail with what differs between a file and a text; or write it."""
    if update:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    old = path.read_text() if path.exists() else ""
    if old != text:
        lines = unified_diff(old.splitlines(), text.splitlines(), path.name, "live", lineterm="")
        pytest.fail(f"{path} differs from what is live; {REWRITE}\n" + "\n".join(lines), False)


@pytest.mark.parametrize("name", FILES)
def test_a_page_tells_what_is_live(
    name: str, texts: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    compare(FOLDER / name, texts[name], update=request.config.getoption("--update"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("page", [page.name for page in PAGES])
def test_what_a_page_shows_is_what_the_tools_list(page: str, backend: str, found: Found) -> None:
    assert found[page][backend].differences == []


def test_the_guard_is_the_same_with_both_firewalls(found: Found) -> None:
    assert found["guard"]["iptables"].guard == found["guard"]["nftables"].guard


def test_each_file_is_a_page_that_is_compared() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(FILES)


def test_a_page_that_differs_fails_with_the_difference_and_the_way_to_rewrite_it(
    tmp_path: Path,
) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\ntwo\n")

    with pytest.raises(pytest.fail.Exception) as failed:
        compare(page, "one\nthree\n", update=False)

    told = str(failed.value).splitlines()
    assert "--update" in told[0] and str(page) in told[0]
    assert "-two" in told and "+three" in told


def test_a_page_is_written_anew_where_that_is_wished(tmp_path: Path) -> None:
    page = tmp_path / "folder" / "page.md"

    compare(page, "one\n", update=True)

    assert page.read_text() == "one\n"
