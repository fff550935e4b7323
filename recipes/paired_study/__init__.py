"""Variants of a model under paired seeds: training, controls, teachers, predictions."""

from ..training import Training
from ..variant import Variant
from .paired_trainer import PairedTrainer
from .pseudo_labels import pseudo_labels
from .random_codes import RandomCodes
from .run_variants import Job, prediction_file, run_variants
from .study_columns import StudyColumns

__all__ = [
    "Job",
    "PairedTrainer",
    "RandomCodes",
    "StudyColumns",
    "Training",
    "Variant",
    "prediction_file",
    "pseudo_labels",
    "run_variants",
]
