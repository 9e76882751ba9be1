"""`likewise purge`, `export`, `import` and `backup` against a real house."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from starlette.responses import StreamingResponse

from proxy import cli, moving
from tests.proxy.house import TOKEN, House, serving, until, uvicorn_of, with_oracle

Likewise: TypeAlias = Callable[..., tuple[int, str, str]]
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TIDES = "How do tides work?"
KEY = "sk-moving"
ONLY = {"cache-control": "only-if-cached"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path) as running:
        yield running


@pytest.fixture
def likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Likewise:
    """`likewise(words…)` in the house's folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LIKEWISE_ADMIN_TOKEN", TOKEN)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["likewise", *words])
        out = io.TextIOWrapper(io.BytesIO(), write_through=True)
        monkeypatch.setattr(sys, "stdout", out)
        capfd.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        out.seek(0)
        return code, out.read(), capfd.readouterr().err

    return run


@pytest.fixture
def ask(house: House, likewise: Likewise) -> Likewise:
    """The same, of the running house."""
    return lambda *words: likewise(*words, "--admin", house.where.admin)


def hit(house: House, prompt: str, **rest: Any) -> bool:
    return house.chat(prompt, KEY, ONLY, **rest).status_code == 200


def test_entries_go_out_and_come_back(house: House, ask: Likewise) -> None:
    """Exported, purged, imported: they answer as before, exactly and by meaning."""
    first = house.chat(SKY, KEY).text
    house.chat(TIDES, KEY)
    assert ask("export", "all.jsonl")[:2] == (0, "Wrote 2 entries to all.jsonl.\n")
    assert stat.S_IMODE(Path("all.jsonl").stat().st_mode) == 0o600
    assert ask("purge", "--all")[:2] == (0, "2 entries removed.\n")
    assert not hit(house, SKY)
    would = (0, "2 entries would be taken; skipped: 0 there already, 0 expired.\n")
    assert ask("import", "all.jsonl", "--dry-run")[:2] == would
    assert not hit(house, SKY)
    taken = (0, "2 entries taken; skipped: 0 there already, 0 expired.\n", "")
    assert ask("import", "all.jsonl") == taken
    assert house.chat(SKY, KEY, ONLY).text == first
    assert hit(house, SKY_AGAIN)
    kept = (0, "0 entries taken; skipped: 2 there already, 0 expired.\n", "")
    assert ask("import", "all.jsonl") == kept
    assert ask("import", "all.jsonl", "--overwrite") == taken


def test_an_export_goes_to_standard_output(house: House, ask: Likewise) -> None:
    """Lines and nothing else; what was selected and nothing else."""
    house.chat(SKY, KEY, {"x-likewise-tags": "sky"})
    house.chat(TIDES, KEY)
    code, out, err = ask("export", "--tag", "sky", "--vectors")
    line, end = map(json.loads, out.splitlines())
    assert (code, err) == (0, "")
    assert (line["facts"]["text"], end["end"]["entries"]) == (SKY, 1)
    assert line["vector"]
    assert "vector" not in json.loads(ask("export", "--tag", "sky")[1].splitlines()[0])


def test_a_file_that_is_there_stays_unless_forced(house: House, ask: Likewise) -> None:
    """An export never replaces what it was not told to."""
    Path("mine.jsonl").write_text("mine")
    code, out, err = ask("export", "mine.jsonl")
    assert (code, out) == (2, "")
    assert "mine.jsonl is already there; give --force" in err
    assert Path("mine.jsonl").read_text() == "mine"
    assert ask("export", "mine.jsonl", "--force")[0] == 0
    assert Path("mine.jsonl").read_text().startswith('{"end":')
    code, _, err = ask("export", "no/such/folder.jsonl")
    assert code == 1
    assert "choose another folder" in err


