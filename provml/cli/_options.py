"""Arguments and options that several commands share. Imports only click."""

from __future__ import annotations

import click

run_argument = click.argument("run", metavar="RUN")

store_option = click.option(
    "--store",
    metavar="DIR",
    help="The folder that holds the runs.  [default: $PROVML_SAVE_DIR, else provenance]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, exact.")
