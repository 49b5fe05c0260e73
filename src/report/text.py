"""Numbers and values as text, the same in tables, captions and provenance records."""

from collections.abc import Mapping
from typing import Any


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a typographic minus sign, a dash if it is missing.

    >>> number(-0.5), number(None)
    ('−0.500', '–')
    """
    return "–" if value is None or value != value else f"{value:.{digits}f}".replace("-", "−")


def count(value: int | None) -> str:
    """Return a whole number with thousands separators, a dash if it is missing.

    >>> count(20484)
    '20,484'
    """
    return "–" if value is None else f"{value:,}"


def p_value(value: float | None) -> str:
    """Return a p or q value with three decimals, "< 0.001" below, a dash if it is missing.

    >>> p_value(0.0476), p_value(0.0004)
    ('0.048', '< 0.001')
    """
    if value is None or value != value:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def as_text(value: Any) -> str:
    """Return a value of a key or a note as text.

    >>> as_text({"splits": 10, "gap_ms": [0.0, 1e4]})
    'splits 10, gap_ms 0, 10000'
    """
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_text(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
