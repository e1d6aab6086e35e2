"""Dense CRF inference in Triton kernels, for CUDA devices. Importing this imports triton."""

from autoseg.crf.triton_kernels.attention import TritonBruteForceFilter
from autoseg.crf.triton_kernels.lattice import TritonPermutohedralFilter
from autoseg.crf.triton_kernels.mean_field import triton_marginals

__all__ = ["TritonBruteForceFilter", "TritonPermutohedralFilter", "triton_marginals"]
