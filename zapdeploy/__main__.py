"""`python -m zapdeploy` is the command `zapdeploy`."""

from zapdeploy.cli.app import main

main()
