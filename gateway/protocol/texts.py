"""JSON texts: opened one level, edited, and written again with every untouched value's own bytes.

Which question: which are the exact bytes of each member of this object? Pure. The rule: a value that nobody edits
is never decoded; it stays a `Raw`, the slice of text that it came in, and a `Raw` pins the whole text it was cut
from, so that whatever outlives a call is a `copy`.

Of equal keys the last one counts, at the place of the first; keys are compared with their escapes undone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from gateway.protocol import surrogates

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_ELEMENTS = msgspec.json.Decoder(list[Raw])
_STRING = msgspec.json.Decoder(str)
_ANY = msgspec.json.Decoder(Raw)


class NotAnObject(ValueError):
    """The text is JSON, but no object."""


class NotAnArray(ValueError):
    """The text is no JSON array."""


class NotJson(NotAnObject):
    """The text is no JSON at all."""


def members(text: Raw | bytes) -> dict[str, Raw]:
    """The members of an object. Raises `NotAnObject`, or its kind `NotJson`."""
    try:
        return _MEMBERS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _members_slowly(bytes(text))


def elements(text: Raw | bytes) -> list[Raw]:
    """The elements of an array. Raises `NotAnArray`."""
    try:
        return _ELEMENTS.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _elements_slowly(bytes(text))


def encode(members: Mapping[str, Raw | bytes]) -> Raw:
    """The object with these members; every value is a JSON text."""
    raws = {key: value if type(value) is Raw else Raw(value) for key, value in members.items()}
    try:
        return Raw(msgspec.json.encode(raws))
    except UnicodeEncodeError:  # a key with a lone surrogate
        return Raw(b"{" + b",".join(b"%b:%b" % (bytes(text(key)), bytes(raw)) for key, raw in raws.items()) + b"}")


def text(value: object) -> Raw:
    """The JSON text of a Python value: None, bool, int, float, str, and lists and dicts of them."""
    try:
        return Raw(msgspec.json.encode(value))
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can spell
        return Raw(json.dumps(value, separators=(",", ":")).encode())


def string(text: Raw | bytes) -> str | None:
    """The string that `text` spells, lone surrogates included; None when it is something else."""
    try:
        return _STRING.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _string_with_surrogates(bytes(text))


def word(text: Raw | bytes) -> str | None:
    """The string that `text` spells; None when it is something else, or holds a lone surrogate.

    For names that are logged, stored or sent in headers, none of which can carry one.
    """
    try:
        return _STRING.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_token(text: Raw | bytes) -> bool:
    """Whether `text` is a string or an integer, as request ids and progress tokens must be."""
    spelt = bytes(text)
    return spelt.startswith(b'"') or spelt.removeprefix(b"-").isdigit()


def is_object(text: Raw | bytes) -> bool:
    """Whether `text`, JSON without blanks around it, is an object."""
    return bytes(memoryview(text)[:1]) == b"{"


def is_json(text: Raw | bytes) -> bool:
    """Whether `text` is JSON of any kind."""
    try:
        _ANY.decode(surrogates.veiled(bytes(text)))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True


def is_whole(text: Raw | bytes) -> bool:
    """Whether `text` is JSON without lone surrogates, so that every reader of JSON takes it."""
    try:
        _ANY.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def copy(raw: Raw) -> Raw:
    """The same text in a buffer of its own."""
    return raw.copy()


def one_line(text: bytes) -> bytes:
    """`text` without CR and LF. JSON has them between tokens alone, so that no token changes."""
    return text.translate(None, b"\r\n") if b"\n" in text or b"\r" in text else text


def _members_slowly(text: bytes) -> dict[str, Raw]:
    """For texts with lone surrogates, and for the exact reason why there are no members."""
    try:
        found = _MEMBERS.decode(surrogates.veiled(text))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotAnObject("the text is no object") if is_json(text) else NotJson(str(error)) from error
    return {surrogates.unveiled_string(key): Raw(surrogates.unveiled(bytes(raw))) for key, raw in found.items()}


def _elements_slowly(text: bytes) -> list[Raw]:
    try:
        return [Raw(surrogates.unveiled(bytes(raw))) for raw in _ELEMENTS.decode(surrogates.veiled(text))]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotAnArray(str(error)) from error


def _string_with_surrogates(text: bytes) -> str | None:
    try:
        return surrogates.unveiled_string(_STRING.decode(surrogates.veiled(text)))
    except (msgspec.DecodeError, ValueError):
        return None
