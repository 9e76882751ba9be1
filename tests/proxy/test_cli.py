"""The command line: each mistake is one clear line and the right exit code, each command works."""

from __future__ import annotations

import gc
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import click
import pytest
import yaml

from proxy import cli
from proxy.demo.oracle import OracleUpstream
from tests.proxy.house import TOKEN, House, configuration, uvicorn_of, with_oracle
from tests.servers import free_port

Likewise: TypeAlias = Callable[..., tuple[int, str, str]]
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
UPSTREAM = ("--upstream", "http://127.0.0.1:9/v1")


@pytest.fixture
def likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Likewise:
    """`likewise(words…)` in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("LIKEWISE_CONFIG", "LIKEWISE_UPSTREAM", "LIKEWISE_ADMIN_TOKEN", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["likewise", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


def one_line(text: str) -> str:
    """The only line of a message; a traceback or an essay fails here."""
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


# --- the user's mistakes: 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serv",), "there is no command 'serv'; did you mean `serve`?"),
        (("frobnicate",), "there is no command 'frobnicate'; known: "),
        (("models", "pul"), "there is no command 'pul'; did you mean `pull`?"),
        (("serve", "--prot", "1"), "--prot"),
        (("serve", "--port", "many"), "'many' is not a valid integer"),
        (("serve",), "no upstream: give --upstream https://api.openai.com/v1"),
        (("check",), "no upstream: give --upstream https://api.openai.com/v1"),
        (("serve", *UPSTREAM, "--port", "70000"), "--port: must be a whole number from 0"),
        (("serve", "--upstream", "api.openai.com"), "--upstream: "),
        (("serve", "-c", "nowhere.yaml"), "nowhere.yaml: there is no such file"),
        (("check", "nowhere.yaml"), "nowhere.yaml: there is no such file"),
        (("check", "--output", "x.yaml"), "--output is for --from-litellm"),
        (("explain",), "Missing argument 'PROMPT'"),
        (("purge",), "say which entries: "),
        (("purge", "--older-than", "soon"), "--older-than: must be a duration"),
        (("hash-key",), "no key was given on standard input"),
        (("models", "pull", "--precision", "int4"), "'int4' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    likewise: Likewise, words: tuple[str, ...], said: str
) -> None:
    """What is wrong, and what to write instead; nothing on standard output."""
    code, out, err = likewise(*words)
    assert (code, out) == (2, "")
    assert said in one_line(err)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstreams: [", "likewise.yaml:1"),
        ("upstream:\n  - x\n", "likewise.yaml:1: upstream: unknown key; did you mean `upstreams`?"),
        (
            "policy:\n  defaults:\n    treshold: 0.9\n",
            "likewise.yaml:3: policy.defaults.treshold: unknown key; did you mean `threshold`?",
        ),
        ("policy: {categories: {a: {ttl: soon}}}", "policy.categories.a.ttl: "),
        ("store: {url: mysql://x}", "likewise.yaml:1: store.url: "),
        ("index: {eviction: random}", "index.eviction: must be one of lru, lfu, gdsf, lec"),
        ("\x00", "likewise.yaml"),
        ("- a\n- list\n", "likewise.yaml:1"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_mistake_in_the_file_is_shown_with_its_place(
    likewise: Likewise, command: str, text: str, said: str
) -> None:
    """File, line, key and what is allowed."""
    Path("likewise.yaml").write_text(text)
    code, out, err = likewise(command, *UPSTREAM)
    assert (code, out) == (2, "")
    assert said in one_line(err)


def test_every_mistake_in_the_file_is_shown(likewise: Likewise) -> None:
    """One line each, in the file's order."""
    Path("likewise.yaml").write_text("stoer: {}\nindex: {max_entries: -1}\npolicy: {mode: on}\n")
    code, _, err = likewise("check", *UPSTREAM)
    assert code == 2
    assert [line.split(":")[1] for line in err.splitlines()] == ["1", "2", "3"]


# --- the environment's faults: 1


