"""Films made of folders of JPEG frames, one packet per file, without encoding them again."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ...files import replacing_file
from ...utils import BadInput


def remux_jpegs(path: Path, frames: Sequence[Path], fps: float) -> Path:
    """Write JPEG files as a film (Motion JPEG, .mkv), whole or not at all; BadInput for a file that is no JPEG."""
    import av

    from ...video import read_image

    rate = Fraction(fps).limit_denominator(1001)
    height, width = read_image(frames[0]).shape[:2]
    with replacing_file(path) as temporary, av.open(str(temporary), "w", format="matroska") as container:
        stream = container.add_stream("mjpeg", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        for number, file in enumerate(frames):
            content = file.read_bytes()
            if not (content.startswith(b"\xff\xd8") and content.rstrip(b"\0").endswith(b"\xff\xd9")):
                raise BadInput(f"{file}: no whole JPEG file; expected the frame of the release; fetch it again")
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            container.mux(packet)
    return path
