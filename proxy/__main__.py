"""`python -m proxy` is the `openline` command."""

from proxy.cli import main

main()
