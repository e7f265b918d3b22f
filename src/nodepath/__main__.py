"""`python -m nodepath`."""

from nodepath.cli.main import main

main()
