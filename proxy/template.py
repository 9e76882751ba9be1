"""What `likewise init` writes: a commented configuration and the JSON Schema for editors.

Only text is made here; the command line writes it.
"""

from __future__ import annotations

from typing import Any

from proxy.schema import ConfigFile

SCHEMA_FILE = "likewise.schema.json"

# Remarks begin with `##`; a line with one `#` is a setting with its default, or an example of one.
TEMPLATE = f"""\
# yaml-language-server: $schema=./{SCHEMA_FILE}
## Configuration of Likewise. `likewise check` validates it, and says what this version does not
## run yet. A line with one # is a setting at its default, or an example: take the # away to use it.
## Durations: 90s 5m 24h 30d, or seconds. Sizes: 512MB, 4GiB. Shares: 40%, or 0.4.
## Secrets come from the environment: ${{VARIABLE}}, never from this file.

## Where requests go. The first upstream whose `models` match serves.
upstreams:
  - name: openai
    api: openai                      ## openai | anthropic | azure: whose paths and keys
    base_url: https://api.openai.com/v1
    models: ["*"]
#    api_key: ${{OPENAI_API_KEY}}      ## used only where the caller sends none
#    passthrough: true               ## takes the paths that name no model
#    timeout: {{connect: 5s, first_byte: 600s, idle: 120s}}
#    proxy: http://127.0.0.1:3128    ## egress proxy
#    ca: /etc/ssl/own-ca.pem         ## a bundle to trust besides
#    max_parallel: 1000              ## calls at once; others wait for two seconds at most
#    pool: openai                    ## one service at several addresses: each stands in for the rest

#server:
#  host: 127.0.0.1
#  port: 8080
#  admin: {{host: 127.0.0.1, port: 8081}}   ## another host needs LIKEWISE_ADMIN_TOKEN
#  limits:
#    body: 10MB
#    response: 32MB                  ## a larger answer is passed on, not stored
#    in_flight: 512MB                ## of requests and answers under way, over all connections
#    headers: 64KiB
#    header_count: 200
#    header_timeout: 10s
#    body_timeout: 30s
#    idle_timeout: 75s
#    send_timeout: 60s
#    connections: 10000              ## more at once are refused
##   `key_calls: 50` bounds the calls upstream that one key may have under way, `key_misses: 600`
##   the requests a minute of one key that go upstream; both are off by default
#    grace: 5s                       ## after SIGTERM, for load balancers to notice
#    drain: 600s                     ## for answers under way after a stop signal
#  tls: {{cert: cert.pem, key: key.pem}}
#  cors: ["https://app.example.com"]
#  access_log: access.log            ## a JSON line for each request; - for standard output

## Any sentence-transformers id or folder with `runtime: torch`.
#embedding: {{model: all-MiniLM-L6-v2, runtime: onnx, precision: int8, threads: 1, renew: 100}}

## sqlite:FILE, redis://, unix://, redis+cluster:// or redis+sentinel:// (rediss: TLS).
## encrypt: off | aes-gcm, which needs LIKEWISE_STORE_KEY
#store: {{url: "sqlite:./.likewise/likewise.db", encrypt: off}}

## storage: float32 | float16 | int8. eviction: lru | lfu | gdsf | lec
#index: {{max_entries: 1000000, max_bytes: 4GB, storage: int8, eviction: gdsf, tenant_quota: 50%, pca: 128}}

## Several keys that share as one: hashes from `likewise hash-key`.
#tenants: {{acme: ["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]}}

## US dollars per million tokens, over the shipped list.
#prices: {{gpt-4o-mini: {{input: 0.15, output: 0.60}}}}

## When a remembered answer may stand in. Reloads when this file changes.
#policy:
#  mode: serve                       ## serve | shadow: decide and record, but always ask upstream
#  share: key                        ## user | key | tenant | everyone: who shares answers
#  max_temperature: 1.0              ## hotter requests are left alone
#  judge: embedding                  ## text | embedding | llm: does a fresh answer say the same?
##   with more to say: {{kind: embedding, threshold: 0.8}}, or {{kind: llm, model: gpt-4o-mini,
##   upstream: openai, sample: 20%, per_minute: 10, per_day: 1000}}, which needs its `api_key`
#  audits: 2%                        ## share of would-be hits that are checked
#  collapse: exact                   ## off | exact | meaning: equal requests under way share a call
#  replay: fast                      ## fast | original pace
#  regenerate: 0s                    ## an equal request this soon after its answer asks afresh
#  stateful: serve                   ## serve | bypass: answers that the vendor keeps under an id
#  overrides: {{threshold: [0.85, 1.0], ttl: [0s, 30d]}}   ## bounds for request headers
#  defaults:
#    threshold: {{max_false_hits: 2%, start: 0.95}}        ## or a fixed number such as 0.92; or
##                                                         {{vcache: 2%}}: each entry learns its own
##   `floor: 0.85` beside them: nothing that lowers the threshold goes below
#    ttl: 24h
#    stale_while_revalidate: 10m
#    stale_if_error: 24h
#    context: {{mode: meaning, threshold: 0.85, max_turns: 6}}   ## off | exact | meaning
#    guards: [numbers, negation, entities, units, order]
## The first category that fits rules. `personal` and `time-sensitive` are built in and come last:
## write one anew to change it, or `personal: null` to switch it off.
#  categories:
#    code: {{examples: ["How do I reverse a list in Python?"], threshold: 0.93, ttl: 30d, quota: 40%}}
#    market_data: {{keywords: [price, stock, quote], threshold: 0.97, ttl: 60s, strict: true}}
#    conversation: {{examples: ["How are you today?"], ttl: 6h, quota: 15%}}
#    support: {{models: ["support-*"], max_temperature: 0.5, share: tenant}}
#    never: {{patterns: ["\\\\bdo not remember\\\\b"], cache: false}}
## Under load thresholds drop and lifetimes stretch. signal: upstream_latency_p95 (durations) |
## in_flight (calls, 50 to 200) | rate_429 (shares, 1% to 10%)
#  load: {{signal: upstream_latency_p95, low: 2s, high: 8s, max_threshold_drop: 0.03, max_ttl_factor: 2}}
"""  # noqa: E501 - the file that people edit may be wider


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ConfigFile.model_json_schema(),
    }
