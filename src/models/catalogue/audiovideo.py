"""Video networks trained against the sound, or the narration, of the same video."""

from .entry import VIDEO, Fed, ModelEntry, Preprocessing, Weights

PUBLIC = "https://dl.fbaipublicfiles.com"
GREY = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
ANY = (1, float("inf"))
CENTRAL = (
    "central 112 px of 128, as in its training; Brain-Score's plugin samples scale, position and mirroring of 224 px "
    "at random"
)
CAPTIONED = f"{CENTRAL}, and gives 30 frames per second with mean .45 and s.d. .225"
NONCOMMERCIAL = "CC-BY-NC-4.0"
SMALL = Preprocessing(size=112, resize=128, **GREY)
# frames of the narrated videos: the central square resized by ffmpeg, bicubic
PLAIN = Preprocessing(size=112, resize=112, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="bicubic")
PLUGIN = Preprocessing(size=224, resize=256, **GREY)
KEPT_ASPECT = "aspect ratio of the video kept; the benchmark's first list resizes it to a square"


def _r2plus1d(name: str, folder: str, file: str, licence: str) -> ModelEntry:
    """Return an entry with torchvision's R(2+1)D-18."""
    narrated = "HowTo100M" in name
    return ModelEntry(
        name=name,
        group="text-video" if narrated else "audio-video",
        kind=VIDEO,
        source="network",
        argument=f"r2plus1d:{name}",
        millions=31.3,
        fps=16.0 if narrated else 30.0,
        frames=ANY,
        layers=5,
        weights=Weights(file=file, url=f"{PUBLIC}/{folder}/{file}", licence=licence, key="model"),
        preprocessing=PLAIN if narrated else SMALL,
        note=CAPTIONED if narrated else CENTRAL,
        plugin=Fed(fps=30.0, preprocessing=PLUGIN),
    )


def _selavi(data: str) -> ModelEntry:
    stem = {"Kinetics400": "kinetics"}.get(data, data.lower().replace("-", "_"))
    return _r2plus1d(f"SeLaVi-{data}", "selavi", f"selavi_{stem}.pth", NONCOMMERCIAL)


def _gdt(data: str, short: str) -> ModelEntry:
    return _r2plus1d(f"GDT-{data}", "GDT", f"gdt_{short}.pth", NONCOMMERCIAL)


def _avid(method: str, data: str) -> ModelEntry:
    run = {"AVID": "Cross-N1024", "AVID-CMA": "InstX-N1024-PosW-N64-Top32"}[method]
    file = f"{method}_{data.removesuffix('400')}_{run}_checkpoint.pth.tar"
    address = f"{PUBLIC}/avid-cma/checkpoints/{file}"
    return ModelEntry(
        name=f"{method}-{data}",
        group="audio-video",
        kind=VIDEO,
        source="network",
        argument=f"avid:{method}-{data}",
        millions=15.38,
        fps=16.0,
        frames=(8, float("inf")),
        layers=5,
        weights=Weights(file=file, url=address, licence=NONCOMMERCIAL, key="model"),
        preprocessing=Preprocessing(size=224, resize=256),
        note=KEPT_ASPECT,
    )


S3D = ModelEntry(
    name="s3d-HowTo100M",
    group="text-video",
    kind=VIDEO,
    source="network",
    argument="s3d:s3d-HowTo100M",
    millions=9.67,
    fps=24.0,
    frames=(2, float("inf")),
    layers=8,
    weights=Weights(
        file="s3d_howto100m.pth",
        url="https://www.rocq.inria.fr/cluster-willow/amiech/howto100m/s3d_howto100m.pth",
        licence="Apache-2.0",
    ),
    preprocessing=Preprocessing(size=256, resize=256, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    plugin=Fed(fps=24.0, preprocessing=Preprocessing(size=256, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))),
    note="its video part; an odd last frame is repeated, and conv1 is read without the step that its padding adds",
)

ENTRIES = (
    *map(_selavi, ("Kinetics400", "Kinetics-Sound", "VGG-Sound", "AVE")),
    *(_avid(method, data) for method in ("AVID-CMA", "AVID") for data in ("Kinetics400", "Audioset")),
    _gdt("Kinetics400", "K400"),
    _gdt("IG65M", "IG65M"),
    _gdt("HowTo100M", "HT100M"),
    S3D,
)
