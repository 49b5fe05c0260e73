"""Video networks trained against the sound, or the narration, of the same video."""

from .entry import VIDEO, ModelEntry, Preprocessing, Weights

PUBLIC = "https://dl.fbaipublicfiles.com"
GREY = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
ANY = (1, float("inf"))
CENTRAL = "central 224 px of 256; the benchmark's first list samples scale, position and mirroring at random"
KEPT_ASPECT = "aspect ratio of the video kept; the benchmark's first list resizes it to a square"


def _r2plus1d(name: str, folder: str, file: str, licence: str) -> ModelEntry:
    """Return an entry with torchvision's R(2+1)D-18."""
    return ModelEntry(
        name=name,
        group="audio-video" if "HowTo100M" not in name else "text-video",
        kind=VIDEO,
        source="network",
        argument=f"r2plus1d:{name}",
        millions=31.3,
        fps=30.0,
        frames=ANY,
        layers=5,
        weights=Weights(file=file, url=f"{PUBLIC}/{folder}/{file}", licence=licence, key="model"),
        preprocessing=Preprocessing(size=224, resize=256, **GREY),
        note=CENTRAL,
    )


def _selavi(data: str) -> ModelEntry:
    stem = {"Kinetics400": "kinetics"}.get(data, data.lower().replace("-", "_"))
    return _r2plus1d(f"SeLaVi-{data}", "selavi", f"selavi_{stem}.pth", "see github.com/facebookresearch/selavi")


def _gdt(data: str, short: str) -> ModelEntry:
    return _r2plus1d(f"GDT-{data}", "GDT", f"gdt_{short}.pth", "CC-BY-NC-4.0")


def _avid(method: str, data: str) -> ModelEntry:
    run = {"AVID": "Cross-N1024", "AVID-CMA": "InstX-N1024-PosW-N64-Top32"}[method]
    file = f"{method}_{data.removesuffix('400')}_{run}_checkpoint.pth.tar"
    address, licence = f"{PUBLIC}/avid-cma/checkpoints/{file}", "see github.com/facebookresearch/AVID-CMA"
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
        weights=Weights(file=file, url=address, licence=licence, key="model"),
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
        licence="see github.com/antoine77340/S3D_HowTo100M",
    ),
    preprocessing=Preprocessing(size=256, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
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
