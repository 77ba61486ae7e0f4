import json
from pathlib import Path

import pytest
import yaml

from pericia.autotrain import Translation, is_autotrain, read_autotrain
from pericia.autotrain_keys import PARAMS
from pericia.errors import ConfigError, InputError
from pericia.machine import Machine
from pericia.tune import read_autotrain_data, train_autotrain
from pericia.workspace import Workspace

CONFIGS = Path(__file__).parents[2] / "shared" / "data" / "autotrain_configs"
CPU = Machine(cpu="test", num_cores=2, memory_bytes=8 * 2**30, has_bf16=False)
FILE = """
task: llm-sft
base_model: some/model
project_name: my-run
log: none
backend: local
data:
  path: rows
  train_split: train
  valid_split: dev
  chat_template: tokenizer
  column_mapping:
    text_column: messages
params:
  block_size: 512
  epochs: 2
  batch_size: 2
  gradient_accumulation: 8
  lr: 1e-5
  peft: true
  quantization: int4
  target_modules: qkv_proj, o_proj
hub:
  username: ${HF_USERNAME}
  token: hf_secret
  push_to_hub: false
"""


def translate(tmp_path: Path, text: str = FILE, **options: object) -> Translation:
    (tmp_path / "job.yml").write_text(text, encoding="utf-8")
    return read_autotrain(tmp_path / "job.yml", machine=CPU, **options)  # type: ignore[arg-type]


def verdicts(translation: Translation) -> dict[str, str]:
    return {line.key: line.verdict for line in translation.lines}


def test_a_file_becomes_settings_and_a_table(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "rows" / f"{split}.jsonl").write_text("{}\n", encoding="utf-8")
    result = translate(tmp_path)
    result.check()
    settings = result.settings
    assert (settings.method, settings.learning_rate, settings.epochs) == ("qlora", 1e-5, 2)
    assert (settings.batch_size, settings.max_tokens, settings.warmup) == (16, 512, 0.1)
    assert (settings.rank, settings.alpha, settings.dropout) == (16, 32, 0.05)
    assert settings.target_modules == ("qkv_proj", "o_proj")
    assert result.data.train == tmp_path / "rows" / "train.jsonl"
    assert result.data.validation == tmp_path / "rows" / "dev.jsonl"
    found = verdicts(result)
    assert found["loss"] == "changed"
    assert found["data.valid_split"] == "changed"
    assert found["params.lr"] == "changed"
    assert found["params.batch_size"] == "kept"
    assert found["params.quantization"] == "changed"
    assert found["hub.push_to_hub"] == "kept"


@pytest.mark.parametrize(
    ("written", "verdict", "reason"),
    [
        ("logging_steps: -1", "changed", "every step is recorded"),
        ("eval_strategy: steps", "changed", "after each epoch"),
        ("eval_strategy: epoch", "kept", "same meaning"),
        ("model_ref: some/other", "changed", "the base as it is"),
        ("max_prompt_length: 64", "changed", "only block_size bounds a row"),
        ("max_completion_length: null", "kept", "same meaning"),
        ("scheduler: constant", "changed", "warms up first"),
        ("scheduler: cosine", "kept", "same meaning"),
        ("username: me", "kept", "not needed"),
    ],
)
def test_only_what_has_the_same_meaning_is_called_so(
    written: str, verdict: str, reason: str, tmp_path: Path
) -> None:
    lines = translate(tmp_path, FILE.replace("params:\n", f"params:\n  {written}\n")).lines
    [line] = [line for line in lines if line.key == f"params.{written.partition(':')[0]}"]
    assert line.verdict == verdict
    assert reason in line.reason


def test_a_rate_out_of_range_is_one_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(tmp_path, FILE.replace("lr: 1e-5", "lr: 5"))
    [fault] = caught.value.message.split("\n")
    assert fault.endswith("params.lr is 5; input should be less than or equal to 1.")


def test_every_key_of_the_file_has_one_line(tmp_path: Path) -> None:
    data = yaml.safe_load(FILE)
    wanted = {"loss", *(k for k in data if k not in {"data", "params", "hub"})}
    wanted |= {f"{part}.{key}" for part in ("data", "params", "hub") for key in data[part]}
    lines = translate(tmp_path).lines
    assert len(lines) == len(wanted)
    assert {line.key for line in lines} == wanted
    assert all(line.reason for line in lines)


def test_no_token_is_shown(tmp_path: Path) -> None:
    text = FILE.replace("  peft: true\n", "  peft: true\n  token: hf_secret\n")
    assert "hf_secret" not in repr(translate(tmp_path, text))


