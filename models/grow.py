"""Models whose ids go on."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from ..schema import Categorical, Schema, Sequence
from ..schema.features import Feature, fingerprint_of, with_fingerprint
from .larger_model import larger_model
from .row_slots import row_slots
from .table_model import TableModel

# What may differ between a model's schema and the one that it is moved to.
GROWING = ("vocabulary", "vocabulary_size")

Model = TypeVar("Model", bound=TableModel)


def grow(model: Model, schema: Schema, reset: Mapping[str, ArrayLike] | None = None, seed: int = 0) -> Model:
    """Move a trained model to a schema whose ids went on, with all that it has learned.

    New tokens of a log that goes on get new ids, and in a full table the id of a token that nobody sees any more. The
    schema of the extended transforms says so by other fingerprints, and a model refuses data of another fingerprint.
    This function moves it on.

    A table has as many rows as its `TableConfig.rows` says, or else as its vocabulary. If the new ids fit, the same
    model comes back with the new schema in place of its own, and nothing compiles again: give tables room ahead. If a
    vocabulary has outgrown its table, a new model comes back, compiled as the old one was. It has as many rows as the
    new schema asks for (`TableConfig.rows` is raised to that). Rows and optimizer slots of all tables are those of the
    old model, and so is everything else: weights, codebooks, steps, learning rates, moving averages, the states of
    seeds. The rows of new ids have initial values. Tables that the optimizer of `compile` trains stay that way,
    however large they become.

    A teacher of residual learning that is a model of this package moves along, as the model does: in place, or as a new
    one. It keeps its size, and reads ids that lie beyond it as unknown.

    Args:
        model: a `CTRModel`, `CVRModel` or `TwoTowerModel`.
        schema: the model's schema with other fingerprints of ids, or larger vocabularies.
        reset: by feature, ids that now stand for other tokens. Their rows, and the optimizer slots of these, go back to
            initial values. Defaults to `None`.
        seed: seed of the rows that begin anew. The same seed gives a table's same ids the same values, in any process.
            Defaults to `0`.

    Returns:
        The same model if its tables have room, otherwise a new one; then the old one stays as it is.

    Raises:
        ValueError: if the schemas differ in anything but what is named above, a vocabulary shrank, a larger one belongs
            to a feature with semantic ids, or `reset` names another feature or an id that does not exist. The model
            stays as it was.

    Example:

    >>> import dataclasses
    >>> from grouprank import Task
    >>> from grouprank.models import CTRModel
    >>> ads = Categorical("ad_id", vocabulary_size=100, vocabulary="monday")
    >>> model = CTRModel(Schema([ads], [Task("click")]), "mlp", group_structure=(), embedding_dim=4)
    >>> tuesday = Schema([dataclasses.replace(ads, vocabulary="tuesday")], [Task("click")])
    >>> grow(model, tuesday, reset={"ad_id": [7, 12]}) is model, model.schema == tuesday
    (True, True)
    >>> larger = Schema([dataclasses.replace(ads, vocabulary_size=200, vocabulary="wednesday")], [Task("click")])
    >>> grown = grow(model, larger)
    >>> grown.get_layer("embedding").embeddings.shape, model.get_layer("embedding").embeddings.shape
    ((200, 4), (100, 4))
    """
    _check_moves(model, schema)
    ids = _checked_ids(schema, reset or {})
    rows = _rows_of_tables(model)
    fits = all(size <= rows[table] for table, size in _sizes(schema).items() if table in rows)
    counts = all(layer.vocabulary_size >= _size(schema[name]) for name, layer in model.counted_ids.items())
    return _moved(model, schema, ids, seed, in_place=fits and counts)


# === What may be asked for ===


def _check_moves(model: Any, schema: Any) -> None:
    """Raise unless the model can be moved to the schema."""
    if not isinstance(model, TableModel):
        raise ValueError(f"`model` must be a CTRModel, CVRModel or TwoTowerModel. Received: {model!r}.")
    if not isinstance(schema, Schema):
        raise ValueError(f"`schema` must be a grouprank.Schema. Received: {schema!r} of type {type(schema).__name__}.")
    known = model.schema
    if known.feature_names != schema.feature_names or known.tasks != schema.tasks:
        raise ValueError(
            "A model is moved to a schema of the same features and tasks, in the same order. "
            f"{_names('Features', known.feature_names, schema.feature_names)}"
            f"{_names('Tasks', known.tasks, schema.tasks)}Train a new model on this schema."
        )
    for mine, theirs in zip(known.features, schema.features, strict=True):
        _check_feature(mine, theirs)
        if _size(theirs) > _size(mine) and mine.name in getattr(model, "semantic_embeddings", {}):
            raise ValueError(
                f"Feature {mine.name!r} has semantic ids, codes for its {_size(mine)} ids, and none for the "
                f"{_size(theirs)} of the schema. Fit them to vectors of all ids, and train a new model."
            )


def _names(what: str, mine: Any, theirs: Any) -> str:
    """Two lists of names that differ, or nothing."""
    return "" if mine == theirs else f"{what} of the model: {list(mine)}, of the schema: {list(theirs)}. "


def _check_feature(mine: Feature, theirs: Feature) -> None:
    """Raise if two features differ in anything but how far their ids go."""
    if type(mine) is not type(theirs):
        differing = ["kind"]
    else:
        names = [field.name for field in dataclasses.fields(mine) if field.name not in GROWING]
        differing = [name for name in names if getattr(mine, name) != getattr(theirs, name)]
    if differing:
        raise ValueError(
            f"Feature {mine.name!r}: a model is moved to a schema of other `vocabulary` and larger `vocabulary_size` "
            f"of ids only, but {', '.join(differing)} differ: {mine!r} in the model, {theirs!r} in the schema. Train a "
            "new model on this schema."
        )
    if _size(theirs) < _size(mine):
        raise ValueError(
            f"Feature {mine.name!r}: a vocabulary cannot shrink, since rows of the model would have no ids any more. "
            f"Received: vocabulary_size={_size(theirs)}, where the model has {_size(mine)}."
        )


def _checked_ids(schema: Schema, reset: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """The ids to reset by feature, each once and in order."""
    sizes = {feature.name: _size(feature) for feature in _of_ids(schema)}
    found = {}
    for name, given in reset.items():
        if name not in sizes:
            raise ValueError(f"`reset` names {name!r}, which is no feature of ids. Features of ids: {list(sizes)}.")
        ids = np.asarray(given).reshape(-1)
        if ids.size and ids.dtype.kind not in "iu":
            raise ValueError(f"`reset` of {name!r} must hold integers. Received: values of dtype {ids.dtype}.")
        wrong = ids[(ids < 0) | (ids >= sizes[name])]
        if wrong.size:
            raise ValueError(
                f"`reset` of {name!r}: expected ids in [0, {sizes[name]}). Received: {wrong[0]}; {wrong.size} of "
                f"{ids.size} ids are wrong."
            )
        found[name] = np.unique(ids.astype("int64"))
    return found


def _of_ids(schema: Schema) -> list[Categorical | Sequence]:
    return [feature for feature in schema.features if isinstance(feature, Categorical | Sequence)]


def _size(feature: Feature) -> int:
    return feature.vocabulary_size if isinstance(feature, Categorical | Sequence) else 0


def _sizes(schema: Schema) -> dict[str, int]:
    """Number of ids by table."""
    return {schema.table_of(feature.name): feature.vocabulary_size for feature in _of_ids(schema)}


# === How it is done ===


def _rows_of_tables(model: TableModel) -> dict[str, int]:
    return {name: rows for stack in model.table_stacks for name, (_, rows) in stack.tables.items()}


def _moved(model: Any, schema: Schema, ids: Mapping[str, np.ndarray], seed: int, in_place: bool) -> Any:
    """The model, or a new one with room, at home in the schema and with rows that begin anew."""
    teacher = getattr(model, "teacher", None)
    if isinstance(teacher, TableModel):
        theirs = _schema_of_teacher(teacher.schema, schema)
        sizes = {feature.name: feature.vocabulary_size for feature in _of_ids(theirs)}
        known = {name: given[given < sizes[name]] for name, given in ids.items() if name in sizes}
        teacher = _moved(teacher, theirs, known, seed, in_place)
    begin_anew: dict[str, np.ndarray] = {}
    for name, given in ids.items():
        table = schema.table_of(name)
        begin_anew[table] = np.union1d(begin_anew.get(table, given), given)
    if in_place:
        model.take_schema(schema)
    else:
        earlier = _rows_of_tables(model)
        model = larger_model(model, schema, _sizes(schema), teacher)
        for table, rows in _rows_of_tables(model).items():
            new = np.arange(earlier[table], rows)
            begin_anew[table] = np.union1d(begin_anew.get(table, new), new)
    _reset(model, {table: found for table, found in begin_anew.items() if found.size}, seed)
    return model


def _schema_of_teacher(theirs: Schema, schema: Schema) -> Schema:
    """A teacher's schema with the fingerprints of its pupil's ids; it keeps its size and may know fewer features."""
    fingerprints = {feature.name: fingerprint_of(feature) for feature in _of_ids(schema)}
    own = [feature.name for feature in _of_ids(theirs) if feature.name in fingerprints]
    features = [with_fingerprint(f, fingerprints[f.name]) if f.name in own else f for f in theirs.features]
    return Schema(features, theirs.tasks)


def _reset(model: Any, ids: Mapping[str, np.ndarray], seed: int) -> None:
    """Let the rows of ids begin anew, by table, and all that is kept for them elsewhere."""
    touched = []
    for stack in model.table_stacks:
        own = {table: ids[table] for table in stack.tables if table in ids}
        if own:
            rows = stack.reset(own, seed)
            if stack.variable is not None:
                touched.append((stack.variable, rows))
    for feature, layer in model.counted_ids.items():
        table = model.schema.table_of(feature)
        if table in ids:
            layer.forget(ids[table])
    if not touched or not model.compiled or not model.optimizer.built:
        return
    slots = row_slots(model.optimizer, model.trainable_variables, [table for table, _ in touched])
    for (table, rows), of_table in zip(touched, slots, strict=True):
        vectors = ops.take(table, rows, axis=0)
        for slot in of_table:
            slot.reset(rows, vectors)
