from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from admin_ui.console import Selection
from admin_ui.facts import Overview, Tally
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import TOKEN, decision, entry
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

BUSY = Tally(
    requests=200, exact=50, semantic=40, stale=10, missed=80, bypassed=20, hit_p50_ms=4.0,
    hit_p95_ms=9.0, miss_p50_ms=1200.0, miss_p95_ms=5000.0, tokens_saved=12345,
    dollars_saved=1.5, seconds_saved=7200.0,
)  # fmt: skip

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example></ScRiPt>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example>",
    "<style>@import '//evil.example'</style>",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil.example><button>x</button></form>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<marquee onstart=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</details></summary><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}<script>alert(1)</script>",
    "${alert(1)} `alert(1)` javascript:alert(1)",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><script>alert(1)</script>'>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u2028<script>alert(1)</script>\u202e",
]


def test_overview_figures(person: TestClient, console: FakeConsole) -> None:
    """The hit rate counts all hits over all requests; figures carry units."""
    console.facts = Overview(
        3600.0, BUSY, {"code": BUSY}, {"exact": 50, "guard-order": 3}, entries=9, entry_bytes=2048
    )
    text = Reading(person.get("/").text).text
    for words in ("50.0%", "100 of 200 requests", "55.6% of the 180 that could be", "$1.50",
                  "12,345", "2 h", "4.0 ms", "1.20 s", "300\u00d7 quicker", "who does what to whom",
                  "code", "2.0 KB"):  # fmt: skip
        assert words in text


def test_overview_of_nothing(person: TestClient) -> None:
    """An empty dashboard says what to set, and shows no figure that it does not have."""
    text = Reading(person.get("/").text).text
    assert "OPENAI_BASE_URL=http://127.0.0.1:8080/v1" in text
    assert "curl -i http://127.0.0.1:8080/v1/chat/completions" in text
    assert "Hit rate" not in text


def test_overview_in_shadow(person: TestClient, console: FakeConsole) -> None:
    """In shadow mode the page says that nothing is answered from memory."""
    console.facts = Overview(3600.0, BUSY, policy_mode="shadow")
    assert "Shadow mode" in Reading(person.get("/").text).text


@pytest.mark.parametrize(
    ("chosen", "seconds"),
    [("15m", 900), ("1h", 3600), ("24h", 86400), ("7d", 604800), ("30d", 2592000), ("x", 3600)],
)
def test_overview_range(
    person: TestClient, console: FakeConsole, chosen: str, seconds: int
) -> None:
    """The picker chooses the window; an unknown one is the default."""
    html = person.get(f"/?range={chosen}").text
    assert console.asked == [seconds]
    assert f'data-seconds="{seconds}"' in html


def test_decisions_show_the_evidence(person: TestClient, console: FakeConsole) -> None:
    """A row holds both prompts with the differing word marked, scores, and the reason in words."""
    console.rows = [
        decision(7, reason="guard-numbers", similarity=0.9821, cut=0.97, seen="4 against 5",
                 prompt="Price on 4 March", matched="Price on 5 March", neighbour="ab" * 16)
    ]  # fmt: skip
    html = person.get("/decisions").text
    text = Reading(html).text
    for words in ("0.982", "0.970", "4 against 5", "names other numbers", "ab" * 16, "412 ms"):
        assert words in text
    assert "<mark>4</mark>" in html
    assert "<mark>5</mark>" in html


def test_decisions_are_paged(person: TestClient, console: FakeConsole) -> None:
    """Fifty a page; `Older` leads on, and the end says so."""
    console.rows = [decision(number, prompt=f"question {number}") for number in range(1, 61)]
    first = person.get("/decisions").text
    assert "question 11" in first
    assert "question 10<" not in first
    assert 'href="/decisions?before=11"' in first
    second = person.get("/decisions?before=11").text
    assert "question 10" in second
    assert ">Older<" not in second
    assert "No older decisions" in person.get("/decisions?before=1").text
    assert person.get("/decisions?before=x").status_code == 422


