"""Settings: what a file, the environment and arguments give together, and what is refused."""

from pathlib import Path

import pytest

from policies.errors import PolicyError
from policies.values import JudgeKind
from proxy.settings import Secret, Settings, judging, load, notices, reread

UPSTREAM = "upstreams: [{name: a, base_url: 'http://127.0.0.1:9/v1'}]\n"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(text: str, env: dict[str, str] | None = None, **given: object) -> Settings:
    Path("c.yaml").write_text(text, "utf-8")
    return load("c.yaml", env=env or {}, **given)  # type: ignore[arg-type]


def refusal(text: str, env: dict[str, str] | None = None, **given: object) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        loaded(text, env, **given)
    return [str(problem) for problem in caught.value.problems]


WHOLE = r"""
server:
  host: 0.0.0.0
  port: 9000
  admin: {host: "::1", port: 9001}
  limits: {body: 1MB, response: 2MB, headers: 8KB, header_timeout: 1s, body_timeout: 2s, drain: 3s}
  tls: {cert: c.pem, key: k.pem}
  cors: ["https://a.example", "*"]
  access_log: access.log
upstreams:
  - name: openai
    api: openai
    base_url: https://api.openai.com/v1/
    models: ["gpt-*", "o?-*"]
    api_key: ${OPENAI_API_KEY}
    timeout: {connect: 1s, first_byte: 2m, idle: 3s}
    proxy: http://proxy:3128
    ca: ca.pem
  - {name: claude, api: anthropic, base_url: "https://api.anthropic.com", passthrough: true}
  - {name: azure, api: azure, base_url: "https://x.openai.azure.com", models: [dep]}
embedding: {model: ./folder, runtime: torch, precision: fp32, threads: 4}
store:     {url: "rediss://:${REDIS_PASSWORD}@h:6379/2", encrypt: off}
index:     {max_entries: 10, max_bytes: 1GiB, storage: float16, eviction: lfu, pca: 128}
tenants:   {acme: ["00112233445566778899aabbccddeeff"], beta: ["sha256:00112233445566778899aabbccddee00"]}
prices:    {gpt-4o-mini: {input: 0.15, output: 0.60}}
policy:
  mode: serve
  share: key
  max_temperature: 1.0
  judge: embedding
  audits: 2%
  collapse: exact
  replay: fast
  overrides: {threshold: [0.85, 1.0], ttl: [0s, 30d]}
  defaults:
    threshold: {max_false_hits: 2%, start: 0.95}
    ttl: 24h
    stale_while_revalidate: 10m
    stale_if_error: 24h
    context: {mode: meaning, threshold: 0.85, max_turns: 6}
    guards: [numbers, negation, entities, units, order]
  categories:
    code:         {examples: ["How do I reverse a list in Python?"], threshold: 0.93, ttl: 30d, quota: 40%}
    market_data:  {keywords: [price, stock, quote], threshold: 0.97, ttl: 60s, strict: true}
    conversation: {examples: ["How are you today?"], ttl: 6h, quota: 15%}
    personal:     {patterns: ["\\bmy (password|account|order)\\b"], share: user}
  load:      {signal: upstream_latency_p95, low: 2s, high: 8s, max_threshold_drop: 0.03, max_ttl_factor: 2}
"""  # noqa: E501 - the documented example
SECRETS = {"OPENAI_API_KEY": "sk-secret", "REDIS_PASSWORD": "hunter2"}


