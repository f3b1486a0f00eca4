"""URIs are rewritten in the places that the protocol defines, and nowhere else.

A text is made twice, by one function: once with the server's URIs in it and once with those that clients see. What
the gateway makes of the first must be the second, byte for byte, however the rest of it is spelt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gateway.protocol import jsonrpc
from gateway.protocol.listed import Listed
from gateway.uris import (
    AS_THEY_ARE,
    Naming,
    entry_out,
    error_out,
    notification_out,
    pages_of,
    params_back,
    question_out,
    result_out,
    slug_in,
)
from tests.gateway.protocol import spellings
from tests.gateway.protocol.spellings import VALUES, flat

LAW = settings(spellings.LAW, max_examples=40)
DOCS = Naming("docs")
Uri = Callable[[str], str]
"""What stands for a URI in a text."""

KINDS = [
    "file:///a b",
    "test://x",
    "urn:a",
    "ui://",
    "ui://docs/app",
    "skill://",
    "docs+a:b",
    "https://x.org/",
    "",
    "é",
]
URIS = st.builds(str.__add__, st.sampled_from(KINDS), st.text(max_size=6))
SLUGS = st.from_regex(r"[a-z][a-z0-9-]{0,23}", fullmatch=True)

EXPRESSIONS = st.sampled_from(["{a}", "{+path}", "{#x}", "{/a,b}", "{?limit,offset}", "{;x*}", "{&y:3}", "{.ext}"])
LITERALS = st.sampled_from(["file:///", "ui://", "ui://app/", "skill://", "x", "https://x.org/", "://", "/", "a-b", ""])
TEMPLATES = st.lists(LITERALS | EXPRESSIONS, max_size=6).map("".join)
TEMPLATE = re.compile(r"([^{}\"'%<>\\^`|\s]|\{[+#./;?&]?[A-Za-z0-9_,*:]+\})*")
"""RFC 6570 §2, as far as these templates go."""


class TestANaming:
    @LAW
    @given(SLUGS, URIS)
    def test_gives_back_what_it_was_given(self, slug: str, uri: str) -> None:
        naming = Naming(slug)
        assert naming.back(naming.out(uri)) == uri

    @LAW
    @given(SLUGS, SLUGS, URIS, URIS)
    def test_calls_no_two_things_the_same(self, slug: str, other: str, uri: str, another: str) -> None:
        if (slug, uri) != (other, another) and not uri.startswith(("https://", "http://")):
            assert Naming(slug).out(uri) != Naming(other).out(another)

    @LAW
    @given(SLUGS, URIS)
    def test_says_whose_a_uri_is_but_of_what_the_web_serves(self, slug: str, uri: str) -> None:
        if not uri.startswith(("https://", "http://")):
            assert slug_in(Naming(slug).out(uri)) == slug

    @LAW
    @given(SLUGS, TEMPLATES)
    def test_leaves_a_template_a_template(self, slug: str, template: str) -> None:
        assert TEMPLATE.fullmatch(Naming(slug).out(template))

    @LAW
    @given(SLUGS, st.sampled_from(["file:///{a}", "ui://{a}/x", "skill://{a}", "{a}", "x{a}://b"]), st.text("ab/:+"))
    def test_of_a_template_is_that_of_its_expansions(self, slug: str, template: str, value: str) -> None:
        naming = Naming(slug)
        assert naming.back(naming.out(template).replace("{a}", value)) == template.replace("{a}", value)

    @pytest.mark.trap(38)
    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("file:///README.md", "docs+file:///README.md"),
            ("ui://app/index.html", "ui://docs/app/index.html"),
            ("skill://review/SKILL.md", "skill://docs/review/SKILL.md"),
            ("ui://", "ui://docs/"),
            ("docs+file:///a", "docs+docs+file:///a"),
            ("https://example.com/a", "https://example.com/a"),
            ("{scheme}://{+rest}", "docs+{scheme}://{+rest}"),
        ],
    )
    def test_is_this(self, uri: str, shown: str) -> None:
        assert DOCS.out(uri) == shown

    def test_leaves_alone_what_another_server_s_naming_made(self) -> None:
        assert [DOCS.back(uri) for uri in ("git+file:///a", "ui://git/a", "file:///a")] == [
            "git+file:///a",
            "ui://git/a",
            "file:///a",
        ]


def text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def call(uri: Uri, u: Sequence[str], rest: Sequence[str]) -> str:
    """The result of `tools/call`, with every kind of block, and with URIs where none are to be changed."""
    left = text(u[0])
    return (
        f'{{"content":[{{"type":"resource_link","x":{rest[0]},"uri":{text(uri(u[0]))},"name":{left}}},'
        f'{{"type":"resource","resource":{{"uri":{text(uri(u[1]))},"text":{left},"y":{rest[1]}}}}},'
        f'{{"type":"text","text":{left},"uri":{left}}},{{"type":"vendor","uri":{left},"z":{rest[2]}}},{rest[0]}],'
        f'"structuredContent":{{"uri":{left},"n":{rest[1]}}},'
        f'"_meta":{{"ui":{{"resourceUri":{text(uri(u[2]))},"k":{rest[2]}}},"ui/resourceUri":{text(uri(u[2]))},'
        f'"openai/outputTemplate":{text(uri(u[1]))},"uri":{left}}},"uri":{left},"isError":false}}'
    )


def prompt(uri: Uri, u: Sequence[str], rest: Sequence[str]) -> str:
    """The result of `prompts/get`; a message holds one block, or several."""
    link = f'{{"type":"resource_link","uri":{text(uri(u[0]))},"x":{rest[0]}}}'
    embedded = f'{{"type":"resource","resource":{{"uri":{text(uri(u[1]))},"text":{text(u[1])}}}}}'
    return (
        f'{{"description":{text(u[0])},"messages":[{{"role":"user","content":{link}}},'
        f'{{"role":"user","content":[{link},{embedded},{rest[1]}]}},{{"content":{rest[2]}}}]}}'
    )


def read(uri: Uri, u: Sequence[str], rest: Sequence[str]) -> str:
    """The result of `resources/read`, whose contents may have other URIs than the one that was asked for."""
    contents = ",".join(f'{{"uri":{text(uri(one))},"text":{text(one)},"x":{rest[0]}}}' for one in u)
    return f'{{"contents":[{contents},{rest[1]}],"uri":{text(u[0])}}}'


def asked(uri: Uri, u: Sequence[str], rest: Sequence[str]) -> str:
    """An `input_required` result: sampling speaks of resources, an elicitation's URL is nobody's resource."""
    return (
        f'{{"resultType":"input_required","inputRequests":{{"a":{{"method":"sampling/createMessage","params":'
        f"{sampling(uri, u, rest)}}},"
        f'"b":{{"method":"elicitation/create","params":{{"mode":"url","url":{text(u[0])}}}}},"c":{rest[0]}}},'
        f'"requestState":{text(u[1])}}}'
    )


def sampling(uri: Uri, u: Sequence[str], rest: Sequence[str]) -> str:
    """The params of `sampling/createMessage`; a tool's result in a message has blocks of its own."""
    link = f'{{"type":"resource_link","uri":{text(uri(u[0]))}}}'
    used = f'{{"type":"tool_result","toolUseId":{text(u[1])},"content":[{link},{rest[0]}]}}'
    return (
        f'{{"systemPrompt":{text(u[2])},"messages":[{{"role":"user","content":[{used}]}},'
        f'{{"role":"user","content":{link}}}],"metadata":{{"uri":{text(u[0])}}}}}'
    )


