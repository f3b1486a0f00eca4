"""Every client does everything with the official everything-server, through both doors: lists, calls, reads, prompts,
errors, and answers to what the server asks. Client and server speak one era.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conformance.stand import stand
from tests.support.absence import absent
from tests.support.cache import Unavailable
from tests.support.clients import CLIENTS, Client, Report, Step
from tests.support.process import Served, served

ASKING = {"legacy": "test_elicitation", "modern": "test_input_required_result_elicitation"}
ANSWER = {"legacy": {"response": "ada"}, "modern": {"name": "ada"}}
TOLD = {"legacy": 'User response: action=accept, content={"response":"ada"}', "modern": "Hello, ada!"}
TEXT = "This is the content of the static text resource."
NOWHERE = "test://nowhere"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway before the reference as a `legacy` and as a `modern` server."""
    folder = tmp_path_factory.mktemp("reference")
    try:
        with stand(folder) as fronts:
            servers = {"legacy": {"url": fronts.legacy}, "modern": {"url": fronts.modern}}
            config = {"listen": {"port": 0}, "database": {"url": "sqlite:///reference.db"}, "servers": servers}
            with served(json.dumps(config), folder) as gateway:
                yield gateway
    except Unavailable as error:
        absent(str(error))


async def drive(client: Client, url: str, *steps: Step) -> Report:
    try:
        return await client.drive(url, *steps, answer=ANSWER[client.era])
    except Unavailable as error:
        absent(f"{client.name}: {error}")


@pytest.mark.parametrize("door", ["own", "aggregate"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_does_everything_through_both_doors(client: Client, door: str, everything: Served) -> None:
    own = door == "own"
    url = everything.door(client.era) if own else everything.url
    name, uri = ("", "") if own else (f"{client.era}__", f"{client.era}+")
    steps: list[Step] = [
        ["tools"],
        ["prompts"],
        ["resources"],
        ["call", f"{name}test_simple_text", {}],
        ["call", f"{name}test_error_handling", {}],
        ["read", f"{uri}test://static-text"],
        ["prompt", f"{name}test_simple_prompt", {}],
    ]
    if client.answers:
        steps += [["read", uri + NOWHERE], ["call", name + ASKING[client.era], {"message": "who?"}]]
    report = await drive(client, url, *steps)
    tools, prompts, resources, called, failed, read, prompt, *asked = report.steps
    assert (f"{name}test_simple_text" in tools.names, f"{name}test_simple_prompt" in prompts.names) == (True, True)
    assert f"{uri}test://static-text" in resources.names
    assert (called.text, called.is_error) == ("This is a simple text response for testing.", False)
    assert (failed.is_error, "intentionally returns an error" in failed.text) == (True, True)
    assert (read.names, read.text) == ([f"{uri}test://static-text"], TEXT)
    assert prompt.text == "This is a simple prompt for testing."
    if client.answers:
        missing, told = asked
        assert missing.error is not None
        assert told.text == TOLD[client.era]
