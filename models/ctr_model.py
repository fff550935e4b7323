"""Multi-task click models with group structure learning and residual learning."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..distribution import replicas, synchronize
from ..layers import (
    GroupConcat,
    JointLogit,
    LogitCalibration,
    MultiTask,
    SemanticIdEmbedding,
    SemanticIds,
    SequenceEncoder,
    TableConfig,
    TaskWeighting,
)
from ..layers.embedding.optimizers import RowOptimizer
from ..losses import DelayedLoss, ObservedBinaryCrossentropy
from ..schema import Schema
from . import backbones
from .calibrations import check_order, make_calibrations
from .checks.dealt_rows import check_dealing, predictions
from .delayed_feedback import DelayedFeedback
from .distinct_names import distinct_names
from .feature_encoders import histories_of, make_semantic_ids, make_sequence_encoders
from .group_placements import make_group_concats
from .learned_groups import LearnedGroups
from .make_embedder import make_embedder, make_inputs
from .model_config import model_config, read_model_config
from .multi_task_model import MultiTaskModel
from .ranking import Arranged, CandidateRanker, arrange_anew
from .ranking_graph import RankingGraph, RankingNetwork, make_ranking_graph
from .ranking_model import RankingModel, probabilities_of
from .rate_start import RateStart
from .residual_learning import ResidualLearning
from .structures import field_width, make_structure, make_task_weighting


@keras.saving.register_keras_serializable(package="grouprank")
class CTRModel(MultiTaskModel):
    """Predicts the rates of several outcomes of an impression.

    Named columns go in, `{task: logit}` comes out:

        embed → [groups of users] → [groups of user-ad pairs] → backbone
              → [groups of representations] → multi-task structure → towers

    `compile()` needs no arguments: Adam, and normalized entropy, AUC and
    calibration for every task. The loss is built in: binary cross entropy per
    task over the rows whose label is known (NaN: unknown), weighted by
    `task_weights`. `loss` and `val_loss` are these cross entropies, so that a
    candidate and its baseline can be compared by them (as Keras averages them over
    batches; normalized entropy is exact). What groups, residual learning and
    regularizers add steers training only, each part with a metric of its own:
    `user_groups_loss` (1.0: no better than the mean; above, the groups are still
    being found), `TASK_residual_loss`, `TASK_pseudo_loss`, `regularization_loss`.

    While training, the model's outputs also hold the logits of the residual
    learning heads, as `task/residual` and `task/pseudo`.

    Args:
        schema: the table's features and tasks.
        backbone: a name of `grouprank.models.backbones.BACKBONES` such as `"dcn_v2"`,
            `"dhen"` or `"mlp"`, or a `Backbone`. Defaults to `"dcn_v2"`.
        multi_task: structure above the backbone: `"shared_bottom"`, `"mmoe"`, `"ple"`,
            `"aitm"`, `"adatt"`, `"home"`, `"stem"` (above the backbone `"concatenation"`), or a `MultiTask` such as
            one of yours. Defaults to `"shared_bottom"`.
        group_structure: any subset of `("user", "user_ad", "representation")`, or
            a dict of `GroupConcat` by placement. Defaults to all three.
        residual_learning: `True`, `False` or a `ResidualLearning`. Defaults to `True`.
        embedding_dim: width of every feature's embedding, unless `tables` say otherwise. Under `"stem"` every task has
            an embedding of this width, and all tasks share one. Defaults to `16`.
        tower_units: widths of each task's tower. Defaults to `(64,)`.
        dropout: dropout rate of towers and of a backbone given by name. Defaults to `0.0`.
        embedding_optimizer: what trains the embedding table. `None` takes the optimizer
            of `compile`, which reads and writes all rows at every step. `"adam"`,
            `"adagrad"`, `"rowwise_adagrad"`, `"sgd"`, `"ftrl"` or one of
            `grouprank.layers.embedding_optimizers` takes a fused table, which trains the
            rows of the batch (see `FusedEmbedding`). `"auto"` takes a fused table with
            lazy Adam from 100,000 rows on, unless `embeddings_regularizer` is set; from
            there on it is no slower on any backend of a CPU. Defaults to `"auto"`.
        embedding_storage_dtype: `"float32"`, `"bfloat16"` or `"float16"`: how a fused table keeps
            its rows, in training and when served. Half precision halves its memory.
            Defaults to `"float32"`.
        table_placement: `"device"` or `"rows"`: whether a fused table lies on one device, or its rows are dealt over
            the devices of a distribution (see `FusedEmbedding`). Tables that `"auto"` leaves to the optimizer of
            `compile` are small, and every device has them. Defaults to `"device"`.
        embeddings_regularizer: regularizer of the embedding table. It reads the whole
            table at every step; use the `weight_decay` of a fused table's optimizer
            there. Defaults to `None`.
        task_weights: factor of each task's loss; tasks left out weigh 1. Defaults to `None`.
        task_weighting: what balances the tasks beside `task_weights`: `"fixed"`
            (nothing), `"uncertainty"`, `"grad_norm"` or a `TaskWeighting`. Defaults to `"fixed"`.
        sequence_encoder: what makes one vector of a `Sequence`: `"mean"`,
            `"target_attention"` (DIN; the sequence must share the ad id's table),
            `"causal_transformer"` (SASRec), `"hstu"` (HSTU; both: oldest position first),
            or a dict of names or `SequenceEncoder`s by sequence. Defaults to `"mean"`.
        semantic_ids: `SemanticIds` or `SemanticIdEmbedding` by categorical feature. Each
            adds a field. Defaults to `None`.
        start_at_rate: whether an untrained model starts at the rate of each task among the training rows. `adapt`
            sets the biases of the outputs, or else `fit` before its first step. All rows of arrays count. Of a loader
            about 50,000 rows count, spread over it, and of an iterator none. `evaluate` sets nothing, and neither does
            `fit` on a trained, resumed or loaded model. The kernels of the outputs start at a tenth of the usual size,
            so that the first predictions lie close to the rates. Defaults to `True`.
        tables: a `grouprank.layers.TableConfig` for each embedding table that is to differ from the arguments above:
            room for more rows, a width, an initializer or an optimizer of its own. A feature's table has the
            feature's name, unless its `table` or `shares` names another. Defaults to `()`.
        calibration: which tasks have a `grouprank.layers.LogitCalibration` behind their logits: `True` for all, names
            of tasks, or a dict of layers by task. It corrects predictions, ranking and exports and is no part of the
            training loss. It changes nothing until `calibrate` is called. Defaults to `False`.
        negative_rate: the share of the negatives that the training rows have kept, for all tasks or by task, if no
            weights make up for the others. Predictions then have `log(negative_rate)` added to their logits, which
            makes them those of all rows. A `BatchLoader` with `recalibrate="logit"` needs the same rates here. Tasks
            named here can be calibrated, too. Defaults to `None`.
        delayed_feedback: for tasks whose conversions come late, a `grouprank.losses.DelayedLoss` each, such as
            `{"purchase": DelayedFeedbackLoss()}`. In training it takes the place of the task's cross entropy, reads the
            target column `purchase_delays`, which `grouprank.losses.conversion_delays` makes of times, and has a head
            that the exported model does not have. `fit` shows it as `purchase_delayed_loss`. `loss` and metrics still
            compare with the labels: give those of rows that are too young as NaN. Defaults to `None`.
        **kwargs: `name` and `trainable`.

    Call arguments:
        inputs: dict of columns by feature name.
        training: whether to run in training mode.

    Input shape:
        A dict of `(batch,)`; `(batch, length)` for sequences, `(batch, dim)` for vectors.

    Output shape:
        A dict of `(batch, 1)` logits by task.

    Raises:
        ValueError: on an unknown backbone, structure or placement, a placement
            whose side has no features, or a task weight for an unknown task.

    Example:

    >>> import numpy as np
    >>> from grouprank import Categorical, Numeric, Task
    >>> schema = Schema(
    ...     [Categorical("user_id", 50, side="user"), Categorical("ad_id", 20), Numeric("bid", side="ad")],
    ...     [Task("click"), Task("like")],
    ... )
    >>> model = CTRModel(schema, backbone="mlp", embedding_dim=4)
    >>> model.compile()
    >>> rng = np.random.default_rng(0)
    >>> x = {"user_id": rng.integers(0, 50, 256), "ad_id": rng.integers(0, 20, 256), "bid": rng.normal(size=256)}
    >>> y = {"click": rng.integers(0, 2, 256), "like": rng.integers(0, 2, 256)}
    >>> history = model.fit(x, y, verbose=0)
    >>> model.predict_proba(x)["click"].shape
    (256,)
    >>> model.groups(x)["user"].shape
    (256, 3)

    Reference:
        *Learning Disentangled Representations for Ads Ranking*, §3 and §4.
    """

    def __init__(
        self,
        schema: Schema,
        backbone: str | backbones.Backbone = "dcn_v2",
        multi_task: str | MultiTask = "shared_bottom",
        group_structure: str | Iterable[str] | Mapping[str, GroupConcat] = ("user", "user_ad", "representation"),
        residual_learning: bool | ResidualLearning = True,
        embedding_dim: int = 16,
        tower_units: Sequence[int] = (64,),
        dropout: float = 0.0,
        *,
        embedding_optimizer: str | RowOptimizer | None = "auto",
        embeddings_regularizer: str | keras.regularizers.Regularizer | None = None,
        task_weights: Mapping[str, float] | None = None,
        task_weighting: str | TaskWeighting = "fixed",
        sequence_encoder: str | Mapping[str, str | SequenceEncoder] = "mean",
        semantic_ids: Mapping[str, SemanticIds | SemanticIdEmbedding] | None = None,
        embedding_storage_dtype: str = "float32",
        table_placement: str = "device",
        start_at_rate: bool = True,
        tables: Iterable[TableConfig] = (),
        calibration: bool | Iterable[str] | Mapping[str, LogitCalibration] = False,
        negative_rate: float | Mapping[str, float] | None = None,
        delayed_feedback: Mapping[str, DelayedLoss] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(schema, Schema):
            raise ValueError(
                f"`schema` must be a grouprank.Schema. Received: {schema!r} of type {type(schema).__name__}."
            )
        learning = ResidualLearning.get(residual_learning)
        if learning is not None:
            learning.check_tasks(schema.task_names)
        delayed = DelayedFeedback(delayed_feedback, schema)
        regularizer = keras.regularizers.get(embeddings_regularizer)
        tables = tuple(tables)
        # === Layers ===
        width = field_width(multi_task, schema, embedding_dim)
        group_concats = make_group_concats(group_structure, schema, width)
        feature_interactions = backbones.get(backbone, schema, dropout=dropout, name="backbone")
        structure = make_structure(multi_task, schema, dropout)
        weighting = make_task_weighting(task_weighting, schema, task_weights)
        calibrations = make_calibrations(calibration, negative_rate, schema)
        histories = histories_of(schema) if feature_interactions.reads_sequences else ()
        encoders = make_sequence_encoders(sequence_encoder, schema)
        semantic_embeddings = make_semantic_ids(semantic_ids, schema, width)
        # === Functional graph ===
        inputs = make_inputs(schema)
        embedder = make_embedder(
            schema,
            width,
            regularizer,
            embedding_optimizer,
            encoders,
            semantic_embeddings,
            embedding_storage_dtype,
            tables,
            table_placement,
            histories,
        )
        fields = embedder.fields(*embedder.vectors(inputs))
        # Backbones that end in a normalization would drown the rate in the noise of a kernel of the usual size.
        initializer = keras.initializers.VarianceScaling(0.01, "fan_avg", "uniform") if start_at_rate else None
        joints = self._joint_layers(schema)
        network = RankingNetwork(
            schema, group_concats, feature_interactions, structure, weighting, joints, calibrations
        )
        graph = make_ranking_graph(network, fields, learning, tower_units, dropout, initializer or "glorot_uniform")
        late = delayed.make_heads(graph.representations)
        heads = {**graph.heads, **late, **self._more_heads(schema, graph, tower_units, dropout)}
        outputs = {**graph.logits, **heads}
        distinct_names(outputs, inputs)
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        # === Config ===
        self.schema = schema
        self.backbone = feature_interactions
        self.multi_task = structure
        self.group_concats = group_concats
        self.residual_learning = learning
        self.embedding_dim = embedding_dim
        self.tower_units = tuple(tower_units)
        self.dropout = dropout
        self.embedding_optimizer = embedding_optimizer
        self.embedding_storage_dtype = embedding_storage_dtype
        self.table_placement = table_placement
        self.embeddings_regularizer = regularizer
        self.task_weighting = weighting
        self.sequence_encoders = encoders
        self.semantic_embeddings = semantic_embeddings
        self.start_at_rate = start_at_rate
        self.tables = tables
        self.calibrations = calibrations
        self.delayed_feedback = delayed
        sampled = sorted(set(delayed.losses) & set(self.negative_rate))
        if sampled:
            raise ValueError(
                f"`negative_rate` of {sampled}: a conversion that may still come is no negative that could be left "
                "out. Sample the negatives of tasks without `delayed_feedback`."
            )
        check_order(structure, self.negative_rate)
        self._learned_groups = LearnedGroups(inputs, group_concats, graph.placement_inputs)
        self._rate_start = RateStart(graph.biases, learning)
        self._ranker = CandidateRanker(embedder, network)
        self._task_loss = ObservedBinaryCrossentropy()
        # Tracked by the model, so that it is saved with it and its weights are part of a compiled step.
        teacher = learning.teacher if learning is not None else None
        self.teacher = teacher if isinstance(teacher, keras.Model) else None
        if isinstance(self.teacher, RankingModel):
            schema.check_fitted(self.teacher.schema, "the model", "its teacher")
        ordered = ["ordered"] if structure.ordered_weight else []
        self._show_losses([*heads, *ordered])

    def take_schema(self, schema: Schema) -> None:
        """Replace the schema, see `TableModel.take_schema`."""
        super().take_schema(schema)
        self._ranker.take_schema(schema)

    @staticmethod
    def _joint_layers(schema: Schema) -> dict[str, tuple[JointLogit, str, str]]:
        """Further predictions made of logits: by name, a layer and the two predictions whose logits it reads."""
        return {}

    def _more_heads(
        self, schema: Schema, graph: RankingGraph, tower_units: Sequence[int], dropout: float
    ) -> Mapping[str, Any]:
        """Further outputs that only training has, by name; each has a loss of its own."""
        return {}

    def groups(self, x: Any, batch_size: int | None = None, verbose: str | int = 0) -> dict[str, np.ndarray]:
        """Learned group ids by placement, int32 of shape `(rows, num_levels)`."""
        if not self.group_concats:
            return {}
        x, _ = self._checked(x)
        model = self.group_ids_model()
        with self._batch_check(labels=False) as watch:

            def predict(x: Any) -> Any:
                return model.predict(watch(x), batch_size=batch_size, verbose=verbose)

            ids = predictions(model, predict, x, batch_size)
        return {placement: ids[placement] for placement in self.group_concats}

    def group_ids_model(self) -> keras.Model:
        """A model of the same weights from columns to `{placement: group ids}`."""
        return self._learned_groups.ids_model()

    def residual_norms(self, x: Any, batch_size: int | None = None) -> dict[str, np.ndarray]:
        """Mean length of what each level of the groups leaves over, float32 `(num_levels,)` by placement."""
        return self._learned_groups.residual_norms(self._checked(x)[0], batch_size)

    def adapt(self, x: Any, max_rows: int = 50_000, y: Any = None) -> None:
        """Start every placement's codebooks from k-means, and every task at its rate; call it before `fit`.

        Args:
            x: columns, or a loader whose batches start with columns. In several processes of torch, each passes its
                own rows.
            max_rows: number of rows kept for k-means. Defaults to `50_000`.
            y: labels by task, if `x` holds columns. Without them `fit` looks for the rates. Defaults to `None`.
        """
        with replicas.together("CTRModel.adapt"):
            x, y = self._checked(x, y)
            check_dealing("CTRModel.adapt", x)
        synchronize(self)
        self._start_at_rates(x, y, None)
        self._learned_groups.adapt(x, max_rows)

    def rank(self, request: Mapping[str, Any], candidates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Probabilities of many ads for one user each: float32 `(requests, candidates)` by task.

        What depends on the user alone is embedded and grouped once per request, not once per ad.

        Args:
            request: columns of the user's side and the context, `(requests, ...)`.
            candidates: columns of the ads' side, `(requests, candidates, ...)`. An empty list of ads has no scores.

        Raises:
            ValueError: when a column is missing or of another shape, or the schema lacks one of the sides.
        """
        once, each = (
            {name: ops.convert_to_tensor(values) for name, values in part.items()} for part in (request, candidates)
        )
        logits = self.rank_logits(once, each)
        return {name: probabilities_of(ops.convert_to_numpy(value)) for name, value in logits.items()}

    def rank_logits(
        self,
        request: Mapping[str, Any],
        candidates: Mapping[str, Any],
        arranged: Arranged = arrange_anew,
        shape: tuple[Any, Any] | None = None,
    ) -> dict[str, Any]:
        """Like `rank`, but it takes tensors and returns logits.

        Args:
            request: see `rank`.
            candidates: see `rank`.
            arranged: called with a key and a function that brings weights of the model into the order in which they
                are read; returns the tensor to read. By default they are arranged at every call. A graph that is only
                served passes a function that keeps them (`serving/arranged_weights.py`).
            shape: the numbers of requests and of candidates, if the candidates' columns come as rows, `(requests ·
                candidates, ...)`, request after request. Defaults to `None`.
        """
        return self._of_tasks(self._ranker(request, candidates, arranged, shape))

    def row_logits(self, columns: Mapping[str, Any], arranged: Arranged = arrange_anew) -> dict[str, Any]:
        """Logits `(rows,)` by prediction, of tensors; a served graph is traced from it.

        Args:
            columns: a column for each feature, `(rows, ...)`.
            arranged: see `rank_logits`.
        """
        return self._of_tasks(self._ranker.of_rows(columns, arranged))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        serialize = keras.saving.serialize_keras_object
        return {
            **model_config(self),
            "backbone": serialize(self.backbone),
            "multi_task": serialize(self.multi_task),
            "residual_learning": serialize(self.residual_learning) if self.residual_learning else False,
            "embedding_storage_dtype": self.embedding_storage_dtype,
            "table_placement": self.table_placement,
            "task_weights": self.task_weighting.task_weights,
            "task_weighting": serialize(self.task_weighting),
            "sequence_encoder": {name: serialize(layer) for name, layer in self.sequence_encoders.items()},
            "semantic_ids": {name: serialize(layer) for name, layer in self.semantic_embeddings.items()},
            "start_at_rate": self.start_at_rate,
            "calibration": {task: serialize(layer) for task, layer in self.calibrations.items()},
            "delayed_feedback": {task: serialize(loss) for task, loss in self.delayed_feedback.losses.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CTRModel":
        """Inverse of `get_config`."""
        objects = ("backbone", "multi_task", "task_weighting", "residual_learning")
        by_name = ("sequence_encoder", "semantic_ids", "calibration", "delayed_feedback")
        return cls(**read_model_config(config, custom_objects, objects, by_name))
