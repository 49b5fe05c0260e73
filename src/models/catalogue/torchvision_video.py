"""Action recognition: torchvision's modules with weights of torchvision and MMAction2, and Hiera for videos."""

from .entry import VIDEO, ModelEntry, Preprocessing, Weights, of_torchvision

INF = float("inf")
MMACTION = "https://download.openmmlab.com/mmaction/v1.0/recognition"


def _entry(name: str, source: str, millions: float, layers: int, fps: float, frames: tuple, **more) -> ModelEntry:
    facts = {"group": "action recognition", "kind": VIDEO, "fps": fps, "frames": frames}
    return ModelEntry(name=name, source=source, millions=millions, layers=layers, **facts, **more)


def _videoswin(letter: str, millions: float, config: str, digest: str) -> ModelEntry:
    file = f"{config}_{digest}.pth"
    url = f"{MMACTION}/swin/{config}/{file}"
    sha256 = digest.partition("-")[2]
    weights = Weights(file=file, url=url, licence="Apache-2.0", sha256=sha256, key="state_dict")
    more = {"weights": weights, "preprocessing": Preprocessing(size=224, resize=224)}
    name = f"VideoSwin-{letter}"
    return _entry(name, "network", millions, 26, 12.5, (2, INF), argument=f"videoswin:{name}", **more)


def _hiera(letter: str, file: str, millions: float, layers: int) -> ModelEntry:
    url = f"https://dl.fbaipublicfiles.com/hiera/{file}"
    weights = Weights(file=file, url=url, licence="CC-BY-NC-4.0", key="model_state")
    preprocessing = Preprocessing(size=224, resize=224, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
    more = {
        "weights": weights,
        "preprocessing": preprocessing,
        "note": "masked autoencoder, fine-tuned on Kinetics-400",
    }
    name = f"Hiera-Video-{letter}"
    return _entry(name, "network", millions, layers, 7.5, (16, 16), argument=f"hiera:{name}", **more)


ENTRIES = (
    _entry("r3d_18", "brainscore", 33.37, 7, 25.0, (1, INF), weights=of_torchvision("r3d_18-b3b3357e.pth")),
    _entry("r2plus1d_18", "brainscore", 31.51, 7, 25.0, (1, INF), weights=of_torchvision("r2plus1d_18-91a641e6.pth")),
    _entry("mc3_18", "brainscore", 11.70, 7, 25.0, (1, INF), weights=of_torchvision("mc3_18-a90a0ba3.pth")),
    _entry("s3d", "brainscore", 8.32, 10, 15.0, (13, INF), weights=of_torchvision("s3d-d76dad2f.pth")),
    _entry("mvit_v1_b", "brainscore", 36.61, 10, 7.5, (16, 16), weights=of_torchvision("mvit_v1_b-dbeb1030.pth")),
    _entry("mvit_v2_s", "brainscore", 34.54, 10, 7.5, (16, 16), weights=of_torchvision("mvit_v2_s-ae3be167.pth")),
    _entry("swin3d_t", "torchvision", 28.16, 19, 15.0, (2, INF), weights=of_torchvision("swin3d_t-7615ae03.pth")),
    _entry("swin3d_s", "torchvision", 49.82, 31, 15.0, (2, INF), weights=of_torchvision("swin3d_s-da41c237.pth")),
    _entry("swin3d_b", "torchvision", 88.05, 31, 15.0, (2, INF), weights=of_torchvision("swin3d_b_1k-24f7c7c6.pth")),
    _videoswin("B", 88.05, "swin-base-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "20220930-182ec6cc"),
    _videoswin("L", 196.95, "swin-large-p244-w877_in22k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb", "20220930-78ad8b11"),
    _hiera("B", "hiera_base_16x224.pth", 51.09, 26),
    _hiera("L", "hiera_large_16x224.pth", 213.09, 50),
)
