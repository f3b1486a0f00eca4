"""What is kept of a call's payloads, by the words of the admin.

Which question: may this payload be stored, and what of it must not? Pure values. The rule: a call always has its row;
only what was said in it may be left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from storage.paths import Path
from storage.records import Started

Capture = Literal["full", "metadata", "none"]
Exact = Literal["needed", "always", "never"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`capture`: all, sizes and hashes alone, or not even these. `hide` are values that are never kept."""

    capture: Capture = "full"
    exact: Exact = "needed"
    hide: tuple[Path, ...] = ()

    @property
    def tells_words(self) -> bool:
        """Whether error messages, which may repeat what was said, are kept."""
        return self.capture == "full" and not self.hide


Policy = Callable[[Started], Rule]
"""The rule of a call. Synchronous, costs next to nothing, never raises."""
