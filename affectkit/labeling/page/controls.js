// What is answered with: classes and points to choose from, sliders, and the grid of valence and arousal.

const PLACES = 9; // of a slider, for the keys 1 to 9: as many as the Self-Assessment Manikin has
const STEPS = 20; // key presses from end to end of the grid; with the shift key, as many as the scale has steps

export const tidy = (value) => Number(value.toFixed(6)); // without the noise of binary fractions
const shown = (value) => String(value).replace("-", "−");

/** A target's control; value: a class, a number, or null where nothing was chosen. */
class Control {
  constructor(field, told, changed) {
    Object.assign(this, told, { field, changed, value: null });
  }

  set(value) {
    this.value = value;
    this.field.classList.toggle("answered", value !== null);
    this.draw();
    this.changed(this);
  }

  holds(node) { return this.field.contains(node); }
}

class Choice extends Control { // class, points
  constructor(field, told, changed) {
    super(field, told, changed);
    this.boxes = [...field.querySelectorAll("input")];
    field.addEventListener("change", (event) => this.set(this.read(event.target)));
  }

  read(box) { return this.kind === "class" ? box.value : Number(box.value); }

  draw() { for (const box of this.boxes) box.checked = this.value !== null && this.read(box) === this.value; }

  digit(digit) { // of points, the point; of classes, the place
    const box = this.kind === "class" ? this.boxes[digit - 1] : this.boxes.find((one) => this.read(one) === digit);
    if (box) this.set(this.read(box));
    return Boolean(box);
  }

  focus() { (this.boxes.find((box) => box.checked) || this.boxes[0]).focus({ preventScroll: true }); }
}

class Scale extends Control {
  constructor(field, told, changed) {
    super(field, told, changed);
    this.range = field.querySelector(".range");
    this.exact = field.querySelector(".exact");
    this.range.addEventListener("input", () => this.set(Number(this.range.value)));
    this.range.addEventListener("click", () => this.set(Number(this.range.value))); // of the middle, where it stood before
    this.exact.addEventListener("change", () => this.set(this.written()));
  }

  written() {
    const { value, validity } = this.exact;
    const right = value !== "" && !validity.rangeUnderflow && !validity.rangeOverflow;
    this.wrong = right || (value === "" && !validity.badInput) ? "" : `${this.name} goes from ${shown(this.low)} to ${shown(this.high)}.`;
    return right ? Number(value) : null;
  }

  set(value) {
    if (value !== null) this.wrong = "";
    super.set(value);
  }

  draw() {
    const { value } = this;
    this.range.value = value ?? (this.low + this.high) / 2;
    this.range.setAttribute("aria-valuetext", value === null ? "not set" : shown(value));
    if (!this.wrong) this.exact.value = value ?? "";
    this.exact.setAttribute("aria-invalid", Boolean(this.wrong));
  }

  digit(digit) {
    if (digit < 1) return false;
    this.set(this.near(this.low + (digit - 1) / (PLACES - 1) * (this.high - this.low)));
    return true;
  }

  near(value) { return tidy(this.low + Math.round((value - this.low) / this.step) * this.step); }

  focus() { this.range.focus({ preventScroll: true }); }
}

/** Valence to the right and arousal upwards; it shows and sets what the two controls hold. */
class Grid {
  constructor(node, valence, arousal) {
    Object.assign(this, { node, axes: [valence, arousal], dot: node.querySelector("#dot") });
    node.setAttribute("aria-valuemin", valence.low);
    node.setAttribute("aria-valuemax", valence.high);
    node.addEventListener("pointerdown", (event) => { node.setPointerCapture(event.pointerId); this.point(event); });
    node.addEventListener("pointermove", (event) => { if (node.hasPointerCapture(event.pointerId)) this.point(event); });
    node.addEventListener("keydown", (event) => this.press(event));
  }

  point(event) {
    const box = this.node.getBoundingClientRect();
    this.put((event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height);
  }

  put(...parts) { // of the width and of the height, from the lower left
    this.axes.forEach((axis, place) => {
      const step = axis.step ?? 1, value = axis.low + Math.min(1, Math.max(0, parts[place])) * (axis.high - axis.low);
      axis.set(tidy(Math.min(axis.high, Math.max(axis.low, axis.low + Math.round((value - axis.low) / step) * step))));
    });
  }

  press(event) {
    const [right, up] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] || [0, 0];
    if ((!right && !up) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.put(...this.axes.map((axis, place) => {
      const fine = (axis.step ?? 1) / (axis.high - axis.low), step = event.shiftKey ? fine : Math.max(fine, 1 / STEPS);
      return this.part(axis) + step * [right, up][place];
    }));
  }

  part(axis) { return ((axis.value ?? (axis.low + axis.high) / 2) - axis.low) / (axis.high - axis.low); }

  draw() {
    const [valence, arousal] = this.axes, text = ({ name, value }) => `${name} ${value === null ? "not set" : shown(value)}`;
    this.dot.hidden = valence.value === null && arousal.value === null;
    this.dot.classList.toggle("half", valence.value === null || arousal.value === null);
    this.dot.style.left = `${100 * this.part(valence)}%`;
    this.dot.style.top = `${100 - 100 * this.part(arousal)}%`;
    this.node.setAttribute("aria-valuenow", valence.value ?? (valence.low + valence.high) / 2);
    this.node.setAttribute("aria-valuetext", dashed(valence, arousal) ? "not set" : `${text(valence)}, ${text(arousal)}`);
  }
}

const dashed = (...controls) => controls.every((control) => control.value === null);

/** All controls of the form. */
export class Controls {
  constructor(form, told) {
    this.last = null;
    const fields = [...form.querySelectorAll("fieldset.control")];
    this.all = told.map((one, place) => new (one.kind === "scale" ? Scale : Choice)(fields[place], one, (control) => this.changed(control)));
    const [valence, arousal] = ["valence", "arousal"].map((name) => this.all.find((one) => one.kind !== "class" && one.name.toLowerCase() === name));
    const node = form.querySelector("#grid");
    this.grid = node && new Grid(node, valence, arousal);
    form.addEventListener("focusin", () => this.mark());
    this.fill({});
  }

  /** Whether a class alone is the whole answer. */
  get oneClass() { return this.all.length === 1 && this.all[0].kind === "class"; }

  get labels() { return Object.fromEntries(this.all.filter((one) => one.value !== null).map((one) => [one.name, one.value])); }

  get missing() { return this.all.filter((one) => one.value === null); }

  fill(labels) {
    for (const one of this.all) {
      one.wrong = "";
      one.set(Object.hasOwn(labels, one.name) ? labels[one.name] : null);
    }
    this.last = null;
    this.mark();
  }

  changed(control) {
    this.last = control;
    this.grid?.draw();
    this.mark();
  }

  /** The control that digits go to: that of the focus, else the first without an answer, else the last one changed. */
  get active() {
    const focused = this.all.find((one) => one.holds(document.activeElement));
    return focused || this.missing[0] || this.last || this.all[0];
  }

  mark() {
    if (!this.all) return; // while they are made
    for (const one of this.all) one.field.classList.toggle("active", this.all.length > 1 && one === this.active);
  }

  focus() { if (this.grid) this.grid.node.focus({ preventScroll: true }); else this.all[0].focus(); }
}
