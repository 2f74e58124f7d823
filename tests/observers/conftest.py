"""The worker's bench, for what is observed of real workers."""

from __future__ import annotations

from tests.worker.conftest import bench, lite

__all__ = ["bench", "lite"]
