"""An app as a user has it, and the fixture that a user makes of it."""

from __future__ import annotations

from distqueue.testing import app_fixture
from tests.testing.shop import app

jobs = app_fixture(app)
