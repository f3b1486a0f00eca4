"""The configuration: text in, `Configuration` or all of its problems out.

Which question: what did the admin ask for? Pure: the environment and the reader of secret files are arguments. The
rule: every problem is found in one pass, and says where it is and what to do; the value of a variable is in the
result alone.

On the way: `document` (text → nodes with lines), `overrides` (environment and flags), `clients` (servers, whoever's
way they are written), `binding` (nodes → values, by the models of `gateway.settings`), `server_rules`, `rules`.
"""

from __future__ import annotations

from gateway.config.configuration import Configuration, parse, resolve
from gateway.config.document import MAX_CHARACTERS
from gateway.config.interpolation import ReadFile
from gateway.config.problems import ConfigErrors, Place, Problem
from gateway.config.section import Part, section

__all__ = [
    "MAX_CHARACTERS",
    "ConfigErrors",
    "Configuration",
    "Part",
    "Place",
    "Problem",
    "ReadFile",
    "parse",
    "resolve",
    "section",
]
