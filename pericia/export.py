"""An adapter leaves the house: written files that are proved to be the model that was measured.

    adapter -> merged weights -> GGUF -> Ollama        each format from the one before         exporters/
    prompts -> answers of the adapter and of the files -> Parity                               exporters/parity
    manifest: hashes of files, base, adapter, template, end markers; versions; the parity      here

The folder appears under its name last, by one rename. An export that fails the gate is kept for looking at, is marked
as failed in its manifest, and is not served; the adapter is never touched.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pericia import bases, exporters
from pericia.errors import InputError, ModelError, NotFoundError
from pericia.registry import MANIFEST
from pericia.said import said
from pericia.types import Adapter, Export, Message
from pericia.workspace import lock, sha256_of_file, write_json

_VERSIONS = ("pericia", "torch", "transformers", "peft", "bitsandbytes", "safetensors", "gguf")


def export(
    adapter: Adapter,
    name: str,
    folder: Path,
    prompts: Sequence[Sequence[Message]],
    *,
    base: str = "",
    precision: str = "",
    max_new_tokens: int = 32,
    on_step: Callable[[str], None] | None = None,
) -> Export:
    """Return what was written into `folder` in the format `name`; look at `failed` before using it.

    `prompts` are held-out chats up to the answer; fifty make the shares meaningful. `base` replaces the name that the
    adapter was trained under. An earlier export in `folder` is replaced.

    Raises:
        NotFoundError: the format, the base or the adapter is unknown. InputError: the folder holds something else, the
            base is not the one that was trained on, there are no prompts, or this model has no such format.
        JobError: the export broke off; nothing is left behind. ConflictError: another export is at work there.
    """
    precision = exporters.choose_precision(name, precision)
    if not prompts:
        raise InputError(
            said("There are no held-out prompts, so nothing would show that the export is right."),
            hint=said("Give questions in pericia.yaml, or examples with a validation split."),
        )
    base_folder = bases.base_folder(base or adapter.base)
    base_sha256 = bases.base_sha256(base_folder)
    if adapter.manifest.get("base_sha256", base_sha256) != base_sha256:
        raise InputError(
            said(
                "'%(base_folder)s' is not the base model that the adapter '%(id)s' was trained on.",
                base_folder=base_folder,
                id=adapter.id,
            ),
            hint=said("Give the one it was trained on: %(base)s.", base=adapter.base),
        )
    _check_replaceable(folder)
    work = folder.parent / f".exporting-{folder.name}"
    say = on_step or (lambda step: None)
    guard = work.with_name(f"{work.name}-lock")
    with lock(guard, f"export of {adapter.id}"):
        shutil.rmtree(work, ignore_errors=True)
        try:
            result = _run(adapter, name, work, prompts, base_folder, precision, max_new_tokens, say)
            manifest = _manifest(adapter, base_folder, base_sha256, result)
            write_json(Path(result.path) / MANIFEST, manifest)
            shutil.rmtree(folder, ignore_errors=True)
            Path(result.path).replace(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(guard, ignore_errors=True)
    return Export(name, str(folder), precision, result.files, result.parity)


def check_export(folder: Path) -> None:
    """Return when an exported folder may be served.

    Raises:
        NotFoundError: it has no manifest. ModelError: its gate failed, a file is missing, or one has changed.
    """
    manifest = _read_manifest(folder)
    if manifest.get("status") != "passed":
        raise ModelError(
            said(
                "The export in '%(folder)s' failed its parity gate and is not served.",
                folder=folder,
            ),
            hint=said("Serve the adapter itself, or export it in another precision."),
        )
    for file, sha256 in manifest.get("files", {}).items():
        path = folder / file
        if not path.exists() or sha256_of_file(path) != sha256:
            text = said("'%(path)s' is missing from what was exported.", path=path)
            if path.exists():
                text = said("'%(path)s' has changed since it was exported.", path=path)
            raise ModelError(text, hint=said("Export it again."))


def _run(
    adapter: Adapter,
    name: str,
    work: Path,
    prompts: Sequence[Sequence[Message]],
    base: Path,
    precision: str,
    max_new_tokens: int,
    say: Callable[[str], None],
) -> Export:
    work.mkdir(parents=True)
    source = Path(adapter.path)
    for step in exporters.CHAINS[name]:
        say(step)
        wanted = precision if step == name or step == "gguf" else exporters.choose_precision(step)
        exporters.load(step).export(source, work / step, base=base, precision=wanted)
        source = work / step
    say("parity")
    parity = exporters.load_gate().check(
        source,
        base=base,
        adapter=Path(adapter.path),
        quantised=_method(adapter) == "qlora",
        precision=precision,
        prompts=prompts,
        max_new_tokens=max_new_tokens,
    )
    files = {path.name: sha256_of_file(path) for path in sorted(source.iterdir())}
    return Export(name, str(source), precision, files, parity)


def _manifest(adapter: Adapter, base: Path, base_sha256: str, result: Export) -> dict[str, object]:
    stops = bases.stop_ids(base)
    weights = Path(adapter.path) / "adapter_model.safetensors"
    return {
        "format": result.format,
        "status": "failed" if result.failed else "passed",
        "precision": result.precision,
        "base": adapter.base,
        "base_sha256": base_sha256,
        "adapter": adapter.id,
        "adapter_sha256": sha256_of_file(weights),
        "trained_method": _method(adapter),
        "template_sha256": adapter.manifest.get("template_sha256"),
        "stop_ids": sorted(stops),
        "stop_sha256": bases.stop_sha256(stops),
        "tokenizer_sha256": sha256_of_file(base / "tokenizer.json")
        if (base / "tokenizer.json").exists()
        else None,
        "parity": asdict(result.parity),
        "files": dict(result.files),
        "versions": {package: _version(package) for package in _VERSIONS},
        "training": dict(adapter.manifest),
    }


def _method(adapter: Adapter) -> str:
    settings: Any = adapter.manifest.get("settings", {})
    return str(settings.get("method", "lora")) if isinstance(settings, dict) else "lora"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _check_replaceable(folder: Path) -> None:
    if folder.is_file():
        raise InputError(
            said("'%(folder)s' is a file.", folder=folder),
            hint=said("Give a folder."),
            param="folder",
        )
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        ours = "format" in _read_manifest(folder)
    except (NotFoundError, ModelError):
        ours = False
    if not ours:
        raise InputError(
            said("'%(folder)s' holds other files, which an export would replace.", folder=folder),
            hint=said("Give a new folder."),
            param="folder",
        )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        raise NotFoundError(
            said(
                "'%(folder)s' is no export: it has no %(manifest)s.",
                folder=folder,
                manifest=MANIFEST,
            ),
            hint=said("Export it."),
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            said("'%(path)s' is damaged: %(error)s.", path=path, error=error),
            hint=said("Export it again."),
        ) from error
    return manifest
