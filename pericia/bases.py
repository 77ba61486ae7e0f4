"""Base models on disk: a name becomes a folder, and what identifies it is read from its files, without loading them.

Template and end markers decide what a trained adapter has learnt, so training records them and serving compares.
"""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import huggingface_hub  # light: it imports its parts when they are first used

from pericia.errors import ModelError, NotFoundError
from pericia.said import said
from pericia.workspace import sha256_of, sha256_of_file

# A model with fewer is trained in fp32 on a CPU: there, casts cost more than bf16 matrix products save.
BF16_PARAMETERS = 50_000_000
BUNDLED = "pericia-nano"
BUNDLED_FOLDER = Path(__file__).parent / "models" / "nano"
REBUILD = "python -m pericia.lab.nano train"
TEMPLATE_PROBE = (
    {"role": "system", "content": "s"},
    {"role": "user", "content": "u1"},
    {"role": "assistant", "content": "a1"},
    {"role": "user", "content": "u2"},
)
_END_MARKERS = ("<|end|>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>")
_IDENTITY = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")


def base_folder(name: str) -> Path:
    """Return the folder of a base model: the bundled one, a folder, or a hub name, which is fetched if need be.

    Raises:
        NotFoundError: there is no such folder or hub model, or the folder holds no model; the file that is missing
            is named. ModelError: the bundled model is not there.
    """
    if name == BUNDLED:
        missing = _missing(BUNDLED_FOLDER)
        if missing:
            text = said(
                "The bundled model is incomplete: '%(bundled_folder)s' is missing.",
                bundled_folder=BUNDLED_FOLDER / missing,
            )
            raise ModelError(text, hint=said("Rebuild it: %(rebuild)s", rebuild=REBUILD))
        return BUNDLED_FOLDER
    folder = Path(name).expanduser()
    if not folder.exists():
        return _fetched(name)
    missing = _missing(folder) if folder.is_dir() else "config.json"
    if missing:
        hint = said("Give the folder of a causal language model as transformers saves it.")
        if missing == "model.safetensors" and [*folder.glob("*.bin"), *folder.glob("*.pt")]:
            hint = said(
                "Weights in pickle files can run code and are not read; save them as safetensors."
            )
        raise NotFoundError(
            said(
                "'%(folder)s' is no model: it has no %(missing)s.", folder=folder, missing=missing
            ),
            hint=hint,
        )
    return folder


def base_sha256(folder: Path) -> str:
    """Return the hash of weights, tokenizer, template and config."""
    files = [folder / name for name in _IDENTITY if (folder / name).exists()]
    files += sorted(folder.glob("*.safetensors"))
    return sha256_of([[file.name, sha256_of_file(file)] for file in files])


def stop_ids(folder: Path) -> frozenset[int]:
    """Return the ids at which generation stops: those of the model's files, and the end marker of its chats."""
    tokenizer = read_json(folder, "tokenizer.json")
    added = {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    found: set[int] = set()
    for name in ("generation_config.json", "config.json"):
        ids = read_json(folder, name).get("eos_token_id")
        found |= set(ids) if isinstance(ids, list) else set() if ids is None else {ids}
    eos = read_json(folder, "tokenizer_config.json").get("eos_token")
    marker = eos["content"] if isinstance(eos, dict) else eos
    return frozenset(found | {added[m] for m in (*_END_MARKERS, marker) if m in added})


def stop_sha256(ids: frozenset[int]) -> str:
    """Return the hash of the end markers."""
    return sha256_of(sorted(ids))


def template_sha256(rendered: str) -> str:
    """Return the hash of `TEMPLATE_PROBE` as a chat template renders it for generation."""
    return sha256(rendered.encode()).hexdigest()


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return a file of the model; {} when it has none.

    Raises:
        ModelError: the file is no JSON object.
    """
    path = folder / name
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            said("'%(path)s' is damaged: %(error)s.", path=path, error=error), hint=mend(folder)
        ) from error
    if not isinstance(value, dict):
        raise ModelError(
            said("'%(path)s' is damaged: it holds no object.", path=path), hint=mend(folder)
        )
    return value


def mend(folder: Path) -> str:
    """Return what to do about a damaged model."""
    if folder == BUNDLED_FOLDER:
        return f"Rebuild it: {REBUILD}"
    return "Copy or fetch the model again."


def _missing(folder: Path) -> str:
    if not (folder / "config.json").exists():
        return "config.json"
    if not [*folder.glob("*.safetensors")]:
        return "model.safetensors"
    tokenizers = ("tokenizer.json", "tokenizer.model", "vocab.json")
    return "" if any((folder / name).exists() for name in tokenizers) else "tokenizer.json"


def _fetched(name: str) -> Path:
    if not _HUB_NAME.match(name):
        hint = said(
            "Give a folder, or the name of a model on the hub such as microsoft/Phi-4-mini-instruct."
        )
        raise NotFoundError(said("There is no model folder '%(name)s'.", name=name), hint=hint)
    patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    try:
        folder = huggingface_hub.snapshot_download(name, allow_patterns=patterns)
    except (
        huggingface_hub.errors.LocalEntryNotFoundError,
        huggingface_hub.errors.HFValidationError,
        huggingface_hub.errors.HfHubHTTPError,
        OSError,
    ) as error:
        reason = str(error).strip().split("\n")[0]
        raise NotFoundError(
            said(
                "There is no model folder '%(name)s', and the hub did not give one: %(reason)s",
                name=name,
                reason=reason,
            ),
            hint=said("Mend the name; without a network take a folder or 'pericia-nano'."),
        ) from error
    return Path(folder)
