"""Partitions: equal for the same caller however it writes its key, different for everyone else."""

import hashlib
import re

import pytest

from proxy.identity import Identity, bare_key, hash_key, is_credential, presented

SECRET = b"s" * 32
KEY = b"sk-alice-0123456789"


@pytest.fixture
def identity() -> Identity:
    return Identity(SECRET, {})


@pytest.mark.parametrize(
    "header", [b"Bearer " + KEY, b"bearer " + KEY, b"BEARER   " + KEY + b" ", KEY, b" " + KEY]
)
def test_a_key_is_one_caller_however_it_is_sent(identity: Identity, header: bytes) -> None:
    """`Authorization: Bearer`, `x-api-key` and `api-key` with one key are one partition."""
    assert identity.owners(header, None) == identity.owners(KEY, None)


@pytest.mark.parametrize(
    "other",
    [b"", b"Bearer", b"Bearer sk-bob", KEY + b"0", KEY.upper(), b"Basic " + KEY, b"Token " + KEY],
)
def test_another_credential_is_another_caller(identity: Identity, other: bytes) -> None:
    """No prefix, case or scheme makes two credentials meet; nobody shares with the anonymous."""
    assert identity.owners(other, None).key != identity.owners(KEY, None).key


def test_the_secret_decides() -> None:
    """Two caches with different secrets have nothing in common; with the same one, everything."""
    tenants = {hash_key(KEY): "acme"}
    one = Identity(SECRET, tenants).owners(KEY, "u")
    other = Identity(b"t" * 32, tenants).owners(KEY, "u")
    assert one == Identity(SECRET, tenants).owners(KEY, "u")
    assert not {one.key, one.tenant, one.user} & {other.key, other.tenant, other.user}


def test_keys_of_a_tenant_share_its_partition() -> None:
    """Declared hashes lead to the tenant, other keys to none."""
    bob = b"sk-bob"
    declared = {hash_key(KEY): "acme", f"sha256:{hash_key(bob)}": "acme", hash_key(b"c"): "other"}
    identity = Identity(SECRET, declared)
    alice, second = identity.owners(b"Bearer " + KEY, None), identity.owners(bob, None)
    assert alice.tenant == second.tenant == identity.tenant("acme")
    assert alice.key != second.key
    assert identity.owners(b"c", None).tenant == identity.tenant("other") != alice.tenant
    assert identity.owners(b"sk-nobody", None).tenant is None


def test_users_are_told_apart(identity: Identity) -> None:
    """Each end user has a digest of its own, whatever the name holds; no user has none."""
    names = ["u", "U", "u ", "", "ü", "?", "\ud800", "u\0v", "a" * 10_000]
    owners = [identity.owners(KEY, name) for name in names]
    assert len({one.user for one in owners}) == len(names)
    assert {one.key for one in owners} == {identity.owners(KEY, None).key}
    assert identity.owners(KEY, None).user is None


def test_a_name_means_something_else_in_each_role() -> None:
    """A user called like a tenant or a key does not land in their partition."""
    owners = Identity(SECRET, {hash_key(b"acme"): "acme"}).owners(b"acme", "acme")
    assert len({owners.key, owners.tenant, owners.user}) == 3


def test_nothing_of_a_credential_can_be_read_back() -> None:
    """What comes out are keyed digests: neither a key nor its plain hash is shown."""
    identity = Identity(SECRET, {hash_key(KEY): "acme"})
    owners = identity.owners(b"Bearer " + KEY, "mallory@example.org")
    shown = repr(owners) + repr(identity) + str(identity)
    for told in (KEY.decode(), "mallory", "acme", SECRET.decode()):
        assert told not in shown
    for plain in (KEY, b"Bearer " + KEY, b"mallory@example.org", b"acme"):
        assert hashlib.sha256(plain).hexdigest()[:32] not in shown
    for digest in (owners.key, owners.tenant, owners.user):
        assert digest is not None
        assert re.fullmatch("[0-9a-f]{32}", digest)


def test_callers_that_never_return_do_not_fill_the_memory(identity: Identity) -> None:
    """However many keys are tried, few are remembered and the answers stay the same."""
    first = identity.owners(KEY, None)
    for number in range(10_050):
        identity.owners(b"sk-%d" % number, None)
    assert len(identity._known) == 10_000
    assert identity.owners(KEY, None) == first


def test_a_long_credential_is_answered_and_not_remembered(identity: Identity) -> None:
    """Ten thousand callers with huge headers cannot fill the memory."""
    long = b"x" * 60_000
    assert identity.owners(long, None) == identity.owners(long, None)
    assert identity.owners(KEY, "u" * 60_000) != identity.owners(KEY, "u")
    assert all(len(key) + len(user or "") < 1_000 for key, user in identity._known)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (b"authorization", True),
        (b"x-api-key", True),
        (b"api-key", True),
        (b"x-goog-api-key", True),
        (b"x-auth-token", True),
        (b"cookie", True),
        (b"idempotency-key", False),
        (b"x-likewise-session", False),
        (b"user-agent", False),
        (b"openai-organization", False),
    ],
)
def test_headers_that_may_name_the_caller_are_known(name: bytes, secret: bool) -> None:
    """Credentials of gateways count too; ids of requests and conversations do not."""
    assert is_credential(name) is secret


def test_another_secret_makes_other_callers() -> None:
    """From the moment it is adopted, for those that were seen before as well."""
    identity = Identity(b"one", {})
    before = identity.owners(KEY, "u")
    identity.adopt(b"two")
    assert identity.owners(KEY, "u") == Identity(b"two", {}).owners(KEY, "u") != before


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key"])
def test_a_single_credential_is_presented_as_it_is(name: bytes) -> None:
    """So one key is one caller in whichever header it comes."""
    assert presented([(name, KEY), (b"accept", b"*/*")]) == KEY


def test_every_credential_of_a_request_counts() -> None:
    """A shared placeholder beside the real key does not make two callers one."""
    placeholder = (b"authorization", b"Bearer unused")
    requests = [
        [],
        [placeholder],
        [placeholder, (b"x-api-key", b"alice")],
        [placeholder, (b"x-api-key", b"bob")],
        [placeholder, (b"api-key", b"bob")],
        [placeholder, placeholder],
        [(b"x-auth-token", b"Bearer unused")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a9:x-api-key1:b")],
    ]
    assert len({presented(headers) for headers in requests}) == len(requests)
    turned = [(b"x-api-key", b"alice"), placeholder]
    assert presented(turned) == presented(requests[2])
    assert presented([(b"accept", b"*/*")]) == b""


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer  abc ", b"abc"),
        (b"abc", b"abc"),
        (b"Basic abc", b"Basic abc"),
        (b"Bearer", b"Bearer"),
        (b"", b""),
    ],
)
def test_only_the_bearer_scheme_is_taken_off(header: bytes, key: bytes) -> None:
    """Any other scheme is part of the credential."""
    assert bare_key(header) == key


def test_a_keys_hash_is_what_people_can_compute() -> None:
    """`tenants:` holds the SHA-256 of the bare key (FIPS 180 vector)."""
    assert hash_key(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
