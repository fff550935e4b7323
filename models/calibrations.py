"""What corrects a trained model's logits where it predicts, task by task."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from keras import ops

from ..layers import LogitCalibration, MultiTask
from ..schema import Schema


def make_calibrations(
    calibration: bool | Iterable[str] | Mapping[str, LogitCalibration],
    negative_rate: float | Mapping[str, float] | None,
    schema: Schema,
) -> dict[str, LogitCalibration]:
    """The calibration layer of each task that has one.

    Args:
        calibration: `True` for all tasks, `False`, names of tasks, or layers by task.
        negative_rate: the share of negatives that training keeps, of all tasks or by task, or `None`.
        schema: the table.

    Raises:
        ValueError: on an unknown task, or a rate beside a layer that has another one.
    """
    tasks = schema.task_names
    given = 1.0 if negative_rate is None else negative_rate
    rates = dict(given) if isinstance(given, Mapping) else dict.fromkeys(tasks, given)
    rates = {task: rate for task, rate in rates.items() if rate != 1.0}
    layers = dict(calibration) if isinstance(calibration, Mapping) else {}
    if isinstance(calibration, bool):
        named = tasks if calibration else []
    elif isinstance(calibration, str) or not isinstance(calibration, Iterable):
        raise ValueError(
            "`calibration` must be True, False, names of tasks, or a dict of LogitCalibration by task. Received: "
            f"calibration={calibration!r}."
        )
    else:
        named = list(calibration)
    for argument, names in (("calibration", named), ("negative_rate", rates)):
        unknown = sorted(set(names) - set(tasks))
        if unknown:
            raise ValueError(f"`{argument}` names unknown tasks {unknown}. Tasks: {tasks}.")
    for task, layer in layers.items():
        if not isinstance(layer, LogitCalibration) or layer.negative_rate != rates.get(task, layer.negative_rate):
            raise ValueError(
                f"`calibration` of {task!r} must be a LogitCalibration whose `negative_rate` is the task's. Received: "
                f"{layer!r} and negative_rate={rates.get(task)!r}. Give the rate to the layer."
            )
    chosen = [task for task in tasks if task in named or task in rates]
    return {
        task: layers.get(task) or LogitCalibration(negative_rate=rates.get(task, 1.0), name=f"{task}_calibration")
        for task in chosen
    }


def check_order(structure: MultiTask, negative_rate: Mapping[str, float]) -> None:
    """Raise if a structure compares the tasks' probabilities while they are learned of different samples."""
    for child, parent in structure.ordered_pairs.items() if structure.ordered_weight else ():
        rates = [negative_rate.get(task, 1.0) for task in (parent, child)]
        if rates[0] != rates[1]:
            raise ValueError(
                f"`ordered_weight` holds {child!r} below {parent!r}, which says nothing while their negatives are "
                f"sampled at different rates. Received: negative_rate={dict(negative_rate)}. Give both tasks one rate, "
                'or let the loader correct the loss: `recalibrate="loss"`.'
            )


def check_loader_rates(data: Any, negative_rate: Mapping[str, float]) -> None:
    """Raise if the negatives that a loader leaves out are made up for twice, or not at all.

    Args:
        data: a `BatchLoader`; anything else passes.
        negative_rate: rates by task that a model's logits are corrected for.
    """
    recalibrate, rates = getattr(data, "recalibrate", None), getattr(data, "negative_rate", {})
    if recalibrate == "logit" and rates != negative_rate:
        raise ValueError(
            f"The loader samples negatives at the rates {rates} and leaves it to the model to correct its logits "
            f'(recalibrate="logit"), and the model corrects them for the rates {dict(negative_rate)}. Give both the '
            "same `negative_rate`."
        )
    twice = sorted(set(rates) & set(negative_rate)) if recalibrate == "loss" else []
    if twice:
        raise ValueError(
            f'The loader weighs the sampled negatives of {twice} in the loss (recalibrate="loss"), and the model was '
            f"made with negative_rate={dict(negative_rate)}, which corrects its logits too. Leave `negative_rate` out "
            'of the model, or give the loader recalibrate="logit".'
        )


def check_evaluated_loader(data: Any) -> None:
    """Raise if a loader would have predictions for all rows evaluated on a sample of them.

    Args:
        data: a `BatchLoader`; anything else passes.
    """
    if getattr(data, "recalibrate", None) == "logit":
        raise ValueError(
            f"The loader samples negatives at the rates {data.negative_rate} without weights that make up for the "
            'others (recalibrate="logit"), while a model predicts for all rows when it is evaluated, so that its loss '
            "and its calibration would be wrong. Evaluate on a loader without `negative_rate`, or on one with "
            'recalibrate="loss".'
        )


def probability_in_sample(probability: Any, negative_rate: float) -> Any:
    """The probability of a positive among rows of which only a share of the negatives was kept.

    The inverse of `q = p / (p + (1 − p) / w)` of He et al. 2014, section 6.3.

    Args:
        probability: among all rows.
        negative_rate: the share `w`.
    """
    return probability / (probability + (1.0 - probability) * negative_rate)


def fit_calibrations(
    layers: Mapping[str, LogitCalibration],
    predictions: Mapping[str, Any],
    labels: Mapping[str, Any],
    sample_weight: Any,
    strength: float,
) -> None:
    """Fit each task's layer to predictions that it has made; a task without known labels keeps its map.

    Args:
        layers: by task.
        predictions: probabilities by task.
        labels: labels by task, NaN where unknown.
        sample_weight: weights of the rows, or by task, or `None`.
        strength: see `LogitCalibration.fit`.
    """
    missing = sorted(set(layers) - set(predictions))
    if missing:
        raise ValueError(
            f"`predictions` lacks the probabilities of {missing}. Received: {sorted(predictions)}. Give what "
            "`predict_proba` returns."
        )
    found = {}
    for task, layer in layers.items():
        p = np.asarray(predictions[task], "float64").reshape(-1)
        wrong = np.flatnonzero(~((p >= 0.0) & (p <= 1.0)))
        if wrong.size:
            raise ValueError(
                f"`predictions` of {task!r} must be probabilities. Received: {p[wrong[0]]:g} in row {wrong[0]}; "
                f"{wrong.size} of {p.size} rows are wrong."
            )
        label = np.asarray(ops.convert_to_numpy(labels[task]), "float64").reshape(-1)
        weight = sample_weight.get(task) if isinstance(sample_weight, Mapping) else sample_weight
        if np.isnan(label).all():
            continue
        # Probabilities are float32: none lies between 1 and one minus this.
        p = np.clip(p, 1e-30, 1.0 - 2.0**-24)
        # What the model said before this map, so that maps are not put one behind the other day after day.
        found[task] = layer.estimate(layer.inverse(np.log(p) - np.log1p(-p)), label, weight, strength)
    # Only now, so that bad input leaves all maps as they were.
    for task, weights in found.items():
        layers[task].set_weights(weights)
