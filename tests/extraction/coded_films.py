"""Small films of many codings, for decoding on a device: those of DECODED there to the frames of PyAV, OTHERS not."""

from fractions import Fraction
from pathlib import Path

import av

from tests.models.films import drifting_frames

N_FRAMES = 60
BFRAMES = {"bf": "3", "g": "24"}
UNEVEN_MS = [0, 40, 75, 160, 200, 330, 340, 380]  # onsets within a second of a variable rate
DECODED = {
    "h264": {},
    "h264, B-frames": {"options": BFRAMES},
    "h264, open GOP": {"options": {**BFRAMES, "x264-params": "open-gop=1:keyint=12"}},
    "h264, 29.97 frames/s": {"fps": Fraction(30000, 1001), "options": BFRAMES},
    "h264, variable rate": {"uneven": True, "options": BFRAMES},
    "h264, begins at 7.3 s": {"begin_ms": 7300, "options": BFRAMES},
    "h264, width 66": {"size": (50, 66)},
    "h264, BT.709": {"space": 1},
    "h264 in mkv": {"suffix": "mkv", "options": BFRAMES},
    "h264 in ts": {"suffix": "ts", "options": BFRAMES},
    "hevc": {"codec": "libx265", "options": {**BFRAMES, "x265-params": "log-level=none"}},
    "vp8": {"codec": "libvpx", "suffix": "webm", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "vp9": {"codec": "libvpx-vp9", "suffix": "webm", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "av1": {"codec": "libsvtav1", "suffix": "mp4", "size": (64, 64)},
}
OTHERS = {
    "mpeg4": {"codec": "mpeg4"},
    "ffv1": {"codec": "ffv1", "suffix": "mkv"},
    "vp9, odd size": {"codec": "libvpx-vp9", "suffix": "webm", "size": (49, 65)},
    "h264, 4:4:4": {"pix_fmt": "yuv444p"},
    "h264, 10 bits": {"pix_fmt": "yuv420p10le"},
    "h264, full range": {"full": True},
    "h264, interlaced": {"options": {"flags": "+ildct+ilme", "x264-params": "interlaced=1"}},
    "h264, turned": {"turned": 90},
    "h264, wide pixels": {"aspect": Fraction(4, 3)},
}


def write_coded(
    path: Path,
    codec: str = "libx264",
    suffix: str = "mp4",
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    fps: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
    uneven: bool = False,
    begin_ms: int = 0,
    space: int = 2,
    full: bool = False,
    turned: int = 0,
    aspect: Fraction | None = None,
    n_frames: int = N_FRAMES,
) -> Path:
    """Write a film of a coding; return its path, with the suffix."""
    path = path.with_suffix(f".{suffix}")
    frames = drifting_frames(n_frames, size[0] // 8 * 8 + 8, size[1] // 8 * 8 + 8)[:, : size[0], : size[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = space, 2 if full else 1
        context.time_base = Fraction(1, 1000) if uneven or begin_ms else 1 / fps
        if turned:
            stream.set_display_rotation(turned)
        if aspect:
            context.sample_aspect_ratio = aspect
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=space if space != 2 else None, dst_color_range=2 if full else 1
            )
            onset_ms = 1000 * (i // 8) + UNEVEN_MS[i % 8] if uneven else round(i * 1000 / fps)
            frame.time_base = context.time_base
            frame.pts = onset_ms + begin_ms if uneven or begin_ms else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