def test_every_documented_key_is_read() -> None:
    """The documented file is accepted whole, and each value arrives."""
    settings = loaded(WHOLE, SECRETS)
    server = settings.server
    assert (server.host, server.port) == ("0.0.0.0", 9000)
    assert (server.admin_host, server.admin_port) == ("::1", 9001)
    limits = server.limits
    assert (limits.body, limits.response, limits.headers) == (1_000_000, 2_000_000, 8_000)
    assert (limits.header_timeout, limits.body_timeout, limits.drain) == (1, 2, 3)
    assert limits.idle_timeout == 75
    assert server.tls is not None
    assert (server.tls.cert, server.tls.key) == ("c.pem", "k.pem")
    assert server.cors == ("https://a.example", "*")
    assert server.access_log == "access.log"
    openai, claude, azure = settings.upstreams
    assert openai.base_url == "https://api.openai.com/v1"
    assert openai.models == ("gpt-*", "o?-*")
    assert openai.api_key is not None
    assert openai.api_key.reveal() == "sk-secret"
    assert (openai.connect, openai.first_byte, openai.idle) == (1, 120, 3)
    assert (openai.passthrough, claude.passthrough, azure.passthrough) == (False, True, False)
    assert (claude.api, claude.models, claude.api_key) == ("anthropic", ("*",), None)
    embedding = settings.embedding
    assert (embedding.model, embedding.runtime) == ("./folder", "torch")
    assert (embedding.precision, embedding.threads) == ("fp32", 4)
    assert settings.store_url == "rediss://:hunter2@h:6379/2"
    assert settings.encrypt == "off"
    index = settings.index
    assert (index.max_entries, index.max_bytes, index.pca) == (10, 2**30, 128)
    assert (index.storage, index.eviction) == ("float16", "lfu")
    assert settings.tenants["00112233445566778899aabbccddeeff"] == "acme"
    assert settings.tenants["sha256:00112233445566778899aabbccddee00"] == "beta"
    names = [category.name for category in settings.rules.categories]
    assert names == ["code", "market_data", "conversation", "personal", "time-sensitive"]
    assert settings.watchable.startswith("policy:\n  mode: serve")


def test_secrets_are_never_shown() -> None:
    """Neither the settings nor a Secret print what they hold."""
    shown = repr(loaded(WHOLE, SECRETS | {"LIKEWISE_ADMIN_TOKEN": "tok-1"}))
    assert "sk-secret" not in shown
    assert "hunter2" not in shown
    assert "tok-1" not in shown
    assert f"{Secret('abc')} {Secret('abc')!r}" == "Secret('***') Secret('***')"


def test_without_a_file() -> None:
    """An upstream is enough: built-in policy, local addresses, a store beside."""
    settings = load(upstream="https://api.openai.com/v1/", env={})
    assert [(u.base_url, u.api, u.models, u.passthrough) for u in settings.upstreams] == [
        ("https://api.openai.com/v1", "openai", ("*",), True)
    ]
    server = settings.server
    assert (server.host, server.port) == ("127.0.0.1", 8080)
    assert (server.admin_host, server.admin_port) == ("127.0.0.1", 8081)
    assert settings.store_url == "sqlite:./.likewise/likewise.db"
    assert settings.source is None
    assert settings.watchable == ""
    assert reread(settings) is settings
    assert notices(settings) == []


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://api.anthropic.com", "anthropic"), ("https://x.openai.azure.com/y", "azure"),
        ("http://localhost:1234/v1", "openai"), ("https://api.anthropic.com.evil.io", "openai"),
    ],
)  # fmt: skip
def test_api_of_a_bare_upstream(url: str, api: str) -> None:
    """A vendor's own host tells whose keys it takes."""
    assert load(upstream=url, env={}).upstreams[0].api == api


def test_neither_file_nor_upstream() -> None:
    """Both ways to name an upstream are told."""
    with pytest.raises(PolicyError) as caught:
        load(env={})
    for word in ("--upstream", "LIKEWISE_UPSTREAM", "upstreams:", "-c"):
        assert word in str(caught.value)
    assert "no upstream" in refusal("server: {port: 1}")[0]


def test_who_wins() -> None:
    """Arguments over the file, the file over the environment."""
    env = {"LIKEWISE_UPSTREAM": "http://env/v1", "REDIS_URL": "redis://env:6379"}
    assert load(env=env).upstreams[0].base_url == "http://env/v1"
    assert load(env=env).store_url == "redis://env:6379"
    settings = loaded(UPSTREAM + "store: {url: 'sqlite:x.db'}\nserver: {port: 5}", env)
    assert settings.upstreams[0].base_url == "http://127.0.0.1:9/v1"
    assert (settings.store_url, settings.server.port) == ("sqlite:x.db", 5)
    settings = loaded(UPSTREAM, env, upstream="http://arg", host="::1", port=6, admin_port=7)
    given = UPSTREAM + "server: {access_log: a.log}"
    assert loaded(given, access_log="-").server.access_log == "-"
    assert [u.base_url for u in settings.upstreams] == ["http://arg"]
    server = settings.server
    assert (server.host, server.port, server.admin_port) == ("::1", 6, 7)


