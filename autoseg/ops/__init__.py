"""Candidate operations, and the blocks that networks are made of."""

from autoseg.ops.aspp import ASPP, ImagePooling
from autoseg.ops.blocks import conv_bn, conv_bn_relu
from autoseg.ops.resize import resize

__all__ = ["ASPP", "ImagePooling", "conv_bn", "conv_bn_relu", "resize"]
