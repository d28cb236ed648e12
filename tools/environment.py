"""Makes the virtual environment, and makes it again when the interpreter is another one.

Run by the interpreter that the environment is for: `python tools/environment.py .venv`. The file
`.interpreter` inside says which one that was; it is written last, so half an environment has none.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)


def main(directory: str) -> None:
    """Makes the environment in a directory, or leaves it as it is when it is the right one."""
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        sys.exit(
            f"stichotrope needs Python {OLDEST[0]}.{OLDEST[1]} or newer, "
            f"and {sys.executable} is Python {found}; "
            "choose another one with: make PYTHON=python3.13"
        )
    # An active environment may be the one that is about to be replaced: take what it was made from.
    # Its real path, as one interpreter has several names.
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    identity = f"{base}\n{sys.version}\n"
    record = os.path.join(directory, ".interpreter")
    if os.path.exists(record):
        with open(record) as file:
            if file.read() == identity:
                return
    is_environment = os.path.exists(os.path.join(directory, "pyvenv.cfg"))
    if not is_environment and os.path.exists(directory) and os.listdir(directory):
        sys.exit(f"{directory} exists and is not a virtual environment; it is left alone")
    print(f"Making {directory} with {base}", flush=True)
    if subprocess.call([base, "-m", "venv", "--clear", directory]):
        sys.exit(
            f"{base} could not make a virtual environment; it may lack ensurepip "
            "(Debian and Ubuntu: the package python3-venv)"
        )
    python = os.path.join(directory, "bin", "python")
    subprocess.check_call([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip"])
    with open(record, "w") as file:
        file.write(identity)


if __name__ == "__main__":
    main(sys.argv[1])
