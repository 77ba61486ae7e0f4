"""`python -m pericia` is the command `pericia`."""

from pericia.cli import main

main()