@contextmanager
def cut_off() -> Iterator[str]:
    """A proxy whose exports break off."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def told() -> Any:
            yield b'{"facts":{}}\n'
            raise ConnectionError

        await StreamingResponse(told())(scope, receive, send)

    with uvicorn_of(application) as url:
        yield url


def test_an_export_that_was_cut_off_is_seen(likewise: Likewise) -> None:
    """Exit code 1 and why; no file under the name, and none beside it."""
    with cut_off() as url:
        for words in (("export",), ("export", "x.jsonl")):
            code, _, err = likewise(*words, "--admin", url)
            assert code == 1
            assert "the export was cut off" in err
    assert [one.name for one in Path().iterdir() if "x.jsonl" in one.name] == []


def test_an_import_that_was_cut_off_is_refused(house: House, ask: Likewise) -> None:
    """Unless it is to be taken as it is."""
    house.chat(SKY, KEY)
    house.chat(TIDES, KEY)
    lines = ask("export")[1].splitlines(keepends=True)
    ask("purge", "--all")
    for text in ("".join(lines[:-1]), "".join(lines[1:]), "".join(lines)[:-20]):
        Path("cut.jsonl").write_text(text)
        code, out, err = ask("import", "cut.jsonl")
        assert (code, out) == (2, "")
        assert "cut off or edited; export again, or give --partial" in err
    assert not hit(house, SKY)
    Path("cut.jsonl").write_text(lines[0])
    assert ask("import", "cut.jsonl", "--partial")[0] == 0
    assert hit(house, SKY)


def test_every_bad_line_is_told_and_nothing_is_taken(
    house: House, ask: Likewise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With file and line, also where the file goes in many pieces."""
    monkeypatch.setattr(moving, "MOST_BYTES", 4_000)
    for number in range(6):
        house.chat(f"What is number {number}?", KEY)
    lines = ask("export")[1].splitlines()
    ask("purge", "--all")
    lines[1:1] = ["{", ""]
    lines[5] = lines[5].replace('"chat"', '"chats"')
    Path("bad.jsonl").write_text("\n".join(lines) + "\n")
    code, out, err = ask("import", "bad.jsonl", "--partial")
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("bad.jsonl:2: is not JSON; a line is")
    assert second.startswith("bad.jsonl:6: facts.dialect: must be one of chat")
    assert house.api("/api/entries")["entries"] == []


def test_a_line_that_no_request_can_hold_is_told(
    house: House, ask: Likewise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent."""
    house.chat(SKY, KEY)
    ask("export", "one.jsonl")
    monkeypatch.setattr(moving, "MOST_BYTES", 100)
    code, _, err = ask("import", "one.jsonl")
    assert code == 2
    assert err.startswith("one.jsonl:1: is longer than the 100 bytes")


def test_another_houses_entries_are_taken_with_a_warning(
    house: House, ask: Likewise, likewise: Likewise, tmp_path: Path
) -> None:
    """What its callers asked is found under its own secret only."""
    house.chat(SKY, KEY)
    ask("export", "here.jsonl")
    assert ask("import", "here.jsonl")[2] == ""
    (tmp_path / "other").mkdir()
    with with_oracle(tmp_path / "other") as other:
        code, out, err = likewise("import", "here.jsonl", "--admin", other.where.admin)
        assert (code, out[:15]) == (0, "1 entry taken; ")
        assert "a house with another secret" in err
        assert not hit(other, SKY)


# --- questions with answers


def test_questions_with_answers_warm_a_cache(
    house: House, ask: Likewise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later request with the same key, model and system prompt is answered from them."""
    monkeypatch.setenv("APP_KEY", KEY)
    Path("faq.csv").write_text(f'question,answer\n{SKY},"Rayleigh, mostly."\n{TIDES},The moon.\n')
    words = ("--model", "gpt-4o-mini", "--key-env", "APP_KEY")
    taken = (0, "2 entries taken; skipped: 0 there already, 0 expired.\n", "")
    assert ask("import", "faq.csv", *words) == taken
    for prompt in (SKY, SKY_AGAIN):
        assert "Rayleigh, mostly." in house.chat(prompt, KEY, ONLY).text
    assert house.calls(KEY) == 0
    Path("faq.jsonl").write_text(json.dumps({"question": "Who?", "answer": "Me."}))
    words = (*words, "--system", "Be brief.", "--body", '{"temperature": 0}')
    assert ask("import", "faq.jsonl", *words)[0] == 0
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
    ]
    assert hit(house, "", messages=messages, temperature=0)
    assert not hit(house, "", messages=messages)


