"""The command line: at most twelve verbs, each a thin door to a function of the rivers.

Exit codes: 0 done, 1 the run failed, 2 the input is at fault. With --json, stdout holds one JSON document and
nothing else; progress and messages go to stderr.
"""

# In the order in which the help lists the verbs.
from pericia.cli import documents, training, measuring, adapters, serving  # isort: skip
from pericia.cli.app import app, main

__all__ = ["adapters", "app", "documents", "main", "measuring", "serving", "training"]
