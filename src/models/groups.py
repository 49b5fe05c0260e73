"""Groups and families of models by name; plain data, no torch.

A group is the training of the network, a family the networks that share architecture and authors and are therefore not
independent: sizes, training sets and seeds of one design.
"""

import re
from dataclasses import dataclass

from .catalogue import MODELS
from .catalogue.entry import GROUP_ORDER, VIDEO

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name, entry in MODELS.items() if entry.group == group) for group in GROUP_ORDER
}
UNTRAINED, BRAIN, OWN, OTHER = "untrained", "brain", "own", "other"
BRAIN_PREFIX = "brain:"  # of the responses of a dataset in place of a model
# in the order of every chart
GROUP_NAMES = (*GROUP_ORDER, UNTRAINED, BRAIN, OWN, OTHER)
PREFIXES = ("Random-", "NoDownsample-", "BrainScore-", "Finetune-", "Frozen-", "Shuffled-")
CONTROL = GROUP_ORDER[0]

# (start of the name in lower case, family), the first that fits; other names have the family of their first word
FAMILIES = (
    ("fake-", "fake-net"),
    ("resnext", "ResNeXt"),
    ("voneresnet", "VOneNet"),
    ("resnet", "ResNet"),
    ("vgg", "VGG"),
    ("alexnet", "AlexNet"),
    ("vit_", "ViT"),
    ("deit", "DeiT"),
    ("convnext", "ConvNeXt"),
    ("efficientnet", "EfficientNet"),
    ("cornet", "CORnet"),
    ("r3d", "R3D"),
    ("r2plus1d", "R3D"),
    ("tsm", "TSM"),
    ("mc3", "R3D"),
    ("s3d", "S3D"),
    ("mvit", "MViT"),
    ("swin3d", "VideoSwin"),
    ("videoswin", "VideoSwin"),
    ("hiera", "Hiera"),
    ("i3d", "I3D"),
    ("uniformer", "UniFormer"),
    ("internvideo2", "InternVideo2"),
    ("internvideo", "VideoMAE"),
    ("videomamba", "VideoMamba"),
    ("umt", "UMT"),
    ("videomae", "VideoMAE"),
    ("videoprism", "VideoPrism"),
    ("v-jepa", "V-JEPA"),
    ("vjepa", "V-JEPA"),
    ("mae-st", "MAE-ST"),
    ("dino", "DINO"),
    ("siglip", "SigLIP"),
    ("clip", "CLIP"),
    ("openclip", "CLIP"),
    ("i-jepa", "I-JEPA"),
    ("x3d", "X3D"),
    ("slow", "SlowFast"),
    ("c2d", "C2D"),
    ("videochat", "VideoChat"),
    ("video-llava", "Video-LLaVA"),
    ("selavi", "SeLaVi"),
    ("avid", "AVID"),
    ("gdt", "GDT"),
    ("convlstm", "ConvLSTM"),
    ("predrnn", "PredRNN"),
    ("simvp", "SimVP"),
    ("motion-energy", "motion-energy"),
)


@dataclass(frozen=True)
class Membership:
    """Group and family of a model.

    group: one of GROUP_NAMES; family: see FAMILIES; dynamic: True for a network of films, False for one of single
    frames, None where the name does not tell.
    """

    group: str
    family: str
    dynamic: bool | None


def membership(name: str) -> Membership:
    """Return the group and the family of a stored model's name; no file and no plugin is read.

    A model with random weights is in the group "untrained", and in the family of its architecture; one that sees held
    or shuffled frames is a control.

    Examples
    --------
    >>> membership("Random-r3d_18")
    Membership(group='untrained', family='R3D', dynamic=True)
    >>> membership("V-JEPA2-L").family == membership("VJEPA-Temporal").family
    True
    """
    if name.startswith(BRAIN_PREFIX):
        return Membership(BRAIN, BRAIN, None)
    base, random, reordered = name, False, False
    while base.startswith(PREFIXES):
        prefix = next(prefix for prefix in PREFIXES if base.startswith(prefix))
        random |= prefix == "Random-"
        reordered |= prefix in ("Frozen-", "Shuffled-")
        base = base.removeprefix(prefix).partition("=")[0] if prefix == "Finetune-" else base.removeprefix(prefix)
    entry = MODELS.get(base)
    is_own = entry is None and ":" in base and not base.startswith(("hf:", "timm:"))
    group = UNTRAINED if random else CONTROL if reordered else entry.group if entry else OWN if is_own else OTHER
    dynamic = entry.kind == VIDEO if entry and entry.kind != "?" else None
    dynamic = False if "Frozen-" in name.removesuffix(base) else dynamic
    return Membership(group, base if is_own else _family(base), dynamic)


def _family(base: str) -> str:
    """Return the family of a name without prefixes."""
    short = base.rsplit("/", 1)[-1].removeprefix("hf:").removeprefix("timm:")
    found = next((family for start, family in FAMILIES if short.lower().startswith(start)), None)
    return found or re.split(r"[-_.\d]", short)[0] or short
