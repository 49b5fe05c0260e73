"""Statistics of a bootstrap as named arrays, so that another number of samples needs no new fit.

The records of `evaluate` are stored field by field: a JSON text of their structure, and the arrays that it numbers. The
statistic of a metric is stored as the name of the metric.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluate.metrics import METRICS, Moments, RowMeans

if TYPE_CHECKING:
    from ..evaluate.bootstrap_statistics import Resampling


def statistics_arrays(resampling: "Resampling") -> dict[str, np.ndarray]:
    """Return the input of a bootstrap as arrays by name."""
    written = _Writer()
    top = written.tree(resampling)
    structure = json.dumps({"records": written.records, "top": top})
    return {**{f"array_{k}": array for k, array in enumerate(written.arrays)}, "structure": np.array([structure])}


def read_statistics(arrays: Mapping[str, np.ndarray]) -> "Resampling":
    """Return the input of a bootstrap that `statistics_arrays` described; its tensors are on the CPU."""
    import torch

    from ..evaluate import bootstrap_statistics, confusion_bootstrap

    structure, made = json.loads(str(np.asarray(arrays["structure"])[0])), []

    def value(tree: list) -> Any:
        kind, content = tree
        if kind == "record":
            return made[content]
        if kind == "metric":
            return METRICS[content].statistic
        if kind in ("array", "tensor"):
            found = np.asarray(arrays[f"array_{content}"])
            return torch.from_numpy(found) if kind == "tensor" else found
        if kind == "mapping":
            return {name: value(item) for name, item in content}
        return [value(item) for item in content] if kind == "list" else content

    # the records inside another come before it
    for name, content in structure["records"]:
        record = getattr(bootstrap_statistics, name, None) or getattr(confusion_bootstrap, name)
        made.append(record(**{field: value(tree) for field, tree in content.items()}))
    return value(structure["top"])


class _Writer:
    """Arrays and records met so far, told apart by identity: splits share records, and layers share arrays."""

    def __init__(self):
        self.arrays: list[np.ndarray] = []
        self.records: list[list] = []
        self._known: dict[int, int] = {}
        self._known_arrays: dict[int, int] = {}

    def tree(self, value: Any) -> list:
        """Return the structure of a value: [kind, content]."""
        if isinstance(value, Moments | RowMeans):
            known = (name for name, metric in METRICS.items() if getattr(metric, "statistic", None) is value)
            return ["metric", next(known)]
        if is_dataclass(value):
            return ["record", self._record(value)]
        if isinstance(value, Mapping):
            return ["mapping", [[name, self.tree(item)] for name, item in value.items()]]
        if isinstance(value, list | tuple):
            return ["list", [self.tree(item) for item in value]]
        if value is None or isinstance(value, str | int | float):
            return ["plain", value]
        is_array = isinstance(value, np.ndarray)
        if id(value) not in self._known_arrays:
            self._known_arrays[id(value)] = len(self.arrays)
            self.arrays.append(value if is_array else value.cpu().numpy())
        return ["array" if is_array else "tensor", self._known_arrays[id(value)]]

    def _record(self, record: Any) -> int:
        if id(record) not in self._known:
            content = {field.name: self.tree(getattr(record, field.name)) for field in fields(record)}
            self.records.append([type(record).__name__, content])
            self._known[id(record)] = len(self.records) - 1
        return self._known[id(record)]