def test_which_file() -> None:
    """The named file, else LIKEWISE_CONFIG, else likewise.yaml here; a missing one is an error."""
    Path("likewise.yaml").write_text(UPSTREAM + "server: {port: 1}")
    Path("b.yaml").write_text(UPSTREAM + "server: {port: 2}")
    assert load(env={}).server.port == 1
    assert load(env={"LIKEWISE_CONFIG": "b.yaml"}).server.port == 2
    assert load("likewise.yaml", env={"LIKEWISE_CONFIG": "b.yaml"}).server.port == 1
    for wrong in ({"path": "none.yaml", "env": {}}, {"env": {"LIKEWISE_CONFIG": "none.yaml"}}):
        with pytest.raises(PolicyError, match=r"^none\.yaml: there is no such file; .* init"):
            load(**wrong)  # type: ignore[arg-type]


def test_files_that_cannot_be_read() -> None:
    """A folder, and bytes that are not UTF-8, are told in one line."""
    Path("folder").mkdir()
    with pytest.raises(PolicyError, match=r"^folder: cannot be read: "):
        load("folder", env={})
    Path("latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(PolicyError, match=r"^latin\.yaml: is not UTF-8 text \(byte 3\)"):
        load("latin.yaml", env={})
    Path("huge.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(PolicyError, match="larger than 1 MB"):
        load("huge.yaml", env={})


def test_all_problems_at_once() -> None:
    """One run tells every problem of the whole file, in its order, with lines."""
    text = """\
server: {port: 99999, admin: {port: x}}
upstreams:
  - {name: a, base_url: "${NOPE}/v1", api: opnai}
  - {base_url: "ftp://h"}
embedding: {runtime: tensorrt}
stoer: {}
policy: {mode: on}
prices: {m: {input: -1}}
"""
    assert refusal(text, port=-1) == [
        "--port: must be a whole number from 0 to 65,535, got -1",
        "c.yaml:1: server.port: must be a whole number from 0 to 65,535, got 99999",
        "c.yaml:1: server.admin.port: must be a whole number from 0 to 65,535, got 'x'",
        (
            "c.yaml:3: upstreams[0].base_url: the environment variable NOPE is not set; set it, or "
            "remove this key"
        ),
        "c.yaml:3: upstreams[0].api: must be one of openai, anthropic, azure, got 'opnai'",
        "c.yaml:4: upstreams[1].name: is missing; add it here",
        (
            "c.yaml:4: upstreams[1].base_url: must be a URL that begins with http:// or https:// "
            "and names a host"
        ),
        "c.yaml:5: embedding.runtime: must be one of onnx, torch, got 'tensorrt'",
        (
            "c.yaml:6: stoer: unknown key; did you mean `store`? allowed here: embedding, index, "
            "policy, prices, server, store, tenants, upstreams"
        ),
        "c.yaml:7: policy.mode: must be one of serve, shadow, got 'on'",
        "c.yaml:8: prices.m.input: must be a number from 0 to 1,000,000, got -1",
    ]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("upstreams: [{name: a, base_url: 'http://h', api_key: sk-abc}]",
         "c.yaml:1: upstreams[0].api_key", "environment variable"),
        ("upstreams: [{name: a, base_url: 'http://h', api_key: 12345}]",
         "c.yaml:1: upstreams[0].api_key", "environment variable"),
        (UPSTREAM + "store: {url: 'redis://:sk-abc@h'}", "c.yaml:2: store.url", "password"),
        (UPSTREAM + "tenants: {t: [sk-abc]}", "c.yaml:2: tenants.t[0]", "likewise hash-key"),
        ("upstreams: [{name: a, base_url: 'http://u:sk-abc@h'}]",
         "c.yaml:1: upstreams[0].base_url", "must not hold a user"),
        ("upstreams: [{name: a, base_url: 'http://h', proxy: 'http://u:sk-abc@p'}]",
         "c.yaml:1: upstreams[0].proxy", "password"),
    ],
)  # fmt: skip
def test_secrets_in_the_file(text: str, place: str, said: str) -> None:
    """A key or password written out is refused, and never repeated in the complaint."""
    problem = next(p for p in refusal(text) if p.startswith(place))
    assert said in problem
    assert "sk-abc" not in problem
    assert "12345" not in problem


