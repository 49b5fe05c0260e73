"""Films that are written: whole, without loss, and with equal bytes for equal frames."""

import numpy as np
import pytest

from src.data.films import write_lossless
from src.video import decode, probe


@pytest.mark.parametrize("shape", [(30, 16, 24), (30, 16, 24, 3)])
def test_frames_come_back_and_equal_frames_give_equal_bytes(tmp_path, shape):
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    first, second = (write_lossless(tmp_path / name, frames, 25) for name in ("a.mkv", "b.mkv"))
    assert first.read_bytes() == second.read_bytes()
    info = probe(first)
    assert info.duration_ms == pytest.approx(1200)
    read = np.stack([frame for _, frame in decode(first, range(30), info)])
    assert np.array_equal(read, frames if frames.ndim == 4 else np.repeat(frames[..., None], 3, axis=3))
