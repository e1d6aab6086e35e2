"""Where each network comes from, and what was published of its accuracy.

Every mIoU here is cited, none is measured. A score is listed only if it could be confirmed, and if
it belongs to this network: not to a variant with another encoder, decoder or input. Where source
and network differ in something small, the protocol says so.
"""

from dataclasses import dataclass
from typing import Literal

from autoseg.networks import papers
from autoseg.networks.papers import Paper

Dataset = Literal["VOC 2012", "VOC 2011", "COCO 2017", "Cityscapes", "CamVid"]
"""PASCAL VOC with 21 classes, COCO with VOC's 21, Cityscapes with 19, CamVid with 11."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CitedScore:
    """A published mIoU."""

    miou: float
    """Percent, with the digits of the source."""
    dataset: Dataset
    """What it was scored on."""
    split: str
    """Which images of it: "val", "test" and the like."""
    protocol: str
    """What it was trained on beyond the dataset's own images and ImageNet, and what was done at
    test time beyond one forward pass."""
    source: str
    """Paper and table, or repository and file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueEntry:
    """A network's paper and its published scores."""

    paper: Paper
    """Paper that introduced the network."""
    scores: tuple[CitedScore, ...] = ()
    """What is cited; empty where no published score of this very network is known."""


_FCN_RELEASE = "github.com/shelhamer/fcn.berkeleyvision.org, README"
_SEMSEG = "github.com/hszhao/semseg, README"
_TENSORFLOW = "github.com/tensorflow/models, research/deeplab/g3doc/model_zoo.md"
_TORCHVISION = "github.com/pytorch/vision, metadata of the released weights"
_DUC_RELEASE = "github.com/TuSimple/TuSimple-DUC, README"
_ICNET_RELEASE = "github.com/hszhao/ICNet, README"


def _score(miou: float, dataset: Dataset, split: str, protocol: str, source: str) -> CitedScore:
    return CitedScore(miou=miou, dataset=dataset, split=split, protocol=protocol, source=source)


def _fcn(seg11valid: float, *more: CitedScore) -> CatalogueEntry:
    protocol = "VOC's val without the images of SBD's train, on which it was trained"
    score = _score(seg11valid, "VOC 2011", "seg11valid", protocol, _FCN_RELEASE)
    return CatalogueEntry(paper=papers.FCN, scores=(score, *more))


def _torchvision(paper: Paper, miou: float) -> CatalogueEntry:
    protocol = "VOC's classes; trained on the images of COCO that show them"
    return CatalogueEntry(
        paper=paper, scores=(_score(miou, "COCO 2017", "val", protocol, _TORCHVISION),)
    )


def _deeplab_v1(*scores: tuple[float, str, str, str]) -> CatalogueEntry:
    cited = (_score(miou, "VOC 2012", split, how, where) for miou, split, how, where in scores)
    return CatalogueEntry(paper=papers.DEEPLAB_V1, scores=tuple(cited))


def _pspnet(voc: float, cityscapes: float, *more: CitedScore) -> CatalogueEntry:
    crops = "single scale; crops of {0} x {0} and their mirror images averaged"
    return CatalogueEntry(
        paper=papers.PSPNET,
        scores=(
            _score(voc, "VOC 2012", "val", crops.format(473), _SEMSEG),
            _score(cityscapes, "Cityscapes", "val", crops.format(713), _SEMSEG),
            *more,
        ),
    )


def _auto_deeplab(val: float, *more: CitedScore) -> CatalogueEntry:
    score = _score(
        val,
        "Cityscapes",
        "val",
        "single scale; trained from scratch, without ImageNet",
        papers.AUTO_DEEPLAB.at("table 2"),
    )
    return CatalogueEntry(paper=papers.AUTO_DEEPLAB, scores=(score, *more))


def _auto_deeplab_test(miou: float, data: str) -> CitedScore:
    protocol = f"multi-scale; trained from scratch on {data}, without ImageNet"
    return _score(miou, "Cityscapes", "test", protocol, papers.AUTO_DEEPLAB.at("table 4"))


_NO_CRF = "single scale, without CRF"
_CRF = "dense CRF"
_COCO = "pretrained on MS-COCO"
_SMALLER_V3 = "the paper's network has no 3x3 convolution between pyramid and classifier"

