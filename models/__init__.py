"""Prebuilt ranking models and the backbones they stand on."""

from ..layers import MultiTask
from . import backbones, counterfactuals
from .backbones import Backbone
from .ctr_model import CTRModel
from .cvr_model import CVRModel
from .generative_retrieval_model import GenerativeRetrievalModel
from .grow import grow
from .preset_registry import presets
from .ranking_model import RankingModel
from .residual_learning import ResidualLearning
from .two_tower_model import TwoTowerModel

__all__ = [
    "Backbone",
    "CTRModel",
    "CVRModel",
    "GenerativeRetrievalModel",
    "MultiTask",
    "RankingModel",
    "ResidualLearning",
    "TwoTowerModel",
    "backbones",
    "counterfactuals",
    "grow",
    "presets",
]
