"""InstructLab's qna.yaml: its seed examples, each with the line on which it begins."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pericia.errors import InputError
from pericia.said import said

_LINE = "\0line"


def read_seeds(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield line and row of each seed; what has no question or no answer comes as it is.

    A skill's question is asked with its context. Of knowledge files the context is left out: there the answer is to
    be known without it.

    Raises:
        InputError: the text is no YAML, or holds no seeds.
    """
    try:
        data = _LinedLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(
            said("'%(path)s' is no YAML: %(error)s.", path=path, error=error),
            hint=said("Mend the YAML."),
        ) from error
    seeds = data.get("seed_examples") if isinstance(data, dict) else None
    if not isinstance(seeds, list):
        raise InputError(
            said("'%(path)s' has no 'seed_examples'.", path=path),
            hint=said("Give an InstructLab qna.yaml."),
        )
    for seed in seeds:
        if not isinstance(seed, dict):
            yield 1, seed
            continue
        pairs = seed.get("questions_and_answers")
        for pair in pairs if isinstance(pairs, list) else [seed]:
            line = (pair if isinstance(pair, dict) else seed)[_LINE]
            yield line, _row(pair, seed)


def _row(pair: Any, seed: dict[str, Any]) -> Any:
    if not isinstance(pair, dict) or not {"question", "answer"} <= pair.keys():
        return {k: v for k, v in pair.items() if k != _LINE} if isinstance(pair, dict) else pair
    question = str(pair["question"]).strip()
    context = str(seed.get("context") or "").strip() if pair is seed else ""
    asked = f"{context}\n\n{question}" if context else question
    return {"question": asked, "answer": str(pair["answer"]).strip()}


class _LinedLoader(yaml.SafeLoader):
    """Safe YAML whose mappings know the line on which they begin."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        made[_LINE] = node.start_mark.line + 1
        return made
