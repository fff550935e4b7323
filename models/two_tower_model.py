"""Two-tower retrieval with group structure learning on the user's side."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from ..layers import GroupConcat, GroupIds, TableConfig
from ..layers.embedding.optimizers import RowOptimizer
from ..schema import Categorical, Schema
from .distinct_names import distinct_names
from .group_placements import make_group_concats, side_fields
from .make_embedder import make_embedder, make_inputs
from .model_config import model_config, read_model_config
from .retrieval import (
    CorpusSearchModel,
    InBatchSoftmax,
    SamplingFrequency,
    SideModel,
    Tower,
    UnitVector,
    side_schema,
)
from .retrieval.side_columns import batches


@keras.saving.register_keras_serializable(package="grouprank")
class TwoTowerModel(CorpusSearchModel):
    """Finds the few ads that are worth ranking among all ads.

    It is the stage before a `CTRModel`. One tower makes a vector of the user's side
    and one of the ad's side, and the score of a pair is the product of the two:

        embed ─┬─ user and context fields + [groups of users] → user tower ─┐
               └─ ad fields ───────────────────────────────── → ad tower ───┴→ score

    Rows whose label is 1 are the positives: their ad is to be found among the ads
    of the batch (`InBatchSoftmax`, with accidental hits removed and popularity
    corrected for). Rows with label 0 or NaN have no loss, but lend their ads as
    candidates. A label in between counts by its value.

    `compile()` needs no arguments: it takes Adam, and the recall within the batch at
    1 and 10. `evaluate_recall` measures what a served index would find in a whole
    corpus of ads.

    Args:
        schema: the table's features and tasks.
        ad_id: name of the ad side's `Categorical` that tells ads apart.
        positive: name of the task whose label makes a positive. `None` takes the
            schema's first. Defaults to `None`.
        group_structure: `("user",)`, `()` or `{"user": GroupConcat}`; the groups are a
            further field of the user tower. Defaults to `("user",)`.
        embedding_dim: width of every feature's embedding, unless `tables` say otherwise. Defaults to `16`.
        tower_units: widths of each tower's hidden layers. Defaults to `(256, 128)`.
        output_dim: width of the vectors. Defaults to `64`.
        normalize: whether vectors have length 1, so that scores are cosines over the
            temperature. Defaults to `True`.
        temperature: divisor of the products. `None` takes `0.05`, and `1.0` without
            `normalize`. Defaults to `None`.
        sampling_probability: `"online"` (see `SamplingFrequency`), the name of a target
            column that holds each row's, or `None` for no correction. Defaults to `"online"`.
        context_in_user_tower: whether the user tower reads the context's features. If
            not, they are no inputs of the model. Defaults to `True`.
        dropout: dropout rate of the towers. Defaults to `0.0`.
        embedding_optimizer: what trains the embedding table, see `CTRModel`. Defaults
            to `"auto"`.
        embeddings_regularizer: regularizer of the embedding table. Defaults to `None`.
        tables: a `grouprank.layers.TableConfig` for each table that is to differ, see `CTRModel`. Defaults to `()`.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: dict of columns by feature name.
        training: whether to run in training mode.

    Input shape:
        A dict of `(batch,)`; `(batch, length)` for sequences, `(batch, dim)` for vectors.

    Output shape:
        `{"user": (batch, output_dim), "ad": (batch, output_dim)}`, float32.

    Raises:
        ValueError: on an `ad_id` that is no `Categorical` of the ad's side, a side without
            features, an unknown task, or another placement than `"user"`.

    Example:

    >>> import numpy as np
    >>> from grouprank import Categorical, Task
    >>> schema = Schema([Categorical("user_id", 50, side="user"), Categorical("ad_id", 20)], [Task("click")])
    >>> model = TwoTowerModel(schema, "ad_id", embedding_dim=4, tower_units=(8,), output_dim=4)
    >>> model.compile()
    >>> rng = np.random.default_rng(0)
    >>> x = {"user_id": rng.integers(0, 50, 256), "ad_id": rng.integers(0, 20, 256)}
    >>> history = model.fit(x, {"click": rng.integers(0, 2, 256)}, verbose=0)
    >>> ids, scores = model.recommend({"user_id": [3, 7]}, {"ad_id": np.arange(1, 20)}, k=5)
    >>> ids.shape, scores.shape
    ((2, 5), (2, 5))

    Reference:
        Yi et al., *Sampling-bias-corrected neural modeling for large corpus item recommendations*, 2019;
        *Learning Disentangled Representations for Ads Ranking*, §3.1 and §4.
    """

    def __init__(
        self,
        schema: Schema,
        ad_id: str,
        positive: str | None = None,
        group_structure: str | Iterable[str] | Mapping[str, GroupConcat] = ("user",),
        embedding_dim: int = 16,
        tower_units: Sequence[int] = (256, 128),
        output_dim: int = 64,
        *,
        normalize: bool = True,
        temperature: float | None = None,
        sampling_probability: str | None = "online",
        context_in_user_tower: bool = True,
        dropout: float = 0.0,
        embedding_optimizer: str | RowOptimizer | None = "auto",
        embeddings_regularizer: str | keras.regularizers.Regularizer | None = None,
        tables: Iterable[TableConfig] = (),
        **kwargs: Any,
    ) -> None:
        ads = _check_arguments(schema, ad_id, positive, group_structure)
        regularizer = keras.regularizers.get(embeddings_regularizer)
        tables = tuple(tables)
        user_sides = ("user", "context") if context_in_user_tower else ("user",)
        used = Schema(schema.on_side(*user_sides, "ad"), schema.tasks)
        # === Layers ===
        group_concats = make_group_concats(group_structure, schema, embedding_dim)
        towers = {
            side: Tower(tower_units, output_dim, dropout=dropout, name=f"{side}_tower") for side in ("user", "ad")
        }
        # === Functional graph ===
        inputs = make_inputs(used)
        embedder = make_embedder(used, embedding_dim, regularizer, embedding_optimizer, tables=tables)
        fields = embedder.fields(*embedder.vectors(inputs))
        user_fields = {name: fields[name] for name in used.field_names(*user_sides)}
        group_input = side_fields(used, "user", fields) if group_concats else None
        if group_concats:
            user_fields["user:groups"] = group_concats["user"](group_input, concatenate=False)
        ad_fields = {name: fields[name] for name in used.field_names("ad")}
        outputs = {}
        for side, side_input in (("user", user_fields), ("ad", ad_fields)):
            # Float32 under every dtype policy: differences of scores are divided by the temperature.
            last = UnitVector if normalize else keras.layers.Identity
            outputs[side] = last(dtype="float32", name=f"{side}_vector")(towers[side](side_input))
        distinct_names(outputs, inputs)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        # === Config ===
        self.schema = schema
        self.ad_id = ad_id
        self.positive = positive or schema.task_names[0]
        self.group_concats = group_concats
        self.embedding_dim = embedding_dim
        self.tower_units = tuple(tower_units)
        self.output_dim = output_dim
        self.normalize = normalize
        self.temperature = temperature if temperature is not None else (0.05 if normalize else 1.0)
        self.sampling_probability = sampling_probability
        self.context_in_user_tower = context_in_user_tower
        self.dropout = dropout
        self.embedding_optimizer = embedding_optimizer
        self.embeddings_regularizer = regularizer
        self.tables = tables
        self._group_input = group_input
        self._group_ids = {p: GroupIds(layer, name=f"{p}_ids")(group_input) for p, layer in group_concats.items()}
        distinct_names(self._group_ids, inputs)
        self._side_models: dict[str, SideModel] = {}
        self.take_schema(schema)
        self.in_batch_softmax = InBatchSoftmax(self.temperature, dtype="float32", name="in_batch_softmax")
        self.sampling_frequency = None
        if sampling_probability == "online":
            self.sampling_frequency = SamplingFrequency(ads.vocabulary_size, dtype="float32", name="sampling")
            self.sampling_frequency.build()
        self._show_losses()

    def take_schema(self, schema: Schema) -> None:
        """Replace the schema, see `TableModel.take_schema`."""
        super().take_schema(schema)
        user_sides = ("user", "context") if self.context_in_user_tower else ("user",)
        self.user_schema = side_schema(schema, *user_sides)
        self.ad_schema = side_schema(schema, "ad")
        for name, side in self._side_models.items():
            side.schema = self.ad_schema if name == "ad" else self.user_schema

    @property
    def counted_ids(self) -> dict[str, Any]:
        """The layer that counts how often ads are shown, by the feature that tells them apart."""
        return {} if self.sampling_frequency is None else {self.ad_id: self.sampling_frequency}

    def user_model(self) -> SideModel:
        """A model of the same weights from user and context columns to user vectors."""
        return self._side_model("user", self.output["user"])

    def ad_model(self) -> SideModel:
        """A model of the same weights from ad columns to ad vectors."""
        return self._side_model("ad", self.output["ad"])

    def group_ids_model(self) -> keras.Model:
        """A model of the same weights from user and context columns to `{"user": group ids}`."""
        return self._groups_of_users().model

    def _groups_of_users(self) -> SideModel:
        return self._side_model("groups", dict(self._group_ids))

    def _side_model(self, name: str, outputs: Any) -> SideModel:
        # Kept, since a new model would trace its prediction anew.
        if name not in self._side_models:
            sides = (self.user_schema, self.ad_schema)
            self._side_models[name] = SideModel(self, outputs, *(reversed(sides) if name == "ad" else sides))
        return self._side_models[name]

    def user_vectors(self, x: Any, batch_size: int | None = None) -> np.ndarray:
        """Vectors of users, float32 `(rows, output_dim)`, from the columns of their side or a loader."""
        return self.user_model().predict(x, batch_size)

    def ad_vectors(self, x: Any, batch_size: int | None = None) -> np.ndarray:
        """Vectors of ads, float32 `(rows, output_dim)`, from the columns of their side or a loader."""
        return self.ad_model().predict(x, batch_size)

    def groups(self, x: Any, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Learned group ids by placement, int32 of shape `(rows, num_levels)`."""
        return self._groups_of_users().predict(x, batch_size) if self.group_concats else {}

    def adapt(self, x: Any, max_rows: int = 50_000) -> None:
        """Start the groups' codebooks from k-means; call it before `fit`.

        Args:
            x: columns of the user's side, or a loader whose batches start with columns.
            max_rows: number of rows kept for k-means. Defaults to `50_000`.
        """
        self.schema.check_loader(x)
        for layer in self.group_concats.values():
            vectors = self._side_model("group_input", self._group_input)
            layer.adapt((vectors.predict(columns) for columns, _ in batches(x, max_rows=max_rows)), max_rows)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        own = ("ad_id", "positive", "output_dim", "normalize", "temperature", "sampling_probability")
        return {**model_config(self), **{name: getattr(self, name) for name in (*own, "context_in_user_tower")}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "TwoTowerModel":
        """Inverse of `get_config`."""
        return cls(**read_model_config(config, custom_objects))


def _check_arguments(schema: Any, ad_id: str, positive: str | None, group_structure: Any) -> Categorical:
    """The feature that tells ads apart, if all arguments are right."""
    if not isinstance(schema, Schema):
        raise ValueError(f"`schema` must be a grouprank.Schema. Received: {schema!r} of type {type(schema).__name__}.")
    for side in ("user", "ad"):
        if not schema.on_side(side):
            raise ValueError(
                f"A two-tower model needs features of both sides, but the schema has none of side {side!r}. "
                f"Give some feature side={side!r}."
            )
    candidates = {f.name: f for f in schema.on_side("ad") if isinstance(f, Categorical)}
    if ad_id not in candidates:
        raise ValueError(
            f"`ad_id` must name the Categorical of the ad's side that tells ads apart, one of {list(candidates)}. "
            f"Received: ad_id={ad_id!r}."
        )
    if positive is not None and positive not in schema.task_names:
        raise ValueError(
            f"`positive` must name a task of the schema, {schema.task_names}. Received: positive={positive!r}."
        )
    placements = [group_structure] if isinstance(group_structure, str) else group_structure
    others = sorted(set(placements) - {"user"}) if isinstance(placements, Iterable) else []
    if others:
        raise ValueError(
            "A two-tower model takes groups at the placement 'user' alone, since its towers do not see each other's "
            f"fields. Received: {others} in `group_structure`."
        )
    return candidates[ad_id]
