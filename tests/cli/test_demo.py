"""The demo leaves what is in a store alone, and says where it cannot run."""

from __future__ import annotations

import pytest

from .conftest import URL, Shell


@pytest.mark.slow
def test_it_leaves_other_tasks_alone(shell: Shell) -> None:
    shell("put", '{"at": 1}')
    done = shell("demo", "-u", URL, "--tasks", "40", "--publishers", "2", "--consumers", "2")
    assert "lost  0" in done.out
    assert shell("peek", "--json").json["data"] == {"at": 1}
    assert shell("get").out == '{"at": 1}\n'


def test_a_store_that_would_be_gone_is_refused(shell: Shell) -> None:
    done = shell("demo", "-u", "memory://", code=1)
    assert "choose a store on the disk" in done.err
