"""Builds a step into a component: `python3 -m etl_plugin.build step.py`, in the directory of the project.

The tool that makes components, componentize-py, is installed into the project's own `.venv`. The packages that
`requirements.txt` names go into the component; it can hold those that are pure Python only. Everything made lies in
`.venv` and `build`, and may be deleted. What is built from the same files is not built again.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from . import __version__, config
from .steps import Step, step_in

TOOL = "componentize-py"
TOOL_VERSION = "0.25.1"
PYTHON_VERSION = "3.14"
"""The Python that is in the component, for which packages are chosen."""
VENV = Path(".venv")
BUILD = Path("build")
ENVIRONMENT = BUILD / "python"
PACKAGES = ENVIRONMENT / "lib" / "site-packages"
REQUIREMENTS = Path("requirements.txt")
ENTRY = """import {module}
from etl_plugin.component import {exports}, export
export({module})
"""
EXPORTS = {"map-plugin": "Mapper", "reduce-plugin": "Reducer", "split-plugin": "Splitter"}


class Failed(Exception):
    """The step cannot be built, and the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Builds one step, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m etl_plugin.build", description="Builds a step into a component.")
    parser.add_argument("source", type=Path, help="the module with the step, `step.py`")
    parser.add_argument("-o", "--output", type=Path, help="the component [default: `build/step.wasm`]")
    given = parser.parse_args(arguments)
    try:
        build(given.source, given.output or BUILD / given.source.with_suffix(".wasm").name)
    except Failed as failed:
        print(f"error: {given.source}: {failed}", file=sys.stderr)
        return 1
    return 0


def build(source: Path, output: Path) -> None:
    """Builds the step in a file, unless the component is as new as what it is made of."""
    if not source.is_file() or source.suffix != ".py":
        raise Failed("there is no such Python file here (run this in the directory of the project)")
    VENV.resolve().mkdir(exist_ok=True)
    with open(VENV / ".lock", "w") as lock:
        # Several builds may be under way, and they share the tools and the packages.
        fcntl.flock(lock, fcntl.LOCK_EX)
        build_alone(source, output)


def build_alone(source: Path, output: Path) -> None:
    """Builds a step while no other build is under way."""
    inputs, stamp = digest(source), output.with_suffix(".inputs")
    if output.is_file() and stamp.is_file() and stamp.read_text() == inputs:
        return
    tool = installed_tool()
    install_packages()
    module = imported(source)
    try:
        step = step_in(module)
    except TypeError as error:
        raise Failed(str(error)) from None
    say(f"{source}: building {output}")
    component = componentize(tool, source.stem, step)
    sections = {"etl:config-schema": json.dumps(config.schema(step.of)), "etl:sdk": f"etl_plugin {__version__}"}
    component += b"".join(section(name, text.encode()) for name, text in sections.items())
    output.parent.mkdir(parents=True, exist_ok=True)
    replace(output, component)
    replace(stamp, inputs.encode())


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def replace(path: Path, content: bytes) -> None:
    """Writes a file so that nobody sees a part of it."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)


def digest(source: Path) -> str:
    """Returns a digest of everything that the component is made of: the project's files, the SDK, the tool."""
    found = hashlib.sha256(f"{TOOL} {TOOL_VERSION} {source}".encode())
    sdk = Path(__file__).parent
    files = [*python_files(Path(".")), *sdk.glob("*.py"), *Path("wit").glob("*.wit"), REQUIREMENTS]
    # Where the project lies makes no difference.
    for name in sorted({os.path.relpath(path) for path in files if path.is_file()}):
        content = Path(name).read_bytes()
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()


def python_files(directory: Path) -> Iterator[Path]:
    """Returns the Python files of the project that are not tests."""
    for path in directory.iterdir():
        if path.is_dir() and not path.name.startswith((".", "__")) and path.name not in ("build", "etl_plugin"):
            yield from python_files(path)
        elif path.suffix == ".py" and not path.name.startswith("test_"):
            yield path


def installed_tool() -> Path:
    """Returns the program that makes components, which is installed into the project's environment at first."""
    program = VENV / "bin" / TOOL
    if program.is_file() and list(VENV.glob(f"lib/python*/site-packages/componentize_py-{TOOL_VERSION}.dist-info")):
        return program
    say(f"installing {TOOL} {TOOL_VERSION} into {VENV}, once")
    try:
        # It may be a link to an environment that several projects share, and the link is not to be replaced.
        venv.create(VENV.resolve(), with_pip=True)
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        raise Failed(f"`{VENV}` cannot be made (Debian: `apt-get install python3-venv`): {error}") from None
    pip("install", "--quiet", f"{TOOL}=={TOOL_VERSION}")
    return program


