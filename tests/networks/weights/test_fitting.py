import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks import build_network, crf_rnn
from autoseg.networks.encoders import ENCODERS, Encoder
from autoseg.networks.weightless import weightless
from autoseg.networks.weights import (
    LoadedWeights,
    fit_weights,
    from_torchvision,
    load_weights_,
    to_torchvision,
)
from tests.networks.encoders import layouts

NIGHTLY = pytest.mark.nightly


def build_random(name: str, *, num_classes: int | None = 7, width: float = 0.125) -> nn.Module:
    return ENCODERS[name](num_classes=num_classes, width=width).double()


def save(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("file_name", ["weights.pth", "weights.safetensors"])
def test_a_classifier_takes_the_weights_of_its_file(tmp_path: Path, file_name: str) -> None:
    source, network = build_random("resnet18").eval(), build_random("resnet18").eval()
    path = save(source.state_dict(), tmp_path / file_name)
    images = torch.randn(2, 3, 33, 41, dtype=torch.float64)
    assert not torch.allclose(network(images), source(images))
    loaded = load_weights_(network, path)
    assert torch.equal(network(images), source(images))
    assert loaded == LoadedWeights((), len(source.state_dict()), ())


@pytest.mark.parametrize(
    ("classifier", "network", "parts"),
    [
        ("resnet50", "deeplabv3plus_resnet50", ("encoder",)),
        ("resnet50", "deeplabv3_resnet50", ("encoder",)),
        # The same names as ResNet-50's, of more blocks.
        pytest.param("resnet101", "deeplabv2_resnet101", ("encoder",), marks=NIGHTLY),
        pytest.param("resnet152", "resnet152_duc_hdc", ("encoder",), marks=NIGHTLY),
        ("mobilenet_v2", "deeplabv3_mobilenet_v2_without_3x3", ("encoder",)),
        pytest.param("xception65", "deeplabv3plus_xception65", ("encoder",), marks=NIGHTLY),
        ("vgg16", "fcn8s_vgg16", ("stages", "context")),
        ("vgg16", "deeplab_7x7_vgg16", ("encoder", "context")),
        # Of another size than the classifier's first linear layer: 3x3 and 4x4.
        ("vgg16", "deeplab_largefov_vgg16", ("encoder",)),
        ("vgg16", "deeplab_4x4_vgg16", ("encoder",)),
        ("vgg16", "deeplabv2_vgg16", ("encoder",)),
        ("vgg16_bn", "segnet_vgg16", ("encoder",)),
        ("vgg16_bn", "deconvnet_vgg16", ("encoder", "fc6", "fc7")),
    ],
)
def test_a_classifiers_file_fills_the_encoder(
    tmp_path: Path, classifier: str, network: str, parts: tuple[str, ...]
) -> None:
    source = ENCODERS[classifier](num_classes=7, width=0.125)
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    built = build_network(network, num_classes=5, width=0.125)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    loaded = load_weights_(built, path)
    assert loaded.parts == parts
    assert loaded.left_out
    assert loaded.num_tensors + len(loaded.left_out) == len(source.state_dict())
    num_filled, filled_with = 0, source.state_dict()
    for name, value in built.state_dict().items():
        is_filled = name.split(".")[0] in parts
        theirs = classifiers_name(name, is_vgg=classifier.startswith("vgg")) if is_filled else None
        if theirs is None:
            assert torch.equal(value, before[name]), name
        else:
            assert torch.equal(value.flatten(), filled_with[theirs].flatten()), name
            num_filled += 1
    assert num_filled == loaded.num_tensors


def classifiers_name(name: str, *, is_vgg: bool) -> str | None:
    """Name a network's weight as the classifier does."""
    part, *layers, kind = name.split(".")
    linear = {"context.0": 0, "context.3": 3, "fc6.0": 0, "fc7.0": 3}
    if part in ("context", "fc6", "fc7"):  # DeconvNet has batch norm there as well
        number = linear.get(".".join([part, *layers]))
        return None if number is None else f"classifier.{number}.{kind}"
    # VGG's layers keep their numbers in whatever block they are; other names stay as they are.
    return f"features.{layers[-1]}.{kind}" if is_vgg else ".".join([*layers, kind])


def test_linear_layers_as_kernels_compute_the_same(tmp_path: Path) -> None:
    source = ENCODERS["vgg16"](num_classes=7, width=0.125).double().eval()
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    network = build_network("fcn8s_vgg16", num_classes=5, width=0.125).double().eval()
    load_weights_(network, path)
    features = torch.randn(2, 64, 7, 7, dtype=torch.float64)
    hidden = hidden_layers(source)(features.flatten(1))
    assert (hidden > 0).any()
    context = network.get_submodule("context")
    torch.testing.assert_close(context(features)[:, :, 0, 0], hidden)
    # On a larger map each position is the classifier over the window that begins there.
    larger = torch.randn(1, 64, 9, 8, dtype=torch.float64)
    window = larger[:, :, 2:, 1:].flatten(1)
    expected = hidden_layers(source)(window)
    torch.testing.assert_close(context(larger)[:, :, 2, 1], expected)


def hidden_layers(classifier: nn.Module) -> nn.Sequential:
    """Give VGG's first two linear layers, with ReLU and dropout."""
    layers = classifier.get_submodule("classifier")
    assert isinstance(layers, nn.Sequential)
    return nn.Sequential(*list(layers)[:6])


def test_deconvnets_first_layers_are_the_classifiers(tmp_path: Path) -> None:
    source = ENCODERS["vgg16_bn"](num_classes=7, width=0.125).double().eval()
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    network = build_network("deconvnet_vgg16", num_classes=5, width=0.125).double().eval()
    load_weights_(network, path)
    features = torch.randn(2, 64, 7, 7, dtype=torch.float64)
    convolution = network.get_submodule("fc6.0")
    expected = source.get_submodule("classifier.0")(features.flatten(1))
    torch.testing.assert_close(convolution(features)[:, :, 0, 0], expected)


def test_fitting_reads_names_and_shapes_alone(tmp_path: Path) -> None:
    source = ENCODERS["vgg16"](num_classes=7, width=0.125)
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    with weightless():
        fitted = fit_weights(build_network("fcn32s_vgg16", num_classes=5, width=0.125), path)
    network = build_network("fcn32s_vgg16", num_classes=5, width=0.125)
    fitted.fill_(network)
    other = build_network("fcn32s_vgg16", num_classes=5, width=0.125)
    assert load_weights_(other, path) == fitted.loaded
    for name in fitted.tensors:
        assert torch.equal(network.get_parameter(name), other.get_parameter(name))


def test_a_filled_encoder_computes_the_classifiers_maps(tmp_path: Path) -> None:
    source = ENCODERS["mobilenet_v2"](num_classes=7, width=0.125).double().eval()
    path = save(source.state_dict(), tmp_path / "classifier.pth")
    network = build_network("deeplabv3plus_mobilenet_v2", num_classes=5, width=0.125)
    network.double().eval()
    load_weights_(network, path)
    images = torch.randn(1, 3, 65, 97, dtype=torch.float64)
    # At output stride 16 every second pixel of the last map is the classifier's.
    (expected,) = source.maps(images, stages=(4,))
    encoder = network.get_submodule("encoder")
    assert isinstance(encoder, Encoder)
    (dense,) = encoder.maps(images, stages=(4,))
    torch.testing.assert_close(dense[:, :, ::2, ::2], expected)


def test_a_network_that_a_crf_follows_takes_the_files_of_the_network(tmp_path: Path) -> None:
    sources = {
        "encoder": ENCODERS["vgg16"](num_classes=7, width=0.125),
        "whole": build_network("fcn8s_vgg16", num_classes=3, width=0.125),
    }
    parts = {"encoder": ("network.stages", "network.context"), "whole": ("network",)}
    for kind, source in sources.items():
        inner, same = (build_network("fcn8s_vgg16", num_classes=3, width=0.125) for _ in range(2))
        network = crf_rnn(inner, num_classes=3, mean=(0.5,) * 3, std=(0.5,) * 3)
        crf = {name: value.clone() for name, value in network.crf.state_dict().items()}
        same.load_state_dict(inner.state_dict())
        path = save(source.state_dict(), tmp_path / f"{kind}.pth")
        assert load_weights_(network, path).parts == parts[kind]
        load_weights_(same, path)
        filled = inner.state_dict()
        for name, value in same.state_dict().items():
            assert torch.equal(filled[name], value), name
        for name, value in network.crf.state_dict().items():
            assert torch.equal(crf[name], value), name
        # Its own file fills the CRF as well.
        path = save(network.state_dict(), tmp_path / f"{kind}+crf.pth")
        assert load_weights_(network, path).parts == ()


def test_a_whole_networks_file_fills_all_of_it(tmp_path: Path) -> None:
    source = build_network("deeplabv3_resnet50", num_classes=5, width=0.125)
    network = build_network("deeplabv3_resnet50", num_classes=5, width=0.125)
    path = save(source.state_dict(), tmp_path / "whole.safetensors")
    loaded = load_weights_(network, path)
    assert loaded == LoadedWeights((), len(source.state_dict()), ())
    expected = source.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("fcn_resnet50", layouts.fcn_resnet((3, 4, 6, 3))),
        pytest.param("fcn_resnet101", layouts.fcn_resnet((3, 4, 23, 3)), marks=NIGHTLY),
        ("deeplabv3_resnet50_torchvision", layouts.deeplabv3_resnet((3, 4, 6, 3))),
        pytest.param(
            "deeplabv3_resnet101_torchvision",
            layouts.deeplabv3_resnet((3, 4, 23, 3)),
            marks=NIGHTLY,
        ),
    ],
)
def test_torchvisions_names(tmp_path: Path, name: str, layout: layouts.Layout) -> None:
    with weightless():
        state = build_network(name, num_classes=21).state_dict()
        theirs = {key: torch.empty(shape) for key, shape in layout}
    renamed = from_torchvision(theirs)
    assert {key: value.shape for key, value in renamed.items()} == {
        key: value.shape for key, value in state.items()
    }
    assert list(to_torchvision(renamed)) == list(theirs)

    source = build_network(name, num_classes=5, width=0.125)
    network = build_network(name, num_classes=5, width=0.125)
    path = save(to_torchvision(source.state_dict()), tmp_path / "theirs.pth")
    assert load_weights_(network, path).parts == ()
    expected = source.state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(value, expected[key])


