"""A fixture for pytest."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from distqueue.app.app import App
from distqueue.testing.tester import AppTester


def app_fixture(app: App) -> Callable[[], Iterator[AppTester]]:
    """Return a pytest fixture that gives each test ``app.testing()``; for a ``conftest.py``.

    >>> jobs = app_fixture(app)                                                # doctest: +SKIP
    >>> def test_a_welcome_is_sent(jobs: AppTester) -> None:                   # doctest: +SKIP
    ...     sign_up("a@example.org")
    ...     jobs.assert_enqueued(send_email, "a@example.org")
    """
    import pytest  # which programs run without

    @pytest.fixture
    def testing() -> Iterator[AppTester]:
        with app.testing() as tester:
            yield tester

    return testing