@pytest.mark.parametrize(
    ("params", "method"),
    [
        ("peft: true\n  quantization: null", "lora"),
        ("peft: true\n  quantization: int8", "qlora"),
        ("peft: true", "qlora"),  # AutoTrain's default is int4
        ("quantization: int4", "full"),
        ("peft: false", "full"),
    ],
)
def test_the_method(tmp_path: Path, params: str, method: str) -> None:
    head = FILE[: FILE.index("params:")]
    assert translate(tmp_path, f"{head}params:\n  {params}\n").settings.method == method


def test_the_block_size(tmp_path: Path) -> None:
    for written, tokens in (("-1", 1024), ("'512,1024'", 512), ("[256, 512]", 256), ("4096", 2048)):
        text = FILE.replace("block_size: 512", f"block_size: {written}")
        assert translate(tmp_path, text).settings.max_tokens == tokens


def test_what_this_computer_lacks_is_changed(tmp_path: Path) -> None:
    text = FILE.replace(
        "  peft: true\n", "  peft: true\n  optimizer: paged_adamw_8bit\n  mixed_precision: fp16\n"
    )
    result = translate(tmp_path, text)
    reasons = {line.key: line.reason for line in result.lines}
    assert result.settings.optimizer == "adamw_torch"
    assert "paging needs a GPU" in reasons["params.optimizer"]
    assert reasons["params.mixed_precision"] == "by this computer: fp32"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("backend: local", "backend: spaces-a10g-large", "backend"),
        ("task: llm-sft", "task: image-classification", "task"),
        ("task: llm-sft", "task: llm-reward", "task"),
        ("  lr: 1e-5", "  lr: 1e-5\n  lora_rank: 8", "params.lora_rank"),
        ("  path: rows", "  path: https://example.org/rows", "data.path"),
        ("log: none", "log: none\nlogs: x", "logs"),
    ],
)
def test_what_is_refused_starts_no_training(tmp_path: Path, old: str, new: str, key: str) -> None:
    result = translate(tmp_path, FILE.replace(old, new))
    with pytest.raises(ConfigError, match=f"^{key}: "):
        result.check()


def test_an_unknown_parameter_gets_the_nearest_name(tmp_path: Path) -> None:
    result = translate(tmp_path, FILE.replace("  lr: 1e-5", "  lora_rr: 8"))
    line = next(line for line in result.lines if line.key == "params.lora_rr")
    assert line.reason == "unknown parameter; did you mean 'lora_r'?"


def test_an_upload_is_refused_and_training_goes_on(tmp_path: Path) -> None:
    result = translate(tmp_path, FILE.replace("push_to_hub: false", "push_to_hub: true"))
    assert verdicts(result)["hub.push_to_hub"] == "refused"
    result.check()


def test_the_caller_may_override_base_data_and_backend(tmp_path: Path) -> None:
    text = FILE.replace("backend: local", "backend: spaces-a10g-large")
    result = translate(tmp_path, text, base="pericia-nano", data_path="mine", local=True)
    result.check()
    assert (result.base, result.data.path) == ("pericia-nano", "mine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 1e-5", "lr: fast", "params.lr is 'fast'; expected a number"),
        ("lr: 1e-5", "lr: 0", "params.lr is 0"),
        ("lr: 1e-5", "lr: .nan", "params.lr is nan; expected a number"),
        ("epochs: 2", "epochs: yes", "params.epochs is True; expected a number"),
        ("peft: true", "peft: maybe", "params.peft is 'maybe'; expected true or false"),
        ("block_size: 512", "block_size: long", "params.block_size is 'long'"),
        ("base_model: some/model", "base_model:", "base_model is missing"),
        ("  path: rows\n", "", "data.path is missing"),
        ("params:\n", "params: x\nother:\n", "params is 'x'; expected keys with values"),
    ],
)
def test_faults_are_named_with_their_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        translate(tmp_path, FILE.replace(old, new))
    assert message in caught.value.message


def test_files_that_are_none(tmp_path: Path) -> None:
    for text, message in (
        ("a: [", "is no YAML"),
        ("- 1\n", "expected keys"),
        ("", "expected keys"),
    ):
        with pytest.raises(ConfigError, match=message):
            translate(tmp_path, text)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_autotrain(tmp_path / "nowhere.yml")
    with pytest.raises(ConfigError, match="is an address"):
        read_autotrain(Path("https://example.org/job.yml"))