def test_old_densenet_names_and_files_without_counts(tmp_path: Path) -> None:
    source, network = (ENCODERS["densenet121"](num_classes=7, width=0.125) for _ in range(2))
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): value
        for name, value in source.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    loaded = load_weights_(network, save(old, tmp_path / "old.pth"))
    assert loaded.num_tensors == len(old)
    for name, value in network.named_parameters():
        assert torch.equal(value, source.get_parameter(name))


def test_googlenets_auxiliary_heads_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    source = ENCODERS["googlenet"](num_classes=7, has_auxiliary=True, width=0.125)
    network = ENCODERS["googlenet"](num_classes=7, width=0.125)
    loaded = load_weights_(network, save(source.state_dict(), tmp_path / "aux.pth"))
    assert {name.split(".")[0] for name in loaded.left_out} == {"aux1", "aux2"}
    assert loaded.num_tensors == len(network.state_dict())


def test_a_file_of_other_classes_fills_all_but_what_depends_on_them(tmp_path: Path) -> None:
    def build(num_classes: int) -> nn.Module:
        return build_network("deeplabv3_resnet50", num_classes=num_classes, width=0.125)

    source, network = build(7), build(5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    path = save(source.state_dict(), tmp_path / "seven.pth")
    message = "head.4.weight is (7, 32, 1, 1) where the network has (5, 32, 1, 1)"
    with pytest.raises(UsageError, match=re.escape(message)):
        load_weights_(network, path)
    loaded = load_weights_(network, path, build=build)
    last = ("head.4.weight", "head.4.bias", "auxiliary.4.weight", "auxiliary.4.bias")
    assert loaded.random == last
    assert loaded.num_tensors == len(before) - len(last)
    read = source.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, (before if name in last else read)[name]), name
    assert str(loaded) == (
        f"{loaded.num_tensors} tensors; left random, as the file lacks them or has other classes: "
        + ", ".join(last)
    )


