"""Preference pairs in OpenAI's and TRL's shapes: one prompt, a better answer and a worse one."""

from collections.abc import Mapping
from typing import Any

from pericia.chat_turns import as_turns, asks, says
from pericia.markers import read_markers


def openai_preference(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    """Return an OpenAI preference row as `recast` gives it, its shape and the keys used; None for other rows."""
    if not {"preferred_output", "non_preferred_output"} <= row.keys():
        return None
    asked = row.get("input")
    asked = asked if isinstance(asked, dict) else {}
    made = pair_of(asked.get("messages"), row["preferred_output"], row["non_preferred_output"])
    more = {key: asked[key] for key in ("tools", "parallel_tool_calls") if asked.get(key)}
    used = {"input", "preferred_output", "non_preferred_output"}
    return {**made, **more}, "preference", used


def trl_preference(row: Mapping[str, Any]) -> tuple[dict[str, Any], str, set[str]] | None:
    """Return one of TRL's preference rows, its prompt apart or in both answers; None for other rows."""
    if not {"chosen", "rejected"} <= row.keys():
        return None
    prompt, chosen, rejected = row.get("prompt"), row["chosen"], row["rejected"]
    used = {"prompt", "chosen", "rejected", "tools", "system"}
    if isinstance(chosen, str) and isinstance(rejected, str) and not prompt:
        chosen, rejected = read_markers(chosen) or chosen, read_markers(rejected) or rejected
    made = pair_of(prompt, chosen, rejected)
    if (
        isinstance(system := row.get("system"), str)
        and system
        and isinstance(made["messages"], list)
    ):
        made["messages"] = [{"role": "system", "content": system}, *made["messages"]]
    if row.get("tools"):
        made["tools"] = row["tools"]
    return made, "preference", used


def pair_of(prompt: Any, chosen: Any, rejected: Any) -> dict[str, Any]:
    """Return a preference row: what both answers share is the prompt, their last messages are the answers."""
    asked = [asks(prompt)] if isinstance(prompt, str) and prompt else as_turns(prompt or [])
    better, worse = (as_turns(a) if isinstance(a, list) else [says(a)] for a in (chosen, rejected))
    if not isinstance(asked, list):
        return {"messages": asked, "rejected": worse}
    if len(better) > 1:  # whole chats: what comes before the last message is the prompt
        if better[:-1] != worse[:-1]:
            return {"messages": [*asked, *better], "rejected": worse}
        begins_alike = better[: len(asked)] == asked or not asked
        asked = better[:-1] if begins_alike or len(asked) == 1 else [*asked, *better[:-1]]
        better, worse = better[-1:], worse[-1:]
    answer = worse[0] if len(worse) == 1 else worse
    text = answer.get("content") if isinstance(answer, dict) else answer
    return {"messages": [*asked, *better], "rejected": text}
