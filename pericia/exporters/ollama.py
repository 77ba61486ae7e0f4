"""Ollama: a Modelfile beside the GGUF file, with the chat template in Go's language and every end marker as a stop.

The template is not written by hand: the pieces around each role are read off what the tokenizer's own template renders,
and put together again for several conversations; a template that does not come apart so is refused.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from pericia import bases
from pericia.errors import InputError
from pericia.said import said
from pericia.workspace import write_atomic

GGUF_FILE = "model.gguf"
_SYSTEM, _FIRST, _REPLY, _SECOND = "Qsystem7", "Qfirst7", "Qreply7", "Qsecond7"

Turn = tuple[str, str]  # role, content


@dataclass(frozen=True, slots=True)
class Pieces:
    """The text around each role; `default` stands first when there is no system message."""

    default: str
    system: tuple[str, str]
    user: tuple[str, str]
    assistant: tuple[str, str]
    answer: str

    def render(self, turns: Sequence[Turn]) -> str:
        """Return a conversation as Ollama will render it, up to the answer that is asked for."""
        around = {"system": self.system, "user": self.user, "assistant": self.assistant}
        texts = [around[role][0] + content + around[role][1] for role, content in turns]
        default = "" if any(role == "system" for role, _ in turns) else self.default
        return default + "".join(texts) + self.answer

    def to_go(self) -> str:
        """Return the template in Go's language."""
        blocks = [
            f'{{{{ {"if" if role == "system" else "else if"} eq .Role "{role}" }}}}'
            f"{before}{{{{ .Content }}}}{after}"
            for role, (before, after) in (
                ("system", self.system),
                ("user", self.user),
                ("assistant", self.assistant),
            )
        ]
        default = f"{{{{ if not .System }}}}{self.default}{{{{ end }}}}" if self.default else ""
        return f"{default}{{{{ range .Messages }}}}{''.join(blocks)}{{{{ end }}}}{{{{ end }}}}{self.answer}"


class OllamaExporter:
    """See `Exporter`."""

    def export(self, source: Path, folder: Path, *, base: Path, precision: str) -> None:
        """See `Exporter.export`. `source` holds a GGUF file."""
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        pieces = read_pieces(tokenizer)
        stops = [
            str(tokenizer.convert_ids_to_tokens(number))
            for number in sorted(bases.stop_ids(source))
        ]
        context = bases.read_json(source, "config.json").get("max_position_embeddings", 4096)
        shutil.copytree(source, folder)
        write_atomic(folder / "Modelfile", modelfile(pieces, stops, min(int(context), 8192)))


def modelfile(pieces: Pieces, stops: Sequence[str], context_tokens: int) -> str:
    """Return the text of a Modelfile; answers are greedy, as they were measured."""
    lines = [f"FROM ./{GGUF_FILE}", f'TEMPLATE """{pieces.to_go()}"""']
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    lines += ["PARAMETER temperature 0", f"PARAMETER num_ctx {context_tokens}"]
    return "\n".join(lines) + "\n"


def read_pieces(tokenizer: Any) -> Pieces:
    """Return the pieces of a tokenizer's chat template.

    Raises:
        InputError: the template does more than put text around each message.
    """
    start = tokenizer.bos_token or ""

    def render(turns: Sequence[Turn], answer: bool = True) -> str:
        chat = [{"role": role, "content": content} for role, content in turns]
        text: str = tokenizer.apply_chat_template(
            chat, add_generation_prompt=answer, tokenize=False
        )
        # GGUF says by a flag whether the first token is put before the text
        return text.removeprefix(start)

    marks = [token.content for token in tokenizer.added_tokens_decoder.values()]
    long: list[Turn] = [
        ("system", _SYSTEM),
        ("user", _FIRST),
        ("assistant", _REPLY),
        ("user", _SECOND),
    ]
    before_system, rest = _split(render(long), _SYSTEM)
    system_to_user, rest = _split(rest, _FIRST)
    user_to_reply, rest = _split(rest, _REPLY)
    reply_to_user, user_to_answer = _split(rest, _SECOND)
    start_to_user, _ = _split(render(long[1:2]), _FIRST)
    after_user = _shared(user_to_answer, _split(render(long[1:2], answer=False), _FIRST)[1], marks)
    before_user = _shared_end(
        _shared_end(start_to_user, reply_to_user, marks), system_to_user, marks
    )
    pieces = Pieces(
        default=start_to_user.removesuffix(before_user),
        system=(before_system, system_to_user.removesuffix(before_user)),
        user=(before_user, after_user),
        assistant=(user_to_reply.removeprefix(after_user), reply_to_user.removesuffix(before_user)),
        answer=user_to_answer.removeprefix(after_user),
    )
    for turns in (
        long,
        long[1:],
        long[:2],
        long[1:2],
        [*long, ("assistant", "x"), ("user", "y z")],
    ):
        if pieces.render(turns) != render(turns):
            raise InputError(
                said(
                    "The chat template does more than put text around each message, so Ollama cannot have the same."
                ),
                hint=said(
                    "Export 'gguf': the file holds the template, and llama.cpp's server renders it."
                ),
            )
    if any("{{" in text or '"""' in text for text in (pieces.answer, *pieces.user, *pieces.system)):
        raise InputError(said("The chat template writes '{{' itself."), hint=said("Export 'gguf'."))
    return pieces


def _split(text: str, mark: str) -> tuple[str, str]:
    before, found, after = text.partition(mark)
    if not found:
        raise InputError(
            said(
                "The chat template leaves out or changes a message (looked for '%(mark)s').",
                mark=mark,
            ),
            hint=said(
                "Export 'gguf': the file holds the template, and llama.cpp's server renders it."
            ),
        )
    return before, after


def _shared(left: str, right: str, marks: Sequence[str]) -> str:
    """Return the longest common beginning that cuts no special token in two."""
    pairs = zip(_parts(left, marks), _parts(right, marks), strict=False)
    shared = []
    for one, other in pairs:
        if one != other:
            break
        shared.append(one)
    return "".join(shared)


def _shared_end(left: str, right: str, marks: Sequence[str]) -> str:
    """Return the longest common end that cuts no special token in two."""
    lefts, rights = _parts(left, marks)[::-1], _parts(right, marks)[::-1]
    shared = []
    for one, other in zip(lefts, rights, strict=False):
        if one != other:
            break
        shared.append(one)
    return "".join(reversed(shared))


def _parts(text: str, marks: Sequence[str]) -> list[str]:
    if not marks:
        return list(text)
    pattern = "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True))
    return [part for part in re.split(f"({pattern})", text) if part]
