"""`python -m darkroom` is the command line."""

from darkroom.cli.app import main

main()
