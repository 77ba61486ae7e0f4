"""A causal language model of transformers as `Model` and `Sampler` describe it.

Arms are decoded greedily, so that a difference between two of them is never the luck of sampling. Calls from several
threads are answered together; alone or together, an answer is the same up to rounding.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from pericia import bases
from pericia.errors import EnoughError, InputError, ModelError
from pericia.machine import look_at_machine
from pericia.models.local.adapters import Adapters
from pericia.models.local.choose import Chooser, Vocabulary, make_chooser, read_logprobs
from pericia.models.local.decode import Decoder, Reply
from pericia.models.local.likelihood import nats_of
from pericia.models.local.text import GrowingText
from pericia.said import said
from pericia.types import Generation, Message, Prompt, Sampling, TextLoss, Usage

MAX_TOGETHER = 32  # answers in one step; more wait their turn
_CACHE_SHARE = 0.5  # of the memory that is free beside the weights: a training may want the rest
_SMALL_BYTES = 2_000_000_000


def load_folder(name: str) -> "LocalModel":
    """Return the model of a folder or hub name. Raises as `models.load`."""
    return LocalModel(name, bases.base_folder(name))


def load_bundled() -> "LocalModel":
    """Return the bundled model."""
    return load_folder(bases.BUNDLED)


class LocalModel:
    """See `Model` and `Sampler`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._stop_ids = bases.stop_ids(folder)
        device, dtype = _hardware(folder)
        transformers_logging.disable_progress_bar()
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation="sdpa",
            )
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            text = said(
                "The model in '%(folder)s' cannot be loaded: %(reason)s",
                folder=folder,
                reason=reason,
            )
            raise ModelError(text, hint=bases.mend(folder)) from error
        if not self._tokenizer.chat_template:
            text = said(
                "The model in '%(folder)s' has no chat template, so it cannot be asked anything.",
                folder=folder,
            )
            raise ModelError(
                text, hint=said("Take an instruct model, or add its chat_template.jinja.")
            )
        self.context_tokens = int(config.get_text_config().max_position_embeddings)
        self._tokenizing = threading.Lock()  # a fast tokenizer refuses two threads at once
        model = model.to(device).eval()
        size = int(model.get_output_embeddings().weight.shape[0])
        self._vocabulary = Vocabulary(self._tokenizer, size, self._stop_ids)
        self._adapters = Adapters(model, name, self._check_manifest)
        self._device = device
        max_bytes = int(_CACHE_SHARE * _free_bytes(device))
        self._decoder = Decoder(self._adapters, self._stop_ids, device, MAX_TOGETHER, max_bytes)

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """See `Model.generate`."""
        return self._generate(prompt, None, max_new_tokens, adapter, on_text)

    def sample(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """See `Sampler.sample`."""
        chooser = make_chooser(sampling, self._vocabulary)
        return self._generate(prompt, chooser, max_new_tokens, adapter, on_text)

    def text_loss(
        self, text: str, *, prompt: Prompt | None = None, adapter: Path | None = None
    ) -> TextLoss:
        """See `Rater.text_loss`. Not while answers are being generated: both use the adapters."""
        with self._tokenizing:
            own = list(self._tokenizer(text, add_special_tokens=False).input_ids)
        first = self._tokenizer.bos_token_id
        before = self._render(prompt.messages) if prompt else [] if first is None else [first]
        ids = (before + own)[: self.context_tokens]
        num_given = max(1, len(before))  # nothing foretells the first token of all
        num_scored = len(ids) - num_given
        if num_scored < 1:
            return TextLoss(0.0, 0, 0)

        def forward(**inputs: Any) -> Any:
            return self._adapters.forward([adapter], **inputs)

        with self._tokenizing:
            scored = self._tokenizer.decode(ids[num_given:], skip_special_tokens=False)
        nats = nats_of(ids, num_given, forward, self._device)
        return TextLoss(nats, num_scored, len(scored.encode()))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See `Model.count_tokens`."""
        return len(self._render(messages))

    def _generate(
        self,
        prompt: Prompt,
        chooser: Chooser | None,
        max_new_tokens: int,
        adapter: Path | None,
        on_text: Callable[[str], None] | None,
    ) -> Generation:
        ids = self._render(prompt.messages)
        if len(ids) + max_new_tokens > self.context_tokens:
            raise InputError(
                said(
                    "The prompt has %(num_ids)s tokens; with %(max_new_tokens)s for the answer it does not fit the %(context_tokens)s of '%(name)s'.",
                    num_ids=len(ids),
                    max_new_tokens=max_new_tokens,
                    context_tokens=self.context_tokens,
                    name=self.name,
                ),
                hint=said(
                    "Lower retrieval.context_tokens, evaluate.few_shot or evaluate.max_new_tokens."
                ),
            )
        text = GrowingText(self._tokenizer, on_text)
        reply = Reply(ids, max_new_tokens, adapter, text, chooser)
        self._decoder.run(reply)
        latency_ms = (time.perf_counter() - reply.started) * 1000
        usage = Usage(len(ids), len(reply.written), latency_ms, reply.first_token_ms)
        logprobs = () if chooser is None else read_logprobs(chooser, self._vocabulary)
        reason = reply.finish_reason
        try:
            text.finish()
        except EnoughError:
            reason = "stop"
        return Generation(text.text(), usage, reason, logprobs)

    def _render(self, messages: Sequence[Message]) -> list[int]:
        chat = [{"role": m.role, "content": m.content} for m in messages]
        with self._tokenizing:
            ids: list[int] = self._tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        return ids

    def _check_manifest(self, folder: Path) -> None:
        """Refuse an adapter that was trained with other markers: answers would be worse without a word."""
        manifest = bases.read_json(folder, "pericia-manifest.json")
        with self._tokenizing:
            rendered = self._tokenizer.apply_chat_template(
                list(bases.TEMPLATE_PROBE), add_generation_prompt=True, tokenize=False
            )
        own = {
            "template_sha256": bases.template_sha256(rendered),
            "stop_sha256": bases.stop_sha256(self._stop_ids),
        }
        for key, value in own.items():
            if manifest.get(key, value) != value:
                kind = "chat template" if key == "template_sha256" else "set of end markers"
                raise ModelError(
                    said(
                        "The adapter in '%(folder)s' was trained with another %(kind)s than '%(name)s' has.",
                        folder=folder,
                        kind=kind,
                        name=self.name,
                    ),
                    hint=said("Serve it with the base model it was trained on, or train it again."),
                )


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return min(psutil.virtual_memory().available, look_at_machine().memory_bytes)


def _hardware(folder: Path) -> tuple[torch.device, torch.dtype]:
    """Return where and in which precision to compute.

    A CPU gains from bf16 only with instructions for it and large matrices; a small model in fp32 is as fast and
    gives the same answers on every computer.
    """
    if torch.cuda.is_available():
        return torch.device("cuda"), torch.bfloat16
    size_bytes = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size_bytes > _SMALL_BYTES and look_at_machine().has_bf16:
        return torch.device("cpu"), torch.bfloat16
    return torch.device("cpu"), torch.float32
