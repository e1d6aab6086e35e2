"""Small settings of the benchmark of the search step."""

import dataclasses

from autoseg.architecture import SearchSpace


def small_space(**changes):
    space = dataclasses.replace(
        SearchSpace.load("autodeeplab_depthwise"),
        num_layers=3,
        num_nodes=2,
        filter_multiplier=2,
        stem_channels=(3, 4, 6),
    )
    return dataclasses.replace(space, **changes)


def small_setting(bench, **changes):
    setting = bench.setting.Setting(
        space=small_space(),
        num_classes=3,
        crop=32,
        batch_size=2,
        device="cpu",
        precision="fp32",
        num_threads=1,
    )
    return dataclasses.replace(setting, **changes)
