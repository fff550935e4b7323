"""Several tokens per row, each with a weight."""

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import polars as pl

from ...schema import Feature, Weights
from ..transforms.raw_values import Encoded, as_strings
from ..transforms.token_counts import TokenCounts
from ..transforms.token_spelling import TokenSpelling
from .kind import Problem, Profile, Transform
from .sequence import (
    SequenceColumn,
    SequenceTransform,
    check_separator,
    first_tokens,
    padded,
    split_tokens,
    typed_lists,
)
from .token_graph import graph_pieces

# As polars and TensorFlow both read it. Digits are ASCII, and few enough that no exponent leaves float32.
_DECIMAL = r"[-+]?[0-9]{1,15}(\.[0-9]{0,15})?"
_NUMBER = f"^{_DECIMAL}$"
# What `tabular --init` looks for between pairs, and between a token and its weight.
_SEPARATORS = (",", "|", ";", " ")
_WEIGHT_SEPARATORS = (":", "=")
_COMBINERS = ("mean", "sum")


@dataclasses.dataclass(frozen=True)
class WeightedColumn(SequenceColumn):
    """Several tokens in one string, each with a weight, such as `"sports:0.7,news:0.2"`.

    The tokens are those of a `SequenceColumn`; their weights are a second input of the model, `NAME_weights`. The model
    adds up the embeddings, each times its weight. A token without a weight has weight 1. A token whose weight is not a
    decimal number has weight 0, and `Tabular` reports its row.

    Args:
        name: name of the feature.
        side: `"user"`, `"ad"` or `"context"`.
        raw: name of the raw column. Defaults to `name`.
        separator: what stands between tokens. Defaults to `","`.
        min_count: as for a `SequenceColumn`.
        max_size: as for a `SequenceColumn`.
        shares: as for a `SequenceColumn`.
        missing: spellings that mean missing, of the whole string or of a token. Defaults to `()`.
        weight_separator: what stands between a token and its weight; its first occurrence counts. Defaults to `":"`.
        combiner: `"sum"` for Σ w·v, or `"mean"` for Σ w·v / Σ |w|. Defaults to `"mean"`.
        length: number of tokens kept per row (keyword).

    Example:
    >>> column = WeightedColumn("interests", "user", length=2)
    >>> [feature.name for feature in column.features(70)]
    ['interests', 'interests_weights']
    """

    weight_separator: str = ":"
    combiner: str = "mean"
    kind = "weighted"

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = f"Column {self.name!r}"
        check_separator(owner, self.weight_separator)
        if self.weight_separator in self.separator or self.separator in self.weight_separator:
            raise ValueError(
                f"{owner}: `separator` and `weight_separator` must differ. Received: separator={self.separator!r}, "
                f"weight_separator={self.weight_separator!r}."
            )
        if self.combiner not in _COMBINERS:
            raise ValueError(f"{owner}: `combiner` must be one of {_COMBINERS}. Received: combiner={self.combiner!r}.")

    @property
    def _weights_name(self) -> str:
        return f"{self.name}_weights"

    def features(self, vocabulary_size: int) -> tuple[Feature, ...]:
        """The ids and the weights."""
        weights = Weights(self._weights_name, self.name, self.length, self.side, self.combiner)
        return self.feature(vocabulary_size), weights

    def typed(self, values: pl.Series, problem: Problem) -> pl.Series:
        """The values as strings; a Parquet file's lists are joined."""
        typed = typed_lists(values, self.kind, self.separator, problem)
        pieces = split_tokens(typed, self.separator, TokenSpelling(self.missing), _Parts(self.weight_separator).token)
        good = pieces.list.eval(_Parts(self.weight_separator).weight(pl.element()).str.contains(_NUMBER)).list.all()
        problem((~good).to_numpy(), f"tokens with decimal numbers, such as 'token{self.weight_separator}0.5'")
        return typed

    def summarize(self, values: pl.Series) -> TokenCounts:
        """The counts of a chunk's tokens."""
        parts = _Parts(self.weight_separator)
        strings = as_strings(self.raw_name, values)
        pieces = split_tokens(strings, self.separator, TokenSpelling(self.missing), parts.token)
        return TokenCounts.of(parts.tokens(pieces.filter(pieces.list.len() > 0).explode()))

    def thinned(self, summary: TokenCounts) -> TokenCounts:
        """The counts without rare tokens."""
        return summary.thinned(self.min_count, self.missing)

    def fit(self, summary: TokenCounts, owner: Any = None, shared: bool = False) -> "WeightedTransform":
        """The transform of the tokens."""
        ids = super().fit(summary, owner, shared)
        fields = {field.name: getattr(ids, field.name) for field in dataclasses.fields(ids)}
        return WeightedTransform(**fields, weight_separator=self.weight_separator)

    @classmethod
    def suits(cls, kind: str, profile: Profile) -> bool:
        """Whether the values are lists of pairs of a token and a number."""
        return bool(cls._separators(profile))

    @classmethod
    def draft(cls, profile: Profile) -> dict[str, Any]:
        """As for a `SequenceColumn`, with what stands between a token and its weight."""
        separator, weight_separator = cls._separators(profile) or ("", "")
        if not separator:
            return super().draft(profile)
        shown = {"separator": separator} if profile.is_text else {}
        return {"length": profile.pieces(separator), **shown, "weight_separator": weight_separator}

    @classmethod
    def remark(cls, profile: Profile) -> str:
        """What was found."""
        return "pairs of a token and its weight; combiner: sum adds them up" if cls._separators(profile) else ""

    @staticmethod
    def _separators(profile: Profile) -> tuple[str, str] | None:
        """What separates pairs and what separates a token from its weight, `None` unless nearly all values are pairs.

        Some values need several pairs, since `"12:30"` alone is rather a time.
        """
        for separator, weight_separator in itertools.product(_SEPARATORS, _WEIGHT_SEPARATORS):
            between = re.escape(separator)
            pair = f"[^{between}{weight_separator}]+{weight_separator}{_DECIMAL}"
            several = profile.share_matching(f"^{pair}({between}{pair})+$")
            if several > 0.1 and profile.share_matching(f"^{pair}({between}{pair})*$") > 0.9:
                return separator, weight_separator
        return None

    def transforms(self, summary: Any, owner: Any = None, shared: bool = False) -> dict[str, Transform]:
        """The transforms of the tokens and of the weights."""
        weights = WeightsTransform(self.raw_name, self.separator, self.length, self.missing, self.weight_separator)
        return {self.name: self.fit(summary, owner, shared), self._weights_name: weights}


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedTransform(SequenceTransform):
    """A `SequenceTransform` of tokens that are followed by weights.

    Args:
        raw: name of the raw column.
        tokens: the vocabulary.
        separator: what stands between tokens.
        length: number of ids per row.
        missing: strings that mean missing, of the whole column or of a token.
        integers: whether tokens such as `"84.0"` are the token `"84"`.
        unknown_id: id of an unknown token. Defaults to 1.
        weight_separator: what stands between a token and its weight. Defaults to `":"`.

    Example:
    >>> transform = WeightedTransform("tag", np.array(["7", "62"], dtype=object), ",", length=3)
    >>> transform(["62:0.5,7", "", "9:1,62"]).tolist()
    [[3, 2, 0], [0, 0, 0], [1, 3, 0]]
    """

    weight_separator: str = ":"
    kind = "weighted"

    def _pieces(self, values: Any) -> tuple[np.ndarray, pl.Series]:
        parts = _Parts(self.weight_separator)
        strings = as_strings(self.raw, values)
        lengths, flat = first_tokens(strings, self.separator, self.length, self.spelling, parts.token)
        return lengths, parts.tokens(flat)

    def _graph_pieces(self, values: Any) -> Any:
        part = _Parts(self.weight_separator).graph_token
        pieces = graph_pieces(values, self.separator, self.length, self.spelling, part)
        return pieces.with_flat_values(part(pieces.flat_values))

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Lists of the vocabulary's tokens with weights, some that mean missing or were never seen."""
        ends = np.array(["", ":1", ":0.25", ":-3.5", ":x"], dtype=object)
        lists = super().sample(rows, generator)
        split = [text.split(self.separator) for text in lists]
        weighted = [
            [piece + generator.choice(ends).replace(":", self.weight_separator) for piece in pieces] for pieces in split
        ]
        return np.array([self.separator.join(pieces) for pieces in weighted], dtype=object)


