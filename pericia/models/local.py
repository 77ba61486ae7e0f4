"""Any causal language model of transformers, in this process, with adapters switched a request.

Arms are decoded greedily, so that a difference between two of them is never the luck of sampling.
"""

import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils import logging as transformers_logging

from pericia import bases
from pericia.errors import InputError, ModelError, NotFoundError
from pericia.machine import look_at_machine
from pericia.types import Generation, Message, Prompt, Sampling, Usage

_SMALL_BYTES = 2_000_000_000
_UNFINISHED = "\ufffd"  # what a tokenizer shows for a character of which bytes are missing


def load_folder(name: str) -> "LocalModel":
    """Return the model of a folder or hub name. Raises as `models.load`."""
    return LocalModel(name, bases.base_folder(name))


def load_bundled() -> "LocalModel":
    """Return the bundled model."""
    return load_folder(bases.BUNDLED)


Choose = Callable[[torch.Tensor, Sequence[int]], int]


class LocalModel:
    """See `Model`. One request at a time: adapters are switched in place."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._stop_ids = bases.stop_ids(folder)
        self._device, dtype = _hardware(folder)
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
            text = f"The model in '{folder}' cannot be loaded: {reason}"
            raise ModelError(text, hint=bases.mend(folder)) from error
        if not self._tokenizer.chat_template:
            text = f"The model in '{folder}' has no chat template, so it cannot be asked anything."
            raise ModelError(text, hint="Take an instruct model, or add its chat_template.jinja.")
        self.context_tokens = int(config.get_text_config().max_position_embeddings)
        self._base = model.to(self._device).eval()
        self._model: Any = self._base
        self._adapters: dict[Path, str] = {}
        self._turn = threading.Lock()

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int,
        adapter: Path | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Generation:
        """See `Model.generate`."""
        return self._generate(prompt, _likeliest, max_new_tokens, adapter, on_text)

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
        return self._generate(prompt, _drawn(sampling), max_new_tokens, adapter, on_text)

    def _generate(
        self,
        prompt: Prompt,
        choose: Choose,
        max_new_tokens: int,
        adapter: Path | None,
        on_text: Callable[[str], None] | None,
    ) -> Generation:
        ids = self._render(prompt.messages)
        if len(ids) + max_new_tokens > self.context_tokens:
            raise InputError(
                f"The prompt has {len(ids)} tokens; with {max_new_tokens} for the answer it does not fit the "
                f"{self.context_tokens} of '{self.name}'.",
                hint="Lower retrieval.context_tokens, evaluate.few_shot or evaluate.max_new_tokens.",
            )
        with self._turn, torch.inference_mode():
            self._switch(adapter)
            return self._decode(ids, choose, max_new_tokens, on_text)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """See `Model.count_tokens`."""
        return len(self._render(messages))

    def _render(self, messages: Sequence[Message]) -> list[int]:
        chat = [{"role": m.role, "content": m.content} for m in messages]
        ids: list[int] = self._tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return ids

    def _decode(
        self,
        ids: list[int],
        choose: Choose,
        max_new_tokens: int,
        on_text: Callable[[str], None] | None,
    ) -> Generation:
        started = time.perf_counter()
        first_token_ms = None
        cache = DynamicCache(config=self._base.config)
        fed = torch.tensor([ids], device=self._device)
        answer: list[int] = []
        text = _GrowingText(self._tokenizer, on_text)
        stopped = False
        while len(answer) < max_new_tokens and not stopped:
            out = self._model(
                input_ids=fed, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            token = choose(out.logits[0, -1], answer)
            if first_token_ms is None:
                first_token_ms = (time.perf_counter() - started) * 1000
            answer.append(token)
            stopped = token in self._stop_ids
            if not stopped:
                text.add(token)
                fed = torch.tensor([[token]], device=self._device)
        usage = Usage(len(ids), len(answer), (time.perf_counter() - started) * 1000, first_token_ms)
        return Generation(text.finish(), usage, "stop" if stopped else "length")

    def _switch(self, adapter: Path | None) -> None:
        """Turn one adapter on, or all off; a new one is loaded beside those in memory."""
        if adapter is None:
            if self._adapters:
                self._model.base_model.disable_adapter_layers()
            return
        name = self._adapters.get(adapter.resolve())
        if name is None:
            name = self._load_adapter(adapter)
        self._model.base_model.enable_adapter_layers()
        self._model.set_adapter(name)

    def _load_adapter(self, folder: Path) -> str:
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / file).exists():
                hint = "Train it again, or mend the path."
                raise NotFoundError(f"'{folder}' is no adapter: it has no {file}.", hint=hint)
        self._check_manifest(folder)
        name = f"adapter{len(self._adapters)}"
        try:
            with warnings.catch_warnings():  # peft uses an old name of transformers
                warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
                if self._adapters:
                    self._model.load_adapter(folder, name)
                else:
                    self._model = PeftModel.from_pretrained(self._base, folder, adapter_name=name)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            text = f"The adapter in '{folder}' does not fit '{self.name}': {reason}"
            raise ModelError(text, hint="Train it again on this base model.") from error
        self._model.eval()
        self._adapters[folder.resolve()] = name
        return name

    def _check_manifest(self, folder: Path) -> None:
        """Refuse an adapter that was trained with other markers: answers would be worse without a word."""
        manifest = bases.read_json(folder, "pericia-manifest.json")
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
                    f"The adapter in '{folder}' was trained with another {kind} than '{self.name}' has.",
                    hint="Serve it with the base model it was trained on, or train it again.",
                )


def _likeliest(logits: torch.Tensor, _: Sequence[int]) -> int:
    return int(logits.argmax())


def _drawn(sampling: Sampling) -> Choose:
    """Return what draws a token from the logits of the next one and the tokens of the answer so far."""
    generator = torch.Generator()
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)

    def choose(logits: torch.Tensor, answer: Sequence[int]) -> int:
        logits = logits.float().cpu().clone()
        for token, count in Counter(answer).items():
            logits[token] -= sampling.frequency_penalty * count + sampling.presence_penalty
        if sampling.temperature == 0:
            return int(logits.argmax())
        chances, tokens = torch.softmax(logits / sampling.temperature, -1).sort(descending=True)
        before = chances.cumsum(-1) - chances  # the likeliest token always stays
        chances[before >= sampling.top_p] = 0.0
        return int(tokens[torch.multinomial(chances, 1, generator=generator)])

    return choose


class _GrowingText:
    """Decodes an answer token by token; blanks at both ends and unfinished characters are held back."""

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None] | None) -> None:
        self._tokenizer = tokenizer
        self._on_text = on_text
        self._ids: list[int] = []
        self._sent = ""

    def add(self, token: int) -> None:
        self._ids.append(token)
        if self._on_text is not None and not (text := self._text()).endswith(_UNFINISHED):
            self._send(text)

    def finish(self) -> str:
        text = self._text()
        self._send(text)
        return text

    def _send(self, text: str) -> None:
        if self._on_text is not None and (piece := text.removeprefix(self._sent)):
            self._on_text(piece)
            self._sent = text

    def _text(self) -> str:
        text: str = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return text.strip()


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
