"""The configuration's JSON Schema, for editors.

Which question: what should an editor offer and underline? Pure. The rule: it is made from the models of
`gateway.settings`; every value may also be a text that holds a variable, and other products' keys are known.

JSON Schema 2020-12.
"""

from __future__ import annotations

from typing import Any

from gateway.config.clients import ALIASES, FOREIGN, INPUTS, TRANSPORTS
from gateway.settings import Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VARIABLE = {"type": "string", "pattern": r"\$\{"}

_ABOUT = ("description", "default")


def schema() -> dict[str, Any]:
    """The schema of the whole file."""
    made = Config.model_json_schema()
    definitions = {name: _section(section) for name, section in made["$defs"].items()}
    server = definitions["ServerSpec"]["properties"]
    server["transport"]["anyOf"][0]["enum"].extend(TRANSPORTS)
    server |= {alias: {"description": f"another word for {ours}"} for alias, ours in ALIASES.items()}
    top = _section(made)["properties"] | {
        FOREIGN: {"description": "servers as desktop clients write them", "type": ["object", "null"]},
        INPUTS: {"description": "ignored; a gateway has nobody to ask"},
    }
    return {
        "$schema": DIALECT,
        "title": "mcp-gateway configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": top,
        "$defs": definitions,
    }


def _section(section: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in section.items() if key in ("type", "additionalProperties", "required")}
    properties = {name: _property(value) for name, value in section["properties"].items() if "readOnly" not in value}
    return {"description": section["description"], **kept, "properties": properties}


def _property(found: dict[str, Any]) -> dict[str, Any]:
    """A value may also be left empty, or be a text with a variable in it."""
    about = {key: found[key] for key in _ABOUT if key in found and found[key] not in ("", None, [], {})}
    value = {key: part for key, part in found.items() if key not in (*_ABOUT, "title", "anyOf")}
    if "patternProperties" in value:
        value["additionalProperties"] = False
    choices = found.get("anyOf", [value])
    null = {"type": "null"}
    others = [choice for choice in (VARIABLE, null) if choice not in choices and _is_open(choices[0], choice)]
    return {**about, "anyOf": [*choices, *others]}


def _is_open(value: dict[str, Any], other: dict[str, Any]) -> bool:
    """Free texts hold variables as they are, and neither lists nor sections can be one."""
    is_free_text = value.get("type") == "string" and not value.keys() & {"enum", "pattern"}
    return other is not VARIABLE or not (is_free_text or "$ref" in value or value.get("type") in ("array", "object"))