def task(uri: Uri, u: Sequence[str], rest: Sequence[str]) -> str:
    """The result of `tasks/get` of a task that is done."""
    return f'{{"taskId":{text(u[0])},"status":"completed","result":{call(uri, u, rest)},"x":{rest[0]}}}'


RESULTS = {
    "tools/call": call,
    "prompts/get": prompt,
    "resources/read": read,
    "tasks/get": task,
    "tasks/result": call,
}
THREE_URIS = st.tuples(URIS, URIS, URIS)
REST = st.tuples(VALUES, VALUES, VALUES)


class TestOfAResult:
    @pytest.mark.parametrize("method", RESULTS)
    @pytest.mark.trap(22)
    @LAW
    @given(u=THREE_URIS, rest=REST)
    def test_the_uris_change_and_no_other_byte(self, method: str, u: tuple[str, ...], rest: tuple[str, ...]) -> None:
        make = RESULTS[method]
        before = Raw(make(str, u, rest).encode())
        assert bytes(result_out(method, before, DOCS)) == make(DOCS.out, u, rest).encode()
        assert result_out(method, before, AS_THEY_ARE) is before

    @pytest.mark.parametrize("method", ["tools/call", "prompts/get", "resources/read"])
    @LAW
    @given(u=THREE_URIS, rest=REST)
    def test_that_asks_the_question_s_uris_change(self, method: str, u: tuple[str, ...], rest: tuple[str, ...]) -> None:
        before = Raw(asked(str, u, rest).encode())
        assert bytes(result_out(method, before, DOCS)) == asked(DOCS.out, u, rest).encode()

    @LAW
    @given(result=VALUES)
    def test_of_any_shape_nothing_is_lost(self, result: str) -> None:
        for method in (*RESULTS, "completion/complete", "tools/list"):
            assert flat(bytes(result_out(method, Raw(result.encode()), DOCS))) == flat(result)

    @pytest.mark.parametrize("method", ["completion/complete", "tasks/cancel", "vendor/thing"])
    def test_of_another_method_nothing_changes(self, method: str) -> None:
        result = Raw(b'{"content":[{"type":"resource_link","uri":"file:///a"}],"contents":[{"uri":"file:///a"}]}')
        assert result_out(method, result, DOCS) is result

    def test_that_names_no_uri_is_not_even_opened(self) -> None:
        result = Raw(b'{ "content" : [ {"type":"text","text":"1.10"} ] }')
        assert result_out("tools/call", result, DOCS) is result

    def test_a_name_may_be_spelt_with_escapes(self) -> None:
        result = Raw(rb'{"contents":[{"\u0075ri":"file:\/\/\/a","x":"\u00e9"}]}')
        assert (
            bytes(result_out("resources/read", result, DOCS))
            == rb'{"contents":[{"uri":"docs+file:///a","x":"\u00e9"}]}'
        )


