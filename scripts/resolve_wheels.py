"""Whether every distribution that an installation needs has a wheel, for each Python and each kind of machine.

    python scripts/resolve_wheels.py                        # [all] on Linux, x86-64 and ARM; `make resolve` is the same
    python scripts/resolve_wheels.py --extra all --extra dev
    python scripts/resolve_wheels.py --platform aarch64-apple-darwin

Asks uv and not pip: pip judges requirements like `python_version >= "3.14"` by the interpreter that it runs in,
whatever `--python-version` says, and downloads what it finds. uv resolves for another Python and another machine, and
reads metadata only. The Pythons are those of `pyproject.toml`'s classifiers. The exit code is 1 if something is
missing; uv's own words name it.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
SHOWN = ("torch", "numba", "pyarrow", "ray", "fasttext-community")


def pythons() -> list[str]:
    """The versions that the project says it runs on."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return [wheels[1] for line in classifiers if (wheels := re.fullmatch(r"Programming .* :: (3\.\d+)", line))]


def find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    wheels = str(beside) if beside.exists() else shutil.which("uv")
    if wheels is None:
        raise SystemExit("uv is not installed; pip install uv")
    return wheels


def resolve(uv: str, python: str, platform: str, extras: list[str]) -> tuple[dict[str, str], str]:
    """(version by distribution, what uv says is missing) of the newest versions that fit together."""
    line = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build", "--native-tls"]
    line += ["--python-version", python, "--python-platform", platform]
    line += [word for extra in extras for word in ("--extra", extra)]
    done = subprocess.run([*line, "pyproject.toml"], capture_output=True, text=True, cwd=ROOT)
    pins = (pin.partition(" ")[0].partition("==") for pin in done.stdout.splitlines())
    return {name: version for name, _, version in pins}, done.stderr if done.returncode else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", action="append", help="may be repeated (default: all)")
    parser.add_argument("--platform", action="append", help="as uv names it; may be repeated")
    parser.add_argument("--python", action="append", help="may be repeated")
    options = parser.parse_args()
    uv, failed = find_uv(), False
    print(f"{'python':<8}{'platform':<26}{'wheels':>6}  " + "".join(f"{name:<20}" for name in SHOWN))
    for python in options.python or pythons():
        for platform in options.platform or PLATFORMS:
            wheels, missing = resolve(uv, python, platform, options.extra or ["all"])
            failed |= bool(missing)
            shown = "".join(f"{wheels.get(name, '-'):<20}" for name in SHOWN)
            print(f"{python:<8}{platform:<26}{len(wheels):>6}  {missing or shown}".rstrip(), flush=True)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
