"use strict";
// Shows the molecules of a report with 3Dmol.js. The data come from scenes.py: charges in e,
// positions in angstrom, dipoles in debye.
(function () {
  const data = JSON.parse(document.getElementById("scenes").textContent);
  const byId = (id) => document.getElementById(id);
  const box = byId("view"), chooser = byId("molecule"), numbers = byId("numbers");
  const PREDICTED = "#0072b2", REFERENCE = "#d55e00";
  // Ends and middle of the colours of charges: red is negative, blue is positive.
  const RAMP = [[178, 24, 43], [247, 247, 247], [33, 102, 172]];
  // The longer arrow of a molecule reaches this far beyond its outermost atom, times its radius.
  const REACH = 1.25;
  let viewer = null, shown = 0;

  function colour(charge) {
    if (charge === null) return "#bdbdbd";
    const t = Math.max(-1, Math.min(1, charge / data.limit));
    const [from, to] = t < 0 ? [RAMP[1], RAMP[0]] : [RAMP[1], RAMP[2]];
    const mix = from.map((value, k) => Math.round(value + Math.abs(t) * (to[k] - value)));
    return "#" + mix.map((value) => value.toString(16).padStart(2, "0")).join("");
  }

  const signed = (value, digits) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);
  const length = (v) => Math.hypot(v[0], v[1], v[2]);

  function webgl() {
    const context = document.createElement("canvas").getContext("webgl2");
    if (context) {
      const extension = context.getExtension("WEBGL_lose_context");
      if (extension) extension.loseContext();
    }
    return Boolean(context);
  }

  function xyz(molecule) {
    const atoms = molecule.symbols.map((s, i) => s + " " + molecule.positions[i].join(" "));
    return molecule.symbols.length + "\n\n" + atoms.join("\n");
  }

  function cross(a, b) {
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  }

  // Both arrows pass the centre side by side, so that the thinner one is not inside the other.
  function arrows(molecule) {
    const c = molecule.centre, drawn = [];
    if (molecule.dipole) drawn.push([molecule.dipole, PREDICTED, 0.11, -0.17]);
    if (molecule.reference) drawn.push([molecule.reference, REFERENCE, 0.07, 0.17]);
    const longest = Math.max(...drawn.map(([v]) => length(v)));
    if (!(longest > 0)) return;
    const away = molecule.positions.map((p) => length(p.map((value, k) => value - c[k])));
    const scale = 2 * REACH * Math.max(1, ...away) / longest;
    const first = drawn[0][0];
    const across = cross(first, Math.abs(first[2]) > 0.9 * length(first) ? [1, 0, 0] : [0, 0, 1]);
    const unit = across.map((value) => value / (length(across) || 1));
    for (const [v, paint, radius, aside] of drawn) {
      const half = v.map((value) => value * scale / 2);
      const middle = c.map((value, k) => value + aside * unit[k]);
      const end = (sign) => {
        const [x, y, z] = middle.map((value, k) => value + sign * half[k]);
        return { x: x, y: y, z: z };
      };
      viewer.addArrow({
        start: end(-1), end: end(1), radius: radius, radiusRatio: 2.4, mid: 0.85, color: paint,
      });
    }
  }

  function draw() {
    if (!viewer) return;
    const molecule = data.molecules[shown];
    viewer.removeAllModels();
    viewer.removeAllShapes();
    viewer.removeAllLabels();
    viewer.addModel(xyz(molecule), "xyz");
    molecule.charges.forEach((charge, index) => {
      const paint = colour(charge);
      viewer.setStyle({ index: index }, {
        stick: { radius: 0.1, color: "#8a8f98" }, sphere: { scale: 0.28, color: paint },
      });
      if (numbers.checked) {
        const text = charge === null ? "" : " " + signed(charge, 2);
        const p = molecule.positions[index];
        viewer.addLabel(molecule.symbols[index] + text, {
          position: { x: p[0], y: p[1], z: p[2] }, fontSize: 12, fontColor: "black",
          backgroundColor: "white", backgroundOpacity: 0.65, padding: 1, alignment: "center",
          inFront: true,
        });
      }
    });
    arrows(molecule);
  }

  function cells(row, values) {
    for (const value of values) {
      const cell = row.insertCell();
      if (value instanceof Node) cell.append(value); else cell.textContent = value;
    }
  }

  function facts() {
    const molecule = data.molecules[shown];
    byId("facts").replaceChildren();
    for (const [name, value] of molecule.facts) cells(byId("facts").insertRow(), [name, value]);
    byId("atoms").replaceChildren();
    molecule.symbols.forEach((symbol, index) => {
      const charge = molecule.charges[index], dot = document.createElement("span");
      dot.className = "swatch";
      dot.style.background = colour(charge);
      const name = document.createElement("span");
      name.append(dot, symbol + " " + (index + 1));
      const values = [name, charge === null ? "–" : signed(charge, 3)];
      if (molecule.reference_charges) values.push(signed(molecule.reference_charges[index], 3));
      cells(byId("atoms").insertRow(), values);
    });
    byId("reference-column").hidden = !molecule.reference_charges;
    box.setAttribute("aria-label", molecule.label + ". Arrow keys turn, plus and minus zoom.");
  }

  function show(index) {
    shown = (index + data.molecules.length) % data.molecules.length;
    chooser.value = String(shown);
    facts();
    draw();
    if (viewer) {
      // zoomTo fits the height; a narrow window has less width.
      viewer.zoomTo();
      viewer.zoom(1.15 * Math.min(1, box.clientWidth / box.clientHeight / 1.4));
      viewer.render();
    }
    box.dataset.shown = String(shown);
  }

  const TURNS = { ArrowLeft: [-15, "y"], ArrowRight: [15, "y"], ArrowUp: [-15, "x"],
    ArrowDown: [15, "x"] };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !viewer) return;
    if (event.key in TURNS) viewer.rotate(...TURNS[event.key]);
    else if (event.key === "+" || event.key === "=") viewer.zoom(1.2);
    else if (event.key === "-") viewer.zoom(1 / 1.2);
    else return;
    viewer.render();
    event.preventDefault();
  }

  data.molecules.forEach((molecule, index) => {
    chooser.add(new Option(molecule.label, String(index)));
  });
  if (webgl()) {
    viewer = $3Dmol.createViewer(box, { backgroundColor: "white", antialias: true });
  } else {
    const note = document.createElement("p");
    note.textContent = "This browser shows no 3D (WebGL 2 is off). The table has the charges.";
    box.append(note);
  }
  chooser.addEventListener("change", () => show(Number(chooser.value)));
  byId("previous").addEventListener("click", () => show(shown - 1));
  byId("next").addEventListener("click", () => show(shown + 1));
  numbers.addEventListener("change", () => { draw(); if (viewer) viewer.render(); });
  box.addEventListener("keydown", key);
  for (const button of document.querySelectorAll("button.show")) {
    button.addEventListener("click", () => {
      show(Number(button.dataset.scene));
      byId("molecules").scrollIntoView();
      chooser.focus({ preventScroll: true });
    });
  }
  show(0);
  box.dataset.ready = viewer ? "3d" : "table";
})();
