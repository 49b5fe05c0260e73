"""Networks of images: Brain-Score's plugins that load with maintained packages, else torchvision and timm."""

from .entry import IMAGE, Fed, ModelEntry, Preprocessing, Weights, of_torchvision

ANY = (1, float("inf"))
SQUARE = Preprocessing(size=224, axes="CHW")
CENTRAL = Preprocessing(size=224, resize=256, axes="CHW")
SCALING = "https://epfl-neuroailab-scalinglaws.s3.eu-north-1.amazonaws.com/checkpoints"
UNSTATED = "none stated by the publisher"
RESIZED = "the short side is resized to 256 px and the centre cropped; Brain-Score's plugin resizes to a square"


def _entry(name: str, source: str, millions: float, layers: int, **more) -> ModelEntry:
    facts = {"group": "image", "kind": IMAGE, "fps": 25.0, "frames": ANY}
    return ModelEntry(name=name, source=source, millions=millions, layers=layers, **facts, **more)


def _wsl(depth: int, millions: float, digest: str) -> ModelEntry:
    file = f"ig_resnext101_32x{depth}-{digest}.pth"
    url = f"https://download.pytorch.org/models/{file}"
    weights = Weights(file=file, url=url, licence="CC-BY-NC-4.0", sha256=digest)
    name = f"resnext101_32x{depth}d_wsl"
    more = {"preprocessing": CENTRAL, "plugin": Fed(fps=25.0, preprocessing=SQUARE), "note": RESIZED}
    return _entry(name, "network", millions, 35, argument=f"image_nets:{name}", weights=weights, **more)


def _scaling(name: str, builder: str, millions: float, layers: int, extra: str = "", epoch: int = 300) -> ModelEntry:
    weights = Weights(file=f"{name}_ep{epoch}.pt", url=f"{SCALING}/{name}/ep{epoch}.pt", licence=UNSTATED, key="state")
    more = {"weights": weights, "preprocessing": CENTRAL, "extra": extra, "note": RESIZED}
    more["plugin"] = Fed(fps=25.0, preprocessing=SQUARE)
    return _entry(name, "network", millions, layers, argument=f"image_nets:{builder}", **more)


ENTRIES = (
    _entry("alexnet", "brainscore", 61.10, 7, weights=of_torchvision("alexnet-owt-7be5be79.pth")),
    _entry("vgg_16", "brainscore", 138.36, 7, weights=of_torchvision("vgg16-397923af.pth")),
    _entry("resnet_50_v1", "brainscore", 25.56, 18, weights=of_torchvision("resnet50-0676ba61.pth")),
    _entry("resnet18", "torchvision", 11.69, 14, weights=of_torchvision("resnet18-f37072fd.pth")),
    _entry("resnet50", "torchvision", 25.56, 22, weights=of_torchvision("resnet50-0676ba61.pth")),
    _entry("vit_b_16", "torchvision", 86.57, 15, weights=of_torchvision("vit_b_16-c867db91.pth")),
    _entry("convnext_tiny", "torchvision", 28.59, 30, weights=of_torchvision("convnext_tiny-983f1562.pth")),
    _entry("efficientnet_b0", "brainscore", 5.29, 12, weights=of_torchvision("efficientnet_b0_rwightman-7f5810bc.pth")),
    _scaling("resnet50_imagenet_full", "resnet50", 25.56, 18, epoch=100),
    _scaling("deit_base_imagenet_full_seed-0", "deit_base", 86.59, 14, "timm"),
    _scaling("convnext_base_imagenet_full_seed-0", "convnext_base", 88.59, 38),
    _wsl(8, 88.79, "c38310e5"),
    _wsl(16, 194.03, "c6f796b0"),
    _wsl(32, 468.53, "e4b90b00"),
)
