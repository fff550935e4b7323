"""The rows of the paper's Table 1, their controls and the alternatives of each default."""

import inspect
from collections.abc import Mapping
from typing import Any

from ...layers import GroupConcat
from ...models import ResidualLearning
from ..variant import Variant

BASELINE = "baseline"
BOTH = "GSL(all three), ResL"
PLACEMENTS = ("user", "user_ad", "representation")
TITLES = {"user": "user", "user_ad": "user-ad", "representation": "representation"}


def headline(
    groups: Mapping[str, Any],
    residual: Mapping[str, Any],
    teacher: str,
    training: Mapping[str, Any] | None = None,
) -> list[Variant]:
    """The paper's rows, and all parts together.

    Args:
        groups: arguments of `GroupConcat`.
        residual: arguments of `ResidualLearning`.
        teacher: kind of pseudo-labels.
        training: settings that rows with a teacher have in place of the baseline's: its pseudo-labels hold more than
            clicks do, so these rows need less regularization. Defaults to `None`.
    """

    def gsl(*placements: str) -> dict[str, Mapping[str, Any]]:
        return dict.fromkeys(placements, groups)

    learning: dict[str, Any] = {"residual": residual, "teacher": teacher, "training": training}
    return [
        Variant(BASELINE),
        Variant("GSL(user)", gsl("user")),
        Variant("GSL(user), ResL", gsl("user"), **learning),
        Variant("GSL(user-ad)", gsl("user_ad")),
        Variant("GSL(representation)", gsl("representation")),
        Variant("ResL", **learning),
        Variant(BOTH, gsl(*PLACEMENTS), **learning),
    ]


def controls(
    groups: Mapping[str, Any],
    residual: Mapping[str, Any],
    teacher: str,
    width: float,
    training: Mapping[str, Any] | None = None,
) -> list[Variant]:
    """Controls with the same capacity or the same teacher, but without the method.

    Args:
        groups: arguments of `GroupConcat`.
        residual: arguments of `ResidualLearning`.
        teacher: kind of pseudo-labels.
        width: factor of the backbone's widths that gives it the parameters of groups at all three placements.
        training: settings of rows with a teacher, see `headline`. Defaults to `None`.
    """
    shape = tuple(group_argument(groups, name) for name in ("num_levels", "codebook_size"))
    # A model cannot distil its own prediction, so another teacher takes its place.
    other = "ensemble" if teacher == "self" else teacher
    distilled = {**residual, "weight": 0.0, "distillation_weight": residual.get("distillation_weight") or 1.0}
    return [
        *(Variant(f"random codes({TITLES[p]})", random_codes=(p,), random_shape=shape) for p in ("user", "user_ad")),
        Variant(f"wider network, ×{width:.2f}", width=width),
        Variant("distillation alone", residual=distilled, teacher=other, training=training),
    ]


def ablations(
    groups: Mapping[str, Any],
    residual: Mapping[str, Any],
    teacher: str,
    training: Mapping[str, Any] | None = None,
) -> dict[str, list[Variant]]:
    """Tables that each vary one choice of the candidate at all three placements.

    Args:
        groups: arguments of `GroupConcat`.
        residual: arguments of `ResidualLearning`.
        teacher: kind of pseudo-labels.
        training: settings of rows with a teacher, see `headline`. Defaults to `None`.
    """

    def grouped(name: str, **changes: Any) -> Variant:
        return Variant(name, {placement: {**groups, **changes} for placement in PLACEMENTS})

    def learned(name: str, kind: str = teacher, **changes: Any) -> Variant:
        own = None if kind == "self" else training
        return Variant(name, residual={**residual, **changes}, teacher=kind, training=own)

    distilled = residual.get("distillation_weight") or 1.0
    teachers = (
        "self",
        *(("column",) if teacher == "column" else ()),
        "out_of_time",
        "cross_fitted",
        "larger",
        "ensemble",
    )
    # One level has nothing to aggregate, and few codes do not die.
    levels = max(2, group_argument(groups, "num_levels"))
    many = 256
    sizes = [(depth, codes) for depth in (1, 2, 3) for codes in (16, 64, 256)]
    return {
        "What the task loss sends back through the codes": [
            grouped(f"output_gradient={kind}", output_gradient=kind)
            for kind in ("codebook", "straight_through", "none")
        ],
        "How the levels' codes are put together": [
            grouped(f"aggregate={kind}, {levels} levels", aggregate=kind, num_levels=levels)
            for kind in ("sum", "mean", "concat")
        ],
        "Levels × codes per level": [
            grouped(f"{depth} × {codes}", num_levels=depth, codebook_size=codes) for depth, codes in sizes
        ],
        "What moves the codebooks": [
            grouped(f"codebook_update={kind}", codebook_update=kind) for kind in ("ema", "gradient")
        ],
        "Reset of dead codes": [
            grouped(f"reset_dead_codes={kind}, {many} codes", reset_dead_codes=kind, codebook_size=many)
            for kind in (True, False)
        ],
        "Readings of eq. 7": [
            *(
                learned(f"reading={kind}", reading=kind)
                for kind in ("magnitude", "signed", "affine", "offset", "literal")
            ),
            # The literal reading has no lower bound; a weight that is fine for the other readings shows this.
            *(learned(f"reading={kind}, weight 1", reading=kind, weight=1.0) for kind in ("magnitude", "literal")),
        ],
        "Teachers": [
            learned(f"teacher={kind}", kind, distillation_weight=0.0 if kind == "self" else distilled)
            for kind in teachers
        ],
    }


def group_argument(groups: Mapping[str, Any], name: str) -> Any:
    """An argument of `GroupConcat`, or its default where none is given."""
    return groups.get(name, inspect.signature(GroupConcat).parameters[name].default)


def library_defaults() -> dict[str, str]:
    """Defaults of the library, by the title of the table that compares them with alternatives."""
    groups = inspect.signature(GroupConcat).parameters
    learning = inspect.signature(ResidualLearning).parameters
    named = {
        "What the task loss sends back through the codes": ("output_gradient", groups),
        "How the levels' codes are put together": ("aggregate", groups),
        "What moves the codebooks": ("codebook_update", groups),
        "Reset of dead codes": ("reset_dead_codes", groups),
        "Readings of eq. 7": ("reading", learning),
        "Teachers": ("teacher", learning),
    }
    found = {title: f"{name}={parameters[name].default}" for title, (name, parameters) in named.items()}
    found["Levels × codes per level"] = f"{groups['num_levels'].default} × {groups['codebook_size'].default}"
    return found
