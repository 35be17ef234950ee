"""Fixtures of the installer's tests."""

from __future__ import annotations

from conftest_install import bench

__all__ = ["bench"]
