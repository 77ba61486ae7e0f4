"""Knobs of the server."""

from typing import Annotated, Literal

from pydantic import Field

from pericia.config.section import Section, knob


class ServeConfig(Section):
    groups: tuple[Annotated[str, Field(min_length=1)], ...] = knob(
        (), "groups of retrieval.access that callers belong to; without any only open documents"
    )
    aliases: bool = knob(
        True, "code written for OpenAI's model names runs; jobs and lists say what really answers"
    )
    max_waiting: int = knob(
        64,
        "in the house at once; beyond it callers get 429 and come back",
        unit="requests",
        ge=1,
        le=10_000,
    )
    upstream: str = knob(
        "", "a server that computes for this one, such as vLLM's http://127.0.0.1:8000/v1"
    )
    takes_adapters: bool = knob(
        False, "a server in front may name adapter folders, as vLLM lets it; needs an admin key"
    )
    requests_per_minute: int = knob(
        0, "a key may send so many; 0 counts nothing", unit="requests a key", ge=0, le=1_000_000
    )
    together: Annotated[int, Field(ge=1, le=32)] | Literal["auto"] = knob(
        "auto",
        "they share each step; auto is up to 32, as many as half of the free memory holds",
        unit="answers",
    )
