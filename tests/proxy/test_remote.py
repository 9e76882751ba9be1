"""Commands that ask a running proxy: how they find it, and what they say when they cannot."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from index.errors import SetupError
from proxy.remote import Admin, explanation
from proxy.settings import load
from tests.proxy.house import House, with_oracle
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


def admin(house: House) -> Admin:
    return Admin(house.where.admin + "/", house.where.token)


def question(prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, "model": "", "system": None, "history": [], "category": None}


def printed(told: dict[str, Any]) -> str:
    page = Console(file=io.StringIO(), width=120, force_terminal=False)
    page.print(explanation(told))
    file = page.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_it_explains_and_purges(house: House) -> None:
    """The two questions of the command line, over the real port."""
    house.chat(SKY, "sk-1")
    told = admin(house).explain(question(SKY_AGAIN))
    assert (told["outcome"], told["reason"]) == ("hit", "semantic")
    text = printed(told)
    assert text.startswith("HIT  semantic")
    assert SKY in text
    assert admin(house).purge({"ids": [told["entry"]]}, dry_run=True) == 1
    assert admin(house).purge({"ids": [told["entry"]]}, dry_run=False) == 1
    assert printed(admin(house).explain(question(SKY))).startswith("MISS  empty")


def test_an_explanation_prints_brackets_as_they_are(house: House) -> None:
    """A prompt is text, never markup."""
    house.chat("What is a[0] [bold]?", "sk-1")
    assert "a[0] [bold]" in printed(admin(house).explain(question("What is a[0] [bold]?")))


def test_a_wrong_token_is_named(house: House) -> None:
    """The message says where the right one belongs."""
    with pytest.raises(SetupError, match=r"refused the token; set LIKEWISE_ADMIN_TOKEN"):
        Admin(house.where.admin, "wrong").explain(question(SKY))


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://127.0.0.1:{port}x", "nowhere"])
def test_no_proxy_is_named(url: str) -> None:
    """The address that was tried, and how to name another."""
    where = url.replace("{port}", str(free_port()))
    with pytest.raises(SetupError, match=r"no proxy answers at .*give --admin URL") as caught:
        Admin(where, "t").explain(question(SKY))
    assert where in str(caught.value)


def test_a_refused_question_is_told_in_the_proxys_words(house: House) -> None:
    """What the API says is what the command says."""
    asked = question(SKY) | {"category": "codee"}
    with pytest.raises(SetupError, match="no category 'codee'"):
        admin(house).explain(asked)
    with pytest.raises(SetupError, match="older_than"):
        admin(house).purge({"older_than": "old"}, dry_run=True)


def test_the_token_comes_from_the_environment_or_from_beside_the_store(tmp_path: Path) -> None:
    """In this order; with neither, the message says both ways."""
    config = tmp_path / "likewise.yaml"
    config.write_text(f"store: {{url: 'sqlite:{tmp_path}/store/likewise.db'}}\n")

    def chosen(**env: str) -> Admin:
        return Admin.of(load(config, upstream="http://127.0.0.1", env=env), None)

    with pytest.raises(SetupError, match=r"no token: set LIKEWISE_ADMIN_TOKEN, or .*admin-token"):
        chosen()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "admin-token").write_text("kept\n")
    assert chosen()._token == "kept"
    assert chosen(LIKEWISE_ADMIN_TOKEN="given")._token == "given"


def test_the_address_comes_from_the_option_or_the_file(tmp_path: Path) -> None:
    """`--admin` wins; a closing slash does no harm."""
    config = tmp_path / "likewise.yaml"
    config.write_text("server: {admin: {port: 9999}}\n")
    env = {"LIKEWISE_ADMIN_TOKEN": "t"}
    settings = load(config, upstream="http://127.0.0.1", env=env)
    assert Admin.of(settings, None)._url == "http://127.0.0.1:9999"
    assert Admin.of(settings, "http://proxy.test:1/")._url == "http://proxy.test:1"
