"""Miniature of McMahon et al. 2023: two subjects with odd and even betas, a third without test; lists and events."""

from pathlib import Path

from tests.data.planted_fmri import clip_signals, rng, write_volumes

STUDY = "mcmahon2023"
N_CLIPS = {"train": 40, "test": 10}
RATINGS = ("indoor", "expanse", "transitivity", "agent distance", "valence")
EXPECTED = {"mcmahon2023-fmri": {"stimuli": 50, "subjects": 2, "repetitions": 4, "bins": 1, "units": 20484}}


def names(part: str) -> list[str]:
    """Return the clips of a part, not in alphabetical order."""
    return [f"yt-{part}{k:03d}_{k % 7}.mp4" for k in rng("order", part).permutation(N_CLIPS[part])]


def write(folder: Path) -> None:
    """Write the release, with subject 2's volumes in a folder that sorts before subject 1's."""
    clips = {part: names(part) for part in N_CLIPS}
    every = [name for listed in clips.values() for name in listed]
    signals = clip_signals([folder / "dyad_videos_3000ms" / name for name in every])
    (folder / "train.csv").write_text("video_name\n" + "\n".join(clips["train"]) + "\n")
    (folder / "test.csv").write_bytes(b"\xef\xbb\xbf" + ("video_name\n" + "\n".join(clips["test"])).encode())
    values = rng("ratings").random((len(every), len(RATINGS)))
    rows = [f"{name},{','.join(f'{x:.4f}' for x in row)}" for name, row in zip(sorted(every), values, strict=True)]
    (folder / "annotations.csv").write_text("\n".join([f"video_name,{','.join(RATINGS)}", *rows]))
    split = {"train": signals[: N_CLIPS["train"]], "test": signals[N_CLIPS["train"] :]}
    for subject, place in {"01": "z", "02": "a", "03": "m"}.items():
        for part, half in [(p, h) for p in N_CLIPS for h in ("odd", "even")]:
            if (subject, part) != ("03", "test"):
                file = f"sub-{subject}_space-T1w_desc-{part}-fracridge-{half}_data_MNI152NLin2009cAsym.nii.gz"
                write_volumes(folder / "betas" / place / file, split[part], tr_s=None)
    _write_events(folder / "sub-01" / "ses-02" / "func", clips)


def _write_events(folder: Path, clips: dict[str, list[str]]) -> None:
    """Write the events of a run with the test clips and two catch trials, and a row without onset for other clips."""
    folder.mkdir(parents=True)
    rows = [f"{4.5 * k + 3:.6f}\t2.97\t{name}\t0\t{name}" for k, name in enumerate(clips["test"])]
    rows += [f"{4.5 * k + 100:.6f}\t2.97\t{k}.mp4\t1\tcrowd" for k in range(2)]
    rows += [f"n/a\tn/a\t{name}\t0\t{name}" for name in clips["train"]]
    head = "onset\tduration\tidentifier\tresponse_time\ttrial_type"
    (folder / "sub-01_ses-02_task-SIdyads_run-01_events.tsv").write_text("\n".join([head, *rows]) + "\n")
