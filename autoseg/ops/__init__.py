"""Candidate operations, and the blocks that networks are made of."""

from autoseg.ops.aspp import ASPP, ImagePooling
from autoseg.ops.blocks import conv_bn, conv_bn_relu, conv_relu, separable_conv_bn_relu
from autoseg.ops.candidates import build_operation
from autoseg.ops.image_channels import (
    adapted_weight,
    image_channels,
    image_readers,
    reads_image,
    set_image_channels_,
)
from autoseg.ops.padding import pad_image
from autoseg.ops.registered import RegisteredOperation
from autoseg.ops.resize import resize
from autoseg.ops.response_norm import ResponseNorm
from autoseg.ops.stem import Stem
from autoseg.ops.upsampling import (
    bilinear_kernel,
    bilinear_upsampler,
    pool_after_each,
    pool_with_indices,
    unpool,
    unpool_before_each,
)

__all__ = [
    "ASPP",
    "ImagePooling",
    "RegisteredOperation",
    "ResponseNorm",
    "Stem",
    "adapted_weight",
    "bilinear_kernel",
    "bilinear_upsampler",
    "build_operation",
    "conv_bn",
    "conv_bn_relu",
    "conv_relu",
    "image_channels",
    "image_readers",
    "pad_image",
    "pool_after_each",
    "pool_with_indices",
    "reads_image",
    "resize",
    "separable_conv_bn_relu",
    "set_image_channels_",
    "unpool",
    "unpool_before_each",
]
