"""The error of a model that no delta leads to."""


class FullExportNeededError(ValueError):
    """Raised where a model's graph differs from that of a version, so that new values do not make one of the other."""
