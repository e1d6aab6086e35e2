"""Segment a photograph with an exported network, without torch and without autoseg.

pip install onnxruntime pillow
python examples/predict_onnx.py model.onnx photo.jpg mask.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

model, photo, mask = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
about = session.get_modelmeta().custom_metadata_map
pixels = np.asarray(Image.open(photo).convert("RGB"))
(labels,) = session.run(["labels"], {"images": pixels[None]})
picture = Image.fromarray(labels[0])
picture.putpalette(np.array(json.loads(about["palette"]), dtype=np.uint8).tobytes())
picture.save(mask)
names = json.loads(about["class_names"])
print(", ".join(names[number] for number in np.unique(labels)))
