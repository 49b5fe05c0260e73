"""Record of the stages' sources, `src/stages.json`: `python -m tests.stages` writes it; see CONTRIBUTING.md."""

import json

from src import data, stages
from src.data import prepared
from src.store import ActivationKey, CeilingKey, ScoreKey

VERSIONS = {key.stage: key.version for key in (ActivationKey, CeilingKey, ScoreKey)}


def present() -> dict[str, list]:
    """Return {stage: [version, digest of its sources]}, for every stage and every study with prepared data."""
    declared = [one for known in data.BY_BENCHMARK.values() for one in known.values() if one.read is not None]
    studies = {prepared.stage(one): one.version for one in declared}
    versions = VERSIONS | dict(sorted(studies.items()))
    return {stage: [version, stages.stage_digest(stage)] for stage, version in versions.items()}


if __name__ == "__main__":
    lines = (f"{json.dumps(stage)}: {json.dumps(state)}" for stage, state in present().items())
    stages.RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
