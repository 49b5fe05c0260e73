"""What can be scored on what, as `--list` prints it; loads no torch."""

from .. import data, models


def listing(benchmark: str) -> str:
    """The datasets of a script and the models, by group."""
    lines = [f"{len(data.BY_BENCHMARK[benchmark])} {benchmark} datasets:"]
    for declared in data.BY_BENCHMARK[benchmark].values():
        lines.append(f"  {declared.name:<28} {declared.access:<14} {declared.citation.splitlines()[0]}")
    lines.append("models:")
    for group, names in models.grouped().items():
        lines.append(f"  {group} ({len(names)}): {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}")
    lines.append("  also Random-NAME, NoDownsample-NAME, path/to/file.py:function and package.module:function")
    return "\n".join(lines)