def test_every_bad_pair_is_told(
    house: House, ask: Likewise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file says wrong, then what the proxy cannot keep; both with file and line."""
    monkeypatch.setenv("APP_KEY", KEY)
    words = ("--model", "gpt-4o-mini", "--key-env", "APP_KEY")
    Path("faq.csv").write_text("question,answer,category\na,,\nb,c,nope\nd,e,\n")
    code, _, err = ask("import", "faq.csv", *words)
    assert (code, err) == (2, "faq.csv:2: answer: must not be empty\n")
    Path("faq.csv").write_text("question,answer,category\n\nb,c,nope\nd,e,\n")
    code, out, err = ask("import", "faq.csv", *words)
    assert (code, out, err) == (2, "", "faq.csv:3: category: there is no category 'nope'\n")
    assert house.api("/api/entries")["entries"] == []


@pytest.mark.parametrize(
    ("file", "words", "said"),
    [
        ("faq.csv", (), "questions with answers need --model"),
        ("faq.csv", ("--model", "m", "--key-env", "UNSET_KEY"), "UNSET_KEY is not set, or empty"),
        ("faq.csv", ("--model", "m", "--key-env", "K", "--tenant", "t"), "not both"),
        ("faq.csv", ("--model", "m", "--body", "[1]"), "--body: must be a JSON object"),
        ("faq.csv", ("--model", "m", "--body", '{"model": "x"}'), "without model and messages"),
        ("faq.csv", ("--model", "m", "--partial"), "--partial is for exports"),
        ("out.jsonl", ("--model", "m"), "--model is for questions with answers"),
        ("out.jsonl", ("--key-env", "K"), "--key-env is for questions with answers"),
        ("nowhere.csv", (), "does not exist"),
    ],
)
def test_a_wrong_import_is_one_line(
    likewise: Likewise, file: str, words: tuple[str, ...], said: str
) -> None:
    """The user's mistake: 2, before a proxy is asked."""
    Path("faq.csv").write_text("question,answer\na,b\n")
    Path("out.jsonl").write_text('{"facts":{}}\n')
    code, out, err = likewise("import", file, *words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err


# --- purge


def test_a_user_is_erased(house: House, ask: Likewise) -> None:
    """What was kept or written down for a user goes, under every key, and nobody else's."""
    mine = "What is my account balance?"
    for key in (KEY, "sk-2"):
        house.chat(mine, key, user="ann")
    house.chat(mine, KEY, user="bob")
    house.chat(SKY, KEY, user="ann")
    code, out, err = ask("purge", "--user", "ann", "--dry-run")
    assert (code, out) == (0, "3 entries and 3 requests of the log would be removed.\n")
    assert len(err.splitlines()) == 3
    code, out, err = ask("purge", "--user", "ann")
    removed, left = out.splitlines()
    assert (code, removed) == (0, "3 entries and 3 requests of the log removed.")
    assert left == "0 entries and 0 requests of this user left."
    assert "named no end user" in err
    assert not hit(house, mine, user="ann")
    assert hit(house, mine, user="bob")
    assert not hit(house, SKY, user="ann")


def test_others_keep_their_log_without_a_users_words(house: House, ask: Likewise) -> None:
    """A request that was answered from an erased entry stays, and quotes it no longer."""
    house.chat("Why is the sky blue?", KEY, user="ann")
    met = house.chat("why is the sky blue", KEY, user="bob")
    assert met.headers["x-likewise-match"] == "semantic"
    assert house.decision(met)["matched"] == "Why is the sky blue?"
    assert ask("purge", "--user", "ann")[0] == 0
    row = house.decision(met)
    assert (row["prompt"], row["matched"]) == ("why is the sky blue", "")


def test_what_is_left_of_a_user_is_exit_code_1(
    house: House, ask: Likewise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal that did not take is not called one."""
    from proxy.carrier import Carrier, Cleared  # noqa: PLC0415 - where the command finds it

    house.chat("What is my account balance?", KEY, user="ann")
    monkeypatch.setattr(Carrier, "clear", lambda *_: Cleared(1, 1, []))
    code, out, _ = ask("purge", "--user", "ann")
    removed, left = out.splitlines()
    assert (code, removed) == (1, "1 entry and 1 request of the log removed.")
    assert left == "1 entry and 1 request of this user left."


# --- backup


def test_a_running_store_is_copied(house: House, likewise: Likewise, tmp_path: Path) -> None:
    """By its configuration alone; a house started from the copy answers from it."""
    first = house.chat(SKY, KEY).text
    durable(house, 1)
    (tmp_path / "second").mkdir()
    copied = (0, "Copied 1 entry to second/likewise.db.\n", "")
    assert likewise("backup", "second/likewise.db") == copied
    assert stat.S_IMODE(Path("second/likewise.db").stat().st_mode) == 0o600
    house.chat(TIDES, KEY)
    durable(house, 2)
    with sqlite3.connect("second/likewise.db") as db:
        assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    code, _, err = likewise("backup", "second/likewise.db")
    assert code == 2
    assert "already there; give --force" in err
    assert likewise("backup", "second/likewise.db", "--force")[0] == 0
    upstream = yaml.safe_load(house.config.read_text())["upstreams"][0]["base_url"]
    with serving(tmp_path / "second", upstream.removesuffix("/v1")) as restored:
        assert restored.chat(SKY, KEY, ONLY).text == first
        assert hit(restored, TIDES)


def durable(house: House, entries: int) -> None:
    """Wait until the store's file holds so many entries."""
    with sqlite3.connect(house.config.with_name("likewise.db")) as db:
        until(lambda: db.execute("SELECT count(*) FROM entries").fetchone() == (entries,))


def test_a_redis_makes_its_own_copies(likewise: Likewise, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to do instead, and exit code 2; no password is shown."""
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    Path("likewise.yaml").write_text("store: {url: 'redis://:${REDIS_PASSWORD}@127.0.0.1:1/0'}\n")
    code, out, err = likewise("backup", "x.db")
    assert (code, out) == (2, "")
    assert "BGSAVE" in err
    assert "hunter2" not in err
    assert not Path("x.db").exists()


def test_a_store_that_is_not_there_is_told(likewise: Likewise) -> None:
    """The environment's fault: 1."""
    code, _, err = likewise("backup", "x.db")
    assert code == 1
    assert "nothing has been stored yet" in err
