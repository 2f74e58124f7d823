"""``docs/contract.md`` is what the registry of clauses says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distqueue.conformance.clauses import CLAUSES
from distqueue.conformance.contract import GROUPS, escaped, main, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "contract.md"


def test_the_page_is_what_the_clauses_say() -> None:
    renew = "python -m distqueue.conformance.contract --into docs/contract.md"
    assert PAGE.read_text().splitlines() == page().splitlines(), f"docs/contract.md is old; renew it: {renew}"


def test_every_clause_is_on_the_page_once_in_the_order_of_its_group() -> None:
    there = re.findall(r"^\| ([A-Z]+)-([0-9]+) \|", page(), re.MULTILINE)
    assert sorted(f"{group}-{number}" for group, number in there) == sorted(CLAUSES)
    order = list(GROUPS)
    assert there == sorted(there, key=lambda each: (order.index(each[0]), int(each[1])))


def test_every_row_has_all_columns() -> None:
    rows = [line for line in page().splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {8}


def test_what_markdown_would_read_is_shown_as_it_is() -> None:
    assert escaped("of '*', a|b, keep_done and _x_") == r"of '\*', a\|b, keep_done and \_x\_"


def test_the_command_prints_the_page_or_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == page()
    assert main(["--into", str(tmp_path / "contract.md")]) == 0
    assert (tmp_path / "contract.md").read_text() == page()


def test_a_group_without_a_title_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(GROUPS, "PUT")
    with pytest.raises(ValueError, match=r"without a title .*: PUT$"):
        page()


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page()):
        assert (PAGE.parent / link).is_file(), link
