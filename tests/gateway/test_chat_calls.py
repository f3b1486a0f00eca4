"""Tool calls in, tool messages out: what the request must say, and what the model reads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway import chat_calls
from gateway.chat_calls import MOST_CALLS, ToolCall
from gateway.chat_tools import Function
from gateway.errors import GatewayError, Kind
from gateway.protocol import eras, jsonrpc
from gateway.protocol.mirrors import Mirror
from gateway.protocol.versions import Era

DEPTH = 128
CALL = ToolCall(Raw(b'"call_1"'), "time__now", Raw(b'"{}"'))
CLIENT = chat_calls.client_info("acme-chat/3.1 (linux)")


def turn(body):
    return chat_calls.open_turn(body if isinstance(body, bytes) else json.dumps(body).encode(), DEPTH)


def one(**changed):
    return {"id": "call_1", "type": "function", "function": {"name": "time__now", "arguments": "{}"}, **changed}


def refused(body):
    with pytest.raises(GatewayError) as caught:
        turn(body)
    return caught.value


def posted(arguments=b'"{}"', name="time__now", claim=None, mirrors=()):
    call = ToolCall(Raw(b'"call_1"'), name, Raw(arguments))
    return chat_calls.calling(call, Function(name, mirrors), CLIENT, claim or {})


def sent(arguments):
    """The exact bytes of the arguments that a request carries."""
    params = jsonrpc.members(jsonrpc.parse(posted(arguments).body).params)
    return bytes(params["arguments"])


def content(result):
    raw = result if isinstance(result, bytes) else json.dumps(result).encode()
    return json.loads(chat_calls.message(CALL, jsonrpc.result(1, raw)))["content"]


def text(words):
    return {"type": "text", "text": words}


def test_an_assistant_message_and_its_calls_alone_say_the_same():
    calls = [one(), one(id="call_2")]
    whole = {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": calls}
    assert turn({"tool_calls": calls}) == turn(whole)
    assert [bytes(call.id) for call in turn(whole).calls] == [b'"call_1"', b'"call_2"']


@pytest.mark.parametrize(
    "body", [{"tool_calls": []}, {"role": "assistant", "content": "hi"}, {"role": "assistant", "tool_calls": None}]
)
def test_a_turn_without_calls_is_answered_with_no_messages(body):
    assert turn(body).calls == ()
    assert chat_calls.answered([]) == b'{"messages":[]}'


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "tool_calls"),
        ({"role": "user", "content": "hi"}, "tool_calls"),
        ({"tool_calls": {}}, "tool_calls"),
        ({"tool_calls": "x"}, "tool_calls"),
        ({"tool_calls": [one()] * (MOST_CALLS + 1)}, "tool_calls"),
        ({"tool_calls": [one(), 7]}, "tool_calls[1]"),
        ({"tool_calls": [one(id=None)]}, "tool_calls[0].id"),
        ({"tool_calls": [one(id=7)]}, "tool_calls[0].id"),
        ({"tool_calls": [one(function=None)]}, "tool_calls[0].function"),
        ({"tool_calls": [one(function=[])]}, "tool_calls[0].function"),
        ({"tool_calls": [one(function={"arguments": "{}"})]}, "tool_calls[0].function.name"),
        ({"tool_calls": [one(function={"name": 7})]}, "tool_calls[0].function.name"),
        ({"tool_calls": [one()], "session_id": {}}, "session_id"),
        ({"tool_calls": [one()], "session_id": 1.5}, "session_id"),
        ({"tool_calls": [one()], "message_id": True}, "message_id"),
    ],
)
def test_a_body_that_makes_no_sense_says_where_and_what_to_do(body, param):
    error = refused(body)
    assert (error.kind, error.data) == (Kind.INVALID_REQUEST, {"param": param})
    assert error.message.startswith(param)


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"tool_calls":NaN}', b"\xef\xbb\xbf{}", b'{"a":"\xff"}'])
def test_a_body_that_is_no_json_is_a_parse_error(body):
    error = refused(body)
    assert error.kind is Kind.PARSE
    assert "send" in error.message


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"tool_calls":' + b"[" * 200 + b"]" * 200 + b"}"])
def test_a_body_that_nests_too_deeply_is_refused(body):
    assert "limits.depth" in refused(body).message


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"null"])
def test_a_body_that_is_no_object_is_refused(body):
    assert refused(body).kind is Kind.INVALID_REQUEST


def test_a_refusal_reads_as_those_of_model_apis():
    body = json.loads(chat_calls.refusal(refused({"tool_calls": {}})))
    assert body["error"]["type"] == "invalid_request_error"
    assert (body["error"]["param"], body["error"]["code"]) == ("tool_calls", "invalid_request")
    body = json.loads(chat_calls.refusal(GatewayError(Kind.DRAINING, "later")))
    assert body == {"error": {"message": "later", "type": "server_error", "param": None, "code": "draining"}}


def test_a_call_is_a_modern_request_that_the_pipeline_takes():
    post = posted(rb'"{\"a\":1}"', claim={"chat.gateway/sessionId": Raw(b"7")})
    message = jsonrpc.parse(post.body)
    assert eras.classify(post.headers, message) is Era.MODERN
    modern = eras.check_modern(post.headers, message)
    assert modern.params.word("name") == "time__now"
    assert json.loads(bytes(modern.client_info)) == {"name": "acme-chat", "version": "3.1"}
    assert bytes(modern.capabilities) == b"{}"
    assert bytes(modern.params.meta["chat.gateway/sessionId"]) == b"7"
    assert modern.params.progress_token is not None


def test_a_page_is_asked_for_as_a_modern_client_does():
    for cursor in (None, "x"):
        post = chat_calls.listing(CLIENT, cursor)
        modern = eras.check_modern(post.headers, jsonrpc.parse(post.body))
        assert modern.params.cursor == cursor


@pytest.mark.parametrize(
    ("agent", "info"),
    [
        ("openai-python/1.2.3 foo/7", {"name": "openai-python", "version": "1.2.3"}),
        ("Mozilla/5.0 (X11; Linux)", {"name": "Mozilla", "version": "5.0"}),
        ("plain", {"name": "plain", "version": ""}),
        ("", {"name": "chat back end", "version": ""}),
        (None, {"name": "chat back end", "version": ""}),
        ("/", {"name": "chat back end", "version": ""}),
    ],
)
def test_a_chat_back_end_is_known_by_its_user_agent(agent, info):
    assert json.loads(bytes(chat_calls.client_info(agent))) == info


@pytest.mark.parametrize("nothing", [b"null", b'""', b'"  "', b'"null"', b"{}", b'"{}"'])
def test_no_arguments_have_many_spellings(nothing):
    assert sent(nothing) == b"{}"


def test_arguments_that_are_missing_are_none():
    (call,) = turn({"tool_calls": [{"id": "a", "function": {"name": "x"}}]}).calls
    assert chat_calls.calling(call, Function("x"), CLIENT, {}).body == posted(b"null", "x").body


@pytest.mark.trap(22)
@pytest.mark.parametrize(
    "arguments",
    [
        rb'{"a":1.10,"b":1e2,"c":12345678901234567890}',
        rb'{"a":"\u00e9","b":"\ud800","c":"\/","d":"\ud83d\ude00"}',
        '{"a":"é😀","b":"\u2028"}'.encode(),
        rb'{"b":1,"a":null , "c" : [ ]}',
        rb'{"a":"\\n\"x\""}',
    ],
)
def test_arguments_keep_their_bytes_as_a_string_and_as_an_object(arguments):
    assert sent(json.dumps(arguments.decode()).encode()) == arguments
    assert sent(json.dumps(arguments.decode(), ensure_ascii=False).encode()) == arguments
    assert sent(arguments) == arguments


def test_a_lone_surrogate_inside_the_arguments_keeps_its_meaning():
    assert json.loads(sent(rb'"{\"a\":\"\ud800\"}"')) == {"a": "\ud800"}


@given(
    st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)), max_size=5
    )
)
def test_whatever_a_model_says_in_json_arrives(arguments):
    said = json.dumps(json.dumps(arguments)).encode()
    assert json.loads(sent(said)) == arguments


@pytest.mark.parametrize("arguments", [b'"{"', b'"{\\"a\\":}"', b"\"{'a':1}\"", b'"nonsense"', b'"{\\"a\\":NaN}"'])
def test_arguments_that_are_no_json_are_told_to_the_model(arguments):
    with pytest.raises(GatewayError, match=r"no JSON.*call again") as caught:
        posted(arguments)
    assert caught.value.kind is Kind.INVALID_PARAMS


@pytest.mark.parametrize("arguments", [b'"[]"', b'"7"', b"[]", b"7", b"true"])
def test_arguments_that_are_no_object_are_told_to_the_model(arguments):
    with pytest.raises(GatewayError, match="must be a JSON object"):
        posted(arguments)


def test_a_call_of_another_type_is_told_to_the_model():
    (call,) = turn({"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "x", "input": "y"}}]}).calls
    with pytest.raises(GatewayError, match="'custom' are not supported"):
        chat_calls.calling(call, Function("x"), CLIENT, {})


def test_a_name_that_no_header_can_carry_is_an_unknown_tool():
    with pytest.raises(GatewayError, match="Unknown tool"):
        posted(name="a\ud800")


def test_arguments_that_a_tool_wants_in_headers_are_there_as_well():
    headers = posted(rb'"{\"region\":\"us\"}"', mirrors=(Mirror("Mcp-Param-Region", ("region",), "string"),)).headers
    assert headers["Mcp-Param-Region"] == "us"


def test_texts_are_lines_and_other_content_is_json():
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    link = {"type": "resource_link", "uri": "file:///x", "name": "x"}
    found = content({"content": [text("one"), image, text("two\nthree"), link, text("")]})
    lines = found.split("\n")
    assert (lines[0], lines[2:4], lines[-1]) == ("one", ["two", "three"], "")
    assert [json.loads(line) for line in (lines[1], lines[4])] == [image, link]


@pytest.mark.trap(22)
def test_texts_and_other_content_keep_their_bytes():
    blocks = rb'[{"type":"text","text":"\u00e9\ud800\/"},{"type":"x", "n":1.10,"s":"\u00e9"}]'
    message = chat_calls.message(CALL, jsonrpc.result(1, b'{"content":' + blocks + b"}"))
    assert rb'"content":"\u00e9\ud800\/\n' in message
    assert json.loads(message)["content"].split("\n")[1] == r'{"type":"x", "n":1.10,"s":"\u00e9"}'


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"content": []}, ""),
        ({"content": [], "structuredContent": {"a": 1}}, '{"a": 1}'),
        ({"structuredContent": [1, None]}, "[1, null]"),
        ({"content": [], "structuredContent": None}, "null"),
        ({"content": [text("one")], "structuredContent": {"a": 1}}, "one"),
        ({"content": [7], "structuredContent": {"a": 1}}, '7\n{"a": 1}'),
        ({"content": [{"type": "text"}]}, '{"type": "text"}'),
        ({"content": [{"type": "text", "text": 7}]}, '{"type": "text", "text": 7}'),
        ({"content": "x"}, '{"content": "x"}'),
        ({"other": 1}, '{"other": 1}'),
        ([1], "[1]"),
        (None, "null"),
        ({"content": [text("no such city")], "isError": True}, "Error: no such city"),
        ({"content": [], "isError": True}, "Error: "),
        ({"resultType": "complete", "content": [text("x")]}, "x"),
    ],
)
def test_what_a_model_reads_of_a_result(result, expected):
    assert content(result) == expected


def test_two_thousand_blocks_are_two_thousand_lines():
    assert content({"content": [text(str(n)) for n in range(2_000)]}).split("\n") == [str(n) for n in range(2_000)]


def test_a_question_is_unsupported_and_the_model_reads_what_was_asked():
    asked = {
        "city": {"method": "elicitation/create", "params": {"message": "Which city?"}},
        "x": {"method": "roots/list"},
    }
    found = content({"resultType": "input_required", "inputRequests": asked})
    assert found.startswith("Error: unsupported: ")
    assert "(elicitation/create: Which city?; roots/list)" in found
    assert "call it again" in found


@pytest.mark.parametrize("asked", [None, 7, {}, {"x": 7}, {"x": {"method": "a", "params": 7}}])
def test_a_question_that_cannot_be_read_is_unsupported_nevertheless(asked):
    found = content({"resultType": "input_required", "inputRequests": asked})
    assert found.startswith("Error: unsupported: ")
    assert "(" not in found


def test_a_result_of_an_unknown_type_is_unsupported():
    assert content({"resultType": "task", "taskId": "x"}).startswith("Error: unsupported: ")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": -32602, "message": "Unknown tool: x"}, "Error: Unknown tool: x"),
        ({"code": 7, "message": "no", "data": {"x": [1]}}, 'Error: no\n{"x": [1]}'),
        ({"code": 7, "message": "no", "data": None}, "Error: no"),
        ({"code": 7}, "Error: the server answered with the error 7"),
    ],
)
def test_what_a_model_reads_of_an_error(error, expected):
    answer = jsonrpc.error_raw(1, json.dumps(error).encode())
    assert json.loads(chat_calls.message(CALL, answer)) == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": expected,
    }


def test_the_id_of_a_call_comes_back_as_it_was_spelt():
    call = ToolCall(Raw(rb'"\u00e9\ud800"'), "x", Raw(b"{}"))
    assert rb'"tool_call_id":"\u00e9\ud800"' in chat_calls.failure(call, "no")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ("content", "structuredContent", "isError", "resultType", "inputRequests", "_meta", "other")


@given(JSON | st.dictionaries(st.sampled_from(MEMBERS), JSON), JSON)
def test_whatever_a_server_answers_becomes_one_message(result, id_):
    call = ToolCall(Raw(json.dumps(str(id_)).encode()), "x", Raw(b"{}"))
    message = json.loads(chat_calls.message(call, jsonrpc.result(1, json.dumps(result).encode())))
    assert (message["role"], message["tool_call_id"]) == ("tool", str(id_))
    assert isinstance(message["content"], str)


def entry(**members):
    return st.fixed_dictionaries({}, optional={**members, "other": JSON})


FUNCTIONS = entry(name=JSON, arguments=JSON)
CALLS = entry(id=st.text() | JSON, type=st.just("function") | JSON, function=FUNCTIONS | JSON)
BODIES = entry(role=st.just("assistant") | JSON, tool_calls=st.lists(CALLS, max_size=3) | JSON, session_id=JSON)


def attempted(work, *arguments):
    """What `work` gives, or the kind of error that it raises."""
    try:
        return work(*arguments)
    except GatewayError as error:
        return error.kind


@given(BODIES | JSON)
def test_whatever_a_body_says_is_a_turn_or_a_refusal(body):
    found = attempted(turn, body)
    for call in () if found is Kind.INVALID_REQUEST else found.calls:
        post = attempted(chat_calls.calling, call, Function(call.name), CLIENT, found.claim)
        assert post is Kind.INVALID_PARAMS or eras.check_modern(post.headers, jsonrpc.parse(post.body))


@given(st.binary(max_size=40))
def test_whatever_bytes_come_are_a_turn_or_a_refusal(body):
    assert attempted(turn, body) in (Kind.PARSE, Kind.INVALID_REQUEST)
