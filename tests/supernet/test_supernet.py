"""The batched supernet against the per-edge one, and what the search relies on."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from autoseg._native import core
from autoseg.architecture import SearchSpace, live_betas
from autoseg.supernet import Supernet
from autoseg.supernet.reference import reference_logits
from tests.strategies.watching import HostReads

BOTH_FAMILIES = (
    "none",
    "sep_conv_5x5",
    "skip_connect",
    "dil_conv_3x3",
    "max_pool_3x3",
    "atrous_conv_5x5",
    "sep_conv_3x3",
    "dil_conv_5x5",
    "avg_pool_3x3",
    "atrous_conv_3x3",
)


BACK_ENDS = [
    "torch",
    pytest.param(
        "fused",
        marks=pytest.mark.skipif(core() is None, reason="the compiled kernels are missing"),
    ),
]


def small_space(**changes):
    space = dataclasses.replace(
        SearchSpace.load("autodeeplab"),
        num_layers=3,
        num_nodes=2,
        filter_multiplier=2,
        stem_channels=(3, 4, 6),
    )
    return dataclasses.replace(space, **changes)


def random_supernet(space, *, seed=0, **options):
    """A float64 supernet whose alpha and beta are far from uniform."""
    torch.manual_seed(seed)
    net = Supernet(space, num_classes=5, **options).double()
    with torch.no_grad():
        net.alpha.normal_()
        net.beta.normal_()
    return net


def gradients(net, logits, target):
    net.zero_grad()
    F.cross_entropy(logits, target).backward()
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


def expected_of(net, images, target):
    """Compute the reference's logits and gradients of alpha, beta and every weight."""
    logits = reference_logits(net, images, training=net.training)
    return logits.detach(), gradients(net, logits, target)


def assert_same(net, images, target, *, tolerance, expected=None):
    """Compare logits and gradients with the reference's, relative to the largest."""
    expected_logits, want = expected or expected_of(net, images, target)
    logits = net(images)
    scale = expected_logits.abs().max()
    assert (logits - expected_logits).abs().max() <= tolerance * scale
    got = gradients(net, logits, target)
    largest = max(gradient.abs().max() for gradient in want.values())
    for name, gradient in want.items():
        difference = (got[name] - gradient).abs().max()
        assert difference <= tolerance * max(gradient.abs().max(), 1e-3 * largest), name


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (48, 40)),
        ({"operations": BOTH_FAMILIES}, (41, 51)),
        ({"num_layers": 5, "num_nodes": 3, "strides": (4, 8, 16)}, (37, 33)),
        ({"num_layers": 1, "operations": ("none", "avg_pool_3x3")}, (64, 33)),
        ({"num_layers": 4, "operations": ("sep_conv_3x3", "none")}, (65, 40)),
    ],
)
def test_equals_the_per_edge_reference(changes, size, backend):
    # 1e-8: float64 rounding, grown by batch norm over maps of few pixels in backward.
    net = random_supernet(small_space(**changes), backend=backend)
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    assert_same(net, images, torch.randint(5, (3, *size)), tolerance=1e-8)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_equals_the_per_edge_reference_for_a_single_image(backend):
    net = random_supernet(small_space(operations=BOTH_FAMILIES), backend=backend)
    images = torch.randn(1, 3, 49, 65, dtype=torch.float64)
    assert_same(net, images, torch.randint(5, (1, 49, 65)), tolerance=1e-8)


