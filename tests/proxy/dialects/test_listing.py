"""The list of APIs, and which paths are whose."""

import pytest

from proxy.dialects.listing import DIALECTS, route


@pytest.mark.parametrize(
    ("path", "name", "model"),
    [
        ("/v1/chat/completions", "chat", ""),
        ("/chat/completions", "chat", ""),
        ("/v1/completions", "completions", ""),
        ("/v1/responses", "responses", ""),
        ("/v1/embeddings", "embeddings", ""),
        ("/v1/messages", "messages", ""),
        ("/openai/responses", "responses", ""),
        ("/openai/deployments/ada/embeddings", "embeddings", "ada"),
        ("/openai/v1/chat/completions", "chat", ""),
        ("/openai/deployments/gpt-4o/chat/completions", "chat", "gpt-4o"),
        ("/openai/deployments/my model:1/chat/completions", "chat", "my model:1"),
    ],
)
def test_a_path_leads_to_its_api(path: str, name: str, model: str) -> None:
    """With and without `/v1`, and where Azure puts it, the model out of the path included."""
    found = route(path)
    assert found is not None
    assert (found[0].name, found[1]) == (name, model)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/chat/completions/",
        "/V1/chat/completions",
        "",
        "/openai/deployments/gpt-4o/images/generations",
        "/openai/deployments//chat/completions",
        "/openai/deployments/a/b/chat/completions",
        "/openai/deployments/gpt-4o/messages",
        "/openai/",
        "/openai/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses/resp_1",
    ],
)
def test_any_other_path_is_nobodys(path: str) -> None:
    """It passes through untouched."""
    assert route(path) is None


def test_no_two_apis_claim_a_path_or_a_name() -> None:
    """A path has one reader, and a stored answer's dialect names one."""
    paths = [path for dialect in DIALECTS for path in dialect.paths]
    names = [dialect.name for dialect in DIALECTS]
    assert len(set(paths)) == len(paths)
    assert len(set(names)) == len(names)


def test_the_keys_of_an_api_have_a_vendor() -> None:
    """No caller's key is shown to a vendor that does not issue such keys."""
    vendors = {dialect.name: dialect.apis for dialect in DIALECTS}
    assert vendors.pop("messages") == {"anthropic"}
    assert set(map(frozenset, vendors.values())) == {frozenset({"openai", "azure"})}
