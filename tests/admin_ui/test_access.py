from __future__ import annotations

import pytest

from admin_ui.access import Access, Failures, Role, safe_next, same_origin


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> Access:
    return Access("secret", frozenset({"Cache.Example.net:8081"}), clock)


def test_an_empty_token_is_refused() -> None:
    """An open door is never built by mistake."""
    with pytest.raises(ValueError, match="LIKEWISE_ADMIN_TOKEN"):
        Access("", None)


@pytest.mark.parametrize("token", ["", "Secret", "secret ", "secretsecret", "sécret", "\ud800"])
def test_only_the_token_fits(access: Access, token: str) -> None:
    """Any other text is refused, odd characters among them, without an error."""
    assert access.role_of("secret") is Role.OPERATOR
    assert access.role_of(token) is None


def test_a_session_ends_after_twelve_hours(access: Access, clock: Clock) -> None:
    """A log-in is good until 12 h have passed and not longer."""
    cookie = access.open()
    clock.now += 12 * 3600 - 1
    assert access.session(cookie)
    clock.now += 1
    assert access.session(cookie) is None


def test_a_closed_session_stays_closed(access: Access) -> None:
    """Logging out ends this session and no other."""
    first, second = access.open(), access.open()
    session = access.session(first)
    assert session
    access.close(session)
    assert access.session(first) is None
    assert access.session(second)


def test_sessions_differ_and_are_shared_by_replicas(access: Access, clock: Clock) -> None:
    """Each log-in has its own cookie and form token; an equal token elsewhere accepts it."""
    one, two = access.open(), access.open()
    assert one != two
    first, second = access.session(one), access.session(two)
    assert first
    assert second
    assert first.csrf != second.csrf
    assert Access("secret", None, clock).session(one) == first
    assert Access("other", None, clock).session(one) is None


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "",
        lambda _: "..",
        lambda c: c[:-1] + ("0" if c[-1] != "0" else "1"),
        lambda c: "9" + c,
        lambda c: c.replace(".", "x"),
        lambda c: "é" + c,
        lambda c: c + "." + c,
    ],
)
def test_forged_cookies(access: Access, forge: object) -> None:
    """A cookie with any part changed is worth nothing."""
    assert callable(forge)
    assert access.session(forge(access.open())) is None


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8081", "localhost.", "127.0.0.1:8081", "[::1]:8081", "10.1.2.3",
     "cache.example.net", "cache.example.net:443"],
)  # fmt: skip
def test_hosts_served(access: Access, host: str) -> None:
    """Loopback, plain addresses and configured names are served, on any port."""
    assert access.host_fits(host)


@pytest.mark.parametrize(
    "host",
    ["", ":8081", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
     "cache.example.net.evil", "user@localhost", "127.1", "0x7f.1", "[evil]"],
)  # fmt: skip
def test_hosts_refused(access: Access, host: str) -> None:
    """Any other name may be rebound to this machine and is refused."""
    assert not access.host_fits(host)


def test_any_name_where_none_is_configured() -> None:
    """Without a list, every name is served, but a missing one is not."""
    assert Access("secret", None).host_fits("anything.example")
    assert not Access("secret", None).host_fits("")


def test_failures_close_the_door_for_a_minute(clock: Clock) -> None:
    """Five failures within the window close it for that address until the first has aged."""
    failures = Failures(5, 60.0, clock)
    for _ in range(5):
        assert failures.wait("a") == 0
        failures.count("a")
    assert failures.wait("a") == 60
    assert failures.wait("b") == 0
    clock.now += 60
    assert failures.wait("a") == 0


def test_failures_are_bounded(clock: Clock) -> None:
    """Addresses made up by the thousand do not fill the memory; the oldest go first."""
    failures = Failures(1, 60.0, clock)
    for number in range(5000):
        failures.count(str(number))
    assert failures.wait("0") == 0
    assert failures.wait("4999") == 60


@pytest.mark.parametrize(
    ("origin", "site", "own"),
    [
        ("http://localhost:8081", None, True),
        ("http://localhost:8081", "same-origin", True),
        (None, "same-origin", True),
        (None, None, False),
        ("null", None, False),
        ("null", "same-origin", False),
        ("http://evil.example", None, False),
        ("http://localhost:8080", None, False),
        ("http://localhost:8081", "cross-site", False),
        ("http://localhost:8081", "same-site", False),
        ("http://evil.example/localhost:8081", "none", False),
    ],
)
def test_same_origin(origin: str | None, site: str | None, own: bool) -> None:
    """Only a request that says that it comes from this very origin counts as ours."""
    assert same_origin(origin, site, "localhost:8081") is own


@pytest.mark.parametrize("target", ["/", "/decisions?before=3", "/entries?text=a%20b"])
def test_next_stays(target: str) -> None:
    """Paths of this site are kept."""
    assert safe_next(target) == target


@pytest.mark.parametrize(
    "target",
    ["", "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "javascript:x",
     "/\n/evil.example", "/\t/evil", "evil", "/é"],
)  # fmt: skip
def test_next_is_not_an_open_redirect(target: str) -> None:
    """Anything that a browser could take to another site becomes the front page."""
    assert safe_next(target) == "/"


def test_a_viewer_has_a_token_of_their_own(clock: Clock) -> None:
    """It opens a viewer's sessions; another viewer token ends them, and no operator's."""
    both = Access("secret", None, clock, viewer="look")
    assert (both.role_of("look"), both.role_of("secret")) == (Role.VIEWER, Role.OPERATOR)
    cookie, own = both.open(Role.VIEWER), both.open()
    session = both.session(cookie)
    assert session
    assert session.role is Role.VIEWER
    assert both.session(cookie.replace("viewer", "operator")) is None
    later = Access("secret", None, clock, viewer="another")
    assert later.session(cookie) is None
    assert later.session(own) == both.session(own)
    alone = Access("secret", None, clock)
    assert alone.session(cookie) is None
    assert alone.role_of("look") is None


def test_without_a_viewer_token_nobody_is_one() -> None:
    """An empty one opens nothing."""
    assert Access("secret", None, viewer="").role_of("") is None
