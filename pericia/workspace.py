"""The state folder `.pericia/` beside pericia.yaml: where everything lies, and how it is written safely.

A file is replaced in one step (temporary file, fsync, rename), so a killed process leaves the old or the new one.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pericia.errors import ConflictError, InputError

try:
    import fcntl
except ImportError:  # Windows has no fcntl; there the lock is the operating system's open file
    fcntl = None  # type: ignore[assignment]


ARMS = "arms"  # below the index: those of arms that are measured and not served


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of one industry. `root` holds pericia.yaml and is what relative paths start from.

    An arm with an embedder of its own, `arm`, has an index of its own beside the one that answers.
    """

    root: Path
    arm: str = ""

    @property
    def state(self) -> Path:
        return self.root / ".pericia"

    @property
    def index(self) -> Path:
        served = self.state / "index"
        return served / ARMS / sha256_of(self.arm)[:12] if self.arm else served

    @property
    def tables(self) -> Path:
        """Return where the rows of SQL tables lie as they were last read."""
        return self.state / "tables"

    @property
    def adapters(self) -> Path:
        return self.state / "adapters"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    def resolve(self, path: str) -> Path:
        """Return a path of the config as an absolute one."""
        return (self.root / path).resolve()


@contextlib.contextmanager
def lock(folder: Path, purpose: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the folder for one process, or with `wait` as soon as no other holds it.

    It is released when the process ends, however it ends.

    Raises:
        ConflictError: another process holds it, and there is no `wait`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                raise ConflictError(
                    f"Another process is at work in '{folder}' ({purpose}).",
                    hint="Wait until it has ended, or stop it.",
                ) from error
        yield


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace the file in one step; its folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = data.encode() if isinstance(data, str) else data
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON in one step."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    """Write values as JSON, a line each, in one step."""
    write_atomic(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values))


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the line number, from 1, and the value of each line that is not blank.

    Raises:
        InputError: the file is missing, or a line is no JSON; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"There is no file '{path}'.", hint="Mend the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{path}' cannot be read: {error}.", hint="Give a JSONL file in UTF-8."
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {number}: no JSON ({error.msg} at column {error.colno}).",
                hint="Each line holds one JSON object.",
            ) from error


def sha256_of(value: Any) -> str:
    """Return the hash of a JSON-like value, the same for equal values in every process."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the hash of a file's bytes, read piece by piece."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
