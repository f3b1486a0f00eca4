"""URIs are rewritten in the places of the protocol, and nothing else changes by a byte."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from json.decoder import scanstring
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gateway import uris
from gateway.protocol import jsonrpc
from gateway.protocol.listed import Listed
from gateway.uris import AS_THEY_ARE, Naming
from tests.gateway.protocol import spellings
from tests.gateway.protocol.spellings import LAW, VALUES, flat, objects

FEWER = settings(LAW, max_examples=25)
DOCS = Naming("docs")
SLUGS = st.from_regex(r"[a-z][a-z0-9-]{0,23}", fullmatch=True)
KNOWN = (
    *("file:///a", "file:///é?q#f", "db:t", "urn:x", "a+b:c", "docs+file:///a", "git+ssh://x", "", "+", "docs+"),
    *("ui://app", "ui://docs/app", "ui://", "skill://s/SKILL.md", "skill://docs", "ui:/x", "UI://x", "\ud800:x"),
    *("https://x.org/a", "http://x.org", "HTTPS://x.org", "https:x", "{scheme}://x", "{+all}", "ui://{name}/x"),
)
URIS = st.sampled_from(KNOWN) | st.text(max_size=20)

Path: TypeAlias = tuple[str | int, ...]
Placed: TypeAlias = tuple[str, tuple[Path, ...]]
"""The text of a value, and where in it URIs stand."""


@LAW
@given(SLUGS, URIS)
def test_back_undoes_out_whatever_the_uri(slug: str, uri: str) -> None:
    naming = Naming(slug)
    assert naming.back(naming.out(uri)) == uri
    assert AS_THEY_ARE.back(AS_THEY_ARE.out(uri)) == uri


@LAW
@given(SLUGS, SLUGS, URIS, URIS)
def test_two_servers_share_no_uri_but_those_of_the_web(one: str, other: str, first: str, second: str) -> None:
    seen = Naming(one).out(first)
    if first.startswith(uris.WEB):
        assert seen == first
    else:
        assert uris.slug_in(seen) == one
        assert one == other or seen != Naming(other).out(second)


@pytest.mark.trap(35)
def test_schemes_that_clients_know_keep_their_name() -> None:
    assert DOCS.out("ui://app/index.html") == "ui://docs/app/index.html"
    assert DOCS.out("skill://pdf/SKILL.md") == "skill://docs/pdf/SKILL.md"
    assert DOCS.out("https://x.org/a") == "https://x.org/a"
    assert DOCS.out("file:///a") == "docs+file:///a"


@pytest.mark.parametrize("uri", ["git+file:///a", "ui://git/app", "ui://docsy/app", "file:///a", "docsy+a:b"])
def test_a_uri_of_another_server_stays(uri: str) -> None:
    assert DOCS.back(uri) == uri


LITERALS = st.text("abcXYZ019:/+-._~%?#[]@!$&()*,;=é漢", max_size=8).map(lambda text: text.replace("%", "%2F"))
VARIABLES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
EXPRESSIONS = st.builds(
    lambda operator, names, modifier: f"{{{operator}{','.join(names)}{modifier}}}",
    st.sampled_from(["", "+", "#", ".", "/", ";", "?", "&"]),
    st.lists(VARIABLES, min_size=1, max_size=3),
    st.sampled_from(["", "*", ":3"]),
)
SCHEMES = st.sampled_from(["file:///", "ui://", "skill://", "https://", "db:", ""])
TEMPLATES = st.builds(lambda scheme, parts: scheme + "".join(parts), SCHEMES, st.lists(LITERALS | EXPRESSIONS))

_VARSPEC = r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*(?:\*|:[1-9][0-9]{0,3})?"
_TEMPLATE = re.compile(
    rf"(?:[^\x00-\x20\x7f\"'%<>\\^`{{|}}]|%[0-9A-Fa-f]{{2}}|\{{[+#./;?&]?{_VARSPEC}(?:,{_VARSPEC})*\}})*"
)
"""RFC 6570 §2."""


@LAW
@given(SLUGS, TEMPLATES, st.text("abc/:+é", max_size=6))
def test_a_wrapped_template_is_one_and_expands_to_what_the_server_would_expand(
    slug: str, template: str, value: str
) -> None:
    naming = Naming(slug)
    shown = naming.out(template)
    assert _TEMPLATE.fullmatch(template)
    assert _TEMPLATE.fullmatch(shown)
    assert naming.back(_expanded(shown, value)) == _expanded(template, value)


def _expanded(template: str, value: str) -> str:
    return re.sub(r"\{[^{}]*\}", lambda _: value, template)


@st.composite
def spelt(draw: st.DrawFn, uri: str | None = None) -> str:
    """A URI as a JSON string, with or without escapes."""
    uri = draw(URIS) if uri is None else uri
    plain = draw(st.booleans()) and not any("\ud800" <= c <= "\udfff" for c in uri)
    text = json.dumps(uri, ensure_ascii=not plain)
    return text.replace("/", r"\/") if draw(st.booleans()) else text


KEYS = {"uri": st.sampled_from(['"uri"', r'"\u0075ri"', r'"ur\u0069"'])}


@st.composite
def holder(draw: st.DrawFn, *members: tuple[str, Placed | str]) -> Placed:
    """An object with these members among hostile ones; a URI may stand twice, under two spellings of its name."""
    own: list[tuple[str, str]] = []
    paths: list[Path] = []
    for name, value in members:
        text, inner = (value, ()) if isinstance(value, str) else value
        own.append((draw(KEYS.get(name, st.just(json.dumps(name)))), text))
        paths += [(name, *path) for path in inner]
        if name == "uri" and draw(st.booleans()):
            own.append((draw(KEYS[name]), draw(spelt())))
    return draw(objects(VALUES, tuple(own))).text, tuple(paths)


@st.composite
def array(draw: st.DrawFn, *elements: Placed) -> Placed:
    blank = draw(spellings.BLANKS)
    text = f"[{blank}{f'{blank},'.join(element for element, _ in elements)}{blank}]"
    return text, tuple((index, *path) for index, (_, paths) in enumerate(elements) for path in paths)


@st.composite
def leaf(draw: st.DrawFn) -> Placed:
    """A URI, or what stands there by mistake."""
    text = draw(spelt() | st.sampled_from(["null", "7", "{}", "[ 1.10 ]"]))
    return text, ((),)


def plain(value: str) -> Placed:
    return value, ()


@st.composite
def blocks(draw: st.DrawFn, depth: int = 1) -> Placed:
    """One content block of any type."""
    kinds = ["link", "embedded", "text", "other", "vendor"] + ["tool"] * depth
    match draw(st.sampled_from(kinds)):
        case "link":
            return draw(holder(("type", '"resource_link"'), ("uri", draw(leaf()))))
        case "embedded":
            inner = draw(holder(("uri", draw(leaf())), ("text", '"file:///a"')))
            return draw(holder(("type", r'"resour\u0063e"'), ("resource", inner), ("uri", draw(spelt()))))
        case "tool":
            content = draw(array(*draw(st.lists(blocks(depth - 1), max_size=2))))
            structured = '{"uri":"file:///a","type":"resource_link"}'
            return draw(holder(("type", '"tool_result"'), ("content", content), ("structuredContent", structured)))
        case "text":
            text = json.dumps('{"type":"resource_link","uri":"file:///a"}')
            return draw(holder(("type", '"text"'), ("text", text), ("uri", draw(spelt()))))
        case "vendor":
            return plain(draw(VALUES))
    return draw(holder(("type", '"x-vendor"'), ("uri", draw(spelt())), ("resource", '{"uri":"file:///a"}')))


CONTENT = st.lists(blocks(), max_size=3).flatmap(lambda found: array(*found))
ONE_OR_MORE = blocks() | CONTENT


@st.composite
def apps(draw: st.DrawFn) -> Placed:
    """`_meta` of a tool with a page."""
    ui = draw(holder(("resourceUri", draw(leaf())), ("uri", draw(spelt()))))
    flat_ones = [(name, draw(leaf())) for name in ("ui/resourceUri", "openai/outputTemplate")]
    return draw(holder(("ui", ui), *flat_ones, ("uri", draw(spelt()))))


@st.composite
def messages(draw: st.DrawFn) -> Placed:
    each = draw(st.lists(ONE_OR_MORE, max_size=3))
    return draw(array(*[draw(holder(("role", '"user"'), ("content", content))) for content in each]))


@st.composite
def questions(draw: st.DrawFn) -> Placed:
    """`inputRequests`: one sampling, one elicitation."""
    params = draw(holder(("messages", draw(messages())), ("uri", draw(spelt()))))
    sampling = draw(holder(("method", r'"sampling\/createMessage"'), ("params", params)))
    form = draw(holder(("method", '"elicitation/create"'), ("params", '{"uri":"file:///a","messages":[]}')))
    return f'{{"one":{sampling[0]},"two":{form[0]}}}', tuple(("one", *path) for path in sampling[1])


@st.composite
def called(draw: st.DrawFn) -> Placed:
    structured = '{"uri":"file:///a","content":[{"type":"resource_link","uri":"file:///a"}]}'
    own = [("content", draw(CONTENT)), ("_meta", draw(apps())), ("inputRequests", draw(questions()))]
    return draw(holder(*own, ("structuredContent", structured), ("uri", draw(spelt()))))


@st.composite
def prompted(draw: st.DrawFn) -> Placed:
    return draw(holder(("messages", draw(messages())), ("inputRequests", draw(questions())), ("_meta", '{"ui":7}')))


@st.composite
def resource_read(draw: st.DrawFn) -> Placed:
    contents = [draw(holder(("uri", draw(leaf())), ("text", '"file:///a"'))) for _ in range(draw(st.integers(0, 3)))]
    return draw(holder(("contents", draw(array(*contents))), ("inputRequests", draw(questions()))))


@st.composite
def task(draw: st.DrawFn) -> Placed:
    return draw(
        holder(("result", draw(called())), ("inputRequests", draw(questions())), ("content", '[{"uri":"a:b"}]'))
    )


@st.composite
def with_uri(draw: st.DrawFn) -> Placed:
    return draw(holder(("uri", draw(leaf())), ("_meta", '{"uri":"file:///a"}')))


@st.composite
def failed(draw: st.DrawFn) -> Placed:
    return draw(holder(("code", "-32002"), ("message", '"file:///a"'), ("data", draw(with_uri())), ("uri", '"a:b"')))


@st.composite
def asked(draw: st.DrawFn) -> Placed:
    return draw(holder(("messages", draw(messages())), ("systemPrompt", '"file:///a"'), ("tools", '[{"uri":"a:b"}]')))


@st.composite
def templated(draw: st.DrawFn) -> Placed:
    return draw(holder(("uriTemplate", draw(leaf())), ("uri", draw(spelt())), ("name", '"file:///a"')))


@st.composite
def tool(draw: st.DrawFn) -> Placed:
    schema = '{"uri":"file:///a","properties":{"_meta":{"ui":{"resourceUri":"ui://a"}}}}'
    return draw(holder(("name", '"t"'), ("_meta", draw(apps())), ("inputSchema", schema), ("uri", draw(spelt()))))


def result_of(method: str) -> Callable[[Raw, Naming], Raw]:
    return lambda raw, naming: uris.result_out(method, raw, naming)


def entry_of(listed: Listed) -> Callable[[Raw, Naming], Raw]:
    return lambda raw, naming: uris.entry_out(listed, raw, naming)


PLACES = {
    "tools/call": (called(), result_of("tools/call")),
    "tasks/result": (called(), result_of("tasks/result")),
    "prompts/get": (prompted(), result_of("prompts/get")),
    "resources/read": (resource_read(), result_of("resources/read")),
    "tasks/get": (task(), result_of("tasks/get")),
    "completion/complete": (with_uri().map(lambda placed: plain(placed[0])), result_of("completion/complete")),
    "sampling": (asked(), lambda raw, naming: uris.question_out("sampling/createMessage", raw, naming)),
    "elicitation": (
        asked().map(lambda placed: plain(placed[0])),
        lambda raw, naming: uris.question_out("elicitation/create", raw, naming),
    ),
    "updated": (with_uri(), lambda raw, naming: uris.notification_out("notifications/resources/updated", raw, naming)),
    "log": (
        with_uri().map(lambda placed: plain(placed[0])),
        lambda raw, naming: uris.notification_out("notifications/message", raw, naming),
    ),
    "tasks": (task(), lambda raw, naming: uris.notification_out("notifications/tasks", raw, naming)),
    "error": (failed(), uris.error_out),
    "resource": (with_uri(), entry_of(Listed.RESOURCES)),
    "template": (templated(), entry_of(Listed.TEMPLATES)),
    "tool": (tool(), entry_of(Listed.TOOLS)),
    "prompt": (with_uri().map(lambda placed: plain(placed[0])), entry_of(Listed.PROMPTS)),
}


@pytest.mark.trap(22)
@pytest.mark.parametrize("place", PLACES)
def test_every_uri_of_a_place_is_rewritten_and_every_other_byte_stays(place: str) -> None:
    made, rewritten = PLACES[place]

    @FEWER
    @given(made)
    def law(placed: Placed) -> None:
        text, paths = placed
        before = Raw(text.encode())
        compare(bytes(before), bytes(rewritten(before, DOCS)), paths, DOCS.out)
        assert rewritten(before, AS_THEY_ARE) is before

    law()


BACK = {
    "resources/read": with_uri(),
    "resources/subscribe": with_uri(),
    "resources/unsubscribe": with_uri(),
    "completion/complete": with_uri().flatmap(lambda ref: holder(("ref", ref), ("uri", '"docs+a:b"'))),
    "tools/call": with_uri().map(lambda placed: plain(placed[0])),
}


@pytest.mark.trap(22)
@pytest.mark.parametrize("method", BACK)
def test_what_clients_name_is_what_servers_read_and_every_other_byte_stays(method: str) -> None:
    @FEWER
    @given(BACK[method])
    def law(placed: Placed) -> None:
        text, paths = placed
        members = jsonrpc.members(Raw(text.encode()))
        after = uris.params_back(method, members, DOCS)
        compare(bytes(jsonrpc.encode(members)), bytes(jsonrpc.encode(after)), paths, DOCS.back)
        assert uris.params_back(method, members, AS_THEY_ARE) is members

    law()


def test_the_uri_that_a_client_saw_is_the_one_that_the_server_gets_back() -> None:
    for uri in KNOWN:
        members = {"uri": jsonrpc.text(DOCS.out(uri)), "x": Raw(b"1.10")}
        found = uris.params_back("resources/read", members, DOCS)
        assert (jsonrpc.string(found["uri"]), found["x"]) == (uri, Raw(b"1.10"))


@pytest.mark.trap(22)
@FEWER
@given(VALUES)
def test_what_holds_no_uri_in_its_places_comes_back_as_the_same_bytes(value: str) -> None:
    for _, rewritten in PLACES.values():
        assert bytes(rewritten(Raw(value.encode()), DOCS)) == value.encode()


def compare(before: bytes, after: bytes, paths: Iterable[Path], change: Callable[[str], str]) -> None:
    """`after` is `before` with `change` made at `paths`; of repeated names the last counts. Containers on the way to a
    change may be written anew, what they hold may not.
    """
    paths = tuple(paths)
    if not paths:
        assert flat(after) == flat(before)
    elif paths == ((),):
        compare_leaf(before, after, change)
    elif before.startswith(b"["):
        old, new = elements(before), elements(after)
        assert len(old) == len(new)
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            compare(one, other, below(paths, index), change)
    else:
        old, new = dict(spellings.read(before)), dict(spellings.read(after))
        assert list(new) == list(old)
        for name in old:
            compare(old[name], new[name], below(paths, name), change)


def below(paths: Iterable[Path], step: str | int) -> tuple[Path, ...]:
    return tuple(path[1:] for path in paths if path[0] == step)


def compare_leaf(before: bytes, after: bytes, change: Callable[[str], str]) -> None:
    if not before.startswith(b'"') or change(said(before)) == said(before):
        assert after == before
    else:
        assert said(after) == change(said(before))


def said(text: bytes) -> str:
    return scanstring(text.decode(), 1)[0]


def elements(text: bytes) -> list[bytes]:
    """The elements of an array, by the reader of objects."""
    source, found, at = text.decode(), [], 1
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    while (at := spellings._skip(source, at)) < len(source) - 1 and source[at] != "]":
        _, end = decoder.raw_decode(source, at)
        found.append(source[at:end].encode())
        at = spellings._skip(source, end)
        at += source[at] == ","
    return found
