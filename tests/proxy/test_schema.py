"""Addresses and names that a configuration may hold, and those it may not."""

import re

import pytest
from pydantic import ValidationError

from proxy.limits import Limits
from proxy.schema import ConfigFile, LimitsPart, host_name, http_url, store_url


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com", "//h", "file:///etc/passwd", "http://", "http:///v1", "http://h?x=1",
        "http://h/#f", "http://u@h", "http://h:99999", "http://h:x", "http://[::1", "http://h h",
        "http://h\\@evil", "http://h\t/", "http://bücher.example", "gopher://h", "http://h:0",
    ],
)  # fmt: skip
def test_base_urls_refused(url: str) -> None:
    """An upstream is plain http(s)://host/path: nothing that could lead elsewhere."""
    with pytest.raises(ValueError, match=r"^(must|is not|holds)"):
        http_url(url)


@pytest.mark.parametrize("url", ["http://h", "https://h:8443/a/b", "http://[::1]:9/v1"])
def test_base_urls_accepted(url: str) -> None:
    """Hosts, ports, paths and IPv6 addresses are good."""
    assert http_url(url) == url
    assert http_url(f"{url}/") == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://h", "must begin with one of sqlite:, redis:, rediss:, redis+cluster:"),
        ("sqlite:", "name a file"), ("redis://", "name a host"), ("redis:h", "must look like"),
        ("unix:redis.sock", "must look like unix:///path"), ("unix:///", "name a file"),
        ("plain.db", "must begin with one of"),
    ],
)  # fmt: skip
def test_store_urls_refused(url: str, said: str) -> None:
    """A store is named by a known scheme and a place."""
    with pytest.raises(ValueError, match=re.escape(said)):
        store_url(url)


@pytest.mark.parametrize(
    "url",
    ["sqlite:./x.db", "sqlite:/abs/x.db", "redis://h", "rediss://:p@h:6379/1",
     "redis+cluster://a:1,b:2", "redis+sentinel://a:1,b:2/main", "rediss+cluster://a:1",
     "rediss+sentinel://a:1/main", "unix:///run/redis.sock"],
)  # fmt: skip
def test_store_urls_accepted(url: str) -> None:
    """Each documented scheme with a place is good."""
    assert store_url(url) == url


def test_host_names() -> None:
    """An address or a name, not a URL."""
    assert host_name("::1") == "::1"
    for wrong in ("", "a b", "http://h", "h/x", "x" * 300):
        with pytest.raises(ValueError, match="must be an address or a host name"):
            host_name(wrong)


def test_the_limits_are_the_listeners() -> None:
    """What the file says nothing of is what the listener takes by itself."""
    assert Limits(**LimitsPart().model_dump()) == Limits()


def test_nothing_written_is_good() -> None:
    """Every section has defaults; what is no mapping is refused."""
    assert ConfigFile().embedding.model == "all-MiniLM-L6-v2"
    with pytest.raises(ValidationError):
        ConfigFile.model_validate({"server": [1]})