@dataclasses.dataclass(frozen=True)
class WeightsTransform(Transform):
    """The weights of a `WeightedTransform`'s tokens, as float32, padded with 0.

    Args:
        raw: name of the raw column.
        separator: what stands between tokens.
        length: number of weights per row.
        missing: strings that mean missing, of the whole column or of a token.
        weight_separator: what stands between a token and its weight. Defaults to `":"`.

    Example:
    >>> WeightsTransform("tag", ",", length=3)(["62:0.5,7", "", "9:x"]).tolist()
    [[0.5, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    raw: str
    separator: str
    length: int
    missing: tuple[str, ...] = ()
    weight_separator: str = ":"

    kind = "weights"
    dtype = "string"

    @property
    def absent_id(self) -> int:
        """Weight 0, of padding."""
        return 0

    @property
    def _parts(self) -> "_Parts":
        return _Parts(self.weight_separator)

    def encode(self, values: Any) -> Encoded:
        """The padded weights, and how many are not numbers."""
        strings = as_strings(self.raw, values)
        spelling = TokenSpelling(self.missing)
        lengths, flat = first_tokens(strings, self.separator, self.length, spelling, self._parts.token)
        text = flat.to_frame("piece").select(self._parts.weight(pl.col("piece"))).to_series()
        good = text.str.contains(_NUMBER)
        weights = text.set(~good, "0").cast(pl.Float32).to_numpy()
        return Encoded(padded(lengths, weights, self.length), int((~good).sum()), len(flat))

    def graph(self, values: Any, table: Any) -> Any:
        """The same in TensorFlow."""
        import tensorflow as tf

        spelling = TokenSpelling(self.missing)
        pieces = graph_pieces(values, self.separator, self.length, spelling, self._parts.graph_token)
        text = self._parts.graph_weight(pieces.flat_values)
        text = tf.where(tf.strings.regex_full_match(text, _NUMBER), text, tf.constant("0"))
        weights = pieces.with_flat_values(tf.strings.to_number(text, tf.float32))
        return weights.to_tensor(default_value=0.0, shape=[None, self.length])

    def sample(self, rows: int, generator: np.random.Generator) -> np.ndarray:
        """Lists of tokens with weights."""
        drawn = generator.integers(-20, 20, (rows, self.length)) / 8
        lists = [[f"a{self.weight_separator}{weight}" for weight in weights] for weights in drawn]
        return np.array([self.separator.join(pieces) for pieces in lists], dtype=object)


@dataclasses.dataclass(frozen=True)
class _Parts:
    """A piece's token and weight, parted at the first separator."""

    # In graphs, \C matches any byte, also one that is not text.
    separator: str

    def token(self, piece: pl.Expr) -> pl.Expr:
        return piece.str.replace(f"(?s){re.escape(self.separator)}.*$", "")

    def weight(self, piece: pl.Expr) -> pl.Expr:
        """The text of the weight, `"1"` where there is none."""
        has_weight = piece.str.contains(self.separator, literal=True)
        weight = piece.str.replace(f"(?s)^.*?{re.escape(self.separator)}", "")
        return pl.when(has_weight).then(weight).otherwise(pl.lit("1"))

    def tokens(self, pieces: pl.Series) -> pl.Series:
        return pieces.to_frame("piece").select(self.token(pl.col("piece"))).to_series()

    def graph_token(self, pieces: Any) -> Any:
        import tensorflow as tf

        return tf.strings.regex_replace(pieces, f"{re.escape(self.separator)}\\C*$", "", replace_global=False)

    def graph_weight(self, pieces: Any) -> Any:
        import tensorflow as tf

        separator = re.escape(self.separator)
        has_weight = tf.strings.regex_full_match(pieces, f"\\C*{separator}\\C*")
        weight = tf.strings.regex_replace(pieces, f"^\\C*?{separator}", "", replace_global=False)
        return tf.where(has_weight, weight, tf.constant("1"))
