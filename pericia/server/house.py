"""Everything that the routes work with, built once at the edge."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pericia.config import Config
from pericia.embedders import Embedder
from pericia.jobs import Ledger
from pericia.server.attachments import Attachments
from pericia.server.experts import Experts
from pericia.server.gate import Gate
from pericia.server.served import ArmRoom
from pericia.server.tasks import Tasks
from pericia.server.turns import Turns
from pericia.workspace import Workspace

Renew = Callable[[Config], Awaitable[None]]  # serve by other settings from now on


@dataclass(frozen=True, slots=True)
class House:
    config: Config
    workspace: Workspace
    ledger: Ledger
    gate: Gate
    renew: Renew
    room: ArmRoom
    experts: Experts
    turns: Turns
    tasks: Tasks
    attachments: Attachments
    embedder: Callable[[], Embedder]