@pytest.mark.parametrize("url", ["ftp://h", "http://user:pw@h", "http://h?x=1"])
def test_every_way_to_name_an_upstream_is_checked(url: str) -> None:
    """The argument and the environment are held to the file's rules."""
    with pytest.raises(PolicyError, match=r"^--upstream: must"):
        load(upstream=url, env={})
    with pytest.raises(PolicyError, match=r"^LIKEWISE_UPSTREAM: must"):
        load(env={"LIKEWISE_UPSTREAM": url})


def test_the_environments_store_is_checked() -> None:
    """REDIS_URL is held to the file's rules."""
    with pytest.raises(PolicyError, match=r"^REDIS_URL: must begin with one of sqlite:"):
        load(upstream="http://h", env={"REDIS_URL": "mysql://h"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("upstreams: [{name: a, base_url: 'http://h'}, {name: a, base_url: 'http://i'}]",
         "c.yaml:1: upstreams[1].name: another upstream is called `a`; give each its own"),
        (("upstreams:\n- {name: a, base_url: 'http://h', passthrough: true}\n"
         "- {name: b, base_url: 'http://i', passthrough: true}"),
         "c.yaml:3: upstreams[1].passthrough: only one upstream can take the other paths"),
        (("upstreams:\n- {name: a, base_url: 'http://h', pool: p}\n"
         "- {name: b, base_url: 'http://i', pool: p, api: azure}"),
         "c.yaml:3: upstreams[1].pool: pool `p` takes openai keys, as of `a`"),
        ("upstreams: [{name: a, base_url: 'http://h', models: []}]",
         ('c.yaml:1: upstreams[0].models: must name at least one; ["*"] stands for all, '
         "got an empty list")),
        (UPSTREAM + f"tenants: {{x: [{'a' * 32}], y: [{'b' * 32}, {'a' * 32}]}}",
         "c.yaml:2: tenants.y[1]: this hash stands twice; a key belongs to one tenant"),
        (UPSTREAM + "server: {port: 81, admin: {port: 81}}",
         "c.yaml:2: server.admin.port: the data port and the admin port are both 81; change one"),
    ],
)  # fmt: skip
def test_what_only_the_whole_shows(text: str, said: str) -> None:
    """Things that are good alone and not together are refused at the second one's place."""
    assert refusal(text) == [said]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "likewise.internal"])
def test_open_admin_port_needs_a_token(host: str) -> None:
    """An admin address that others reach is refused without LIKEWISE_ADMIN_TOKEN."""
    text = f"{UPSTREAM}server: {{admin: {{host: '{host}'}}}}"
    assert "c.yaml:2: server.admin.host: the admin port would be open" in refusal(text)[0]
    settings = loaded(text, {"LIKEWISE_ADMIN_TOKEN": "t"})
    assert settings.admin_token is not None
    assert settings.admin_token.reveal() == "t"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_local_admin_port_needs_none(host: str) -> None:
    """This machine's own addresses are good without a token."""
    assert loaded(f"{UPSTREAM}server: {{admin: {{host: '{host}'}}}}").server.admin_host == host


def test_variables_are_left_alone_in_the_policy() -> None:
    """`${X}` in a pattern is a pattern, wherever else it is a variable."""
    settings = loaded(UPSTREAM + "policy: {categories: {a: {keywords: ['${X}']}}}")
    assert settings.rules.categories[0].keywords == ("${X}",)


def test_an_unset_and_an_empty_variable_are_the_same() -> None:
    """A variable set to nothing cannot stand for a key."""
    text = "upstreams: [{name: a, base_url: 'http://h', api_key: '${K}'}]"
    said = "c.yaml:1: upstreams[0].api_key: the environment variable K is not set"
    assert refusal(text)[0].startswith(said)
    assert refusal(text, {"K": ""})[0].startswith(said)


