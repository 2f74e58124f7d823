"""Opening a store: from a URL and options to a broker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from distqueue.commands import Claim, Put
from distqueue.errors import ConfigError, PluginError
from distqueue.ids import new_token
from distqueue.opening import open_broker
from distqueue.plugins import Plugins
from distqueue.results import Claimed
from distqueue.urls import parse_url

if TYPE_CHECKING:
    from .conftest import Site

CLIENT = """
from distqueue_backends.memory import MemoryBackend

calls = []

class AcmeBackend(MemoryBackend):
    @classmethod
    def open(cls, url, options, *, create):
        calls.append((str(url), options.timeout, options.mode, create))
        return cls()
"""


@pytest.fixture
def acme(site: Site) -> Plugins:
    """A third-party backend whose ``open`` records how it was called."""
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.write("acme_client", CLIENT)
    return site.plugins()


def opened(acme: Plugins, url: str, **options: object) -> tuple[str, float, str, bool]:
    """Open and close the store; return what the backend was given."""
    open_broker(url, plugins=acme, **options).close()  # type: ignore[arg-type]
    import acme_client  # type: ignore[import-not-found]

    call: tuple[str, float, str, bool] = acme_client.calls[-1]
    return call


def test_a_third_party_backend_carries_out_commands(acme: Plugins) -> None:
    broker = open_broker("acme://host/queue", plugins=acme)
    broker.apply([Put(queue="default", task_id="a", data=b"{}")])
    (claimed,) = broker.apply([Claim(queue="default", token=new_token())])
    assert isinstance(claimed, Claimed)
    assert claimed.leases[0].task_id == "a"
    broker.close()


def test_options_come_from_the_query_and_keywords_go_before_it(acme: Plugins) -> None:
    assert opened(acme, "acme://h") == ("acme://h", 5.0, "calm", True)
    assert opened(acme, "acme://h?timeout=2.5&mode=wild")[1:3] == (2.5, "wild")
    assert opened(acme, "acme://h?timeout=2.5", timeout=7)[1] == 7.0
    assert opened(acme, "acme://h", timeout=timedelta(minutes=1))[1] == 60.0


def test_create_is_handed_on(acme: Plugins) -> None:
    assert opened(acme, "acme://h", create=False)[3] is False


def test_a_parsed_url_will_do(acme: Plugins) -> None:
    open_broker(parse_url("acme://h"), plugins=acme).close()


@pytest.mark.parametrize(("url", "options"), [("acme://h?timeot=3", {}), ("acme://h", {"timeot": 3})])
def test_an_unknown_option_names_the_nearest_and_all_there_are(
    acme: Plugins, url: str, options: dict[str, int]
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_broker(url, plugins=acme, **options)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "the backend acme: there is no option 'timeot'; did you mean 'timeout'? there are: mode, timeout"
    )


def test_a_bad_value_names_option_value_and_what_is_expected(acme: Plugins) -> None:
    with pytest.raises(ConfigError) as caught:
        open_broker("acme://h?timeout=soon", plugins=acme)
    assert str(caught.value) == "the backend acme: timeout is 'soon'; use a number"


def test_bad_options_are_found_before_the_client_library_is_imported(acme: Plugins, site: Site) -> None:
    with pytest.raises(ConfigError):
        open_broker("acme://h?timeout=soon", plugins=acme)
    assert site.imported() == {"acme_plugin"}


def test_a_missing_client_library_names_the_pip_line(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin", install_hint="\"pip install 'acme-queue[client]'\"")
    with pytest.raises(PluginError) as caught:
        open_broker("acme://h", plugins=site.plugins())
    assert str(caught.value) == (
        "acme_client:AcmeBackend of acme-queue 1.2 cannot be loaded "
        "(ModuleNotFoundError: No module named 'acme_client'); pip install 'acme-queue[client]'"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_missing_class_is_an_error_that_names_the_distribution(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.write("acme_client", "")
    with pytest.raises(PluginError) as caught:
        open_broker("acme://h", plugins=site.plugins())
    assert str(caught.value) == (
        "acme_client:AcmeBackend of acme-queue 1.2 cannot be loaded "
        "(AttributeError: module 'acme_client' has no attribute 'AcmeBackend'); repair or upgrade acme-queue"
    )


def test_a_class_that_is_no_backend_is_refused(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.write("acme_client", "class AcmeBackend: ...")
    with pytest.raises(PluginError) as caught:
        open_broker("acme://h", plugins=site.plugins())
    assert str(caught.value) == (
        "acme_client:AcmeBackend of acme-queue 1.2 has no classmethod open(url, options, *, create); "
        "repair or upgrade acme-queue"
    )


def test_a_process_opens_an_installed_backend_with_nothing_but_its_url(site: Site) -> None:
    site.add("acme-queue", "1.2", acme="acme_plugin")
    site.write_plugin("acme_plugin")
    site.write("acme_client", CLIENT)
    code = (
        "from distqueue.opening import open_broker; open_broker('acme://h?mode=x').close(); "
        "import acme_client; print(acme_client.calls)"
    )
    assert site.run(code) == "[('acme://h?mode=x', 5.0, 'x', True)]"
