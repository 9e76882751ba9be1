"""Errors of ours in each vendor's envelope."""

import json

import pytest

from proxy.dialects.envelope import openai_error


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
