"""What a test needs and this machine lacks: named and skipped here, a failure in CI, where nothing may be missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(what: str) -> NoReturn:
    """End the test: `what` names the missing thing and how to get it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI lacks {what}", pytrace=False)
    pytest.skip(f"needs {what}")
