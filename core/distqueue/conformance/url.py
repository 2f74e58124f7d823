"""The suite for the URL of the command line: what ``distqueue conformance URL`` lets pytest run."""

from __future__ import annotations

from distqueue.conformance import BackendConformance


class TestURL(BackendConformance):
    """The store that the environment names: the plugin sets ``url`` beforehand."""
