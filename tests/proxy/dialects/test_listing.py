"""The list of APIs."""

import pytest

from proxy.dialects.listing import BY_PATH, DIALECTS


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_a_path_leads_to_its_api_with_and_without_v1(path: str) -> None:
    """Clients whose base URL ends with `/v1` and those whose does not are both understood."""
    assert BY_PATH[path].name == "chat"


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions/", "/V1/chat/completions", ""]
)
def test_any_other_path_is_nobodys(path: str) -> None:
    """It passes through untouched."""
    assert path not in BY_PATH


def test_no_two_apis_claim_a_path_or_a_name() -> None:
    """A path has one reader, and a stored answer's dialect names one."""
    paths = [path for dialect in DIALECTS for path in dialect.paths]
    names = [dialect.name for dialect in DIALECTS]
    assert len(set(paths)) == len(paths)
    assert len(set(names)) == len(names)


def test_the_keys_of_an_api_have_a_vendor() -> None:
    """Chat callers hold keys of OpenAI or Azure, which no Anthropic upstream may see."""
    assert BY_PATH["/v1/chat/completions"].apis == {"openai", "azure"}
