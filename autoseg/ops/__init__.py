"""Candidate operations, and the blocks that networks are made of."""

from autoseg.ops.affine import remove_affine_
from autoseg.ops.aspp import ASPP, ImagePooling
from autoseg.ops.blocks import conv_bn, conv_bn_relu, conv_relu, separable_conv_bn_relu
from autoseg.ops.candidates import build_operation
from autoseg.ops.cell_ends import (
    AuxiliaryClassifier,
    ClassifierStem,
    DecoderHead,
    PooledClassifier,
    join_at_stride_4,
)
from autoseg.ops.cell_stack import (
    CellInputs,
    CellPlace,
    StemShape,
    cell_places,
    reduction_cells,
)
from autoseg.ops.darts_operations import FactorizedReduce, Noise, build_darts_operation
from autoseg.ops.image_channels import (
    adapted_weight,
    image_channels,
    image_readers,
    reads_image,
    set_image_channels_,
)
from autoseg.ops.padding import pad_image
from autoseg.ops.pooling import pool_to_grid
from autoseg.ops.registered import RegisteredOperation
from autoseg.ops.resize import resize, scaled, strided
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
    "AuxiliaryClassifier",
    "CellInputs",
    "CellPlace",
    "ClassifierStem",
    "DecoderHead",
    "FactorizedReduce",
    "ImagePooling",
    "Noise",
    "PooledClassifier",
    "RegisteredOperation",
    "ResponseNorm",
    "Stem",
    "StemShape",
    "adapted_weight",
    "bilinear_kernel",
    "bilinear_upsampler",
    "build_darts_operation",
    "build_operation",
    "cell_places",
    "conv_bn",
    "conv_bn_relu",
    "conv_relu",
    "image_channels",
    "image_readers",
    "join_at_stride_4",
    "pad_image",
    "pool_after_each",
    "pool_to_grid",
    "pool_with_indices",
    "reads_image",
    "reduction_cells",
    "remove_affine_",
    "resize",
    "scaled",
    "separable_conv_bn_relu",
    "set_image_channels_",
    "strided",
    "unpool",
    "unpool_before_each",
]