def test_a_port_in_use_is_one_line(likewise: Likewise) -> None:
    """The setting, the address and the way out."""
    with uvicorn_of(OracleUpstream()) as taken:
        port = taken.rsplit(":", 1)[1]
        code, _, err = likewise("serve", *UPSTREAM, "--port", port, "--admin-port", "0")
    assert code == 1
    assert f"server.port: 127.0.0.1:{port} is in use" in one_line(err)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"store": {"url": "redis://127.0.0.1:PORT/0"}}, "127.0.0.1:PORT"),
        ({"store": {"url": "sqlite:afile/x.db"}}, "make the directory writable"),
        ({"embedding": {"model": "no/such-model"}}, "no/such-model"),
    ],
)
def test_what_cannot_be_had_is_one_line(
    likewise: Likewise, tmp_path: Path, parts: dict[str, Any], said: str
) -> None:
    """`serve` ends with 1; `check` says FAIL for the same part and ends with 1 too."""
    Path("afile").write_text("a file in a folder's place")
    port = str(free_port())
    text = configuration(tmp_path, "http://127.0.0.1:9", **parts).replace("PORT", port)
    Path("likewise.yaml").write_text(text)
    code, _, err = likewise("serve", "--port", "0", "--admin-port", "0")
    assert code == 1
    assert said.replace("PORT", port) in one_line(err)
    code, out, _ = likewise("check")
    assert code == 1
    failed = [line for line in out.splitlines() if line.startswith("FAIL")]
    assert said.replace("PORT", port) in one_line("\n".join(failed))


