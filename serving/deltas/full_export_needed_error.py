"""The error of a model that no delta leads to."""


class FullExportNeededError(ValueError):
    """Raised where no delta leads from a version to a model.

    The graph of the model differs from the version's, or the version does not say where its variables come from.
    """
