"""The source operation in Triton kernels, for CUDA devices. Importing this imports triton."""

from autoseg.supernet.triton_kernels.source import TritonSourceKernels

__all__ = ["TritonSourceKernels"]
