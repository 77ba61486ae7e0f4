"""Screen Ask: a question, the streamed answer, and its sources beside it. The browser asks `/v1/chat/completions`."""

import random
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from pericia.config import ARM_NAMES
from pericia.errors import PericiaError
from pericia.evaluate.collect import collect_questions
from pericia.prompts import REFUSAL
from pericia.server import shelf
from pericia.server.house import House
from pericia.server.ui.frame import Frame

_SUGGESTED = 3
# What an answer may remark, in the words of the modules that remark it: the browser has the answer from the API.
NOTES = (
    "A newer document says otherwise: “%(quote)s” (%(source)s)",
    "An older document says otherwise: “%(quote)s” (%(source)s)",
    "Another document says otherwise: “%(quote)s” (%(source)s)",
    "The embedder '%(new)s' has not embedded all documents yet (pericia add), so the index of '%(old)s' answered.",
    "The question was read as: %(question)s",
)


def routes(frame: Frame) -> APIRouter:
    router = APIRouter()
    house = frame.house

    @router.get("/ask")
    def page(request: Request, q: str = "", arm: str = "") -> HTMLResponse:
        able = house.room.arms()
        recommended = house.room.recommended()
        context: dict[str, Any] = {
            "screen": "ask",
            "arms": [name for name in ARM_NAMES if name in able],
            "recommended": recommended,
            "arm": arm if arm in able else recommended,
            "question": q,
            "suggested": suggestions(house),
            "num_documents": len(shelf.catalogue_of(house.workspace).files),
            "refusal": REFUSAL,
            "model": house.config.model,
            "notes": {note: frame.sentence(request, note) for note in NOTES},
        }
        return frame.page(request, "ask.html", **context)

    return router


def suggestions(house: House) -> list[str]:
    """Return a few questions to begin with: of the workspace's own held-out ones; the same ones all day."""
    try:
        found = collect_questions(house.config, house.workspace, ())
    except PericiaError:
        return []
    answerable = [question.text for question in found if question.answerable]
    chosen = random.Random(house.config.name)
    return chosen.sample(answerable, min(_SUGGESTED, len(answerable)))
