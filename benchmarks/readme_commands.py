"""Time and memory of every command of the README, one after the other: `python -m benchmarks.readme_commands`.

The store is empty at first, so that a command computes what no command before it has stored. Processor time is of all
processes of a command, peak memory of its largest. `--again` measures each a second time, from the store.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from src.tables import markdown
from src.utils import size_text

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
BIN = ".venv/bin/"


def commands() -> list[str]:
    """Return the commands of the README, without their comments."""
    lines = [line for block in BLOCK.findall((ROOT / "README.md").read_text()) for line in block.splitlines()]
    return [line.partition(" #")[0].rstrip() for line in lines if line]


def measure(command: str, folder: Path) -> tuple[float, float, int]:
    """Run a command in a folder; return its wall time and processor time in s, and its peak memory in bytes."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_HOME")}
    environment |= {"DYNAMIC_VISION_HOME": str(folder / "home"), "TORCH_HOME": str(folder / "torch")}
    environment["HOME"] = str(folder)
    # the sources of this checkout, wherever the package is installed from
    name, *words = shlex.split(command.removeprefix(BIN))
    words = [sys.executable, *(["-m", "src"] if name == "dynamic-vision" else []), *words]
    start = time.monotonic()
    process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command}\n{errors.decode()}")
    return time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def main() -> None:
    """Run the commands and print a row for each as soon as it has ended, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="also measure each command a second time")
    parser.add_argument("--home", type=Path, help="folder of the runs, kept (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.home or Path(temporary)).absolute()
        for path in ROOT.iterdir():
            if path.name in ("src", "examples") or path.suffix == ".py":
                (folder / path.name).symlink_to(path)
        rows = []
        for command in commands():
            row = [command.removeprefix(BIN)]
            for _ in range(1 + options.again):
                wall, processor, memory = measure(command, folder)
                row += [f"{wall:.1f}", f"{processor:.1f}", size_text(memory)]
            rows.append(row)
            print(" | ".join(row), file=sys.stderr)
        header = ["wall s", "processor s", "peak memory"]
        print(markdown(["command", *header, *(f"{name}, again" for name in header[: 3 * options.again])], rows))


if __name__ == "__main__":
    main()
