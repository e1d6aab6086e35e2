// Segments an image with a network that `python -m autoseg.export RUN --format onnx` wrote. Image
// and network stay in the browser. Needs `npm install onnxruntime-web` in this folder.

const RUNTIME = "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const part = (id) => document.getElementById(id);
const say = (text) => { part("state").textContent = text; };

let runtime = null; // onnxruntime-web
let network = null; // what openNetwork returns
let image = null; // ImageData
let labels = null; // class number of each pixel, row by row

/** Walk through the fields of a message of protocol buffers that have a length. */
function* fieldsOf(bytes) {
  let place = 0;
  const readNumber = () => {
    let value = 0, scale = 1, byte;
    do {
      byte = bytes[place++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    return value;
  };
  while (place < bytes.length) {
    const key = readNumber();
    const kind = key % 8;
    if (kind === 2) {
      const length = readNumber();
      yield { number: (key - kind) / 8, content: bytes.subarray(place, place += length) };
    } else if (kind === 0) {
      readNumber();
    } else {
      place += kind === 1 ? 8 : 4;
    }
  }
}

/** Return the texts that an ONNX file holds beside its graph, which the runtime does not tell. */
function textsOf(bytes) {
  const decoder = new TextDecoder();
  const texts = {};
  for (const { number, content } of fieldsOf(bytes)) {
    if (number === 14) { // ModelProto.metadata_props: pairs of key and value
      const [key, value] = [...fieldsOf(content)].map((field) => decoder.decode(field.content));
      texts[key] = value ?? "";
    }
  }
  return texts;
}

/** Open an exported network, with names and colours (RGB) of its classes. */
async function openNetwork(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const session = await runtime.InferenceSession.create(bytes);
  const texts = textsOf(bytes);
  if (!texts.class_names || !texts.palette) {
    throw new Error(`${file.name} names no classes; write it with autoseg.export.`);
  }
  const channels = session.inputMetadata[0].shape.at(-1);
  if (channels !== 3) {
    throw new Error(`${file.name} takes images of ${channels} channels; this page has RGB.`);
  }
  return { session, names: JSON.parse(texts.class_names), palette: JSON.parse(texts.palette) };
}

/** Read the pixels of an image as they are stored, turned as a camera noted. */
async function openImage(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** Return the class of each pixel. The graph itself normalises and resizes. */
async function segment() {
  const { width, height, data } = image;
  const pixels = new Uint8Array(3 * width * height); // RGBA -> RGB
  for (let i = 0; i < pixels.length; i++) pixels[i] = data[4 * Math.floor(i / 3) + i % 3];
  const images = new runtime.Tensor("uint8", pixels, [1, height, width, 3]);
  return (await network.session.run({ images }, ["labels"])).labels.data;
}

/** Draw the image, and over it the colours of its classes. */
function draw() {
  const strength = labels ? part("strength").value / 100 : 0;
  const mixed = new ImageData(image.data.slice(), image.width, image.height);
  for (let i = 0; strength > 0 && i < labels.length; i++) {
    const colour = network.palette[labels[i]];
    for (let c = 0; c < 3; c++) {
      mixed.data[4 * i + c] = (1 - strength) * image.data[4 * i + c] + strength * colour[c];
    }
  }
  const canvas = part("picture");
  Object.assign(canvas, { width: image.width, height: image.height });
  canvas.getContext("2d").putImageData(mixed, 0, 0);
}

/** List the classes in the image, the largest first. */
function drawLegend() {
  const counts = network.names.map(() => 0);
  for (const label of labels) counts[label]++;
  const found = [...counts.keys()].filter((label) => counts[label] > 0);
  found.sort((one, other) => counts[other] - counts[one]);
  part("legend").replaceChildren(...found.map((label) => {
    const item = document.createElement("li");
    const swatch = document.createElement("span");
    swatch.style.background = `rgb(${network.palette[label].join(" ")})`;
    const share = (100 * counts[label] / labels.length).toFixed(1);
    item.append(swatch, `${network.names[label]}, ${share} %`);
    return item;
  }));
}

/** Take a new network or image, and show what is there. */
async function take(change) {
  part("choices").disabled = true; // one thing at a time
  try {
    labels = null;
    part("legend").replaceChildren();
    say("Reading ...");
    await change();
    if (image) draw();
    if (!network || !image) return say(`Choose ${network ? "an image" : "a network"}.`);
    say("Segmenting ...");
    await new Promise((resolve) => setTimeout(resolve)); // the browser draws meanwhile
    const begin = performance.now();
    labels = await segment();
    const seconds = ((performance.now() - begin) / 1000).toFixed(2);
    draw();
    drawLegend();
    say(`${image.width} x ${image.height} pixels in ${seconds} s.`);
  } catch (error) {
    say(`This does not work: ${error.message ?? error}`);
  } finally {
    part("choices").disabled = false;
  }
}

try {
  runtime = await import(RUNTIME);
  part("model").onchange = ({ target: { files: [file] } }) =>
    file && take(async () => { network = null; network = await openNetwork(file); });
  part("image").onchange = ({ target: { files: [file] } }) =>
    file && take(async () => { image = null; image = await openImage(file); });
  part("strength").oninput = () => labels && draw();
  say("Choose a network and an image.");
} catch (error) {
  say(`ONNX Runtime Web is not here: npm install onnxruntime-web in this folder. ${error.message}`);
}
