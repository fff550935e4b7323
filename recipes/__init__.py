"""Scripts that reproduce a study on one public dataset each; run them with `python -m`."""
