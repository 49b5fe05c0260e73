"""A brain in place of a model: responses of an fMRI dataset as features that predict those of other people.

`brain:DATASET` is the mean of the people of a dataset, `brain:DATASET:SUBJECT` one of them, `brain:DATASET:REGION` a
region of the mean, and `brain:DATASET:SUBJECT:REGION` a region of one. The layers are the regions and the whole brain.
Rows match by the content of the stimuli. Nobody predicts his or her own noise: a subject who predicts is left out of
the people who are predicted, and the mean of all predicts other studies only.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import models
from ..ceiling import repetition_mean
from ..evaluate.align import content_codes, regions
from ..evaluate.protocol import LEAST_RECORDED
from ..records import NO_REGION, Activations, Responses, Stimuli
from ..store import ActivationKey, Metadata
from ..utils import BadInput, digest, first_names
from .fmri import FmriBenchmark
from .run import Run

WHOLE = "whole brain"
FORMS = "brain:DATASET, brain:DATASET:SUBJECT, brain:DATASET:REGION or brain:DATASET:SUBJECT:REGION"


def is_brain(model: str) -> bool:
    """Return True for the name of a brain in place of a model."""
    return model.startswith(models.BRAIN_PREFIX)


@dataclass(frozen=True)
class Source:
    """Responses that predict: a dataset, and what of it; None for all."""

    dataset: str
    subject: str | None
    region: str | None


class BrainRun(Run):
    """A run whose features are the responses of a dataset; see `Run` for the parameters."""

    @property
    def has_responses(self) -> bool:
        """True: the features follow the stimulus as the responses that they predict."""
        return True

    def check_model(self) -> None:
        """Raise BadInput for a dataset that does not exist, and for options of a network."""
        request = self.request
        if request.benchmark != "fmri":
            raise BadInput(f"{request.model} on {request.benchmark}; expected an fMRI dataset to predict")
        if given := [name for name in ("input_size", "fps", "layer_axes") if getattr(request, name)]:
            raise BadInput(f"{', '.join(given)} of {request.model}; expected no options of a network")
        _ = self._dataset_and_parts

    @property
    def is_users_model(self) -> bool:
        """False: no code of the user's is run."""
        return False

    @cached_property
    def _dataset_and_parts(self) -> tuple[str, list[str]]:
        """The dataset of the model's name, and the parts behind it."""
        name = self.request.model.removeprefix(models.BRAIN_PREFIX)
        pieces, failed = name.split(":"), None
        for n in range(min(2, len(pieces) - 1) + 1):
            dataset = ":".join(pieces[: len(pieces) - n])
            try:
                self.declaration(dataset)
            except BadInput as error:
                failed = error
            else:
                return dataset, pieces[len(pieces) - n :]
        raise BadInput(f"{self.request.model}; expected {FORMS}: {failed}")

    @cached_property
    def source(self) -> Source:
        """The responses that the model's name denotes."""
        dataset, parts = self._dataset_and_parts
        if not parts:
            return Source(dataset, None, None)
        record = self.record(dataset)
        subjects, names = dict.fromkeys(record.subjects), regions(record.units)
        found: dict[str, str] = {}
        for part in parts:
            kind = "subject" if part in subjects and "subject" not in found else "region" if part in names else None
            if kind is None or kind in found:
                raise BadInput(
                    f"{self.request.model}: {part}; expected one of the subjects ({first_names(subjects)}), of the "
                    f"regions ({first_names(names) or 'none'}), or one of each"
                )
            found[kind] = part
        return Source(dataset, found.get("subject"), found.get("region"))

    def left_out_subjects(self, name: str) -> tuple[str, ...]:
        """Return the subjects of a dataset that predict it."""
        source = self.source
        if self.declaration(name).study != self.declaration(source.dataset).study:
            return ()
        if source.subject is None:
            raise BadInput(
                f"{self.request.model} on {self.declaration(name).name}: people predict themselves, with their noise; "
                f"expected another study, or one of them: {models.BRAIN_PREFIX}{source.dataset}:SUBJECT"
            )
        return (source.subject,)

    @cached_property
    def model_metadata(self) -> dict[str, Any]:
        """Facts about the source that keys need."""
        data = self.data_metadata(self._dataset_and_parts[0])["digest"]
        inputs = {"data": data, "layers": list(self.request.layers)}

        def make() -> Metadata:
            source, columns = self.source, self._columns
            facts = {
                "digest": digest([data, str(source.subject), str(source.region)]),
                "kind": "image",
                "fps": 0.0,
                "layers": dict.fromkeys(columns, "C"),
                "features": {layer: len(units) for layer, units in columns.items()},
                "left_out": {},
                "notes": [],
            }
            return Metadata(facts)

        return self.store.metadata("model", models.title(self.request.model), make, inputs=inputs)

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        """Units of each layer: of the regions, and of all."""
        units = self.record(self.source.dataset).units
        every = np.arange(len(units["unit_id"]))
        if self.source.region:
            found = {self.source.region: regions(units)[self.source.region]}
        else:
            found = {name: columns for name, columns in regions(units).items() if name != NO_REGION} | {WHOLE: every}
        if unknown := [name for name in self.request.layers if name not in found]:
            raise BadInput(
                f"layers {', '.join(unknown)} of {self.request.model}; expected some of {first_names(found)}"
            )
        return {
            name: columns for name, columns in found.items() if name in self.request.layers or not self.request.layers
        }

    @property
    def _full_features(self) -> bool:
        """True: units are not projected."""
        return True

    def activation_bytes(self, key: ActivationKey, n_stimuli: int) -> int:
        """Return 0: responses are read again in place of being stored."""
        return 0

    def activations(self, key: ActivationKey, stimuli: Stimuli, name: str) -> Activations:
        """Return the responses of the source to the stimuli of a dataset, in its time bins."""
        source, bins_ms = self._prepared, np.array(key.bins_ms)
        n_bins = min(len(source.time_ms), len(bins_ms))
        if not np.allclose(source.time_ms[:n_bins], bins_ms[:n_bins]):
            raise BadInput(
                f"{self.request.model}: time bins of {np.ptp(source.time_ms[0]):g} ms; expected those of "
                f"{self.declaration(name).name}, {np.ptp(bins_ms[0]):g} ms"
            )
        content = content_codes([source.stimuli, stimuli])
        of_source = {code: k for k, code in enumerate(content[: len(source.stimuli)])}
        at = [of_source.get(code) for code in content[len(source.stimuli) :]]
        if not any(k is not None for k in at):
            raise BadInput(f"{self.request.model} and {self.declaration(name).name} share no stimulus; expected some")
        shared = np.array([k is not None for k in at])
        taken = self._values[[k or 0 for k in at], :n_bins]
        recorded = np.isfinite(taken).any(axis=2) & shared[:, None]
        n_valid = np.where(recorded.any(axis=1), n_bins - np.argmax(recorded[:, ::-1], axis=1), 0)
        shown = np.arange(n_bins) < n_valid[:, None]
        usable = np.isfinite(taken[shown]).mean(axis=0) >= LEAST_RECORDED
        layers = {}
        for layer, columns in self._columns.items():
            kept = columns[usable[columns]]
            if not len(kept):
                raise BadInput(
                    f"{self.request.model}: no unit of {layer} was recorded throughout; leave out this layer"
                )
            padded = np.zeros((len(at), len(bins_ms), len(kept)), dtype=np.float32)
            padded[:, :n_bins] = np.where(shown[:, :, None], np.nan_to_num(taken[:, :, kept]), 0)
            layers[layer] = padded
        return Activations(layers, bins_ms, n_valid, stimuli.ids)

    @cached_property
    def _prepared(self) -> Responses:
        """The dataset of the source with its runs on one scale."""
        return FmriBenchmark(self, (self.source.dataset,)).with_runs_on_one_scale(self.source.dataset)

    @cached_property
    def _values(self) -> np.ndarray:
        """Mean over repetitions of the source's people: (n_stimuli, n_time, n_units) float32, NaN = not recorded."""
        subject = self.source.subject
        kept = [k for k, name in enumerate(self._prepared.subjects) if subject in (None, name)]
        return repetition_mean(self._prepared.values[:, kept], np.float32)
