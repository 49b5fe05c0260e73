"""Conversion between records and Brain-Score's assemblies (BrainIO, xarray), in memory and on disk.

Responses <-> NeuroidAssembly, presentation x neuroid x time_bin, coordinates stimulus_id, repetition, subject;
neuroid_id and the unit table; time_bin_start, time_bin_end in ms. Choices <-> BehavioralAssembly, one presentation per
trial, whose value is the choice. Labels <-> DataAssembly, presentation x label.
"""

from .assemblies import Record, from_assembly, from_stimulus_set, to_assembly, to_stimulus_set
from .files import read, read_array, write

__all__ = [
    "Record",
    "from_assembly",
    "from_stimulus_set",
    "read",
    "read_array",
    "to_assembly",
    "to_stimulus_set",
    "write",
]
