"""Prebuilt ranking models and the backbones they stand on."""

from . import backbones
from .backbones import Backbone
from .ctr_model import CTRModel
from .ranking_model import RankingModel
from .residual_learning import ResidualLearning

__all__ = ["Backbone", "CTRModel", "RankingModel", "ResidualLearning", "backbones"]
