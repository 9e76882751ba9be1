"""A snapshot is read as it was written, or not at all."""

from __future__ import annotations

import io
import stat
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index import snapshot
from index.snapshot import Files, Reader, SnapshotError, Writer

if TYPE_CHECKING:
    from pathlib import Path

META = {"encoder": "model/1", "revision": ["a", 7]}
ROWS = np.arange(3_000, dtype=np.int32).reshape(1_000, 3)


def written() -> bytes:
    file = io.BytesIO()
    out = Writer(file)
    out.put("rows", ROWS)
    out.put("none", np.zeros(0, np.float64))
    out.put_json("words", ["é", "\ud800", 3])
    with out.section("pieces") as write:
        assert [write(piece) for piece in (b"ab", b"", b"cde")] == [2, 0, 3]
    out.close(META)
    return file.getvalue()


def read(data: bytes) -> Reader:
    return Reader(io.BytesIO(data))


@pytest.mark.parametrize("piece", [1 << 20, 100])
def test_sections_come_back(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as it was written, in whatever order it is asked for, in pieces or at once."""
    monkeypatch.setattr(snapshot, "PIECE", piece)
    source = read(written())
    assert source.meta == META
    assert source.get("pieces", np.uint8).tobytes() == b"abcde"
    assert (source.get("rows", np.int32).reshape(1_000, 3) == ROWS).all()
    assert source.get("none", np.float64).shape == (0,)
    assert source.get_json("words") == ["é", "\ud800", 3]
    assert (source.has("rows"), source.has("other"), source.rows("rows", 12)) == (
        True,
        False,
        1_000,
    )


def test_a_larger_array_is_filled_from_its_start() -> None:
    """What is beyond the section stays; a smaller array is refused."""
    source, room = read(written()), np.full((1_500, 3), -1, np.int32)
    source.fill("rows", room)
    assert (room[:1_000] == ROWS).all()
    assert (room[1_000:] == -1).all()
    with pytest.raises(SnapshotError, match="longer"):
        source.fill("rows", np.zeros((999, 3), np.int32))


def test_a_missing_section_is_said() -> None:
    """A section that was not written is no empty one."""
    with pytest.raises(SnapshotError, match="other is missing"):
        read(written()).get("other", np.uint8)


def damaged(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_no_damage_is_overlooked() -> None:
    """One bit that has changed, anywhere, and what it is in cannot be read."""
    data = written()
    for at in range(0, len(data), 97):
        with pytest.raises(SnapshotError):
            whole(damaged(data, at))
    whole(data)


def test_no_cut_is_overlooked() -> None:
    """A file that ends early, at any place, or goes on is none."""
    data = written()
    for length in (0, 1, 12, 500, len(data) - 1):
        with pytest.raises(SnapshotError, match="cut short"):
            read(data[:length])
    with pytest.raises(SnapshotError, match="cut short"):
        read(data + b"x")


def whole(data: bytes) -> None:
    source = read(data)
    assert source.meta == META
    for name in ("rows", "none", "words", "pieces"):
        source.get(name, np.uint8)


def test_another_version_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another release wrote is not guessed at."""
    monkeypatch.setattr(snapshot, "VERSION", 99)
    data = written()
    monkeypatch.undo()
    with pytest.raises(SnapshotError, match="version 99, not 1"):
        read(data)


def keep(files: Files, number: int, *, finish: bool = True) -> None:
    with files.writing() as (out, finish_it):
        out.put("number", np.array([number]))
        out.close({})
        if finish:
            finish_it()


def kept(files: Files) -> list[int | None]:
    return [
        int(read(path.read_bytes()).get("number", np.int64)[0]) if path.exists() else None
        for path in files.paths
    ]


def test_the_one_before_is_kept(tmp_path: Path) -> None:
    """A new file takes the name when it is whole, and leaves the last one beside it."""
    files = Files(tmp_path / "new" / "index.snapshot")
    assert kept(files) == [None, None]
    for number, expected in ((1, [1, None]), (2, [2, 1]), (3, [3, 2])):
        keep(files, number)
        assert kept(files) == expected
    assert stat.S_IMODE(files.paths[0].stat().st_mode) == 0o600
    assert len(list(files.paths[0].parent.iterdir())) == 2


def test_what_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    """A snapshot that fails half way, or is given up, takes no name and no room."""
    files = Files(tmp_path / "index.snapshot")
    keep(files, 1)
    keep(files, 2, finish=False)
    with pytest.raises(OSError, match="full"), files.writing():
        raise OSError("disk full")
    assert kept(files) == [1, None]
    assert len(list(tmp_path.iterdir())) == 1


def test_discarded_is_gone(tmp_path: Path) -> None:
    """All of them, and again without any, and where there is no folder."""
    files = Files(tmp_path / "index.snapshot")
    for number in (1, 2):
        keep(files, number)
    files.discard()
    files.discard()
    Files(tmp_path / "none" / "index.snapshot").discard()
    assert list(tmp_path.iterdir()) == []


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    """Another that would write to the same place meanwhile is refused, and disturbs nothing."""
    files, others = Files(tmp_path / "s"), Files(tmp_path / "s")
    with files.writing() as (out, finish):
        with pytest.raises(OSError), others.writing():
            pytest.fail("it writes")
        out.close(META)
        finish()
        with others.writing() as (more, finish_more):
            more.close(META)
            finish_more()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "s.before"]


def test_what_another_process_discards_is_not_finished(tmp_path: Path) -> None:
    """It may tell of what is to be forgotten; and what was finished before it is gone as well."""
    files = Files(tmp_path / "s")
    with files.writing() as (out, finish):
        out.close(META)
        Files(tmp_path / "s").discard()
        with pytest.raises(OSError, match="taken away"):
            finish()
    assert not [*tmp_path.iterdir()]
