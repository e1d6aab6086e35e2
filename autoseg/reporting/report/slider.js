/* Two pictures of one scene, one over the other, with a border that the reader moves. */

function makeSlider(scene) {
  const pictures = [...scene.querySelectorAll(".pictures figure")];
  if (pictures.length < 2) return;
  const controls = document.createElement("div");
  controls.className = "controls";
  const stage = document.createElement("div");
  stage.className = "stage";
  const under = document.createElement("img");
  const over = document.createElement("img");
  over.className = "over";
  const edge = document.createElement("div");
  edge.className = "edge";
  stage.append(under, over, edge);
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: 100, value: 50 });
  range.setAttribute("aria-label", "Border between the left and the right picture, in percent");
  range.addEventListener("input", () => stage.style.setProperty("--cut", range.value + "%"));
  /* After the image and the truth stands the most accurate network, alone and with the CRF. */
  const right = Math.min(3, pictures.length - 1);
  for (const [image, text, first] of [[under, "Left", right - 1], [over, "Right", right]]) {
    const select = addControl(controls, text, document.createElement("select"));
    pictures.forEach((picture, i) => {
      select.add(new Option(picture.querySelector("figcaption").textContent, i));
    });
    const show = () => {
      const shown = pictures[select.value].querySelector("img");
      image.src = shown.src;
      image.alt = text + ": " + shown.alt;
    };
    select.value = first;
    select.addEventListener("change", show);
    show();
  }
  scene.querySelector("h3").after(controls, stage, range);
}
