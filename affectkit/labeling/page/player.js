// Sound and moving pictures: play, seek, speed, and the waveform to seek in.

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const SVG = "http://www.w3.org/2000/svg";
const ICONS = { play: "M7 4.5v15l12-7.5z", pause: "M6.5 4.5h4v15h-4zM13.5 4.5h4v15h-4z" };
let drawings = 0;

/** An element with attributes, and with text or with nodes in it. Text is text: nothing of it becomes an element. */
export function make(tag, attributes = {}, ...inside) {
  const svg = ["svg", "path", "line", "rect", "clipPath"].includes(tag);
  const node = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...inside);
  return node;
}

/** Minutes and seconds; tenths too, where all of it is shorter than a minute. */
export function clock(seconds, whole) {
  const tenths = Math.floor(Math.max(0, seconds) * 10 + 1e-6), minutes = Math.floor(tenths / 600);
  const rest = (tenths - 600 * minutes) / 10;
  return `${minutes}:${whole < 60 ? rest.toFixed(1).padStart(4, "0") : String(Math.floor(rest)).padStart(2, "0")}`;
}

export class Player {
  /** medium: as the server tells it. failed(): the browser cannot play it. */
  constructor(medium, label, speed, { failed, sped }) {
    this.medium = medium;
    this.media = make(medium.kind, { preload: "auto", playsinline: "" });
    this.button = make("button", { type: "button", class: "play" });
    this.icon = make("path", {});
    this.button.append(make("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, this.icon));
    this.timeline = make("div", { class: "timeline", role: "slider", tabindex: "0", "aria-label": `Position in ${label}`, "aria-valuemin": "0" });
    this.line = make("div", { class: "line" });
    this.played = make("div", { class: "played" });
    this.line.append(this.played);
    this.timeline.append(this.line);
    this.time = make("span", { class: "time", "aria-hidden": "true" });
    this.speed = make("select", { class: "speed", "aria-label": `Speed of ${label}` }, ...SPEEDS.map((one) => make("option", { value: one }, `${one}×`)));
    this.label = label;
    this.node = make("div", { class: "player" }, this.media, make("div", { class: "bar" }, this.timeline, this.button, this.time, this.speed));
    this.listen(failed, sped);
    this.setSpeed(speed);
    this.media.src = medium.url;
    this.follow();
    if (medium.peaks) this.drawWaveform();
  }

  get start() { return this.medium.start ?? 0; }

  get end() { return Math.min(this.medium.end ?? Infinity, this.media.duration || this.known || 0); }

  get length() { return Math.max(0, this.end - this.start); }

  listen(failed, sped) {
    const { media, timeline } = this;
    media.addEventListener("error", failed);
    media.addEventListener("loadedmetadata", () => { if (this.start) media.currentTime = this.start; this.follow(); });
    for (const name of ["play", "pause", "ended", "seeked", "timeupdate"]) media.addEventListener(name, () => this.follow());
    media.addEventListener("play", () => this.run());
    media.addEventListener("click", () => this.toggle());
    this.button.addEventListener("click", () => this.toggle());
    this.speed.addEventListener("change", () => sped(Number(this.speed.value)));
    const seek = (event) => {
      const box = timeline.getBoundingClientRect();
      this.seekTo(this.start + this.length * ((event.clientX - box.left) / box.width));
    };
    timeline.addEventListener("pointerdown", (event) => { timeline.setPointerCapture(event.pointerId); seek(event); });
    timeline.addEventListener("pointermove", (event) => { if (timeline.hasPointerCapture(event.pointerId)) seek(event); });
    timeline.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
      if (!(event.key in steps)) return; // left and right do here what they do everywhere
      event.preventDefault();
      this.seekBy(steps[event.key]);
    });
  }

  async play() {
    if (this.media.currentTime >= this.end - 0.01 || this.media.currentTime < this.start) this.media.currentTime = this.start;
    try { await this.media.play(); return true; } catch { return false; }
  }

  pause() { this.media.pause(); }

  toggle() { if (this.media.paused) this.play(); else this.pause(); }

  seekTo(seconds) {
    this.media.currentTime = Math.min(this.end, Math.max(this.start, seconds));
    this.follow();
  }

  seekBy(seconds) { this.seekTo(this.media.currentTime + seconds); }

  setSpeed(speed) {
    this.media.defaultPlaybackRate = this.media.playbackRate = speed;
    this.speed.value = speed;
  }

  run() { // more often than the browser tells the time
    this.follow();
    if (!this.media.paused) requestAnimationFrame(() => this.run());
  }

  follow() {
    const { media, timeline, length } = this, at = Math.min(length, Math.max(0, media.currentTime - this.start));
    if (this.medium.end !== null && !media.paused && media.currentTime >= this.end) media.pause();
    const part = length ? at / length : 0;
    this.played.style.width = `${100 * part}%`;
    this.cut?.setAttribute("width", part);
    this.time.textContent = `${clock(at, length)} / ${clock(length, length)}`;
    this.icon.setAttribute("d", media.paused ? ICONS.play : ICONS.pause);
    this.button.setAttribute("aria-label", `${media.paused ? "Play" : "Pause"} ${this.label}`);
    if (!media.paused) return; // a slider that moves by itself would be read aloud all the time
    timeline.setAttribute("aria-valuemax", length.toFixed(1));
    timeline.setAttribute("aria-valuenow", at.toFixed(1));
    timeline.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${length.toFixed(1)} seconds`);
  }

  async drawWaveform() {
    let found;
    try { found = await (await fetch(this.medium.peaks)).json(); } catch { return; } // the line remains
    if (!Array.isArray(found.peaks) || !found.peaks.length) return;
    this.known = this.start + found.seconds;
    const loudest = Math.max(...found.peaks.map(([low, high]) => Math.max(-low, high)), 0.02); // quiet ones are seen too
    const x = (place) => (place + 0.5) / found.peaks.length, y = (value) => (1 - 0.95 * value / loudest).toFixed(4);
    const above = found.peaks.map(([, high], place) => `${x(place)} ${y(Math.max(high, 0.02 * loudest))}`);
    const below = found.peaks.map(([low], place) => `${x(place)} ${y(Math.min(low, -0.02 * loudest))}`).reverse();
    const d = `M${above.join("L")}L${below.join("L")}Z`, id = `cut-${++drawings}`;
    this.cut = make("rect", { x: 0, y: 0, width: 0, height: 2 });
    const svg = make("svg", { class: "wave", viewBox: "0 0 1 2", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("clipPath", { id }, this.cut), make("path", { d }), make("path", { d, class: "heard", "clip-path": `url(#${id})` }));
    this.timeline.classList.add("waves");
    this.timeline.prepend(svg);
    this.follow();
  }

  /** Try again what could not be loaded. */
  reload() { if (this.media.error) this.media.load(); }

  release() {
    this.media.pause();
    this.media.removeAttribute("src");
    this.media.load();
  }
}
