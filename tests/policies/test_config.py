"""Policies: what each text resolves to, and the exact words for each text that is refused."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from policies.config import GUARDS, builtin, read_policy
from policies.document import read
from policies.errors import PolicyError
from policies.values import Rules

CASES = sorted((Path(__file__).parent.parent / "golden" / "policies").glob("*.case"))
DIVIDER = "----------\n"


def resolved(rules: Rules, text: str) -> dict:
    """The rules as JSON; a shipped category that the text does not name is only its name."""
    plain = json.loads(json.dumps(asdict(rules), default=sorted))
    named = (read(text, "").value or {}).get("policy", {}).get("categories", {})
    plain["categories"] = [c if c["name"] in named else c["name"] for c in plain["categories"]]
    for part in [plain["defaults"], *plain["categories"]]:
        if isinstance(part, dict):
            part["context"] = [part["context"][k] for k in ("mode", "threshold", "max_turns")]
            start, bound, *more = part["threshold"].values()
            part["threshold"] = [start, bound, *(more if more != [None, None] else ())]
    del plain["prices"], plain["version"]
    # Shown where they are not what they always are.
    usual = Rules(rules.defaults)
    for name in ("audits", "judge", "languages", "level", "load"):
        if getattr(rules, name) == getattr(usual, name):
            del plain[name]
    return plain


def outcome(text: str) -> dict | str:
    try:
        return resolved(read_policy(read(text, "likewise.yaml")), text)
    except PolicyError as error:
        return str(error)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_golden(case: Path) -> None:
    """Every case file's text gives the rules, or the complaint, written below its divider."""
    text, _, expected = case.read_text("utf-8").partition(DIVIDER)
    found = outcome(text)
    if isinstance(found, str):
        assert found == expected.rstrip("\n")
    else:
        assert found == json.loads(expected)


def test_golden_cases_are_found() -> None:
    """The folder was not lost on the way."""
    assert len(CASES) >= 15


def test_shipped_policy_is_the_contracts() -> None:
    """With nothing written, the documented defaults rule."""
    rules = read_policy(read("", ""))
    assert rules.defaults.threshold.max_false_hits == 0.02
    assert rules.defaults.threshold.start == 0.95
    assert rules.defaults.ttl == 24 * 3600
    assert rules.defaults.guards == ("numbers", "negation", "entities", "units", "order")
    assert rules.prices["gpt-4o-mini"] == (0.15, 0.60)
    assert [c.name for c in rules.categories] == ["personal", "time-sensitive"]
    personal, timely = rules.categories
    assert personal.share == "user"
    assert timely.strict
    assert timely.ttl <= 300
    assert {"today", "latest", "now", "current"} <= set(timely.keywords)


def test_guards_are_the_reasons_words() -> None:
    """A policy names a guard as the reason list does."""
    assert set(GUARDS) == {"numbers", "negation", "entities", "units", "order"}


def test_version_follows_the_policys_text_only() -> None:
    """An edit of `policy:` changes the version, an edit elsewhere does not."""

    def version(text: str) -> str:
        return read_policy(read(text, "")).version

    plain = version("server: {port: 1}\npolicy:\n  mode: serve\n")
    assert plain == version("policy:\n  mode: serve\n")
    assert plain == version("policy:\n  mode: serve\nserver: {port: 2}\n")
    assert plain != version("policy:\n  mode: shadow\n")


def test_prices_lie_over_the_shipped_ones() -> None:
    """A price in the file replaces the shipped one, the others stay; a bad one is refused."""
    rules = read_policy(read("prices: {gpt-4o: {input: 9}, mine: {input: 1, output: 2}}", ""))
    assert rules.prices["gpt-4o"] == (9.0, 0.0)
    assert rules.prices["mine"] == (1.0, 2.0)
    assert rules.prices["gpt-4o-mini"] == (0.15, 0.60)
    with pytest.raises(PolicyError, match=r"prices\.x\.input: is missing"):
        read_policy(read("prices: {x: {output: 1}}", ""))


def test_lines_of_errors_in_long_files() -> None:
    """The line is that of the wrong key, wherever it stands."""
    text = "policy:\n" + "\n" * 50 + "  categories:\n    a:\n      ttl: 5m\n      ttll: 5m\n"
    with pytest.raises(PolicyError) as caught:
        read_policy(read(text, "x.yaml"))
    assert [problem.line for problem in caught.value.problems] == [55]


def test_a_null_key_counts_as_not_written_but_must_be_known() -> None:
    """`ttl:` with nothing behind is the default; an unknown key with nothing behind is refused."""
    assert read_policy(read("policy:\n  defaults:\n    ttl:\n", "")).defaults.ttl == 24 * 3600
    with pytest.raises(PolicyError, match="unknown key; did you mean `ttl`"):
        read_policy(read("policy:\n  defaults:\n    tll:\n", ""))


def test_the_shipped_text_holds_policy_and_prices_only() -> None:
    """defaults.yaml says nothing that a user could not write."""
    assert set(builtin().value) == {"policy", "prices"}
