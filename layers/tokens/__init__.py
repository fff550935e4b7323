"""Token models: rows as a few vectors of one width."""

from .field_summary import FieldSummary
from .field_tokens import FieldTokens
from .history_summary import HistorySummary
from .one_trans_block import OneTransBlock
from .per_token_mlp import PerTokenMLP
from .personalized_attention import PersonalizedAttention
from .rank_mixer_block import RankMixerBlock
from .sequence_tokens import SequenceTokens

__all__ = [
    "FieldSummary",
    "FieldTokens",
    "HistorySummary",
    "OneTransBlock",
    "PerTokenMLP",
    "PersonalizedAttention",
    "RankMixerBlock",
    "SequenceTokens",
]
