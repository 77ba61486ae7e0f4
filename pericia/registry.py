"""The adapters of a workspace: one folder each, in PEFT layout, with the manifest of its training.

An adapter is trained in a folder of its own and gets its name last, by one rename: a folder that is listed is whole.
One that was taken back is set aside by one rename as well: nothing lists or serves it until it is restored.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pericia.errors import ConflictError, JobError, ModelError, NotFoundError
from pericia.lookup import unknown_name
from pericia.said import said
from pericia.types import Adapter
from pericia.workspace import sha256_of, write_json

MANIFEST = "pericia-manifest.json"
_FILES = ("adapter_config.json", "adapter_model.safetensors", MANIFEST)
_ASIDE = ".taken-back-"
_COMPARED = (
    "base_sha256",
    "dataset_sha256",
    "prompts_sha256",
    "template_sha256",
    "parent",
    "num_train",
    "num_validation",
    "num_too_long",
    "num_labels",
    "num_trainable",
    "best_step",
    "epochs",
    "learning_rate",  # as it was taken: a setting of "auto" follows the base
)


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
                said("Unknown adapter '%(id)s'.", id=id_),
                hint=said("There is none yet. Run: pericia train"),
            )
        raise unknown_name("adapter", id_, known)
    return _read(path)


def has_adapter(folder: Path, id_: str) -> bool:
    """Return whether an adapter is there, whole.

    Raises:
        ConflictError: it was taken back, so the same job must not bring it in again unseen.
    """
    if _aside(folder, id_).exists():
        raise ConflictError(
            said("The adapter '%(id)s' of these settings and data was taken back.", id=id_),
            hint=said(
                "Restore it: pericia models --restore %(id)s; or change settings or data.", id=id_
            ),
        )
    return _is_whole(folder / id_)


def wait_for(folder: Path, id_: str, timeout_s: float = 600.0) -> Adapter:
    """Return an adapter that another process is about to record.

    Raises:
        JobError: it did not.
    """
    deadline = time.monotonic() + timeout_s
    while not _is_whole(folder / id_):
        if time.monotonic() > deadline:
            raise JobError(
                said("The first process did not record the adapter '%(id)s'.", id=id_),
                hint=said(
                    "Its messages say why; the same command goes on from the last checkpoint."
                ),
            )
        time.sleep(0.2)
    return _read(folder / id_)


def lineage(folder: Path, id_: str) -> list[Adapter]:
    """Return an adapter and those that it was trained from, the first of them first.

    The list begins later where an ancestor is no longer there. Raises as `find_adapter`.
    """
    line = [find_adapter(folder, id_)]
    while (parent := str(line[0].manifest.get("parent") or "")) and _is_whole(folder / parent):
        line.insert(0, _read(folder / parent))
    return line


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two adapters: `changed` maps a key of the manifests to both values."""

    one: str
    other: str
    changed: Mapping[str, tuple[object, object]]
    only_one_sources: tuple[str, ...]
    only_other_sources: tuple[str, ...]
    best_losses: tuple[float | None, float | None]  # on the validation rows of each; compare only
    same_validation: bool  # where those are the same rows


def compare(one: Adapter, other: Adapter) -> Comparison:
    """Return what differs in base, data, settings, origin and result; equal keys are left out.

    Example:
        >>> a = Adapter("a", "", "nano", "fine_tuned", {"settings": {"rank": 8}, "num_train": 40})
        >>> b = Adapter("b", "", "nano", "fine_tuned", {"settings": {"rank": 16}, "num_train": 40})
        >>> dict(compare(a, b).changed)
        {'settings.rank': (8, 16)}
    """
    first, second = _facts(one), _facts(other)
    keys = sorted(first.keys() | second.keys())
    changed = {k: (first.get(k), second.get(k)) for k in keys if first.get(k) != second.get(k)}
    mine, theirs = (_listed(adapter, "sources") for adapter in (one, other))
    data = "dataset_sha256"
    return Comparison(
        one=one.id,
        other=other.id,
        changed=changed,
        only_one_sources=tuple(sorted(mine - theirs)),
        only_other_sources=tuple(sorted(theirs - mine)),
        best_losses=(_best_loss(one), _best_loss(other)),
        same_validation=one.manifest.get(data) == other.manifest.get(data) is not None,
    )


def roll_back(folder: Path, id_: str) -> Adapter:
    """Take an adapter back; returns the one of its kind and base that is the newest now, and so is served.

    Raises:
        NotFoundError: as `find_adapter`. ConflictError: there is none before it.
    """
    adapter = find_adapter(folder, id_)
    others = [
        a
        for a in adapters(folder)
        if (a.kind, a.base) == (adapter.kind, adapter.base) and a.id != id_
    ]
    if not others:
        raise ConflictError(
            said(
                "'%(id)s' is the only adapter of kind %(kind)s on '%(base)s'.",
                id=id_,
                kind=adapter.kind,
                base=adapter.base,
            ),
            hint=said(
                "Without it there would be nothing to go back to; delete its folder to have none."
            ),
        )
    Path(adapter.path).replace(_aside(folder, id_))
    return others[-1]


def restore(folder: Path, id_: str) -> Adapter:
    """Return an adapter that was taken back, listed again.

    Raises:
        NotFoundError: none of this id was taken back.
    """
    aside = _aside(folder, id_)
    if Path(id_).name != id_ or not aside.exists():
        known = {path.name.removeprefix(_ASIDE): path for path in folder.glob(f"{_ASIDE}*")}
        if not known:
            raise NotFoundError(
                said("No adapter '%(id)s' was taken back.", id=id_),
                hint=said("See: pericia models"),
            )
        raise unknown_name("adapter taken back", id_, known)
    aside.replace(folder / id_)
    return find_adapter(folder, id_)


def _aside(folder: Path, id_: str) -> Path:
    return folder / f"{_ASIDE}{id_}"


def _facts(adapter: Adapter) -> dict[str, object]:
    """Return what an adapter is made of, flat; what every training records anew is left out."""
    settings = adapter.manifest.get("settings")
    flat = {f"settings.{k}": v for k, v in settings.items()} if isinstance(settings, dict) else {}
    chosen = {k: adapter.manifest[k] for k in _COMPARED if k in adapter.manifest}
    return {"base": adapter.base, "kind": adapter.kind, **chosen, **flat}


def _listed(adapter: Adapter, key: str) -> set[str]:
    value = adapter.manifest.get(key)
    return {str(item) for item in value} if isinstance(value, list | tuple) else set()


def _best_loss(adapter: Adapter) -> float | None:
    """Return the validation loss of the checkpoint that was kept."""
    records = adapter.manifest.get("validation_losses")
    step = adapter.manifest.get("best_step")
    if not isinstance(records, list | tuple):
        return None
    return next((float(r["loss"]) for r in records if r.get("step") == step), None)


def _is_whole(path: Path) -> bool:
    return not path.name.startswith(".") and all((path / name).exists() for name in _FILES)


def _read(path: Path) -> Adapter:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return Adapter(manifest["id"], str(path), manifest["base"], manifest["kind"], manifest)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            said(
                "The manifest of the adapter in '%(path)s' is damaged: %(error)s.",
                path=path,
                error=error,
            ),
            hint=said("Delete the folder and run: pericia train"),
        ) from error
