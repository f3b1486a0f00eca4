"""The mark that this database is ours, set before anything else is made.

A half-made revision 1 looks like another application's tables; the revision in the version table tells them apart.
"""

from __future__ import annotations

revision = "gateway_0000"
down_revision = None


def upgrade() -> None:
    """The version table itself is the mark."""
