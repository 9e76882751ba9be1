"""How the results of borrowed suites are judged."""

from __future__ import annotations

from tests.conformance.directives import disagreements
from tests.conformance.suite import different, ended, passed

PAGE = """Likewise obeys 2 of
the 3.

| test | why not |
|---|---|
| `ccreq-a` | because |
"""
KNOWN = {"ccreq-a", "ccreq-b", "ccreq-c"}
REPORT = """<testsuites><testsuite>
<testcase classname="tests.api_resources.chat.test_completions.T" name="a"/>
<testcase classname="tests.api_resources.chat.test_completions.T" name="b"><failure/></testcase>
<testcase classname="tests.api_resources.test_embeddings.T" name="c"><skipped/></testcase>
</testsuite></testsuites>"""


def test_page_and_result_must_agree() -> None:
    """A new deviation is found, one that is written down and gone, and a figure that is not so."""
    assert disagreements(PAGE, KNOWN, {"ccreq-a"}) == []
    assert disagreements(PAGE, KNOWN, {"ccreq-b"}) == [
        "ccreq-a is obeyed; docs/http.md says it is not",
        "ccreq-b is not obeyed, and docs/http.md does not say why",
    ]
    assert disagreements("", KNOWN, set()) == ["docs/http.md gives another figure"]


def test_a_report_is_read() -> None:
    """One outcome for each test, counted by place."""
    found = ended(REPORT)
    assert sorted(found.values()) == ["failure", "passed", "skipped"]
    assert passed(found, "api_resources/chat") == "1/2"
    assert passed(found, "api_resources/test_embeddings.py") == "0/1"


def test_each_test_must_end_as_it_does_directly() -> None:
    """Counts that only happen to be equal hide nothing; a suite that never ran is a fault."""
    direct = {"a": "passed", "b": "failure"}
    assert list(different((("direct", direct), ("cold", direct)))) == []
    swapped = {"a": "failure", "b": "passed"}
    assert len(list(different((("direct", direct), ("cold", swapped))))) == 2
    assert list(different((("direct", direct), ("warm", {"a": "passed"})))) == [
        "b: failure directly, None warm"
    ]
    assert list(different((("direct", {}), ("cold", {})))) == ["no test passed even directly"]
