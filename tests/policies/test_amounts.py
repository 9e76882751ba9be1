"""Durations, sizes and shares as people write them."""

import math

import pytest

from policies.amounts import duration, share, size, unit

WRONG = (
    None,
    True,
    "",
    "abc",
    "-1",
    -1,
    "1x",
    "\uff11\uff10",
    math.nan,
    math.inf,
    "9" * 30,
    [],
    {},
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90), ("5m", 300), ("24h", 86_400), ("30d", 2_592_000), ("90", 90), (90, 90),
        (0, 0), ("0s", 0), ("1.5h", 5400), (0.25, 0.25), (" 5 m ", 300),
    ],
)  # fmt: skip
def test_duration(written: object, seconds: float) -> None:
    """A number is seconds; s, m, h, d are a second, a minute, an hour, a day."""
    assert duration(written) == seconds


@pytest.mark.parametrize("written", [*WRONG, "5M", "1h30m", "5 minutes", "36501d", "1e3s"])
def test_no_duration(written: object) -> None:
    """What is no duration, or longer than 100 years, is refused."""
    with pytest.raises(ValueError, match="must be a duration"):
        duration(written)


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("512MB", 512_000_000), ("4GiB", 4 * 2**30), ("64KiB", 65_536), ("64KB", 64_000),
        ("1.5GB", 1_500_000_000), (1024, 1024), ("1024", 1024), ("10mb", 10_000_000),
        ("2G", 2_000_000_000), ("7B", 7), ("0", 0),
    ],
)  # fmt: skip
def test_size(written: object, amount: int) -> None:
    """A number is bytes; MB is decimal, MiB binary."""
    assert size(written) == amount


@pytest.mark.parametrize("written", [*WRONG, "5iB", "5PB", "GB", "1e9"])
def test_no_size(written: object) -> None:
    """What is no size is refused."""
    with pytest.raises(ValueError, match="must be a size"):
        size(written)


@pytest.mark.parametrize(
    ("written", "fraction"),
    [("40%", 0.4), (0.4, 0.4), ("2%", 0.02), ("0%", 0), ("100%", 1), (1, 1), ("0.5%", 0.005)],
)
def test_share(written: object, fraction: float) -> None:
    """Percent, or a number from 0 to 1."""
    assert share(written) == pytest.approx(fraction)


@pytest.mark.parametrize("written", [*WRONG, "101%", 40, "0.4", "%"])
def test_no_share(written: object) -> None:
    """40 is not 40%: what is above the whole is refused."""
    with pytest.raises(ValueError, match="must be a share"):
        share(written)


def test_unit() -> None:
    """0 and 1 are values like others; text is not a number."""
    assert (unit(0), unit(1), unit(0.92)) == (0.0, 1.0, 0.92)
    for wrong in (*WRONG, 1.01, "0.9", "92%"):
        with pytest.raises(ValueError, match="from 0 to 1"):
            unit(wrong)