NETWORK_CATALOGUE: dict[str, CatalogueEntry] = {
    "fcn32s_vgg16": _fcn(63.6),
    "fcn16s_vgg16": _fcn(65.0),
    "fcn8s_vgg16": _fcn(
        65.5,
        _score(62.2, "VOC 2012", "test", "as first published", papers.FCN.at("abstract")),
        _score(67.2, "VOC 2012", "test", "retrained with high momentum", _FCN_RELEASE),
    ),
    "fcn_alexnet": _fcn(48.0),
    "fcn_resnet50": _torchvision(papers.FCN, 60.5),
    "fcn_resnet101": _torchvision(papers.FCN, 63.7),
    "segnet_vgg16": CatalogueEntry(
        paper=papers.SEGNET,
        scores=(
            _score(
                60.1,
                "CamVid",
                "test",
                "trained on 3,433 road scenes of four datasets; 360 x 480",
                papers.SEGNET.at("tables 2 and 3"),
            ),
        ),
    ),
    "segnet_basic": CatalogueEntry(
        paper=papers.SEGNET,
        scores=(
            _score(
                47.7,
                "CamVid",
                "test",
                "median frequency balancing; 360 x 480",
                papers.SEGNET.at("table 1"),
            ),
        ),
    ),
    "unet": CatalogueEntry(paper=papers.UNET),
    "deconvnet_vgg16": CatalogueEntry(
        paper=papers.DECONVNET,
        scores=(
            _score(
                69.6,
                "VOC 2012",
                "test",
                "one network, over object proposals of 224 x 224",
                papers.DECONVNET.at("table 1"),
            ),
            _score(
                72.5,
                "VOC 2012",
                "test",
                f"over object proposals; averaged with FCN-8s; {_CRF}",
                papers.DECONVNET.at("abstract and table 1"),
            ),
        ),
    ),
    "deeplab_largefov_vgg16": _deeplab_v1(
        (62.25, "val", _NO_CRF, papers.DEEPLAB_V1.at("table 1")),
        (67.64, "val", _CRF, papers.DEEPLAB_V1.at("tables 1 and 2")),
        (70.3, "test", _CRF, papers.DEEPLAB_V1.at("table 3")),
    ),
    "deeplab_7x7_vgg16": _deeplab_v1(
        (64.38, "val", _NO_CRF, papers.DEEPLAB_V1.at("table 1")),
        (67.64, "val", _CRF, papers.DEEPLAB_V1.at("tables 1 and 2")),
        (70.3, "test", _CRF, papers.DEEPLAB_V1.at("table 3")),
    ),
    "deeplab_4x4_vgg16": _deeplab_v1(
        (63.41, "val", _NO_CRF, papers.DEEPLAB_V2.at("table 1")),
        (67.14, "val", _CRF, papers.DEEPLAB_V1.at("table 2")),
    ),
    "deeplabv2_vgg16": CatalogueEntry(
        paper=papers.DEEPLAB_V2,
        scores=(
            _score(68.96, "VOC 2012", "val", _NO_CRF, papers.DEEPLAB_V2.at("table 3")),
            _score(72.6, "VOC 2012", "test", _CRF, papers.DEEPLAB_V2.at("section 4.1.2")),
        ),
    ),
    "deeplabv2_resnet101": CatalogueEntry(paper=papers.DEEPLAB_V2),
    "deeplabv2_resnet101_msc": CatalogueEntry(
        paper=papers.DEEPLAB_V2,
        scores=(
            _score(
                76.35, "VOC 2012", "val", f"{_COCO}; without CRF", papers.DEEPLAB_V2.at("table 4")
            ),
            _score(
                79.7,
                "VOC 2012",
                "test",
                f"{_COCO}; {_CRF}",
                papers.DEEPLAB_V2.at("abstract and table 5"),
            ),
        ),
    ),
    "pspnet_resnet50": _pspnet(77.05, 77.3),
    "pspnet_resnet101": _pspnet(
        79.07,
        78.63,
        _score(
            85.4,
            "VOC 2012",
            "test",
            f"multi-scale; {_COCO}",
            papers.PSPNET.at("abstract"),
        ),
        _score(
            80.2,
            "Cityscapes",
            "test",
            "with the coarsely labelled images",
            papers.PSPNET.at("abstract"),
        ),
    ),
    "fc_densenet67": CatalogueEntry(
        paper=papers.FC_DENSENET,
        scores=(
            _score(65.8, "CamVid", "test", "without ImageNet", papers.FC_DENSENET.at("table 3")),
        ),
    ),
    "fc_densenet103": CatalogueEntry(
        paper=papers.FC_DENSENET,
        scores=(
            _score(66.9, "CamVid", "test", "without ImageNet", papers.FC_DENSENET.at("table 3")),
        ),
    ),
    "deeplabv3_resnet101": CatalogueEntry(
        paper=papers.DEEPLAB_V3,
        scores=(
            _score(
                77.21,
                "VOC 2012",
                "val",
                f"output stride 16, single scale; {_SMALLER_V3}",
                papers.DEEPLAB_V3.at("table 5"),
            ),
            _score(
                85.7,
                "VOC 2012",
                "test",
                f"output stride 8, multi-scale and flip; {_COCO}; {_SMALLER_V3}",
                papers.DEEPLAB_V3.at("table 7"),
            ),
        ),
    ),
    "deeplabv3_resnet50": CatalogueEntry(paper=papers.DEEPLAB_V3),
    "deeplabv3_resnet101_torchvision": _torchvision(papers.DEEPLAB_V3, 67.4),
    "deeplabv3_resnet50_torchvision": _torchvision(papers.DEEPLAB_V3, 66.4),
    "deeplabv3_mobilenet_v2": CatalogueEntry(paper=papers.DEEPLAB_V3),
    "deeplabv3_mobilenet_v2_without_3x3": CatalogueEntry(
        paper=papers.DEEPLAB_V3,
        scores=(
            _score(
                75.7,
                "VOC 2012",
                "val",
                f"output stride 16, single scale; {_COCO}",
                papers.MOBILENET_V2.at("table 7"),
            ),
        ),
    ),
    "deeplabv3plus_resnet101": CatalogueEntry(
        paper=papers.DEEPLAB_V3PLUS,
        scores=(
            _score(
                78.85,
                "VOC 2012",
                "val",
                "output stride 16, single scale",
                papers.DEEPLAB_V3PLUS.at("tables 2 and 3"),
            ),
        ),
    ),
    "deeplabv3plus_resnet50": CatalogueEntry(paper=papers.DEEPLAB_V3PLUS),
    "deeplabv3plus_mobilenet_v2": CatalogueEntry(paper=papers.DEEPLAB_V3PLUS),
    "deeplabv3plus_xception65": CatalogueEntry(
        paper=papers.DEEPLAB_V3PLUS,
        scores=(
            _score(
                82.2,
                "VOC 2012",
                "val",
                f"output stride 16, single scale; {_COCO}",
                _TENSORFLOW,
            ),
            _score(
                87.8,
                "VOC 2012",
                "test",
                f"output stride 8, multi-scale and flip; {_COCO}",
                _TENSORFLOW,
            ),
            _score(78.79, "Cityscapes", "val", "output stride 16, single scale", _TENSORFLOW),
        ),
    ),
    "duc_hdc_resnet101": CatalogueEntry(
        paper=papers.DUC_HDC,
        scores=(
            _score(
                79.1,
                "Cityscapes",
                "test",
                "single scale",
                _DUC_RELEASE,
            ),
            _score(
                80.1,
                "Cityscapes",
                "test",
                "multi-scale; with the coarsely labelled images",
                f"{papers.DUC_HDC.at('abstract')}; {_DUC_RELEASE}",
            ),
        ),
    ),
    # The authors' ResNet152-DUC, 83.1 on VOC 2012, was never released and is another network.
    "resnet152_duc": CatalogueEntry(paper=papers.DUC_HDC),
    "resnet152_duc_hdc": CatalogueEntry(paper=papers.DUC_HDC),
    "icnet_resnet50": CatalogueEntry(paper=papers.ICNET),
    "icnet_pruned": CatalogueEntry(
        paper=papers.ICNET,
        scores=(
            _score(67.7, "Cityscapes", "val", "trained on train", _ICNET_RELEASE),
            _score(69.5, "Cityscapes", "test", "trained on train and val", _ICNET_RELEASE),
        ),
    ),
}
"""Papers and scores by the name in `NETWORKS`."""

