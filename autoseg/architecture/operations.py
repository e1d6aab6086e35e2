"""The vocabulary of candidate operations: names and what they mean.

`autoseg.ops` implements exactly these. Two families of atrous convolution carry two names, because
their parameter counts differ: `dil_conv` is depthwise separable (DARTS), `atrous_conv` is a full
convolution (Auto-DeepLab's released network).
"""

NO_OPERATION = "none"
"""The operation that means "no connection"; it takes part in the softmax and is never decoded."""

OPERATIONS: dict[str, str] = {
    NO_OPERATION: "no connection",
    "skip_connect": "identity",
    "max_pool_3x3": "3x3 max pooling, then batch norm in the search",
    "avg_pool_3x3": "3x3 average pooling over the pixels inside the map, then batch norm in search",
    "sep_conv_3x3": "(ReLU, 3x3 depthwise, pointwise, batch norm) twice",
    "sep_conv_5x5": "(ReLU, 5x5 depthwise, pointwise, batch norm) twice",
    "dil_conv_3x3": "ReLU, 3x3 depthwise at rate 2, pointwise, batch norm (DARTS)",
    "dil_conv_5x5": "ReLU, 5x5 depthwise at rate 2, pointwise, batch norm (DARTS)",
    "atrous_conv_3x3": "ReLU, full 3x3 convolution at rate 2, batch norm (Auto-DeepLab)",
    "atrous_conv_5x5": "ReLU, full 5x5 convolution at rate 2, batch norm (Auto-DeepLab)",
}
"""Name of every operation that a space may list, with its definition."""
