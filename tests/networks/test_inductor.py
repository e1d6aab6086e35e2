"""Networks compiled by torch's default back end, with a C++ compiler."""

import shutil

import pytest
import torch

from tests.networks.test_contract import NUM_CLASSES, build_small, random_images
from tests.networks.zoo import CASES

# Transposed convolutions, pooling and concatenation. A network takes about a minute.
NAMES = ("unet",)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
# torch's compiler uses what torch itself has deprecated.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
# So it does after a test that counted MACs: thop imports distutils.
@pytest.mark.filterwarnings("ignore:Distutils was imported before Setuptools:UserWarning")
@pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_default_back_end_gives_the_same(name: str) -> None:
    (case,) = (case for case in CASES if case.name == name)
    network = build_small(case).eval().float()
    images = random_images(2, 33, 41).float()
    compiled = torch.compile(network, fullgraph=True)
    with torch.no_grad():
        logits, expected = compiled(images), network(images)
    assert logits.shape == (2, NUM_CLASSES, 33, 41)
    # float32; fused kernels add in another order, through some sixty layers at most.
    assert (logits - expected).norm() < 1e-5 * expected.norm()