ARCHITECTURE_CATALOGUE: dict[str, dict[int, CatalogueEntry]] = {
    "autodeeplab_paper": {
        20: _auto_deeplab(79.74, _auto_deeplab_test(79.9, "the finely labelled images")),
        32: _auto_deeplab(80.04),
        48: _auto_deeplab(
            80.33,
            _auto_deeplab_test(80.4, "the finely labelled images"),
            _auto_deeplab_test(82.1, "all images, with the coarsely labelled ones"),
        ),
    },
}
"""Published architectures by name, then by filter multiplier."""

FAMILY_CATALOGUE: dict[str, CatalogueEntry] = {
    "fcn": CatalogueEntry(paper=papers.FCN),
    "pspnet": CatalogueEntry(paper=papers.PSPNET),
    "deeplabv3": CatalogueEntry(paper=papers.DEEPLAB_V3),
    "deeplabv3plus": CatalogueEntry(paper=papers.DEEPLAB_V3PLUS),
}
"""Papers by the name in `FAMILIES`. Over an encoder that nobody published there are no scores."""

ENCODER_CATALOGUE: dict[str, CatalogueEntry] = {
    name: CatalogueEntry(paper=paper)
    for paper, names in (
        (papers.ALEXNET, ("alexnet",)),
        (papers.VGG, ("vgg11", "vgg13", "vgg16", "vgg19")),
        (papers.VGG, ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")),
        (papers.GOOGLENET, ("googlenet",)),
        (papers.RESNET, ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")),
        (papers.SENET, ("se_resnet50", "se_resnet101")),
        (papers.DENSENET, ("densenet121", "densenet161", "densenet169", "densenet201")),
        (papers.MOBILENET_V2, ("mobilenet_v2",)),
        (papers.DEEPLAB_V3PLUS, ("xception65",)),
    )
    for name in names
}
"""Papers by the name in `ENCODERS`. The form of Xception with 65 layers is DeepLab v3+'s."""
