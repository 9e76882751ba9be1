"""Field classes: every field of the official packages is classed, and what the classes mean."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import message_create_params as messages
from openai.types import completion_create_params as completions
from openai.types import embedding_create_params as embeddings
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses

from policies.verdicts import Reason
from proxy.dialects import fields
from proxy.dialects.fields import Field, Use


@pytest.mark.parametrize(
    ("classed", "official"),
    [
        (fields.CHAT, chat.CompletionCreateParamsBase),
        (fields.COMPLETIONS, completions.CompletionCreateParamsBase),
        (fields.RESPONSES, responses.ResponseCreateParamsBase),
        (fields.EMBEDDINGS, embeddings.EmbeddingCreateParams),
        (fields.MESSAGES, messages.MessageCreateParamsBase),
    ],
)
def test_every_official_field_is_classed(classed: dict[str, Field], official: type) -> None:
    """A field that an official package knows and we did not think about fails here."""
    assert set(official.__annotations__) - set(classed) == set()


@pytest.mark.parametrize(
    "classed",
    [fields.CHAT, fields.COMPLETIONS, fields.RESPONSES, fields.EMBEDDINGS, fields.MESSAGES],
)
def test_a_class_that_forbids_says_why(classed: dict[str, Field]) -> None:
    """What forbids carries a reason, and nothing else does; one field at least holds the text."""
    for name, field in classed.items():
        assert (field.reason is not None) == (field.use in (Use.EXACT, Use.BYPASS)), name
    assert [f.use for f in classed.values()].count(Use.TEXT) == 1


@pytest.mark.parametrize(
    ("body", "bypass", "exact"),
    [
        ({}, None, None),
        ({"store": True}, Reason.STATEFUL, None),
        ({"store": False, "n": None}, None, None),
        ({"n": 1}, None, None),
        ({"n": True}, None, Reason.N),
        ({"n": 1.0}, None, Reason.N),
        ({"tools": []}, None, Reason.TOOLS),
        ({"logprobs": 0}, None, Reason.LOGPROBS),
        ({"new_field": {"x": 1}}, None, None),
    ],
)
def test_presence_forbids(
    body: dict[str, Any], bypass: Reason | None, exact: Reason | None
) -> None:
    """A value that means absence forbids nothing; whatever else stands there does."""
    assert fields.bypass(body, fields.CHAT) == bypass
    assert fields.exact_only(body, fields.CHAT) == exact


def test_an_unknown_field_is_part_of_the_key() -> None:
    """Transport and text are left out of the key, what is known and unknown is in it."""
    body = {"model": "m", "messages": [], "stream": True, "user": "u", "new_field": 1}
    assert fields.keyed(body, fields.CHAT) == {"model": "m", "new_field": 1}


@pytest.mark.parametrize(
    ("tools", "run_there"),
    [
        ([{"type": "function"}, {"type": "custom"}], False),
        ([], False),
        (None, False),
        ("search", False),
        ([{"type": "web_search"}], True),
        ([{"type": "function"}, {"type": ["function"]}], True),
        (["function"], True),
        ([{}], True),
    ],
)
def test_a_tool_that_the_vendor_runs_is_seen(tools: Any, run_there: bool) -> None:
    """Any tool that is not known to be run by the caller counts as the vendor's."""
    assert fields.server_tools(tools, ("function", "custom")) is run_there