def test_reread_takes_the_policy_only() -> None:
    """An edited file brings its policy; a bad edit raises and leaves what is there."""
    before = loaded(UPSTREAM + "server: {port: 5}\npolicy: {mode: serve}")
    Path("c.yaml").write_text(UPSTREAM + "server: {port: 6}\npolicy: {mode: shadow}")
    after = reread(before)
    assert (before.rules.shadow, after.rules.shadow) == (False, True)
    assert after.rules.version != before.rules.version
    assert after.server.port == 5
    Path("c.yaml").write_text("policy: {mode: nonsense}")
    with pytest.raises(PolicyError, match=r"c\.yaml:1: policy\.mode"):
        reread(after)
    Path("c.yaml").unlink()
    with pytest.raises(PolicyError, match="no such file"):
        reread(after)


KEYED = "upstreams:\n- {name: a, base_url: 'http://h', api_key: '${K}', models: ['gpt-*']}\n"
TWO = KEYED + "- {name: b, base_url: 'http://h', models: ['*']}\npolicy:\n  judge: "


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("{kind: llm, upstream: a}", None),
        ("llm", None),
        ("{kind: llm, model: claude-x}",
         "policy.judge: an llm judge needs an upstream that serves 'claude-x' and has an"),
        ("{kind: llm, upstream: b}",
         "policy.judge.upstream: an llm judge needs upstream 'b' that serves 'gpt-4o-mini'"),
        ("{kind: llm, upstream: c}",
         "policy.judge.upstream: no upstream is called 'c'; use one of a, b"),
        ("{kind: text}", None),
    ],
)  # fmt: skip
def test_a_judge_by_model_needs_a_key(judge: str, said: str | None) -> None:
    """No caller's key pays for judging: an upstream with its own must serve the model."""
    Path("c.yaml").write_text(TWO + judge)
    if said is None:
        made = load("c.yaml", env={"K": "sk-judge"})
        if made.rules.judge.kind is JudgeKind.LLM:
            found = judging(made.rules.judge, made.upstreams)
            assert found is not None
            assert found.name == "a"
    else:
        with pytest.raises(PolicyError) as caught:
            load("c.yaml", env={"K": "sk-judge"})
        assert str(caught.value).startswith(f"c.yaml:5: {said}")


def test_a_reload_checks_the_judge_too() -> None:
    """A bad edit of the judge leaves the old policy in force."""
    Path("c.yaml").write_text(TWO + "text")
    before = load("c.yaml", env={"K": "sk-judge"})
    Path("c.yaml").write_text(TWO + "{kind: llm, upstream: b}")
    with pytest.raises(PolicyError, match="an llm judge needs"):
        reread(before)


def test_a_category_that_nothing_leads_to_is_told() -> None:
    """Without examples, keywords, patterns or models only a header gets there."""
    text = UPSTREAM + "policy:\n  categories:\n    a: {ttl: 1h}\n    b: {cache: false}\n"
    assert [notice.split(";")[0] for notice in notices(loaded(text))] == [
        "c.yaml:4: policy.categories.a: only a request with `x-likewise-category: a` gets here"
    ]


@pytest.mark.parametrize("url", ["redis+cluster://h:1,i:2", "rediss+sentinel://h:1/main"])
def test_a_store_of_several_servers_is_run(url: str) -> None:
    """Cluster and sentinel addresses are nothing to be told of."""
    assert notices(loaded(UPSTREAM + f"store: {{url: '{url}'}}")) == []


def test_encryption_takes_a_key_from_the_environment() -> None:
    """Without one, or with one that is none, nothing starts; the key itself is never shown."""
    written, key = UPSTREAM + "store: {encrypt: aes-gcm}", "k" * 43 + "="
    with pytest.raises(PolicyError, match="needs LIKEWISE_STORE_KEY"):
        loaded(written)
    with pytest.raises(PolicyError, match="32 random bytes") as refused:
        loaded(written, {"LIKEWISE_STORE_KEY": "short and secret"})
    assert "secret" not in str(refused.value)
    settings = loaded(written, {"LIKEWISE_STORE_KEY": key})
    assert settings.keys == key
    assert key not in repr(settings)
    assert loaded(UPSTREAM, {"LIKEWISE_STORE_KEY": key}).keys is None