def pip(*arguments: str) -> None:
    """Runs the environment's own pip. Raises `Failed` with what it said."""
    command = [str(VENV / "bin" / "python3"), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failed(f"`pip {' '.join(arguments)}` failed:\n{done.stdout}{done.stderr}".rstrip())


def install_packages() -> None:
    """Installs what `requirements.txt` names below `build`, if that changed. Raises `Failed` for C extensions."""
    wanted = REQUIREMENTS.read_text() if REQUIREMENTS.is_file() else ""
    stamp = ENVIRONMENT / "requirements.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    PACKAGES.mkdir(parents=True)
    if any(line.split("#")[0].strip() for line in wanted.splitlines()):
        say(f"installing the packages of {REQUIREMENTS}")
        install_pure_packages()
    stamp.write_text(wanted)


def install_pure_packages() -> None:
    """Installs packages in their form for any machine; where one has no such form, whatever there is, and looks."""
    install = ["install", "--quiet", "-r", str(REQUIREMENTS), "--target"]
    anywhere = ["--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none"]
    try:
        pip(*install, str(PACKAGES), *anywhere, f"--python-version={PYTHON_VERSION}")
    except Failed:
        with tempfile.TemporaryDirectory(dir=BUILD) as here:
            pip(*install, here)
            check_pure(here)
            shutil.rmtree(PACKAGES)
            shutil.copytree(here, PACKAGES)


def check_pure(directory: str) -> None:
    """Raises `Failed` with the packages that are not pure Python."""
    found = []
    for package in importlib.metadata.distributions(path=[directory]):
        native = [str(file) for file in package.files or [] if file.suffix in (".so", ".pyd", ".dylib")]
        # Libraries that a package brings along are not what its author would recognise.
        native.sort(key=lambda file: ".libs/" in file)
        if native:
            found.append(f"`{package.metadata['Name']} {package.version}` ({native[0]})")
    if found:
        raise Failed(
            f"a component holds pure Python only, and {REQUIREMENTS} needs packages with C extensions: "
            + ", ".join(sorted(found))
        )


def imported(source: Path) -> ModuleType:
    """Imports the module of the step with this Python, to find the step and to describe its configuration."""
    sys.path[:0] = [str(Path(".").absolute()), str(PACKAGES.absolute())]
    sys.dont_write_bytecode = True
    return importlib.import_module(source.stem)


def componentize(tool: Path, module: str, step: Step) -> bytes:
    """Returns the component of a step, without its sections."""
    with tempfile.TemporaryDirectory(dir=BUILD) as here:
        # No module of the component may have the name of a world.
        (Path(here) / "etl_entry.py").write_text(ENTRY.format(module=module, exports=EXPORTS[step.world]))
        # Links are not followed to what is outside of these directories.
        sdk = Path(__file__).resolve().parent.parent
        paths = [argument for path in (here, sdk, ".") for argument in ("-p", str(path))]
        made = Path(here) / "component.wasm"
        # The script itself names the Python of where the project was when it was installed.
        command = [VENV / "bin" / "python3", tool, "-q", "-d", "wit", "-w", step.world]
        command += ["componentize", "etl_entry", *paths, "-o", made]
        # Otherwise the tool would add the packages of whatever environment is active.
        environment = os.environ | {"VIRTUAL_ENV": str(ENVIRONMENT.absolute()), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            said, *_ = f"{done.stdout}{done.stderr}".split("\n\nCaused by:")
            raise Failed(f"{TOOL} failed:\n{said}".rstrip())
        return made.read_bytes()


def section(name: str, content: bytes) -> bytes:
    """Returns a custom section of a WebAssembly file."""
    content = leb128(len(name)) + name.encode() + content
    return b"\0" + leb128(len(content)) + content


def leb128(number: int) -> bytes:
    """Returns a number as WebAssembly writes it: seven bits a byte, the lowest first."""
    rest = number >> 7
    return bytes([number & 0x7F | (0x80 if rest else 0)]) + (leb128(rest) if rest else b"")


if __name__ == "__main__":
    sys.exit(main())