@pytest.mark.parametrize("name", ["unet", "fcn8s_vgg16", "duc_hdc_resnet101", "fc_densenet67"])
def test_every_kind_of_head_may_be_of_other_classes(tmp_path: Path, name: str) -> None:
    def build(num_classes: int) -> nn.Module:
        return build_network(name, num_classes=num_classes, width=0.125)

    source, network = build(4), build(6)
    loaded = load_weights_(network, save(source.state_dict(), tmp_path / "four.pth"), build=build)
    assert loaded.random
    read = source.state_dict()
    for own, value in network.state_dict().items():
        theirs = read[own]
        assert (value.shape != theirs.shape) == (own in loaded.random)
        assert own in loaded.random or torch.equal(value, theirs)


def test_a_file_without_its_last_layer_or_auxiliary_classifier_fills_the_rest(
    tmp_path: Path,
) -> None:
    def build(num_classes: int) -> nn.Module:
        return build_network("deeplabv3_resnet50", num_classes=num_classes, width=0.125)

    network, state = build(5), build(5).state_dict()
    without = {name: value for name, value in state.items() if not name.startswith("auxiliary.")}
    loaded = load_weights_(network, save(without, tmp_path / "main.pth"))
    assert {name.split(".")[0] for name in loaded.random} == {"auxiliary"}
    without = {name: value for name, value in without.items() if "head.4." not in name}
    loaded = load_weights_(network, save(without, tmp_path / "headless.pth"), build=build)
    assert loaded.random[:2] == ("head.4.weight", "head.4.bias")
    # A part of the auxiliary classifier is a damaged file.
    del state["auxiliary.0.weight"]
    with pytest.raises(UsageError, match=r"1 missing: auxiliary\.0\.weight"):
        load_weights_(network, save(state, tmp_path / "cut.pth"), build=build)


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("deeplabv3_resnet50", "deeplabv3plus_resnet50"),
        ("fcn_resnet50", "deeplabv3_resnet50_torchvision"),  # the auxiliary classifier is the same
        ("deeplabv3plus_mobilenet_v2", "deeplabv3_mobilenet_v2"),
    ],
)
def test_another_networks_file_fills_the_encoder_and_says_what_was_left(
    tmp_path: Path, source: str, network: str
) -> None:
    state = build_network(source, num_classes=5, width=0.125).state_dict()
    built = build_network(network, num_classes=5, width=0.125)
    loaded = load_weights_(built, save(state, tmp_path / "other.pth"))
    assert loaded.parts == ("encoder",)
    assert loaded.beside == tuple(name for name in state if not name.startswith("encoder."))
    assert "left out, as no part of it: " in str(loaded)
    for name, value in built.get_submodule("encoder").state_dict().items():
        assert torch.equal(value, state[f"encoder.{name}"])


def test_a_damaged_file_of_the_network_itself_is_not_taken_for_its_encoder(tmp_path: Path) -> None:
    network = build_network("deeplabv3plus_resnet50", num_classes=5, width=0.125)
    state = network.state_dict()
    del state["aspp.pooling.project.0.weight"]
    message = (
        r"does not fit DeepLabV3Plus; 1 missing: aspp\.pooling\.project\.0\.weight\. Its encoder "
        r"fits; build the network that the file was saved from, or name another file\.$"
    )
    with pytest.raises(UsageError, match=message):
        load_weights_(network, save(state, tmp_path / "cut.pth"))


def test_a_networks_file_with_a_crf_fills_the_network_alone(tmp_path: Path) -> None:
    inner, network = (build_network("fcn32s_vgg16", num_classes=3, width=0.125) for _ in range(2))
    source = crf_rnn(inner, num_classes=3, mean=(0.5,) * 3, std=(0.5,) * 3)
    loaded = load_weights_(network, save(source.state_dict(), tmp_path / "crf.pth"))
    assert loaded.parts == () and all(name.startswith("crf.") for name in loaded.beside)
    expected = inner.state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected[name])
