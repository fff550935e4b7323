"""Token models: rows as a few vectors of one width."""

from .field_tokens import FieldTokens
from .one_trans_block import OneTransBlock
from .per_token_mlp import PerTokenMLP
from .rank_mixer_block import RankMixerBlock
from .sequence_tokens import SequenceTokens

__all__ = ["FieldTokens", "OneTransBlock", "PerTokenMLP", "RankMixerBlock", "SequenceTokens"]
