"""Any sentence-transformers CrossEncoder with one output, in this process: a folder or a hub name.

Source: Nogueira, Cho, Passage Re-ranking with BERT, 2019.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from sentence_transformers import CrossEncoder
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from pericia.errors import ModelError, NotFoundError

BATCH_SIZE = 16
_LONGEST = 512  # tokens of question and passage, where the model does not say


def load_folder(name: str) -> "CrossEncoderReranker":
    """Return the reranker of a folder or hub name. Raises as `rerankers.load`."""
    folder = Path(name).expanduser()
    looks_like_a_path = name.startswith((".", "/", "~")) or folder.exists()
    if looks_like_a_path and not (folder / "config.json").is_file():
        raise NotFoundError(
            f"The reranker '{name}' is no folder of a model: it has no config.json.",
            hint="Give retrieval.reranker a folder or hub name of a sentence-transformers CrossEncoder.",
        )
    return CrossEncoderReranker(name, str(folder) if looks_like_a_path else name)


class CrossEncoderReranker:
    """See `Reranker`."""

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        transformers_logging.disable_progress_bar()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            _check_head(name, source, config.architectures or ())
            self._model = CrossEncoder(
                source,
                device=device,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except (
            OSError,
            ValueError,
            RuntimeError,
            KeyError,
            HFValidationError,
            SafetensorError,
        ) as error:
            reason = str(error).strip().split("\n")[0]
            raise ModelError(
                f"The reranker '{name}' cannot be loaded: {reason}",
                hint="Without a network take a local folder, or leave retrieval.reranker empty.",
            ) from error
        if self._model.num_labels != 1:
            raise ModelError(
                f"The reranker '{name}' gives {self._model.num_labels} outputs and not one score.",
                hint="Take a CrossEncoder that was trained to rank.",
            )
        positions = int(getattr(config, "max_position_embeddings", 0) or _LONGEST)
        self._model.max_seq_length = min(self._model.max_seq_length or _LONGEST, positions)

    def score(self, question: str, texts: Sequence[str]) -> list[float]:
        """See `Reranker.score`."""
        if not texts:
            return []
        found = self._model.predict(
            [(question, text) for text in texts],
            batch_size=BATCH_SIZE,
            show_progress_bar=False,
            activation_fn=torch.nn.Sigmoid(),
        )
        return [float(one) for one in found]


def _check_head(name: str, source: str, architectures: Sequence[str]) -> None:
    """Raise ModelError for a model without a score: loading it would draw one by chance."""
    has_modules = (Path(source) / "modules.json").is_file()
    if not has_modules and not any("SequenceClassification" in one for one in architectures):
        shown = ", ".join(architectures) or "unknown"
        raise ModelError(
            f"'{name}' is no reranker: its architecture is {shown}.",
            hint="Take a sentence-transformers CrossEncoder, such as cross-encoder/ms-marco-MiniLM-L6-v2.",
        )
