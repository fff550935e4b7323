"""Optional parts of the package and what each of them needs."""

import importlib.util

# Modules that a part imports and that a plain installation does not bring.
_MODULES = {
    "serving": ("tensorflow", "tensorflow_serving", "grpc", "google.protobuf", "typer"),
    "reports": ("matplotlib", "typer"),
    "spark": ("pyspark", "pyarrow"),
    "remote": ("fsspec",),
    "trees": ("lightgbm",),
    "recipes": ("typer", "tensorboard", "tensorflow", "tensorflow_serving", "grpc", "matplotlib"),
}


def require_extra(extra: str, what: str) -> None:
    """Raise an error that names the extra to install, if something that it brings is missing.

    `pip install grouprank` brings layers, losses, metrics, models, datasets and the figures of reports, and no backend.

    Args:
        extra: name of the extra, `"serving"`, `"reports"`, `"spark"`, `"remote"`, `"trees"` or `"recipes"`.
        what: what the caller wanted to use, the subject of the error's sentence.

    Raises:
        ModuleNotFoundError: if a module is missing.
    """
    missing = [name for name in _MODULES[extra] if not _found(name)]
    if missing:
        raise ModuleNotFoundError(
            f"{what} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. "
            f"Run: pip install 'grouprank[{extra}]'",
            name=missing[0],
        )


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        # The parent package of a dotted name is missing.
        return False
