"""Chats that somebody has rendered to one text become turns again: Phi, ChatML, Llama, Mistral, Guanaco, Anthropic.

Trained as it stands, such a text would carry foreign or doubled markers, its question would count in the loss, and
serving would render another one (FINE_TUNING.md, faults 3 and 4).
"""

import re
from collections.abc import Iterator

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_NAMES = "|".join(_ROLES)
_STARTS = (  # each finds where a turn begins and who speaks
    re.compile(rf"<\|(?P<role>{_NAMES})\|>"),  # Phi-3, Zephyr
    re.compile(rf"<\|im_start\|>(?P<role>{_NAMES})\b"),  # ChatML: Qwen, SmolLM
    re.compile(rf"<\|start_header_id\|>(?P<role>{_NAMES})<\|end_header_id\|>"),  # Llama 3
    re.compile(rf"<start_of_turn>(?P<role>{_NAMES})\b"),  # Gemma
    re.compile(r"(?:^|\n)### ?(?P<role>Human|Assistant|System):"),  # Guanaco, Vicuna
    re.compile(r"(?:^|\n\n)(?P<role>Human|Assistant):"),  # Anthropic's HH
)
_ENDS = re.compile(
    r"\s*(?:<\|end\|>|<\|im_end\|>|<\|eot_id\|>|<\|endoftext\|>|<\|end_of_text\|>|<end_of_turn>|</s>)"
)
_BEGINS = re.compile(r"\s*(?:<\|begin_of_text\|>|<bos>|<s>)")
_INST = re.compile(r"\[INST\](?P<user>.*?)\[/INST\](?P<assistant>.*?)(?=\[INST\]|\Z)", re.DOTALL)
_SYS = re.compile(r"\s*<<SYS>>(?P<system>.*?)<</SYS>>", re.DOTALL)


def read_markers(text: str) -> list[dict[str, str]] | None:
    r"""Return the turns of a rendered chat as messages; None if the text is none, with no answer or words before it.

    Example:
        >>> read_markers("<|user|>\nHow hot? <|end|>\n<|assistant|> \n900 <|end|>")
        [{'role': 'user', 'content': 'How hot?'}, {'role': 'assistant', 'content': '900'}]
    """
    for start in _STARTS:
        if turns := list(_turns(text, start)):
            break
    else:
        turns = list(_inst_turns(text))
    kept = [{"role": role, "content": content} for role, content in turns if content]
    answered = any(turn["role"] == "assistant" for turn in kept)
    return kept if answered and kept[0]["role"] != "assistant" else None


def _turns(text: str, start: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    marks = list(start.finditer(text))
    if not marks or _BEGINS.sub("", text[: marks[0].start()]).strip():
        return
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        yield _ROLES[mark["role"].lower()], _ENDS.sub("", text[mark.end() : end]).strip()


def _inst_turns(text: str) -> Iterator[tuple[str, str]]:
    found = list(_INST.finditer(text))
    if not found or _BEGINS.sub("", text[: found[0].start()]).strip():
        return
    for turn in found:
        user = turn["user"]
        if system := _SYS.match(user):
            yield "system", system["system"].strip()
            user = user[system.end() :]
        yield "user", user.strip()
        yield "assistant", _BEGINS.sub("", _ENDS.sub("", turn["assistant"])).strip()