@pytest.fixture(
    scope="module",
    # Four layers have cells of all widths, 40 to 320 channels, and all ways between them; what
    # more layers are is compared above. The other family's operations are as well.
    params=[
        ("autodeeplab", 4),
        pytest.param(("autodeeplab", 12), marks=pytest.mark.nightly),
        pytest.param(("autodeeplab_depthwise", 12), marks=pytest.mark.nightly),
    ],
    ids=lambda name_and_layers: "-".join(map(str, name_and_layers)),
)
def at_the_papers_size(request):
    """Compute the reference, which takes most of the time, once for all back ends."""
    name, num_layers = request.param
    space = dataclasses.replace(SearchSpace.load(name), num_layers=num_layers)
    net = random_supernet(space, backend="torch")
    images = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    target = torch.randint(5, (2, 33, 33))
    return space, net.state_dict(), images, target, expected_of(net, images, target)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    # Plain operators equal the reference in the smaller spaces above.
    [pytest.param("torch", marks=pytest.mark.nightly), *BACK_ENDS[1:]],
)
def test_equals_the_per_edge_reference_at_the_papers_size(at_the_papers_size, backend):
    space, state, images, target, expected = at_the_papers_size
    net = random_supernet(space, backend=backend)
    net.load_state_dict(state)
    assert_same(net, images, target, tolerance=1e-6, expected=expected)


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_evaluation_uses_the_running_statistics_of_each_input_cell(backend):
    net = random_supernet(small_space(operations=BOTH_FAMILIES), backend=backend)
    generator = torch.Generator().manual_seed(1)
    for name, buffer in net.named_buffers():
        if name.endswith("mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("var"):
            buffer.uniform_(0.5, 2, generator=generator)
    net.eval()
    images = torch.randn(2, 3, 40, 33, dtype=torch.float64)
    assert_same(net, images, torch.randint(5, (2, 40, 33)), tolerance=1e-9)


def test_running_statistics_converge_to_those_of_a_repeated_batch():
    net = random_supernet(small_space(num_layers=2))
    images = torch.randn(4, 3, 96, 96, dtype=torch.float64)

    def features():
        maps = net.features(images, torch.softmax(net.alpha, 1), torch.softmax(net.beta, 2))
        return maps["stride8"]

    with torch.no_grad():
        net.eval()
        fresh = features()
        net.train()
        for _ in range(200):
            trained = features()
        net.eval()
        evaluated = features()
    # The first statistics have decayed to 0.9 ** 200 = 7e-10, which matters in channels that a ReLU
    # made constant. The running variance is the unbiased one, over 4 * 12 * 12 values 0.2 % larger.
    assert (evaluated - trained).abs().max() < 0.03 * trained.abs().max()
    assert (fresh - trained).abs().max() > 0.1 * trained.abs().max()


@pytest.mark.parametrize("backend", BACK_ENDS)
def test_recomputation_changes_neither_results_nor_statistics(backend):
    space = small_space(operations=BOTH_FAMILIES)
    plain = random_supernet(space, backend=backend)
    recomputed = random_supernet(space, recompute_cells=True, backend=backend)
    images, target = torch.randn(2, 3, 40, 33, dtype=torch.float64), torch.randint(5, (2, 40, 33))
    expected = gradients(plain, plain(images), target)
    for name, gradient in gradients(recomputed, recomputed(images), target).items():
        # Not bit for bit: the order in which contributions are added up may differ.
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-12)
    buffers = dict(plain.named_buffers())
    for name, buffer in recomputed.named_buffers():
        if "num_batches" not in name:
            torch.testing.assert_close(buffer, buffers[name], rtol=1e-12, atol=0)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_every_live_beta_gets_a_gradient_and_no_dead_one(preset):
    space = dataclasses.replace(
        SearchSpace.load("autodeeplab", preset=preset), num_nodes=1, filter_multiplier=1
    )
    torch.manual_seed(0)
    net = Supernet(space, num_classes=4)
    F.cross_entropy(net(torch.randn(2, 3, 64, 64)), torch.randint(4, (2, 64, 64))).backward()
    live = live_betas(space)
    if preset == "paper":
        assert int(live.sum()) == 105  # 10 L - 15
    assert bool((net.beta.grad[live] != 0).all())
    assert bool((net.beta.grad[~live] == 0).all())
    assert bool((net.beta[~live] == 0).all())
    assert bool((net.alpha.grad != 0).all())


