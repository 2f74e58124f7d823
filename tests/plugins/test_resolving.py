"""From a URL scheme to the one plugin that serves it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from distqueue.errors import PluginError, UnknownBackend
from distqueue.plugins import BackendPlugin

if TYPE_CHECKING:
    from .conftest import Site


def test_a_scheme_imports_the_plugin_of_that_name_and_no_other(site: Site) -> None:
    site.add("acme-queue", "2.1", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.add("broken-queue", broken="broken_plugin")
    site.write("broken_plugin", "raise RuntimeError('nobody asked for me')")
    found = site.plugins().resolve("acme")
    assert (found.scheme, found.distribution, found.version) == ("acme", "acme-queue", "2.1")
    assert found.spec.summary == "Tasks at Acme"
    assert site.imported() == {"acme_plugin"}


def test_nothing_is_imported_before_a_scheme_is_asked_for(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    assert site.plugins().schemes() == ["acme"]
    assert site.imported() == set()


def test_resolving_a_scheme_does_not_import_its_client_library(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin", load='"no_such_client_library:AcmeBackend"')
    assert site.plugins().resolve("acme").spec.load == "no_such_client_library:AcmeBackend"


def test_several_entry_points_may_name_one_module(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin", acmes="acme_plugin")
    site.write_plugin("acme_plugin", schemes='("acme", "acmes")')
    plugins = site.plugins()
    assert plugins.resolve("acme").spec == plugins.resolve("acmes").spec


def test_an_entry_point_may_name_an_object_in_a_module(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin:plugin")
    site.write_plugin("acme_plugin")
    source = (site.directory / "acme_plugin.py").read_text()
    source = source.replace("@hookimpl\ndef", "class Plugin:\n  @hookimpl\n  def").replace("()", "(self)")
    site.write("acme_plugin", source.replace("    yield", "      yield") + "\nplugin = Plugin()\n")
    assert site.plugins().resolve("acme").spec.schemes == ("acme",)


def test_a_distribution_that_is_found_twice_counts_once(site: Site) -> None:
    site.add("acme_queue", "2.0", acme="acme_plugin")
    site.add("Acme.Queue", "2.0", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    assert site.plugins().resolve("acme").distribution == "acme-queue"


def test_a_stranger_with_malformed_entry_points_does_no_harm(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.add_raw("stranger", "1.0", "[console_scripts]\nthis is no entry point")
    plugins = site.plugins()
    assert plugins.resolve("acme").scheme == "acme"
    assert plugins.problems == []


def test_two_distributions_with_one_scheme_are_an_error_that_names_both(site: Site) -> None:
    site.add("acme-queue", "1.0", acme="acme_plugin")
    site.add("other-queue", "2.0", acme="other_plugin")
    with pytest.raises(PluginError) as caught:
        site.plugins().resolve("acme")
    names = sorted(["acme-queue 1.0", "other-queue 2.0"], key=str(caught.value).rindex)
    assert str(caught.value) == (
        f"the plugin 'acme' of {names[0]} cannot be used: the name 'acme' is taken by {names[0]} and "
        f"{names[1]}; uninstall one of them, or switch it off with DISTQUEUE_DISABLE_PLUGINS=NAME"
    )
    assert site.imported() == set()


def test_a_conflict_ends_when_one_of_the_two_is_switched_off(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.add("other-queue", acme="other_plugin")
    monkeypatch.setenv("DISTQUEUE_DISABLE_PLUGINS", "something, Other_Queue")
    assert site.plugins().resolve("acme").distribution == "acme-queue"


def test_a_built_in_backend_cannot_be_shadowed(site: Site) -> None:
    site.add("aaa-queue", memory="shadow_plugin")
    site.add("distqueue", "0.1.0", memory="distqueue_backends.plugin")
    site.add("zzz-queue", memory="shadow_plugin")
    plugins = site.plugins()
    assert plugins.resolve("memory").distribution == "distqueue"
    assert site.imported() == set()


def test_an_unknown_scheme_is_told_what_there_is_and_what_is_nearest(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.add("distqueue", "0.1.0", memory="distqueue_backends.plugin")
    with pytest.raises(UnknownBackend) as caught:
        site.plugins().resolve("acmee")
    assert str(caught.value) == ("no backend for acmee: URLs; did you mean acme:? (installed: acme, memory)")


def test_a_scheme_like_no_other_is_told_what_to_install(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    with pytest.raises(UnknownBackend) as caught:
        site.plugins().resolve("xyz")
    assert str(caught.value) == (
        "no backend for xyz: URLs; pip install the package that has it as entry point 'xyz' of "
        "'distqueue.backends' (installed: acme)"
    )


def test_a_planned_backend_is_said_to_be_planned(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    with pytest.raises(UnknownBackend) as caught:
        site.plugins().resolve("nats")
    assert str(caught.value) == (
        "no backend for nats: URLs; it is planned, but not part of this release (installed: acme)"
    )


def test_a_built_in_backend_that_is_not_installed_names_the_pip_line(site: Site) -> None:
    with pytest.raises(UnknownBackend) as caught:
        site.plugins().resolve("json")
    assert str(caught.value) == (
        "no backend for json: URLs; it comes with distqueue: pip install distqueue "
        "(in a checkout: pip install -e .) (installed: none)"
    )


def test_a_switched_off_plugin_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("acme-queue", "1.0", acme="acme_plugin")
    monkeypatch.setenv("DISTQUEUE_DISABLE_PLUGINS", "acme-queue")
    with pytest.raises(UnknownBackend) as caught:
        site.plugins().resolve("acme")
    assert str(caught.value) == (
        "no backend for acme: URLs; acme-queue 1.0 has one, but DISTQUEUE_DISABLE_PLUGINS switches it off "
        "(installed: none)"
    )
    assert site.imported() == set()


def test_threads_that_ask_at_the_same_time_get_the_same_backend(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    plugins, start = site.plugins(), Barrier(8)

    def resolve() -> BackendPlugin:
        start.wait()
        return plugins.resolve("acme")

    with ThreadPoolExecutor(8) as pool:
        found = [future.result() for future in [pool.submit(resolve) for _ in range(8)]]
    assert all(one is found[0] for one in found)


def test_a_new_process_finds_a_plugin_on_its_path(site: Site) -> None:
    site.add("acme-queue", "2.1", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    code = (
        "import sys; from distqueue.plugins import installed_plugins; "
        "found = installed_plugins().resolve('acme'); "
        "print(found.distribution, found.version, 'acme_client' in sys.modules)"
    )
    assert site.run(code) == "acme-queue 2.1 False"
