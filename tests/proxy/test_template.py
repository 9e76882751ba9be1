"""The file that `likewise init` writes is good as it is, and with every remark taken away."""

import re
from pathlib import Path
from typing import Any

import pytest

from proxy.settings import Settings, load, notices
from proxy.template import SCHEMA_FILE, TEMPLATE, schema

UNCOMMENTED = re.sub(r"(?m)^#(?!#| yaml)", "", TEMPLATE)


def loaded(text: str, folder: Path) -> Settings:
    file = folder / "likewise.yaml"
    file.write_text(text, "utf-8")
    return load(file, env={"OPENAI_API_KEY": "k"})


def test_template_as_written(tmp_path: Path) -> None:
    """It loads without a notice, and rules as nothing at all would."""
    settings = loaded(TEMPLATE, tmp_path)
    plain = load(upstream="https://api.openai.com/v1", env={})
    assert notices(settings) == []
    assert settings.rules == plain.rules
    assert settings.server == plain.server
    assert [u.base_url for u in settings.upstreams] == ["https://api.openai.com/v1"]


def test_template_uncommented_shows_the_defaults(tmp_path: Path) -> None:
    """Every setting in it is valid, and those called defaults are."""
    assert "\n#" in TEMPLATE
    settings = loaded(UNCOMMENTED, tmp_path)
    plain = load(upstream="https://api.openai.com/v1", env={})
    assert settings.rules.defaults == plain.rules.defaults
    assert settings.rules.overrides == plain.rules.overrides
    assert settings.server.limits == plain.server.limits
    assert settings.embedding == plain.embedding
    assert settings.store_url == plain.store_url


def keys(part: dict[str, Any], root: dict[str, Any]) -> set[str]:
    """Every property name that the schema knows, references followed."""
    found = set()
    for name, value in part.get("properties", {}).items():
        found |= {name} | keys(value, root)
    for inner in [*part.get("anyOf", []), part.get("items"), part.get("additionalProperties")]:
        if isinstance(inner, dict):
            found |= keys(inner, root)
    if "$ref" in part:
        found |= keys(root["$defs"][part["$ref"].rpartition("/")[2]], root)
    return found


def test_template_names_every_key() -> None:
    """Whatever the schema allows can be found in the template."""
    missing = {k for k in keys(schema(), schema()) if not re.search(rf"\b{k}:", TEMPLATE)}
    assert missing == set()


def test_schema_refuses_unknown_keys() -> None:
    """Editors underline what `likewise check` refuses."""
    made = schema()
    assert made["$schema"].endswith("2020-12/schema")
    assert made["additionalProperties"] is False
    for part in made["$defs"].values():
        assert part.get("additionalProperties") is False
    assert SCHEMA_FILE in TEMPLATE.splitlines()[0]


@pytest.mark.parametrize("key", ["server", "upstreams", "embedding", "store", "index", "policy"])
def test_schema_has_each_section(key: str) -> None:
    """The documented sections are there."""
    assert key in schema()["properties"]
