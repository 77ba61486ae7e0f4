"""Exporters: an adapter leaves the house as merged weights, GGUF or an Ollama model.

Each format is made from the one before it in its chain; `export.py` runs the chain and the parity gate.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pericia.errors import InputError
from pericia.lookup import load_object, unknown_name
from pericia.said import said
from pericia.types import Message, Parity


class Exporter(Protocol):
    def export(self, source: Path, folder: Path, *, base: Path, precision: str) -> None:
        """Write the model of `source` into `folder`, which does not exist yet.

        `source` is the adapter, or the folder of the format before this one in the chain.

        Raises:
            InputError: this kind of model or tokenizer cannot be written so. JobError: it failed.
        """
        ...


class Gate(Protocol):
    def check(
        self,
        candidate: Path,
        *,
        base: Path,
        adapter: Path,
        quantised: bool,
        precision: str,
        prompts: Sequence[Sequence[Message]],
        max_new_tokens: int = 32,
    ) -> Parity:
        """Return how near the files in `candidate`, loaded in a fresh process, come to the adapter on its base.

        Raises:
            InputError: there are no prompts. JobError: the files cannot be loaded.
        """
        ...


EXPORTERS = {
    "merged": "pericia.exporters.merged:MergedExporter",
    "gguf": "pericia.exporters.gguf:GgufExporter",
    "ollama": "pericia.exporters.ollama:OllamaExporter",
}
CHAINS: Mapping[str, tuple[str, ...]] = {
    "merged": ("merged",),
    "gguf": ("merged", "gguf"),
    "ollama": ("merged", "gguf", "ollama"),
}
# The first is the default. Four bits are not offered: what they lose shows in scores, not in this gate.
PRECISIONS: Mapping[str, tuple[str, ...]] = {
    "merged": ("base", "fp32", "bf16", "fp16"),
    "gguf": ("f16", "q8_0", "f32", "bf16"),
    "ollama": ("f16", "q8_0", "f32", "bf16"),
}
_GATE = {"parity": "pericia.exporters.parity:ParityGate"}


def load(name: str) -> Exporter:
    """Return the exporter of a name of `EXPORTERS`."""
    exporter: Exporter = load_object(EXPORTERS, name, "export format", extra="export")()
    return exporter


def load_gate() -> Gate:
    """Return the parity gate."""
    gate: Gate = load_object(_GATE, "parity", "gate")()
    return gate


def choose_precision(name: str, precision: str = "") -> str:
    """Return the precision to write a format in, checked.

    Raises:
        NotFoundError: the format is unknown. InputError: it is not written in this precision.

    Example:
        >>> choose_precision("gguf"), choose_precision("ollama", "q8_0")
        ('f16', 'q8_0')
    """
    if name not in PRECISIONS:
        raise unknown_name("export format", name, PRECISIONS)
    known = PRECISIONS[name]
    if precision and precision not in known:
        raise InputError(
            said(
                "'%(precision)s' is no precision of the format '%(name)s'.",
                precision=precision,
                name=name,
            ),
            hint=said("Available: %(known)s.", known=", ".join(known)),
            param="precision",
        )
    return precision or known[0]
