"""What every test may ask for."""

from __future__ import annotations

import hypothesis  # noqa: F401  # its plugin would import it at the very end, deep inside pytest's own stack

pytest_plugins = ["tests.support.engines"]
