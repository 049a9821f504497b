"""The functions that the host offers a step: those of the component, or stand-ins in tests."""

from __future__ import annotations

from typing import Any

functions: Any = None
"""Has the methods `emit`, `reject`, `log`, `count`, `list`, `read` and `add`; set before a step is opened."""
