"""The parity gate: are the written files still the model that was measured?

In come an adapter on its base and a folder of written files, out a `Parity`. The adapter answers each prompt greedily;
the files are loaded in a fresh process, follow those answers token by token, then answer by themselves.
"""

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, DynamicCache
from transformers.utils import logging as transformers_logging

from pericia import bases
from pericia.errors import InputError, JobError
from pericia.examples import as_chat
from pericia.machine import look_at_machine
from pericia.said import said
from pericia.types import Message, Parity

GGUF_FILE = "model.gguf"
_BF16_BYTES = (
    2_000_000_000  # larger models are computed in bf16 where the CPU has it, as when they answer
)
# Least share of equal tokens, and largest difference of logits, by what was written.
_REQUIRED: dict[str, tuple[float, float | None]] = {
    "fp32": (1.0, 1e-4),
    "bf16": (0.995, None),
    "fp16": (0.995, None),
    "f32": (1.0, 1e-3),
    "f16": (0.99, None),
    "q8_0": (0.98, None),
    "from 4-bit": (0.98, None),  # the 4-bit base in training against the 16-bit base afterwards
}


class ParityGate:
    """See `Gate`."""

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
        """See `Gate.check`."""
        if not prompts:
            raise InputError(
                said("There are no held-out prompts, so nothing shows that the export is right."),
                hint=said("Give questions: in pericia.yaml, or some of the validation examples."),
            )
        with tempfile.TemporaryDirectory(prefix="pericia-parity-") as name:
            work = Path(name)
            reference = _load_reference(base, adapter, quantised)
            _record(reference, base, prompts, max_new_tokens, work)
            del reference
            found = _compare_in_fresh_process(candidate, work)
        return _judge(found, _kind(candidate, base, precision, quantised))


def compare(candidate: Path, work: Path) -> dict[str, Any]:
    """Return the counts of a comparison with what `_record` wrote into `work`."""
    request = json.loads((work / "request.json").read_text(encoding="utf-8"))
    gguf = {"gguf_file": GGUF_FILE} if (candidate / GGUF_FILE).exists() else {}
    dtype = getattr(torch, request["dtype"]) if gguf else "auto"
    model: Any = AutoModelForCausalLM.from_pretrained(
        candidate, dtype=dtype, trust_remote_code=False, **gguf
    )
    model = model.to(_device()).eval()
    tokenizer = AutoTokenizer.from_pretrained(candidate, trust_remote_code=False, **gguf)
    if gguf:
        tokenizer.chat_template = _template(candidate)
    stops = frozenset(request["stop_ids"])
    equal, identical, worst, num_tokens, same_prompts = 0, 0, 0.0, 0, True
    for index, row in enumerate(request["rows"]):
        reference = np.load(work / f"{index}.npy")
        logits = _forced_logits(model, row["prompt"], row["answer"])
        worst = max(worst, float(np.abs(logits - reference).max()))
        equal += int((logits.argmax(-1) == reference.argmax(-1)).sum())
        num_tokens += len(row["answer"])
        answer = _answer(model, row["prompt"], stops, request["max_new_tokens"])
        identical += answer == row["answer"]
        same_prompts &= _render(tokenizer, row["messages"]) == row["prompt"]
    return {
        "num_prompts": len(request["rows"]),
        "num_tokens": num_tokens,
        "max_logit_difference": worst,
        "argmax_agreement": equal / num_tokens,
        "identical_answers": identical / len(request["rows"]),
        "same_prompts": same_prompts,
    }


def _judge(found: dict[str, Any], kind: str) -> Parity:
    required, allowed = _REQUIRED[kind]
    near = allowed is None or found["max_logit_difference"] <= allowed
    return Parity(
        **found,
        required_agreement=required,
        allowed_difference=allowed,
        passed=found["same_prompts"] and near and found["argmax_agreement"] >= required,
    )