@pytest.mark.parametrize("words", [("explain", SKY), ("purge", "--all")])
def test_no_running_proxy_is_one_line(
    likewise: Likewise, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a token, and without anybody at the address."""
    code, _, err = likewise(*words)
    assert code == 1
    assert "no token: set LIKEWISE_ADMIN_TOKEN" in one_line(err)
    monkeypatch.setenv("LIKEWISE_ADMIN_TOKEN", TOKEN)
    code, _, err = likewise(*words, "--admin", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "no proxy answers at" in one_line(err)


def test_an_unwritable_folder_is_one_line(likewise: Likewise) -> None:
    """`init` into a place that is not there."""
    code, _, err = likewise("init", "no/such/folder/likewise.yaml")
    assert code == 1
    assert "cannot be written" in one_line(err)


# --- what works


def test_init_writes_what_check_accepts(likewise: Likewise) -> None:
    """A file and its schema; a second time it refuses, with --force it does not."""
    code, out, _ = likewise("init")
    assert code == 0
    assert "likewise.schema.json" in out
    assert yaml.safe_load(Path("likewise.yaml").read_text())["upstreams"]
    assert json.loads(Path("likewise.schema.json").read_text())["type"] == "object"
    code, out, _ = likewise("check")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "note:" not in line] == ["ok"] * 4
    Path("likewise.yaml").write_text("# mine")
    code, _, err = likewise("init")
    assert code == 2
    assert "already there; give --force" in one_line(err)
    assert Path("likewise.yaml").read_text() == "# mine"
    assert likewise("init", "--force")[0] == 0
    assert Path("likewise.yaml").read_text() != "# mine"


LITELLM = """\
model_list:
  - {model_name: smart, litellm_params: {model: openai/gpt-4o, api_key: sk-secret}}
litellm_settings: {cache: true, cache_params: {type: local, ttl: 600}}
"""


def test_a_litellm_configuration_is_carried_over(likewise: Likewise) -> None:
    """To standard output, or into a new file that `check` accepts; what is lost goes to stderr."""
    Path("config.yaml").write_text(LITELLM)
    code, out, err = likewise("check", "--from-litellm", "config.yaml")
    assert code == 0
    assert yaml.safe_load(out)["upstreams"][0]["models"] == ["gpt-4o"]
    assert "config.yaml:2: model_list[0].model_name: Likewise does not rename models" in err
    assert "sk-secret" not in out + err
    assert not Path("likewise.yaml").exists()
    code, said, _ = likewise("check", "--from-litellm", "config.yaml", "--output", "likewise.yaml")
    assert (code, said) == (0, "Wrote likewise.yaml. Next: likewise check likewise.yaml\n")
    assert Path("likewise.yaml").read_text() == out
    assert likewise("check", "likewise.yaml")[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere.yaml",), 2, "'nowhere.yaml' does not exist"),
        (("other.yaml",), 2, "other.yaml:1: is no LiteLLM configuration"),
        (("bedrock.yaml",), 1, "bedrock.yaml: nothing of it could be carried over"),
        (("config.yaml", "likewise.yaml"), 2, "leave out the other one"),
        (("config.yaml", "--upstream", "http://h/v1"), 2, "leave out the other one"),
        (("config.yaml", "--output", "other.yaml"), 2, "other.yaml is already there"),
        (("config.yaml", "--output", "no/such/folder.yaml"), 1, "cannot be written"),
    ],
)
def test_what_cannot_be_carried_over_is_one_line(
    likewise: Likewise, words: tuple[str, ...], code: int, said: str
) -> None:
    """Nothing on standard output, and no file is overwritten."""
    Path("config.yaml").write_text(LITELLM)
    Path("other.yaml").write_text("upstreams: []\n")
    Path("bedrock.yaml").write_text(LITELLM.replace("openai/", "bedrock/").split("litellm_s")[0])
    found, out, err = likewise("check", "--from-litellm", *words)
    assert (found, out) == (code, "")
    assert said in err.splitlines()[-1]
    assert Path("other.yaml").read_text() == "upstreams: []\n"


def test_hash_key_prints_what_tenants_take(likewise: Likewise) -> None:
    """SHA-256 of the bare key, with or without `Bearer` and a line's end."""
    wanted = "sha256:" + hashlib.sha256(b"sk-secret").hexdigest()
    for stdin in ("sk-secret", "sk-secret\n", "Bearer sk-secret\n"):
        assert likewise("hash-key", stdin=stdin) == (0, wanted + "\n", "")
    Path("likewise.yaml").write_text(f"tenants: {{acme: ['{wanted}']}}\n")
    assert likewise("check", *UPSTREAM)[0] == 0


def test_models_pull_builds_what_serve_uses(likewise: Likewise) -> None:
    """The default model is ready; one that is not there is one line and 1."""
    code, out, _ = likewise("models", "pull")
    assert code == 0
    assert "all-MiniLM-L6-v2" in out
    assert "is ready" in out
    code, _, err = likewise("models", "pull", "no/such-model")
    assert code == 1
    assert "no/such-model" in one_line(err)


def test_explain_and_purge_ask_the_running_proxy(
    likewise: Likewise, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through its file or `--admin`; for people and as JSON; a dry run removes nothing."""
    monkeypatch.setenv("LIKEWISE_ADMIN_TOKEN", TOKEN)
    where = ("-c", str(house.config), "--admin", house.where.admin)
    house.chat(SKY, "sk-cli", {"x-likewise-tags": "sky"})
    code, out, _ = likewise("explain", SKY_AGAIN, *where)
    assert code == 0
    assert out.startswith("HIT  semantic")
    code, out, _ = likewise("explain", SKY_AGAIN, "--json", *where)
    told = json.loads(out)
    assert (code, told["reason"], told["similarity"]) == (0, "semantic", 1.0)
    for words, said in (
        (("--tag", "sky", "--dry-run"), "1 entry would be removed."),
        (("--tag", "sea"), "0 entries removed."),
        (("--tag", "sky", "--older-than", "1h"), "0 entries removed."),
        (("--id", told["entry"]), "1 entry removed."),
        (("--all",), "0 entries removed."),
    ):
        assert likewise("purge", *words, *where) == (0, said + "\n", "")
    code, _, err = likewise("explain", SKY, "--category", "nope", *where)
    assert code == 1
    assert "no category 'nope'" in one_line(err)


def test_a_wrong_token_is_one_line(
    likewise: Likewise, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused is not the same as not there."""
    monkeypatch.setenv("LIKEWISE_ADMIN_TOKEN", "another")
    code, _, err = likewise("purge", "--all", "--admin", house.where.admin)
    assert code == 1
    assert "refused the token" in one_line(err)


def _commands(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from _commands(command, *before, name)


@pytest.mark.parametrize("words", [(), *_commands(cli.cli)], ids=" ".join)
def test_help_has_an_example(likewise: Likewise, words: tuple[str, ...]) -> None:
    """Every command shows how it is called."""
    for flag in ("--help", "-h"):
        code, out, err = likewise(*words, flag)
        assert (code, err) == (0, "")
        assert "Example: " in out
        assert f"likewise {words[0] if words else 'serve'}" in out.split("Example: ")[1]


def test_the_version_is_told(likewise: Likewise) -> None:
    """Name and number."""
    code, out, _ = likewise("--version")
    assert code == 0
    assert out.startswith("likewise, version ")


def test_what_serves_is_not_looked_through_again() -> None:
    """From then on the collector counts, and looks at, what was made since only."""
    kept = [[] for _ in range(1_000)]
    try:
        cli._keep_all()
        assert gc.get_freeze_count() > len(kept)
        assert len(gc.get_objects()) < len(kept)
    finally:
        gc.unfreeze()
        gc.freeze()
