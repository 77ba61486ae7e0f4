from pathlib import Path

import pytest
from transformers import AutoTokenizer

from pericia.errors import InputError
from pericia.exporters.ollama import modelfile, read_pieces
from tests.tiny_model import build_tokenizer

REAL_TOKENIZER = Path(__file__).parents[3] / "shared" / "data" / "phi3_tokenizer"
PHI3 = (
    '{{ range .Messages }}{{ if eq .Role "system" }}<|system|>\n{{ .Content }}<|end|>\n'
    '{{ else if eq .Role "user" }}<|user|>\n{{ .Content }}<|end|>\n'
    '{{ else if eq .Role "assistant" }}<|assistant|>\n{{ .Content }}<|end|>\n'
    "{{ end }}{{ end }}<|assistant|>\n"
)
CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "<|system|>\nBe kind.<|end|>\n{% endif %}"
    "<|user|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant\n{% endif %}"
)


def test_phi_3s_template_in_gos_language() -> None:
    assert read_pieces(build_tokenizer()).to_go() == PHI3


@pytest.mark.skipif(not REAL_TOKENIZER.exists(), reason="shared data are not here")
def test_the_real_phi_3_template() -> None:
    assert read_pieces(AutoTokenizer.from_pretrained(REAL_TOKENIZER)).to_go() == PHI3


def test_a_default_system_message_stands_where_there_is_none() -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = CHATML
    pieces = read_pieces(tokenizer)
    assert "Be kind." in pieces.default
    assert "Be kind." in pieces.render([("user", "Hi")])
    assert "Be kind." not in pieces.render([("system", "S"), ("user", "Hi")])
    assert pieces.to_go().startswith("{{ if not .System }}")


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['content'] }}{% endif %}{% endfor %}",
        "{% for m in messages %}{{ loop.index }}: {{ m['content'] }}\n{% endfor %}",
        "{% for m in messages %}<|user|>{{ m['content'] | upper }}<|end|>{% endfor %}",
    ],
)
def test_a_template_that_ollama_cannot_have_is_refused(template: str) -> None:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(InputError, match="chat template"):
        read_pieces(tokenizer)


def test_the_modelfile_has_every_stop() -> None:
    text = modelfile(read_pieces(build_tokenizer()), ["<|endoftext|>", "<|end|>"], 4096)
    assert text.startswith("FROM ./model.gguf\nTEMPLATE ")
    assert 'PARAMETER stop "<|endoftext|>"\nPARAMETER stop "<|end|>"\n' in text
    assert text.endswith("PARAMETER temperature 0\nPARAMETER num_ctx 4096\n")