def test_entries_filter(person: TestClient, console: FakeConsole) -> None:
    """The filter's fields reach the console, and stay filled in."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog", flagged=True)]
    html = person.get("/entries?text=dog&category=default&older=3600").text
    assert console.asked == [Selection(text="dog", category="default", older_than=3600.0)]
    assert "a dog" in html
    assert "a cat" not in html
    assert Reading(html).field("text") == "dog"
    assert "flagged" in Reading(html).text


def test_an_entry_is_removed(person: TestClient, console: FakeConsole) -> None:
    """The button of a row removes that entry and comes back to the same search."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    csrf = Reading(person.get("/entries").text).field("csrf")
    answer = person.post(
        f"/entries/{1:032x}/delete?category=default",
        data={"csrf": csrf},
        headers={"origin": ORIGIN},
    )
    assert answer.headers["location"] == "/entries?category=default&removed=1"
    assert [e["text"] for e in console.kept] == ["a dog"]


def test_purging_asks_first(person: TestClient, console: FakeConsole) -> None:
    """The first page counts and removes nothing; the second step removes what was counted."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    html = person.get("/entries/purge?text=cat").text
    assert "Remove 1 entry?" in html
    assert len(console.kept) == 2
    answer = person.post(
        "/entries/purge?text=cat",
        data={"csrf": Reading(html).field("csrf")},
        headers={"origin": ORIGIN},
    )
    assert answer.headers["location"] == "/entries?removed=1"
    assert [e["text"] for e in console.kept] == ["a dog"]


def test_purging_everything_is_said_aloud(person: TestClient, console: FakeConsole) -> None:
    """Without a filter the page warns that the whole cache goes."""
    console.kept = [entry(1, "a cat")]
    assert "empties the whole cache" in person.get("/entries/purge").text


def test_explain(person: TestClient, console: FakeConsole) -> None:
    """The story is shown step by step, with each candidate's reason, and nothing left out."""
    console.story = {
        "outcome": "miss", "reason": "guard-negation", "category": "code", "similarity": 0.991,
        "cut": 0.93, "steps": [{"name": "Exact", "text": "No entry has this key."}, "a bare step"],
        "candidates": [{"entry": "ab" * 16, "text": "Is it not safe?", "score": 0.991,
                        "reason": "guard-negation", "seen": "not"}],
        "embed_ms": 3.2,
    }  # fmt: skip
    csrf = Reading(person.get("/explain").text).field("csrf")
    html = person.post(
        "/explain",
        data={"csrf": csrf, "prompt": "Is it safe?", "model": " ", "system": "Be brief."},
        headers={"origin": ORIGIN},
    ).text
    text = Reading(html).text
    for words in ("guard-negation", "0.991", "No entry has this key.", "a bare step", "embed_ms"):
        assert words in text
    assert "<mark>not</mark>" in html
    asked = console.asked[-1]
    assert (asked.prompt, asked.model, asked.system) == ("Is it safe?", "gpt-4o-mini", "Be brief.")


