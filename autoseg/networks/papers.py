"""The papers that the networks come from."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Paper:
    """One publication."""

    name: str
    """What the field calls the network in it, for example "DeepLab v3+"; no two papers share it."""
    authors: str
    """First author, and "et al." where there are more than two."""
    title: str
    """The whole title."""
    year: int
    """Year of publication, or of the preprint where nothing followed."""
    arxiv: str
    """Identifier on arXiv, without version."""

    def __str__(self) -> str:
        """Write the reference on one line."""
        return f'{self.authors} {self.year}, "{self.title}" (arXiv {self.arxiv})'

    def at(self, place: str) -> str:
        """Name a place in the paper, for example "FCN (arXiv 1411.4038), table 3"."""
        return f"{self.name} (arXiv {self.arxiv}), {place}"


FCN = Paper(
    name="FCN",
    authors="Long et al.",
    title="Fully Convolutional Networks for Semantic Segmentation",
    year=2015,
    arxiv="1411.4038",
)
SEGNET = Paper(
    name="SegNet",
    authors="Badrinarayanan et al.",
    title="SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
    year=2017,
    arxiv="1511.00561",
)
UNET = Paper(
    name="U-Net",
    authors="Ronneberger et al.",
    title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
    year=2015,
    arxiv="1505.04597",
)
DECONVNET = Paper(
    name="DeconvNet",
    authors="Noh et al.",
    title="Learning Deconvolution Network for Semantic Segmentation",
    year=2015,
    arxiv="1505.04366",
)
DEEPLAB_V1 = Paper(
    name="DeepLab v1",
    authors="Chen et al.",
    title=("Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs"),
    year=2015,
    arxiv="1412.7062",
)
DEEPLAB_V2 = Paper(
    name="DeepLab v2",
    authors="Chen et al.",
    title=(
        "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, "
        "and Fully Connected CRFs"
    ),
    year=2018,
    arxiv="1606.00915",
)
DEEPLAB_V3 = Paper(
    name="DeepLab v3",
    authors="Chen et al.",
    title="Rethinking Atrous Convolution for Semantic Image Segmentation",
    year=2017,
    arxiv="1706.05587",
)
DEEPLAB_V3PLUS = Paper(
    name="DeepLab v3+",
    authors="Chen et al.",
    title="Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
    year=2018,
    arxiv="1802.02611",
)
PSPNET = Paper(
    name="PSPNet",
    authors="Zhao et al.",
    title="Pyramid Scene Parsing Network",
    year=2017,
    arxiv="1612.01105",
)
FC_DENSENET = Paper(
    name="FC-DenseNet",
    authors="Jegou et al.",
    title=(
        "The One Hundred Layers Tiramisu: Fully Convolutional DenseNets for Semantic Segmentation"
    ),
    year=2017,
    arxiv="1611.09326",
)
DUC_HDC = Paper(
    name="DUC + HDC",
    authors="Wang et al.",
    title="Understanding Convolution for Semantic Segmentation",
    year=2018,
    arxiv="1702.08502",
)
ICNET = Paper(
    name="ICNet",
    authors="Zhao et al.",
    title="ICNet for Real-Time Semantic Segmentation on High-Resolution Images",
    year=2018,
    arxiv="1704.08545",
)
AUTO_DEEPLAB = Paper(
    name="Auto-DeepLab",
    authors="Liu et al.",
    title=("Auto-DeepLab: Hierarchical Neural Architecture Search for Semantic Image Segmentation"),
    year=2019,
    arxiv="1901.02985",
)
ALEXNET = Paper(
    name="AlexNet",
    authors="Krizhevsky",
    title="One weird trick for parallelizing convolutional neural networks",
    year=2014,
    arxiv="1404.5997",
)
VGG = Paper(
    name="VGG",
    authors="Simonyan and Zisserman",
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
    year=2015,
    arxiv="1409.1556",
)
GOOGLENET = Paper(
    name="GoogLeNet",
    authors="Szegedy et al.",
    title="Going Deeper with Convolutions",
    year=2015,
    arxiv="1409.4842",
)
RESNET = Paper(
    name="ResNet",
    authors="He et al.",
    title="Deep Residual Learning for Image Recognition",
    year=2016,
    arxiv="1512.03385",
)
SENET = Paper(
    name="SENet",
    authors="Hu et al.",
    title="Squeeze-and-Excitation Networks",
    year=2018,
    arxiv="1709.01507",
)
DENSENET = Paper(
    name="DenseNet",
    authors="Huang et al.",
    title="Densely Connected Convolutional Networks",
    year=2017,
    arxiv="1608.06993",
)
MOBILENET_V2 = Paper(
    name="MobileNetV2",
    authors="Sandler et al.",
    title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    year=2018,
    arxiv="1801.04381",
)
