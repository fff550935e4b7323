"""Token models: rows as a few vectors of one width."""

from .field_tokens import USER_GROUPS, FieldTokens
from .per_token_mlp import PerTokenMLP
from .rank_mixer_block import RankMixerBlock

__all__ = ["USER_GROUPS", "FieldTokens", "PerTokenMLP", "RankMixerBlock"]
