"""Lessons: how to train a prior, and how to cut training batches from images."""

from scorefield.lessons import augmentations as augment
from scorefield.lessons.lesson import Batches, Cut, Learner, Lesson, PreparedBatches
from scorefield.lessons.tiles import TileCut
from scorefield.lessons.windows import Windows

__all__ = ["Batches", "Cut", "Learner", "Lesson", "PreparedBatches", "TileCut", "Windows", "augment"]
