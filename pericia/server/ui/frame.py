"""What every screen shares: templates in the reader's language, the navigation with its state, and addresses of assets."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pericia.errors import PericiaError
from pericia.jobs import ENDED, Job
from pericia.server import events, project
from pericia.server.house import House
from pericia.server.ui import words
from pericia.server.ui.heard import heard

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"
TEMPLATES = HERE / "templates"


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed into a form, and what is wrong with it: field name to sentence, "" for the form as a whole."""

    values: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


class Frame:
    """Renders pages. `house` is what the screens get their facts from, by the functions behind the JSON API."""

    def __init__(self, house: House) -> None:
        self.house = house

    def language(self, request: Request) -> str:
        """Return the reader's language: the one chosen on the page, else the browser's."""
        accepted = request.headers.get("accept-language", "")
        return words.choose_language(request.cookies.get("language"), accepted)

    def sentence(self, request: Request, text: str, **values: object) -> str:
        """Return a sentence of ours in the reader's language, with `%(name)s` filled in."""
        said: str = words.translations(self.language(request)).gettext(text)
        return said % values if values else said

    def refused(self, request: Request, values: Mapping[str, str], error: PericiaError) -> Form:
        """Return a form after an error; its message stands at the field that the error names, if the form has it."""
        name = error.param if error.param in values else ""
        return Form(values, {name or "": self.words_of(request, error)})

    def words_of(self, request: Request, error: PericiaError) -> str:
        """Return what an error says and what to do about it, in the reader's language where we have it."""
        language = self.language(request)
        said = (heard(text, language) for text in (error.message, error.hint))
        return " ".join(said).strip()

    def page(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """Return a whole page; `screen` in the context is the one that the navigation marks."""
        # The mark comes first: what happens while the rest is looked up is told again, and not lost.
        around: dict[str, Any] = {"mark": events.now(self.house), "tray": tray(self.house)}
        around["steps"] = project.steps(self.house)
        return self.part(request, template, status=status, **{**around, **context})

    def part(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> HTMLResponse:
        """Return a part of a page, or a page without navigation: nothing is looked up but what the context holds."""
        language = self.language(request)
        shared = {
            "project": self.house.config.name,
            "theme": request.cookies.get("theme", "auto"),
            "language": language,
            "languages": words.LANGUAGES,
            "path": request.url.path,
            "here": request.url,
            "screen": "",
            "form": Form(),
        }
        text = environment(language).get_template(template).render({**shared, **context})
        # What a form is answered with has no address of its own: nobody can come back to it, and no cache keeps it.
        headers = {"HX-Push-Url": "false", "Cache-Control": "no-store"}
        return HTMLResponse(text, status, headers if request.method == "POST" else None)


def tray(house: House) -> list[dict[str, Any]]:
    """Return what is at work now: tasks of the page and fine-tuning jobs, in one shape."""
    shown: list[dict[str, Any]] = [
        {
            "id": task.id,
            "kind": task.kind,
            "status": task.status,
            "message": task.message,
            "done": task.done,
            "total": task.total,
            "stop": f"/tasks/{task.id}/stop",
        }
        for task in house.tasks.all()
        if task.status == "running"
    ]
    jobs: list[Job] = house.ledger.all(Job)
    for job in jobs:
        if job.status not in ENDED:
            shown.append(
                {
                    "id": job.id,
                    "kind": "fine-tuning",
                    "status": job.status,
                    "message": job.suffix or job.model,
                    "done": 0,
                    "total": 0,
                    "stop": "",
                }
            )
    return shown


@cache
def environment(language: str) -> Environment:
    """Return the templates of a language; every sentence passes through its catalogue."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    made.install_gettext_translations(words.translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals["asset"] = asset
    for name in ("number", "percent", "size", "moment", "ago", "duration", "language_name"):
        made.filters[name] = partial(_in_language, getattr(words, name), language)
    made.filters["playground"] = lambda name: f"/playground?{urlencode({'left': name})}"
    made.filters["said"] = lambda text: words.in_language(text, language)
    made.filters["heard"] = lambda text: heard(text, language)
    return made


def _in_language(write: Any, language: str, value: Any, *more: Any) -> str:
    text: str = write(value, language, *more)
    return text


@cache
def asset(name: str) -> str:
    """Return the address of a file of `static/`, with its hash, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"