def _kind(candidate: Path, base: Path, precision: str, quantised: bool) -> str:
    if quantised:
        return "from 4-bit"
    if precision != "base":
        return precision
    dtype = str(bases.read_json(candidate, "config.json").get("dtype", "float32"))
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[dtype]


def _load_reference(base: Path, adapter: Path, quantised: bool) -> Any:
    transformers_logging.disable_progress_bar()
    size_bytes = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    large = size_bytes > _BF16_BYTES and look_at_machine().has_bf16
    dtype = torch.bfloat16 if torch.cuda.is_available() or large else torch.float32
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model: Any = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        device_map={"": str(_device())} if quantised else None,
        quantization_config=nf4 if quantised else None,
        use_safetensors=True,
        trust_remote_code=False,
    )
    for module in model.modules():
        if isinstance(module, Linear4bit):  # its fast CPU kernel rounds the scales of the weights
            module.support_avx512bf16_for_cpu = False
    with warnings.catch_warnings():  # peft uses an old name of transformers
        warnings.filterwarnings("ignore", ".*gradient_checkpointing. is dep", FutureWarning)
        model = PeftModel.from_pretrained(model if quantised else model.to(_device()), adapter)
    return model.eval()


def _record(
    model: Any, base: Path, prompts: Sequence[Sequence[Message]], max_new_tokens: int, work: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    stops = bases.stop_ids(base)
    rows = []
    for index, messages in enumerate(prompts):
        chat = as_chat(messages)
        prompt = _render(tokenizer, chat)
        answer = _answer(model, prompt, stops, max_new_tokens)
        np.save(work / f"{index}.npy", _forced_logits(model, prompt, answer))
        rows.append({"messages": chat, "prompt": prompt, "answer": answer})
    request = {
        "rows": rows,
        "stop_ids": sorted(stops),
        "max_new_tokens": max_new_tokens,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    (work / "request.json").write_text(json.dumps(request), encoding="utf-8")


def _compare_in_fresh_process(candidate: Path, work: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "pericia.exporters.parity", str(candidate), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = work / "result.json"
    if done.returncode != 0 or not result.exists():
        reason = (done.stderr.strip().split("\n") or ["no message"])[-1]
        raise JobError(
            said(
                "The files in '%(candidate)s' cannot be loaded again: %(reason)s.",
                candidate=candidate,
                reason=reason,
            ),
            hint=said("The adapter is untouched. Export it in another format."),
        )
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


@torch.inference_mode()
def _forced_logits(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> Any:
    """Return float32 logits, (answer length, vocabulary), each of the token that comes next in the answer."""
    ids = torch.tensor([[*prompt, *answer[:-1]]], device=model.device)
    logits = model(input_ids=ids, use_cache=False, logits_to_keep=len(answer)).logits
    return logits[0].float().cpu().numpy()


@torch.inference_mode()
def _answer(
    model: Any, prompt: Sequence[int], stops: frozenset[int], max_new_tokens: int
) -> list[int]:
    cache = DynamicCache(config=model.config)
    fed = torch.tensor([list(prompt)], device=model.device)
    answer: list[int] = []
    while len(answer) < max_new_tokens and not (answer and answer[-1] in stops):
        out = model(input_ids=fed, past_key_values=cache, use_cache=True, logits_to_keep=1)
        answer.append(int(out.logits[0, -1].argmax()))
        fed = torch.tensor([[answer[-1]]], device=model.device)
    return answer


def _render(tokenizer: Any, chat: Sequence[dict[str, Any]]) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return ids


def _template(candidate: Path) -> str:
    """Return the chat template that travels beside a GGUF file (the file holds it too)."""
    path = candidate / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    return str(bases.read_json(candidate, "tokenizer_config.json").get("chat_template", ""))


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    """Compare in this process: the folder of files and the folder of the recorded answers are the arguments."""
    candidate, work = map(Path, sys.argv[1:])
    transformers_logging.disable_progress_bar()
    (work / "result.json").write_text(json.dumps(compare(candidate, work)), encoding="utf-8")


if __name__ == "__main__":
    main()
