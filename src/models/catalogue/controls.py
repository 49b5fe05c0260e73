"""Control models, and the small networks of the tests and the demonstration."""

from .entry import IMAGE, VIDEO, ModelEntry


def _control(name: str, kind: str, layers: int, millions: float, frames: tuple[float, float]) -> ModelEntry:
    facts = {"fps": 25.0, "frames": frames, "layers": layers, "millions": millions}
    return ModelEntry(name=name, group="control", kind=kind, source="control", **facts)


ANY = (1, float("inf"))
ENTRIES = (
    _control("pixels", IMAGE, 1, 0.0, ANY),
    _control("motion-energy", VIDEO, 1, 0.0, (16, float("inf"))),
    _control("low-level", IMAGE, 5, 0.0, ANY),
    _control("autocorrelation", IMAGE, 1, 0.0, ANY),
    _control("fake-net", VIDEO, 4, 0.0, ANY),
    _control("fake-image-net", IMAGE, 4, 0.02, ANY),
)
