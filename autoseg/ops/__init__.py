"""Candidate operations, and the blocks that networks are made of."""

from autoseg.ops.aspp import ASPP, ImagePooling
from autoseg.ops.blocks import conv_bn, conv_bn_relu
from autoseg.ops.candidates import CANDIDATES
from autoseg.ops.resize import resize
from autoseg.ops.stem import Stem

__all__ = ["ASPP", "CANDIDATES", "ImagePooling", "Stem", "conv_bn", "conv_bn_relu", "resize"]
