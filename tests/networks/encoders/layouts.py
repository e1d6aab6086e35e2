"""torchvision's and timm's state dicts, as lists of keys and shapes in their order.

Written from the libraries' naming rules, and compared once with timm 1.0's own.
"""

from collections.abc import Sequence

Layout = list[tuple[str, tuple[int, ...]]]


def norm(name: str, channels: int) -> Layout:
    vectors = ("weight", "bias", "running_mean", "running_var")
    entries: Layout = [(f"{name}.{key}", (channels,)) for key in vectors]
    return [*entries, (f"{name}.num_batches_tracked", ())]


def with_bias(name: str, *shape: int) -> Layout:
    return [(f"{name}.weight", shape), (f"{name}.bias", shape[:1])]


def alexnet() -> Layout:
    layout = with_bias("features.0", 64, 3, 11, 11) + with_bias("features.3", 192, 64, 5, 5)
    layout += with_bias("features.6", 384, 192, 3, 3) + with_bias("features.8", 256, 384, 3, 3)
    layout += with_bias("features.10", 256, 256, 3, 3)
    layout += with_bias("classifier.1", 4096, 256 * 36) + with_bias("classifier.4", 4096, 4096)
    return layout + with_bias("classifier.6", 1000, 4096)


def vgg(counts: Sequence[int], *, batch_norm: bool) -> Layout:
    layout: Layout = []
    number, channels = 0, 3
    for count, out_channels in zip(counts, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            layout += with_bias(f"features.{number}", out_channels, channels, 3, 3)
            if batch_norm:
                layout += norm(f"features.{number + 1}", out_channels)
            number, channels = number + (3 if batch_norm else 2), out_channels
        number += 1
    layout += with_bias("classifier.0", 4096, 512 * 49) + with_bias("classifier.3", 4096, 4096)
    return layout + with_bias("classifier.6", 1000, 4096)


def conv_and_norm(conv: str, bn: str, *shape: int) -> Layout:
    return [(f"{conv}.weight", shape), *norm(bn, shape[0])]


def resnet(num_blocks: Sequence[int], *, is_basic: bool = False, has_gates: bool = False) -> Layout:
    layout = conv_and_norm("conv1", "bn1", 64, 3, 7, 7)
    channels = 64
    for stage, count in enumerate(num_blocks, start=1):
        inner = 32 * 2**stage
        outer = inner if is_basic else 4 * inner
        for block in range(count):
            at = f"layer{stage}.{block}"
            shapes = [(inner, channels, 1), (inner, inner, 3), (outer, inner, 1)]
            if is_basic:
                shapes = [(inner, channels, 3), (inner, inner, 3)]
            for number, (after, before, kernel) in enumerate(shapes, start=1):
                names = f"{at}.conv{number}", f"{at}.bn{number}"
                layout += conv_and_norm(*names, after, before, kernel, kernel)
            if has_gates:
                layout += with_bias(f"{at}.se.fc1", inner // 4, outer, 1, 1)
                layout += with_bias(f"{at}.se.fc2", outer, inner // 4, 1, 1)
            if block == 0 and (stage > 1 or not is_basic):
                names = f"{at}.downsample.0", f"{at}.downsample.1"
                layout += conv_and_norm(*names, outer, channels, 1, 1)
            channels = outer
    return layout + with_bias("fc", 1000, channels)


def densenet(num_layers: Sequence[int], *, growth: int = 32, stem: int = 64) -> Layout:
    layout = conv_and_norm("features.conv0", "features.norm0", stem, 3, 7, 7)
    channels = stem
    for block, count in enumerate(num_layers, start=1):
        for layer in range(1, count + 1):
            at = f"features.denseblock{block}.denselayer{layer}"
            layout += norm(f"{at}.norm1", channels)
            layout += conv_and_norm(f"{at}.conv1", f"{at}.norm2", 4 * growth, channels, 1, 1)
            layout += [(f"{at}.conv2.weight", (growth, 4 * growth, 3, 3))]
            channels += growth
        if block < 4:
            at = f"features.transition{block}"
            layout += [*norm(f"{at}.norm", channels)]
            layout += [(f"{at}.conv.weight", (channels // 2, channels, 1, 1))]
            channels //= 2
    return layout + norm("features.norm5", channels) + with_bias("classifier", 1000, channels)


def mobilenet_v2() -> Layout:
    layout = conv_and_norm("features.0.0", "features.0.1", 32, 3, 3, 3)
    channels, number = 32, 1
    outputs = (16, 1), (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1)
    for out_channels, count in outputs:
        for _ in range(count):
            at, inner = f"features.{number}.conv", channels
            if number > 1:
                inner = 6 * channels
                layout += conv_and_norm(f"{at}.0.0", f"{at}.0.1", inner, channels, 1, 1)
            step = int(number > 1)
            layout += conv_and_norm(f"{at}.{step}.0", f"{at}.{step}.1", inner, 1, 3, 3)
            names = f"{at}.{step + 1}", f"{at}.{step + 2}"
            layout += conv_and_norm(*names, out_channels, inner, 1, 1)
            channels, number = out_channels, number + 1
    layout += conv_and_norm("features.18.0", "features.18.1", 1280, 320, 1, 1)
    return layout + with_bias("classifier.1", 1000, 1280)


def timm_mobilenet_v2() -> Layout:
    layout = conv_and_norm("conv_stem", "bn1", 32, 3, 3, 3)
    layout += conv_and_norm("blocks.0.0.conv_dw", "blocks.0.0.bn1", 32, 1, 3, 3)
    layout += conv_and_norm("blocks.0.0.conv_pw", "blocks.0.0.bn2", 16, 32, 1, 1)
    channels = 16
    outputs = (24, 2), (32, 3), (64, 4), (96, 3), (160, 3), (320, 1)
    for stage, (out_channels, count) in enumerate(outputs, start=1):
        for block in range(count):
            at, inner = f"blocks.{stage}.{block}", 6 * channels
            layout += conv_and_norm(f"{at}.conv_pw", f"{at}.bn1", inner, channels, 1, 1)
            layout += conv_and_norm(f"{at}.conv_dw", f"{at}.bn2", inner, 1, 3, 3)
            layout += conv_and_norm(f"{at}.conv_pwl", f"{at}.bn3", out_channels, inner, 1, 1)
            channels = out_channels
    layout += conv_and_norm("conv_head", "bn2", 1280, 320, 1, 1)
    return layout + with_bias("classifier", 1000, 1280)


def timm_vgg(counts: Sequence[int], *, batch_norm: bool) -> Layout:
    whole = vgg(counts, batch_norm=batch_norm)
    layout = [(key, shape) for key, shape in whole if key.startswith("features.")]
    layout += with_bias("pre_logits.fc1", 4096, 512, 7, 7)
    layout += with_bias("pre_logits.fc2", 4096, 4096, 1, 1)
    return layout + with_bias("head.fc", 1000, 4096)


def googlenet(*, has_auxiliary: bool) -> Layout:
    def basic(name: str, *shape: int) -> Layout:
        return conv_and_norm(f"{name}.conv", f"{name}.bn", *shape)

    layout = basic("conv1", 64, 3, 7, 7) + basic("conv2", 64, 64, 1, 1)
    layout += basic("conv3", 192, 64, 3, 3)
    # Table 1 of the paper: input, 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
    for name, row in {
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }.items():
        at, (channels, single, *pairs, pooled) = f"inception{name}", row
        layout += basic(f"{at}.branch1", single, channels, 1, 1)
        for branch, (reduced, around) in ((2, pairs[:2]), (3, pairs[2:])):
            layout += basic(f"{at}.branch{branch}.0", reduced, channels, 1, 1)
            layout += basic(f"{at}.branch{branch}.1", around, reduced, 3, 3)
        layout += basic(f"{at}.branch4.1", pooled, channels, 1, 1)
    for number, channels in ((1, 512), (2, 528)) if has_auxiliary else ():
        layout += basic(f"aux{number}.conv", 128, channels, 1, 1)
        layout += with_bias(f"aux{number}.fc1", 1024, 2048)
        layout += with_bias(f"aux{number}.fc2", 1000, 1024)
    return layout + with_bias("fc", 1000, 1024)


def fcn_head(name: str, channels: int, inner: int, num_classes: int) -> Layout:
    layout = conv_and_norm(f"{name}.0", f"{name}.1", inner, channels, 3, 3)
    return layout + with_bias(f"{name}.4", num_classes, inner, 1, 1)


def backbone(num_blocks: Sequence[int]) -> Layout:
    whole = resnet(num_blocks)
    return [(f"backbone.{key}", shape) for key, shape in whole if not key.startswith("fc.")]


def fcn_resnet(num_blocks: Sequence[int], num_classes: int = 21) -> Layout:
    layout = backbone(num_blocks) + fcn_head("classifier", 2048, 512, num_classes)
    return layout + fcn_head("aux_classifier", 1024, 256, num_classes)


def deeplabv3_resnet(num_blocks: Sequence[int], num_classes: int = 21) -> Layout:
    layout, at = backbone(num_blocks), "classifier.0.convs"
    layout += conv_and_norm(f"{at}.0.0", f"{at}.0.1", 256, 2048, 1, 1)
    for branch in (1, 2, 3):
        layout += conv_and_norm(f"{at}.{branch}.0", f"{at}.{branch}.1", 256, 2048, 3, 3)
    layout += conv_and_norm(f"{at}.4.1", f"{at}.4.2", 256, 2048, 1, 1)
    layout += conv_and_norm("classifier.0.project.0", "classifier.0.project.1", 256, 1280, 1, 1)
    layout += conv_and_norm("classifier.1", "classifier.2", 256, 256, 3, 3)
    layout += with_bias("classifier.4", num_classes, 256, 1, 1)
    return layout + fcn_head("aux_classifier", 1024, 256, num_classes)