def test_parameter_groups_are_disjoint_and_complete():
    net = Supernet(small_space(), num_classes=4)
    arch = {id(parameter) for parameter in net.arch_parameters()}
    weights = {id(parameter) for parameter in net.weight_parameters()}
    assert not arch & weights
    assert arch | weights == {id(parameter) for parameter in net.parameters()}


def test_a_half_step_computes_the_gradients_of_its_group_alone():
    net = random_supernet(small_space())
    # Maps of several pixels: over two values batch norm's backward is ill-conditioned.
    images, target = torch.randn(3, 3, 64, 64, dtype=torch.float64), torch.randint(5, (3, 64, 64))
    full = gradients(net, net(images), target)
    for group in (net.arch_parameters(), net.weight_parameters()):
        net.zero_grad()
        with net.only_gradients_of(group):
            F.cross_entropy(net(images), target).backward()
        inside = {id(parameter) for parameter in group}
        for name, parameter in net.named_parameters():
            if id(parameter) in inside:
                torch.testing.assert_close(parameter.grad, full[name], rtol=1e-9, atol=1e-12)
            else:
                assert parameter.grad is None
        assert all(parameter.requires_grad for parameter in net.parameters())


def test_widths_follow_the_paper():
    # B * F * s / 4 channels at stride s (section 5.1).
    net = Supernet(SearchSpace.load("autodeeplab"), num_classes=19)
    features = net.features(
        torch.randn(2, 3, 64, 64), torch.softmax(net.alpha, 1), torch.softmax(net.beta, 2)
    )
    assert {name: tuple(f.shape[1:]) for name, f in features.items()} == {
        "stride4": (40, 16, 16),
        "stride8": (80, 8, 8),
        "stride16": (160, 4, 4),
        "stride32": (320, 2, 2),
    }


def test_two_thirds_rule_reaches_the_features():
    torch.manual_seed(0)
    net = random_supernet(small_space(num_layers=1), beta_norm="two-thirds")
    paper = random_supernet(small_space(num_layers=1))
    paper.load_state_dict(net.state_dict())
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    calls = {}
    for name, module in (("two-thirds", net), ("paper", paper)):
        module.heads["stride4"].register_forward_pre_hook(
            lambda _, inputs, name=name: calls.__setitem__(name, inputs[0])
        )
        module(images)
    # The stem has two outgoing edges: their weights shrink by 2 / 3, and the one cell is linear.
    torch.testing.assert_close(calls["two-thirds"], calls["paper"] * 2 / 3)


@pytest.mark.parametrize("backend", BACK_ENDS)
@pytest.mark.parametrize("recompute", [False, True])
def test_a_step_reads_no_value_and_uploads_nothing(backend, recompute):
    # What a CUDA graph could not capture; the first step fills the caches of indices.
    net = Supernet(
        small_space(operations=BOTH_FAMILIES),
        num_classes=5,
        backend=backend,
        recompute_cells=recompute,
    )
    images, target = torch.randn(2, 3, 64, 64), torch.randint(5, (2, 64, 64))
    for _ in range(2):
        with HostReads() as reads:
            F.cross_entropy(net(images), target).backward()
    assert reads.found == []


@pytest.mark.skipif(core() is None, reason="the compiled kernels are missing")
def test_back_ends_agree_in_single_precision():
    # 2e-3: rounding of 2 ** -24 through three layers of batch norms over few pixels; what matters
    # is that it is rounding, which the float64 tests above show.
    space = small_space(operations=BOTH_FAMILIES)
    images, target = torch.randn(2, 3, 65, 49), torch.randint(5, (2, 65, 49))
    nets = [random_supernet(space, backend=backend).float() for backend in ("torch", "fused")]
    first, second = (gradients(net, net(images), target) for net in nets)
    largest = max(gradient.abs().max() for gradient in first.values())
    for name, gradient in first.items():
        assert (second[name] - gradient).abs().max() <= 2e-3 * largest, name
