"""Scripts that reproduce a study on one public dataset each; run them with `python -m`."""

from ..extras import require_extra

require_extra("recipes", "grouprank.recipes")
