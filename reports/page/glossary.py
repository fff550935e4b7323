"""What the abbreviations of a page mean."""

import re

_MEANINGS = {
    "NE": """normalized entropy, the mean cross-entropy of the predictions over the entropy of the mean label. Lower is
    better; 1 is what the mean label alone would get. A candidate's NE gain is 1 − its NE / the baseline's NE.""",
    "GSL": """group structure learning: learned groups of users, ads or representations, whose codes the layers above
    see.""",
    "ResL": """residual learning: heads that fit the label minus a teacher's prediction during training, and are not
    exported.""",
    "PSI": """population stability index, how far the shares of a column's values have moved: 0 is not at all, above 0.1
    is some drift and above 0.25 much, by a rule of thumb.""",
}


def glossary(text: str) -> dict[str, str]:
    """The abbreviations that a text uses, and what they mean.

    Args:
        text: of the page.

    Example:

    >>> list(glossary("GSL(user) has a lower NE."))
    ['NE', 'GSL']
    """
    return {name: " ".join(meaning.split()) for name, meaning in _MEANINGS.items() if re.search(rf"\b{name}\b", text)}
