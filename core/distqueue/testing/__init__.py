"""For the tests of programs that have an app: what :meth:`App.testing <distqueue.App.testing>` gives."""

from __future__ import annotations

from distqueue.testing.calls import Enqueued, Raised
from distqueue.testing.fixture import app_fixture
from distqueue.testing.tester import AppTester

__all__ = ["AppTester", "Enqueued", "Raised", "app_fixture"]
