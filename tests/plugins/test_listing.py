"""Listing every backend, whatever state it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from distqueue.plugins import BackendRow
from distqueue_backends.memory import MEMORY_CAPABILITIES

if TYPE_CHECKING:
    from .conftest import Site


def short(row: BackendRow) -> tuple[str, str, str, str]:
    return (row.scheme, row.status, f"{row.distribution} {row.version}", row.reason)


def test_each_backend_has_one_row_with_its_status_and_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("distqueue", "0.1.0", memory="distqueue_backends.plugin")
    site.add("fine-queue", "1.0", fine="fine_plugin")
    site.write_plugin("fine_plugin", schemes='("fine",)')
    site.add("broken-queue", "1.1", broken="broken_plugin")
    site.write("broken_plugin", "1 / 0")
    site.add("new-queue", "9.0", new="new_plugin")
    site.write_plugin("new_plugin", schemes='("new",)', contract='"2"')
    site.add("a-queue", "1.0", both="a_plugin")
    site.add("b-queue", "1.0", both="b_plugin")
    site.add("shadow-queue", "1.0", memory="shadow_plugin")
    site.add("off-queue", "1.0", off="off_plugin")
    site.add_raw("mangled-queue", "0.5", "[distqueue.backends]\nthis is no entry point")
    monkeypatch.setenv("DISTQUEUE_DISABLE_PLUGINS", "off-queue")

    rows = [short(row) for row in site.plugins().backends()]
    taken = next(row[3] for row in rows if row[0] == "both")
    assert sorted(taken.removeprefix("the name 'both' is taken by ").split(" and ")) == [
        "a-queue 1.0",
        "b-queue 1.0",
    ]
    unreadable = rows.pop(0)
    assert unreadable[:3] == ("?", "broken", "mangled-queue 0.5")
    assert unreadable[3].startswith("its entry_points.txt cannot be read (TypeError: ")
    assert rows == [
        ("both", "conflict", "a-queue 1.0", taken),
        ("both", "conflict", "b-queue 1.0", taken),
        (
            "broken",
            "broken",
            "broken-queue 1.1",
            "it cannot be imported (ZeroDivisionError: division by zero)",
        ),
        ("fine", "ok", "fine-queue 1.0", ""),
        ("memory", "ok", "distqueue 0.1.0", ""),
        ("memory", "conflict", "shadow-queue 1.0", "the name 'memory' is taken by distqueue 0.1.0"),
        (
            "new",
            "incompatible",
            "new-queue 9.0",
            "it is written for contract '2', and this distqueue keeps '1'",
        ),
        ("off", "disabled", "off-queue 1.0", "switched off by DISTQUEUE_DISABLE_PLUGINS"),
    ]
    assert site.imported() == {"fine_plugin", "new_plugin"}


def test_a_row_shows_summary_and_capabilities_without_the_client_library(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin", load='"no_such_client_library:AcmeBackend"')
    (row,) = site.plugins().backends()
    assert (row.status, row.summary) == ("ok", "Tasks at Acme")
    assert row.capabilities == MEMORY_CAPABILITIES


def test_a_scheme_without_an_entry_point_of_its_own_is_pointed_out(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin", schemes='("acme", "acmes")')
    (row,) = site.plugins().backends()
    assert row.status == "ok"
    assert row.reason == "no URL reaches 'acmes': it needs an entry point of that name"