class TestOfWhatServersSay:
    @LAW
    @given(u=THREE_URIS, rest=REST)
    def test_a_question_s_messages_are_rewritten(self, u: tuple[str, ...], rest: tuple[str, ...]) -> None:
        before = Raw(sampling(str, u, rest).encode())
        assert bytes(question_out("sampling/createMessage", before, DOCS)) == sampling(DOCS.out, u, rest).encode()
        assert question_out("sampling/createMessage", before, AS_THEY_ARE) is before

    def test_what_is_to_be_visited_is_no_resource(self) -> None:
        params = Raw(b'{"mode":"url","url":"https://x.org/a","uri":"file:///a","message":"m"}')
        assert question_out("elicitation/create", params, DOCS) is params

    def test_an_update_names_the_resource_as_clients_do(self) -> None:
        params = Raw(b'{"x":1.10,"uri":"file:///a","_meta":{"uri":"file:///a"}}')
        assert bytes(notification_out("notifications/resources/updated", params, DOCS)) == (
            b'{"x":1.10,"uri":"docs+file:///a","_meta":{"uri":"file:///a"}}'
        )
        assert notification_out("notifications/message", params, DOCS) is params
        assert notification_out("notifications/resources/updated", params, AS_THEY_ARE) is params

    def test_an_error_names_the_resource_that_was_not_found(self) -> None:
        error = Raw(b'{"code":-32602,"message":"file:///a","data":{"uri":"file:///a","x":1e2}}')
        assert bytes(error_out(error, DOCS)) == (
            b'{"code":-32602,"message":"file:///a","data":{"uri":"docs+file:///a","x":1e2}}'
        )
        assert error_out(error, AS_THEY_ARE) is error
        for other in (b'{"code":1,"message":"m","data":"file:///a"}', b'{"code":1,"data":{"uri":7}}', b'{"code":1}'):
            assert bytes(error_out(Raw(other), DOCS)) == other


