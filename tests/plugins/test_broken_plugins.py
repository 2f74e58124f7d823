"""A broken plugin is a named error for those who ask for it, and nothing for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from distqueue.errors import PluginError
from distqueue.plugins import ProblemKind

if TYPE_CHECKING:
    from .conftest import Site

HOOK = "from distqueue.plugins import hookimpl\n@hookimpl\n"

REPAIR = "; repair or upgrade acme-queue, or uninstall it"


def error_of(site: Site, scheme: str = "acme") -> PluginError:
    """Return the error of resolving the scheme, having checked that it leaves nothing behind."""
    plugins = site.plugins()
    with pytest.raises(PluginError) as caught:
        plugins.resolve(scheme)
    with pytest.raises(PluginError) as again:
        plugins.resolve(scheme)
    assert str(again.value) == str(caught.value)
    assert not plugins.is_observed
    assert not plugins.has_observers("distqueue_backends")
    assert len(plugins.problems) == 1
    return caught.value


def reason_of(site: Site, source: str) -> str:
    """Return why a plugin with this source cannot be used."""
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write("acme_plugin", source)
    text = str(error_of(site))
    head = "the plugin 'acme' of acme-queue 1.2 cannot be used: "
    assert text.startswith(head)
    assert text.endswith(REPAIR)
    return text.removeprefix(head).removesuffix(REPAIR)


def test_a_plugin_that_fails_at_import_names_distribution_version_and_reason(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write("acme_plugin", "import no_such_module")
    error = error_of(site)
    assert str(error) == (
        "the plugin 'acme' of acme-queue 1.2 cannot be used: it cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_module'); "
        "repair or upgrade acme-queue, or uninstall it"
    )
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_a_plugin_that_exits_at_import_does_not_end_the_program(site: Site) -> None:
    assert reason_of(site, "raise SystemExit(3)") == "it cannot be imported (SystemExit: 3)"


def test_an_entry_point_to_a_missing_object_is_an_import_problem(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin:missing")
    site.write_plugin("acme_plugin")
    assert "AttributeError: module 'acme_plugin' has no attribute 'missing'" in str(error_of(site))


def test_a_misspelt_hook_is_reported_with_the_nearest_one(site: Site) -> None:
    source = HOOK + "def distqueue_backend(): return []"
    assert reason_of(site, source) == (
        "there is no hook 'distqueue_backend'; did you mean 'distqueue_backends'?"
    )


def test_a_hook_like_no_other_is_reported_with_all_there_are(site: Site) -> None:
    reason = reason_of(site, HOOK + "def zzz(): return []")
    assert reason.startswith("there is no hook 'zzz'; the hooks are distqueue_backends, distqueue_put, ")


def test_an_optional_hook_that_this_version_does_not_know_is_passed_over(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    source = (site.directory / "acme_plugin.py").read_text()
    site.write("acme_plugin", source + "\n@hookimpl(optionalhook=True)\ndef distqueue_later(thing): ...\n")
    assert site.plugins().resolve("acme").scheme == "acme"


def test_a_plugin_without_hooks_is_told_to_mark_them(site: Site) -> None:
    assert reason_of(site, "def distqueue_backends(): return []") == (
        "it has no hook; mark its functions with @distqueue.plugins.hookimpl"
    )


def test_a_default_for_an_argument_is_refused_whatever_pluggy_does_with_it(site: Site) -> None:
    source = HOOK + "def distqueue_put(event=42): ..."
    assert reason_of(site, source) == (
        "distqueue_put gives its argument 'event' a default; leave the default out"
    )


def test_an_argument_that_the_hook_does_not_have_is_refused(site: Site) -> None:
    source = HOOK + "def distqueue_backends(registry): return []"
    assert reason_of(site, source) == (
        "distqueue_backends has an argument 'registry', but the hook takes no argument"
    )


def test_a_class_in_place_of_an_instance_is_recognised(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin:Plugin")
    site.write(
        "acme_plugin",
        "from distqueue.plugins import hookimpl\n"
        "class Plugin:\n  @hookimpl\n  def distqueue_put(self, event): ...\n",
    )
    assert str(error_of(site)) == (
        "the plugin 'acme' of acme-queue 1.2 cannot be used: distqueue_put has an argument 'self', "
        "but the hook takes event (is it a class? then name an instance of it)" + REPAIR
    )


def test_wrappers_and_coroutines_are_refused(site: Site) -> None:
    wrapper = (
        "from distqueue.plugins import hookimpl\n@hookimpl(wrapper=True)\ndef distqueue_put(event): yield"
    )
    assert reason_of(site, wrapper) == (
        "distqueue_put is a wrapper; plugins are called one at a time: there is nothing to wrap"
    )


def test_a_coroutine_function_is_refused(site: Site) -> None:
    assert reason_of(site, HOOK + "async def distqueue_put(event): ...") == (
        "distqueue_put is a coroutine function; hooks are plain functions"
    )


def test_a_hook_that_raises_is_reported_with_its_cause(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write("acme_plugin", HOOK + "def distqueue_backends(): raise ValueError('no luck')")
    error = error_of(site)
    assert "distqueue_backends raised ValueError: no luck" in str(error)
    assert isinstance(error.__cause__, ValueError)


def test_a_hook_that_yields_something_else_is_refused(site: Site) -> None:
    assert reason_of(site, HOOK + "def distqueue_backends(): return [{}]") == (
        "distqueue_backends gave a dict, not a BackendSpec"
    )


def test_a_plugin_that_does_not_describe_its_scheme_says_which_ones_it_does(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin", schemes='("other", "another")')
    assert str(error_of(site)) == (
        "the plugin 'acme' of acme-queue 1.2 cannot be used: "
        "it describes no backend for 'acme', only for 'other', 'another'" + REPAIR
    )


def test_another_contract_is_incompatible_and_says_both(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin", contract='"2"')
    plugins = site.plugins()
    with pytest.raises(PluginError) as caught:
        plugins.resolve("acme")
    assert str(caught.value) == (
        "the plugin 'acme' of acme-queue 1.2 cannot be used: it is written for contract '2', and this "
        "distqueue keeps '1'; install a version of acme-queue for that, or another distqueue"
    )
    assert [problem.kind for problem in plugins.problems] == [ProblemKind.CONTRACT]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("schemes", '"acme"', "schemes is not a tuple with at least one URL scheme"),
        ("schemes", '("acme", "Upper")', "'Upper' is not a lower-case URL scheme"),
        ("load", '"acme_client"', "load is 'acme_client', not 'module:Class'"),
        ("capabilities", "{}", "capabilities is not a distqueue.capabilities.Capabilities"),
        ("options", "dict", "options is not a subclass of msgspec.Struct"),
        ("options", "msgspec.defstruct('O', [('size', int)])", "the option 'size' has no default"),
        (
            "options",
            "msgspec.defstruct('O', [('create', bool, True)])",
            "an option cannot be named 'create': distqueue takes that argument itself",
        ),
        ("summary", "None", "summary and install_hint have to be text"),
    ],
)
def test_a_spec_is_checked_field_by_field(site: Site, field: str, value: str, reason: str) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin", **{field: value})
    text = f"the plugin 'acme' of acme-queue 1.2 cannot be used: {reason}{REPAIR}"
    assert str(error_of(site)) == text


def test_a_broken_plugin_does_not_touch_another_one(site: Site) -> None:
    site.add("acme-queue", acme="acme_plugin")
    site.write("acme_plugin", "raise RuntimeError")
    site.add("other-queue", other="other_plugin")
    site.write_plugin("other_plugin", schemes='("other",)')
    plugins = site.plugins()
    with pytest.raises(PluginError):
        plugins.resolve("acme")
    assert plugins.resolve("other").distribution == "other-queue"
