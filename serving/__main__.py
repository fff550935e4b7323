"""`python -m grouprank.serving`: what an operator does with exported models."""

from pathlib import Path
from typing import Annotated

import typer

from .layout.prune import prune as prune_versions
from .version_folder import versions

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What an operator does with exported models.")


@app.command()
def prune(
    folder: Annotated[Path, typer.Argument(help="The model's folder, saved_models/NAME.")],
    keep: Annotated[int, typer.Option(min=1, help="Versions to keep, the newest.")] = 3,
) -> None:
    """Delete all versions of a model but the newest."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is not a folder.")
    for path in prune_versions(folder, keep):
        typer.echo(f"deleted: {path}")
    typer.echo(f"kept: {', '.join(path.name for path in versions(folder)) or 'none'}")


@app.callback()
def main() -> None:
    """Commands keep their names even while there is only one."""


if __name__ == "__main__":
    app()
