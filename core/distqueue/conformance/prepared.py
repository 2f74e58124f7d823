"""``python -m distqueue.conformance.prepared MODULE:FUNCTION OTHER ...``: ``python -m OTHER ...``, prepared.

A backend that is not installed can be registered like that, or whatever else the child processes of a test
need first: see ``prepare`` of :class:`distqueue.conformance.harness.Harness`.
"""

from __future__ import annotations

import importlib
import runpy
import sys

if __name__ == "__main__":
    module, _, function = sys.argv[1].partition(":")
    getattr(importlib.import_module(module), function)()
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