def test_which_files_are_autotrains(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(FILE, encoding="utf-8")
    (tmp_path / "b.yaml").write_text("name: x\nmodel: y\n", encoding="utf-8")
    assert is_autotrain(tmp_path / "a.yml")
    assert not is_autotrain(tmp_path / "b.yaml")
    assert not is_autotrain(tmp_path / "nowhere.yml")


def test_all_48_parameters_are_known() -> None:
    assert len(PARAMS) == 48


@pytest.mark.skipif(not CONFIGS.exists(), reason="shared data are not here")
@pytest.mark.parametrize(
    ("file", "method", "rate", "tokens", "objective"),
    [
        ("smollm2.yml", "qlora", 1e-5, 2048, "sft"),
        ("llama32-1b-sft.yml", "qlora", 1e-5, 2048, "sft"),
        ("llama3-8b-dpo-qlora.yml", "qlora", 3e-5, 1024, "dpo"),
        ("gpt2_sft.yml", "full", 3e-5, 1024, "text"),
    ],
)
def test_autotrains_own_files_are_accepted_as_they_are(
    file: str, method: str, rate: float, tokens: int, objective: str
) -> None:
    result = read_autotrain(CONFIGS / file, machine=CPU)
    result.check()
    settings = result.settings
    assert (settings.method, settings.learning_rate) == (method, rate)
    assert (settings.max_tokens, settings.batch_size) == (tokens, 8)
    assert settings.objective == objective
    assert result.merge == (method == "qlora" and objective == "sft")


def test_the_data_of_a_file_are_read_with_its_columns_and_splits(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for split, first in (("train", 0), ("dev", 50)):
        rows = [
            {
                "messages": str(
                    [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]
                )
            }
            for n in range(first, first + 4)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "rows" / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    dataset, findings = read_autotrain_data(translate(tmp_path))
    assert [e.question for e in dataset.validation] == ["q50", "q51", "q52", "q53"]
    assert (len(dataset.train), findings) == (4, ())

    shared = (tmp_path / "rows" / "train.jsonl").read_text(encoding="utf-8")
    (tmp_path / "rows" / "dev.jsonl").write_text(shared, encoding="utf-8")
    with pytest.raises(InputError, match="the same example stands in line 1 of the validation"):
        read_autotrain_data(translate(tmp_path))
    (tmp_path / "rows" / "dev.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="holds no example"):
        read_autotrain_data(translate(tmp_path))


def test_pairs_and_plain_texts_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    pairs = [{"ask": f"q{n}", "good": "a", "bad": "b"} for n in range(3)]
    chat = "<|user|>\nq<|end|>\n<|assistant|>\na<|end|>"
    for split, rows in (("train", pairs), ("plain", [{"text": f"{chat} {n}"} for n in range(3)])):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "rows" / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    columns = "text_column: good\n    rejected_text_column: bad\n    prompt_text_column: ask"
    text = FILE.replace("  valid_split: dev\n", "").replace("text_column: messages", columns)
    dpo = text.replace("llm-sft", "llm-dpo")
    dataset, _ = read_autotrain_data(translate(tmp_path, dpo))
    every = sorted((*dataset.train, *dataset.validation), key=lambda e: e.line)
    assert [(e.question, e.answer, e.rejected) for e in every] == [
        (f"q{n}", "a", "b") for n in range(3)
    ]
    plain = FILE.replace("  valid_split: dev\n", "").replace(
        "train_split: train", "train_split: plain"
    )
    plain = plain.replace("text_column: messages", "text_column: text")
    plain = plain.replace("chat_template: tokenizer", "chat_template: null")
    dataset, _ = read_autotrain_data(translate(tmp_path, plain))
    assert all(e.is_text and "<|user|>" in e.answer for e in dataset.train)
    assert any(line.key == "validation" for line in translate(tmp_path, plain).lines)


@pytest.mark.slow
def test_a_file_trains_an_adapter_and_the_same_file_finds_it_again(
    tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "rows").mkdir()
    for split, start, stop in (("train", 0, 48), ("dev", 50, 58)):
        chats = [
            {
                "messages": [
                    {"role": "user", "content": f"q {n}"},
                    {"role": "assistant", "content": "a"},
                ]
            }
            for n in range(start, stop)
        ]
        lines = "".join(json.dumps(chat) + "\n" for chat in chats)
        (tmp_path / "rows" / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    text = FILE.replace("target_modules: qkv_proj, o_proj", "target_modules: all-linear")
    text = text.replace("quantization: int4", "quantization: null").replace("lr: 1e-5", "lr: 5e-3")
    translation = translate(tmp_path, text, base=str(tiny_model))
    first = train_autotrain(translation, Workspace(tmp_path))
    again = train_autotrain(translation, Workspace(tmp_path))
    assert again.adapter == first.adapter
    assert first.adapter.manifest["num_validation"] == 8
    assert Path(first.adapter.path, "adapter_model.safetensors").exists()