class TestOfWhatClientsSay:
    @pytest.mark.parametrize("method", ["resources/read", "resources/subscribe", "resources/unsubscribe"])
    @LAW
    @given(uri=URIS)
    def test_a_uri_is_the_server_s_again(self, method: str, uri: str) -> None:
        members = jsonrpc.members(f'{{"a":1.10,"uri":{text(DOCS.out(uri))},"b":{{}}}}'.encode())
        assert bytes(jsonrpc.encode(params_back(method, members, DOCS))) == (
            f'{{"a":1.10,"uri":{text(uri)},"b":{{}}}}'.encode()
        )
        assert params_back(method, members, AS_THEY_ARE) is members

    @pytest.mark.trap(38)
    def test_a_completion_names_the_server_s_own_template(self) -> None:
        members = jsonrpc.members(b'{"ref":{"type":"ref/resource","uri":"docs+file:///{a}"},"argument":{"value":1.10}}')
        assert bytes(jsonrpc.encode(params_back("completion/complete", members, DOCS))) == (
            b'{"ref":{"type":"ref/resource","uri":"file:///{a}"},"argument":{"value":1.10}}'
        )

    def test_the_arguments_of_a_tool_are_its_own(self) -> None:
        members = jsonrpc.members(b'{"name":"t","uri":"docs+file:///a","arguments":{"uri":"docs+file:///a"}}')
        assert params_back("tools/call", members, DOCS) is members


class TestOfAnEntry:
    @LAW
    @given(uri=URIS, rest=VALUES)
    def test_a_resource_and_a_template_are_known_by_their_uris(self, uri: str, rest: str) -> None:
        for listed in (Listed.RESOURCES, Listed.TEMPLATES):
            before, after = (
                f'{{"x":{rest},"{listed.key}":{text(make(uri))},"name":{text(uri)}}}'.encode()
                for make in (str, DOCS.out)
            )
            assert bytes(entry_out(listed, Raw(before), DOCS)) == after

    @pytest.mark.trap(22)
    @LAW
    @given(uri=URIS, rest=VALUES)
    def test_a_tool_s_page_moves_and_its_schema_stays(self, uri: str, rest: str) -> None:
        """MCP Apps, and the spellings that came before it."""

        def tool(make: Uri) -> bytes:
            return (
                f'{{"name":"t","inputSchema":{{"uri":{text(uri)},"x":{rest}}},"_meta":{{"ui/resourceUri":'
                f'{text(make(uri))},"ui":{{"visibility":["app"],"resourceUri":{text(make(uri))}}},'
                f'"openai/outputTemplate":{text(make(uri))},"v":{rest}}}}}'
            ).encode()

        assert bytes(entry_out(Listed.TOOLS, Raw(tool(str)), DOCS)) == tool(DOCS.out)
        before = Raw(tool(str))
        assert entry_out(Listed.TOOLS, before, AS_THEY_ARE) is before

    def test_a_prompt_holds_none(self) -> None:
        prompt = Raw(b'{"name":"p","uri":"file:///a","_meta":{"ui":{"resourceUri":"ui://a"}}}')
        assert entry_out(Listed.PROMPTS, prompt, DOCS) is prompt

    @pytest.mark.parametrize(
        ("tool", "pages"),
        [
            (b'{"_meta":{"ui":{"resourceUri":"ui://a"}}}', ("ui://a",)),
            (b'{"_meta":{"ui/resourceUri":"ui://a","openai/outputTemplate":"ui://b"}}', ("ui://a", "ui://b")),
            (b'{"_meta":{"ui":{"resourceUri":"ui://a"},"ui/resourceUri":"ui://a"}}', ("ui://a",)),
            (b'{"_meta":{"ui":7,"ui/resourceUri":null,"openai/outputTemplate":""}}', ()),
            (b'{"_meta":[]}', ()),
            (b"{}", ()),
        ],
    )
    def test_a_tool_s_pages_are_those_that_it_advertises_in_any_spelling(
        self, tool: bytes, pages: tuple[str, ...]
    ) -> None:
        assert pages_of(Raw(tool)) == pages
