"""The adapters of a workspace: one folder each, in PEFT layout, with the manifest of its training.

An adapter is trained in a folder of its own and gets its name last, by one rename: a folder that is listed is whole.
"""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pericia.errors import ModelError, NotFoundError
from pericia.lookup import unknown_name
from pericia.types import Adapter
from pericia.workspace import sha256_of, write_json

MANIFEST = "pericia-manifest.json"
_FILES = ("adapter_config.json", "adapter_model.safetensors", MANIFEST)


def adapter_id(kind: str, job: Mapping[str, object]) -> str:
    """Return the id of what a job makes; the same job (base, data, settings, prompts) has the same id."""
    return f"{kind.replace('_', '-')}-{sha256_of([kind, dict(job)])[:12]}"


def training_folder(folder: Path, id_: str) -> Path:
    """Return where an adapter is trained until it is recorded; it lies beside the others and is not listed."""
    return folder / f".training-{id_}" / "adapter"


def record(
    folder: Path,
    id_: str,
    kind: Literal["fine_tuned", "rag_fine_tuned"],
    manifest: Mapping[str, object],
) -> Adapter:
    """Return the adapter that was trained in `training_folder`, now listed, with its manifest beside its weights."""
    trained = training_folder(folder, id_)
    shutil.rmtree(trained / "checkpoints", ignore_errors=True)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(trained / MANIFEST, {"id": id_, "kind": kind, "created": created, **manifest})
    final = folder / id_
    shutil.rmtree(final, ignore_errors=True)  # a damaged one; a sound one would have been found
    trained.replace(final)
    shutil.rmtree(trained.parent, ignore_errors=True)
    return find_adapter(folder, id_)


def adapters(folder: Path) -> list[Adapter]:
    """Return all adapters of a workspace, oldest first.

    Raises:
        ModelError: an adapter's manifest is damaged.
    """
    found = [_read(path) for path in folder.glob("*") if _is_whole(path)]
    return sorted(found, key=lambda adapter: (str(adapter.manifest.get("created")), adapter.id))


def find_adapter(folder: Path, id_: str) -> Adapter:
    """Return one adapter.

    Raises:
        NotFoundError: there is none of this id, or it is not whole.
    """
    path = folder / id_
    if not id_ or Path(id_).name != id_ or not _is_whole(path):
        known = {p.name: p for p in folder.glob("*") if _is_whole(p)}
        if not known:
            raise NotFoundError(
                f"Unknown adapter '{id_}'.", hint="There is none yet. Run: pericia train"
            )
        raise unknown_name("adapter", id_, known)
    return _read(path)


def has_adapter(folder: Path, id_: str) -> bool:
    """Return whether an adapter is there, whole."""
    return _is_whole(folder / id_)


def _is_whole(path: Path) -> bool:
    return not path.name.startswith(".") and all((path / name).exists() for name in _FILES)


def _read(path: Path) -> Adapter:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return Adapter(manifest["id"], str(path), manifest["base"], manifest["kind"], manifest)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The manifest of the adapter in '{path}' is damaged: {error}.",
            hint="Delete the folder and run: pericia train",
        ) from error
