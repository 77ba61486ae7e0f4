"""Files of other tools: the same examples come out whatever shape they went in."""

import json
from pathlib import Path

import pytest

from pericia.dataset import check
from pericia.errors import InputError
from pericia.examples import read_examples

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PAIR = '{"question": "How hot?", "answer": "900"}'
FILES = {
    "openai.jsonl": '{"messages": [{"role": "user", "content": "How hot?"}, {"role": "assistant", "content": "900"}]}',
    "pairs.jsonl": PAIR,
    "pairs.json": f"[{PAIR}]",
    "lines.json": f"{PAIR}\n",
    "prompts.jsonl": '{"prompt": "How hot?", "completion": "900"}',
    "alpaca.jsonl": '{"instruction": "How hot?", "input": "", "output": "900"}',
    "sharegpt.jsonl": '{"conversations": [{"from": "human", "value": "How hot?"}, {"from": "gpt", "value": "900"}]}',
    "table.csv": 'question,answer\n"How hot?",900\n',
    "qna.yaml": "seed_examples:\n- question: How hot?\n  answer: '900'\n",
    "own.csv": 'ask,say\n"How hot?",900\n',
}


@pytest.mark.parametrize("name", FILES)
def test_every_shape_gives_the_same_example(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(FILES[name], encoding="utf-8")
    (example,), findings = read_examples(path)
    assert (example.question, example.answer) == ("How hot?", "900")
    assert [f.code for f in findings] == (["columns_guessed"] if name == "own.csv" else [])


@pytest.mark.parametrize(
    ("name", "text"), [("x.yaml", "a: [1"), ("x.yaml", "a: 1"), ("x.csv", ""), ("x.json", "[]")]
)
def test_a_file_without_rows_is_refused(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="x"):
        read_examples(path)


def test_a_broken_list_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"question": 1},', encoding="utf-8")
    examples, findings = read_examples(path)
    assert not examples
    assert [f.code for f in findings] == ["no_json"]


@pytest.mark.skipif(not (DATA / "phi3cookbook").exists(), reason="the data are not here")
def test_the_duplicates_of_the_cookbook_are_found() -> None:
    report = check(DATA / "phi3cookbook" / "dataset-classification.json")
    assert report.num_examples == 1464
    exact = [f for f in report.findings if f.code == "duplicate_example"]
    assert len(exact) == 321
    assert report.num_errors == 0


@pytest.mark.skipif(not (DATA / "instructlab_qna").exists(), reason="the data are not here")
def test_every_instructlab_file_is_read() -> None:
    files = sorted((DATA / "instructlab_qna").rglob("qna.yaml"))
    assert len(files) == 16
    assert sum(len(read_examples(file)[0]) for file in files) == 97


@pytest.mark.skipif(not (DATA / "phi3cookbook").exists(), reason="the data are not here")
def test_rendered_text_is_refused_with_its_line() -> None:
    examples, findings = read_examples(DATA / "phi3cookbook" / "mlx" / "valid.jsonl")
    assert not examples
    assert json.dumps(findings[0].message)
    assert {f.code for f in findings if f.level == "error"} == {"missing_messages_list"}
