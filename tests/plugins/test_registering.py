"""Plugins that a program registers itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import pytest

from distqueue.errors import PluginError, UnknownBackend
from distqueue.plugins import BackendSpec, Plugins, PutEvent, hookimpl
from distqueue_backends.memory import MEMORY_CAPABILITIES, MemoryOptions

if TYPE_CHECKING:
    from .conftest import Site

SPEC = BackendSpec(
    schemes=("mine", "mines"),
    load="distqueue_backends.memory:MemoryBackend",
    contract="1",
    capabilities=MEMORY_CAPABILITIES,
    options=MemoryOptions,
    summary="My own",
)


class Mine:
    """A plugin with one backend."""

    def __init__(self, spec: BackendSpec = SPEC) -> None:
        self.spec = spec

    @hookimpl
    def distqueue_backends(self) -> Iterator[BackendSpec]:
        yield self.spec


def test_a_registered_backend_serves_all_its_schemes_until_it_is_taken_back() -> None:
    plugins, mine = Plugins(), Mine()
    plugins.register(mine)
    assert plugins.resolve("mine").spec is SPEC
    assert plugins.resolve("mines").distribution == "this program"
    assert "mine" in plugins.schemes()
    assert ("mine", "ok") in [(row.scheme, row.status) for row in plugins.backends()]
    plugins.unregister(mine)
    with pytest.raises(UnknownBackend):
        plugins.resolve("mine")


def test_registering_twice_is_an_error() -> None:
    plugins, mine = Plugins(), Mine()
    plugins.register(mine)
    with pytest.raises(PluginError, match="it is registered already"):
        plugins.register(mine)


def test_a_scheme_that_is_taken_cannot_be_registered_again(site: Site) -> None:
    site.add("acme-queue", mine="acme_plugin")
    plugins = site.plugins()
    with pytest.raises(PluginError) as caught:
        plugins.register(Mine())
    assert str(caught.value) == (
        "the plugin 'Mine' of this program cannot be used: the scheme 'mine' is taken; use another"
    )
    assert not plugins.has_observers("distqueue_backends")


def test_a_plugin_for_another_contract_is_refused() -> None:
    plugins = Plugins()
    with pytest.raises(PluginError, match="it is written for contract '3', and this distqueue keeps '1'"):
        plugins.register(Mine(msgspec.structs.replace(SPEC, contract="3")))
    assert "mine" not in plugins.schemes()


def test_a_misspelt_observer_is_refused() -> None:
    class Typo:
        @hookimpl
        def distqueue_putt(self, event: PutEvent) -> None: ...

    plugins = Plugins()
    with pytest.raises(PluginError, match="no hook 'distqueue_putt'; did you mean 'distqueue_put'"):
        plugins.register(Typo())
    assert not plugins.is_observed


def test_taking_back_a_stranger_does_nothing() -> None:
    Plugins().unregister(Mine())
