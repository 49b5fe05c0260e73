"""Small networks of the visual sciences whose packages no longer install; built here from their papers."""

from .entry import IMAGE, VIDEO, Fed, ModelEntry, Preprocessing, Weights, conversion

STILL = {"kind": IMAGE, "source": "network", "fps": 25.0, "frames": (1, float("inf"))}
STRAIGHT = Preprocessing(size=224, axes="CHW")
CENTRAL = Preprocessing(size=224, resize=256, axes="CHW")
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "axes": "CHW"}
SQUASHED = "Brain-Score's plugin resizes to a square"
AS_PLUGIN = Fed(fps=25.0, preprocessing=STRAIGHT)
UNSTATED = "none stated by the publisher"
PATCHES = "https://brainscore-storage.s3.amazonaws.com/brainscore-vision/models/hmax/universal_patch_set.mat"
ARRAYS = "https://brainscore-vision.s3.amazonaws.com/temporal_model_motion_net/motion_net.h5"


def _converted(name: str, address: str, file: str, licence: str) -> Weights:
    """Return a checkpoint that is published in the format of another program and converted once."""
    return Weights(file=file, licence=licence, how=conversion(name, address))


def _vonenet(name: str, file: str, note: str) -> ModelEntry:
    address = f"https://vonenet-models.s3.us-east-2.amazonaws.com/{file}"
    return ModelEntry(
        name=name,
        group="image",
        argument=f"vonenet:{name}",
        millions=25.58,
        layers=18,
        weights=Weights(file=file, url=address, licence="GPL-3.0", key="state_dict"),
        preprocessing=Preprocessing(size=224, resize=256, **HALF),
        note=f"{note}; {SQUASHED}",
        plugin=Fed(fps=25.0, preprocessing=Preprocessing(size=224, **HALF)),
        **STILL,
    )


ENTRIES = (
    ModelEntry(
        name="hmax",
        group="control",
        argument="hmax:hmax",
        millions=1.31,
        layers=8,
        weights=_converted("hmax", PATCHES, "hmax_universal_patch_set.safetensors", UNSTATED),
        preprocessing=STRAIGHT,
        **STILL,
    ),
    ModelEntry(
        name="MotionNet",
        group="control",
        kind=VIDEO,
        source="network",
        argument="motionnet:MotionNet",
        millions=6.0,
        fps=25.0,
        frames=(1, float("inf")),
        layers=2,
        weights=_converted("MotionNet", ARRAYS, "motionnet.safetensors", UNSTATED),
        preprocessing=Preprocessing(size=112, mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989)),
        note="filters as in the benchmark's first list, with x and y exchanged relative to the training",
    ),
    ModelEntry(
        name="AlexNet_SIN",
        group="image",
        argument="alexnet:AlexNet_SIN",
        millions=61.1,
        layers=7,
        weights=Weights(
            file="alexnet_train_60_epochs_lr0.001-b4aa5238.pth.tar",
            url="https://bitbucket.org/robert_geirhos/texture-vs-shape-pretrained-models/raw/"
            "0008049cd10f74a944c6d5e90d4639927f8620ae/alexnet_train_60_epochs_lr0.001-b4aa5238.pth.tar",
            licence=UNSTATED,
            sha256="b4aa5238",
            key="state_dict",
        ),
        preprocessing=CENTRAL,
        note=SQUASHED,
        plugin=AS_PLUGIN,
        **STILL,
    ),
    ModelEntry(
        name="CORnet-S",
        group="image",
        argument="cornet:CORnet-S",
        millions=53.42,
        layers=5,
        weights=Weights(
            file="cornet_s-1d3f7974.pth",
            url="https://s3.amazonaws.com/cornet-models/cornet_s-1d3f7974.pth",
            licence="GPL-3.0",
            sha256="1d3f7974",
            key="state_dict",
        ),
        preprocessing=CENTRAL,
        note=f"each area after its last time step; {SQUASHED}",
        plugin=AS_PLUGIN,
        **STILL,
    ),
    _vonenet(
        "voneresnet-50",
        "voneresnet50_e70.pth.tar",
        "without neuronal noise, so that it is deterministic: the mean response of its first stage",
    ),
    _vonenet("voneresnet-50-non_stochastic", "voneresnet50_ns_e70.pth.tar", "trained without neuronal noise"),
)
