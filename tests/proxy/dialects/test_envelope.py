"""Errors of ours in each vendor's envelope."""

import json

import pytest

from proxy.dialects.envelope import anthropic_error, openai_error


@pytest.mark.parametrize("param", [None, "model", 'a"b\n'])
def test_an_openai_error_has_its_four_members(param: str | None) -> None:
    """OpenAI's schema requires all four, null included, and hostile text stays text."""
    made = openai_error('no "such" ü\n', kind="invalid_request_error", code="c", param=param)
    assert json.loads(made) == {
        "error": {
            "message": 'no "such" ü\n',
            "type": "invalid_request_error",
            "param": param,
            "code": "c",
        }
    }


def test_an_anthropic_error_names_itself_and_its_kind() -> None:
    """Anthropic's schema has no place for more, and hostile text stays text."""
    assert json.loads(anthropic_error('no "such" ü\n', kind="not_found_error")) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": 'no "such" ü\n'},
    }
