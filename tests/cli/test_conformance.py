"""``conformance`` runs the suite, shows the table, and says what is missing."""

from __future__ import annotations

import pytest

from .conftest import Shell

FEW = ("-k", "test_strict_priority or test_a_delayed_task_waits")


def test_a_run_ends_with_the_table_and_a_report_that_can_be_shown_again(shell: Shell) -> None:
    done = shell("conformance", "json:///{tmp}/Queue.json", *FEW, "--quick")
    assert done.lines[-1] == "the contract is kept"
    assert "priorities\t1 kept, 8 not run" in done.lines
    assert "conformance.json" in done.err
    again = shell("conformance", "--report")
    assert again.out == done.out[done.out.index("capability\tjson") :]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "give a URL to test, or --report"),
        (("json:///{tmp}/Queue.json", "--report"), 2, "give a URL to test, or --report"),
        (("json:///Queue.json",), 1, "'json:///{tmp}/Queue.json'; this is 'json:///Queue.json'"),
        (("nosuch://{name}",), 1, "nosuch"),
        (("--report",), 1, "there is no conformance.json; run `distqueue conformance URL` first"),
        (("--report", "--json", "Queue.json"), 1, "that is no report of the suite"),
        (("memory://{name}", "-k", "nothing_is_called_that"), 1, ""),
    ],
)
def test_what_cannot_be_run_or_shown_says_what_to_do(
    shell: Shell, arguments: tuple[str, ...], code: int, said: str
) -> None:
    shell("put", "1")
    assert said in shell("conformance", *arguments, code=code).err.replace("\n", " ")
