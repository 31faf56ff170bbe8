"""Lessons: how a prior is trained, and the batches that are cut from images for it."""

from scorefield.lessons import augmentations as augment
from scorefield.lessons.lesson import Batches, Cut, Learner, Lesson, PreparedBatches
from scorefield.lessons.tiles import TileCut
from scorefield.lessons.windows import Windows

__all__ = ["Batches", "Cut", "Learner", "Lesson", "PreparedBatches", "TileCut", "Windows", "augment"]