def test_explain_wants_a_prompt(person: TestClient, console: FakeConsole) -> None:
    """An empty form is answered with what to do, and asks nothing."""
    csrf = Reading(person.get("/explain").text).field("csrf")
    answer = person.post("/explain", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert answer.status_code == 400
    assert "Write the prompt" in answer.text
    assert console.asked == []


def test_log_in_sets_a_guarded_cookie(stranger: TestClient) -> None:
    """The cookie is out of reach of scripts and foreign sites, and leads back where one was."""
    answer = stranger.post(
        "/login", data={"token": f" {TOKEN}\n", "next": "/decisions"}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == "/decisions"
    cookie = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/", "max-age=43200"):
        assert part in cookie
    assert "; secure" not in cookie
    assert TOKEN not in cookie


def test_the_cookie_is_secure_over_https(stranger: TestClient) -> None:
    """Over TLS the cookie never travels in the clear."""
    answer = stranger.post(
        "https://127.0.0.1:8081/login",
        data={"token": TOKEN},
        headers={"origin": "https://127.0.0.1:8081"},
    )
    assert "; secure" in answer.headers["set-cookie"].lower()


def test_log_in_leads_nowhere_else(stranger: TestClient) -> None:
    """No address outside this site is ever a target after log-in."""
    assert Reading(stranger.get("/login?next=//evil.example").text).field("next") == "/"
    answer = stranger.post(
        "/login", data={"token": TOKEN, "next": "//evil.example"}, headers={"origin": ORIGIN}
    )
    assert answer.headers["location"] == "/"


def test_log_in_from_elsewhere(stranger: TestClient) -> None:
    """A foreign page cannot log a browser in."""
    for headers in ({}, {"origin": "http://evil.example"}):
        answer = stranger.post("/login", data={"token": TOKEN}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_five_wrong_tokens_close_the_log_in(stranger: TestClient) -> None:
    """The sixth try within a minute waits, even with the right token."""
    for _ in range(5):
        answer = stranger.post("/login", data={"token": "no"}, headers={"origin": ORIGIN})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    answer = stranger.post("/login", data={"token": TOKEN}, headers={"origin": ORIGIN})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_log_out(person: TestClient) -> None:
    """After log-out the old cookie is worth nothing, even if it was copied."""
    cookie = person.cookies["likewise_admin"]
    csrf = Reading(person.get("/").text).field("csrf")
    answer = person.post("/logout", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert answer.headers["location"] == "/login"
    assert "likewise_admin" not in person.cookies
    assert (
        person.get("/api/health", headers={"cookie": f"likewise_admin={cookie}"}).status_code == 401
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(person: TestClient, console: FakeConsole, text: str) -> None:
    """Whatever a caller or an upstream wrote adds no script, handler, frame or style anywhere."""
    console.facts = Overview(3600.0, BUSY, {text: BUSY}, {text: 3}, 1, 1, text, text)
    console.rows = [
        decision(1, prompt=text, matched=f"other {text}", model=text, category=text, seen=text,
                 reason=text, outcome=text, dialect=text, upstream=text, entry=text, kept=text,
                 neighbour=text + "n", would=text, similarity=0.5, cut=0.9)
    ]  # fmt: skip
    console.kept = [
        entry(1, text, category=text, model=text, tags=(text,), entry=text, **{text: 1})
    ]
    console.rules = {text: {text: [text]}}
    console.story = {
        "outcome": text, "reason": text, "category": text, "entry": text, text: text,
        "steps": [{"name": text, "text": text}, text],
        "candidates": [{"entry": text, "text": text, "score": 0.9, "reason": text, "seen": text}],
    }  # fmt: skip
    csrf = Reading(person.get("/explain").text).field("csrf")
    answers = [person.get(path) for path in ("/", "/decisions", "/entries", "/policy")]
    answers += [
        person.get(path, params={"text": text, "category": text, "next": text, "range": text})
        for path in ("/entries", "/entries/purge", "/login", "/", f"/{quote(text)}")
    ]
    answers.append(
        person.post(
            "/explain",
            data={"csrf": csrf, "prompt": text, "model": text, "system": text},
            headers={"origin": ORIGIN},
        )
    )
    for answer in answers:
        assert answer.headers["content-type"].startswith("text/html"), answer.url
        assert answer.status_code in {200, 404}
        assert Reading(answer.text).active() == [], answer.url
    assert "alert(1)" in Reading(answers[1].text).text or "evil" in Reading(answers[1].text).text


@pytest.mark.parametrize("path", ["/", "/decisions", "/entries", "/explain", "/policy", "/health"])
def test_pages_can_be_used_without_sight(person: TestClient, path: str) -> None:
    """Each page has a language, one heading, a main part, and its place marked in the menu."""
    tags = Reading(person.get(path).text).tags
    assert ("html", {"lang": "en"}) in tags
    assert sum(tag == "h1" for tag, _ in tags) == 1
    assert sum(tag == "main" for tag, _ in tags) == 1
    here = [a["href"] for tag, a in tags if tag == "a" and a.get("aria-current") == "page"]
    assert here == [path]


def test_links_lead_somewhere(person: TestClient, console: FakeConsole) -> None:
    """No page links to something that does not exist."""
    console.facts = Overview(3600.0, BUSY)
    console.kept = [entry(1, "a cat")]
    console.rows = [decision(n) for n in range(60)]
    targets = {
        a["href"]
        for path in ("/", "/decisions", "/entries", "/entries/purge", "/explain", "/api")
        for tag, a in Reading(person.get(path).text).tags
        if tag in {"a", "link"} and not a["href"].startswith("#")
    }
    assert len(targets) > 10
    for target in targets:
        assert person.get(target).status_code == 200, target
