"use strict";
const byId = (id) => document.getElementById(id);
const [modelBox, segmentBox, tokenBox, fileBox, recordButton, status, player] =
  ["model", "segment", "token", "file", "record", "status", "player"].map(byId);
const SIZE = { width: 0, height: 260, left: 46, right: 12, top: 10, bottom: 40 }; // pixels; as wide as the page
let models = [];
let recorder = null;
let correcting = false; // whether the server takes corrections
let answered = ""; // the name of the file, if it was one
let shown = null; // {segments, seconds, classes} of the last recording

const say = (text) => { status.textContent = text; status.classList.remove("wrong"); };
const fail = (text) => { say(text); status.classList.add("wrong"); };
const percent = (value) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(1)} %`);
const chosen = () => models.find((model) => model.id === modelBox.value) || { reads: [] };

function make(tag, attributes = {}, text = "") {
  const svg = ["svg", "path", "line", "text", "g"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (tokenBox.value) headers.Authorization = `Bearer ${tokenBox.value}`;
  const response = await fetch(path, { ...options, headers });
  const answer = await response.json();
  if (response.ok) return answer;
  if (response.status === 401) { byId("token-label").hidden = false; tokenBox.focus(); }
  const wait = response.headers.get("Retry-After");
  throw new Error(answer.error.message + (wait ? `; try again in ${wait} s` : ""));
}

async function loadModels() {
  try {
    const answer = await ask("v1/models");
    models = answer.models;
    correcting = (await ask("health")).feedbackReady;
    modelBox.replaceChildren(...models.map((model) => make("option", { value: model.id }, `${model.id} (${model.reads.join(", ")})`)));
    modelBox.value = answer.default;
    fit();
    say("Ready.");
  } catch (error) { fail(`The models cannot be listed: ${error.message}`); }
}

function fit() { // to what the chosen model reads
  const reads = chosen().reads;
  const hears = reads.includes("audio");
  byId("segment-label").hidden = recordButton.hidden = !hears;
  byId("drop").hidden = reads.includes("features");
  byId("text-row").hidden = !reads.includes("text");
  fileBox.accept = hears ? "audio/*,video/*" : reads.includes("images") ? "image/*" : ".txt";
}

async function answerFile(blob) {
  const model = chosen(), form = new FormData();
  begin();
  answered = blob.name || "";
  try {
    form.append("model", model.id);
    if (byId("text").value && model.reads.includes("text")) form.append("text", byId("text").value);
    if (model.reads.includes("audio")) {
      form.append("file", blob, "recording");
      form.append("segment_ms", segmentBox.value);
      const answer = await ask("ser/analyze", { method: "POST", body: form });
      player.src = URL.createObjectURL(blob);
      player.hidden = false;
      showAnalysis(answer);
    } else {
      form.append("files", blob, "file");
      showPrediction(await ask("v1/predict", { method: "POST", body: form }));
    }
  } catch (error) { fail(`No answer: ${error.message}`); }
}

async function answerText() {
  const body = JSON.stringify({ model: chosen().id, texts: [byId("text").value] });
  begin();
  answered = "";
  try {
    const options = { method: "POST", body, headers: { "Content-Type": "application/json" } };
    showPrediction(await ask("v1/predict", options));
  } catch (error) { fail(`No answer: ${error.message}`); }
}

function begin() { // what was answered before is no answer to this
  byId("result").hidden = true;
  shown = null;
  say("Working ...");
}

function reveal(headline, facts) {
  byId("headline").textContent = headline;
  byId("facts").textContent = facts;
  byId("result").hidden = false;
  byId("correct").hidden = !correcting;
  fillCorrections();
  say(`Answered: ${headline}`);
}

// --- What the answer should have been

function fillCorrections() {
  byId("corrections").replaceChildren(...chosen().targets.map((target) => {
    const label = make("label", {}, `${target.name} `);
    const box = make(target.kind === "number" ? "input" : "select", { name: target.name });
    if (target.kind === "number") {
      const [least, most] = target.scale || ["", ""];
      for (const [name, value] of Object.entries({ type: "number", step: "any", min: least, max: most })) box.setAttribute(name, value);
    } else box.append(make("option", { value: "" }, "(no answer)"), ...target.classes.map((one) => make("option", { value: one }, one)));
    label.append(box);
    return label;
  }));
  byId("row").value = answered.replace(/\.[^.]*$/, "");
  byId("comment").value = "";
}

async function sendCorrection() {
  const labels = {};
  for (const box of byId("corrections").querySelectorAll("input, select"))
    if (box.value !== "") labels[box.name] = box.type === "number" ? Number(box.value) : box.value;
  if (!Object.keys(labels).length) { fail("Choose what it should have been."); return; }
  const [row, annotator, comment] = ["row", "annotator", "comment"].map((id) => byId(id).value);
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const body = JSON.stringify({ key, id: row, annotator, labels, comment });
  try {
    await ask("v1/feedback", { method: "POST", body, headers: { "Content-Type": "application/json" } });
    byId("correct").hidden = true;
    say("The correction is kept. Thank you.");
  } catch (error) { fail(`The correction was not kept: ${error.message}`); }
}

function showAnalysis(answer) {
  const { overall, segments, meta, timings } = answer;
  const name = overall.label || "numbers";
  const facts = [`model ${meta.model}`, `${(meta.durationMs / 1000).toFixed(2)} s`, `answered in ${Math.round(timings.totalMs)} ms`];
  if (overall.entropy !== undefined) facts.push(`entropy ${overall.entropy.toFixed(2)} nats`);
  if (overall.abstain) facts.push("the model abstains");
  reveal(`${name} ${percent(overall.confidence)}`, facts.concat(meta.warnings).join(" · "));
  const classes = Object.keys(overall.probabilities || {});
  shown = { segments, seconds: meta.durationMs / 1000, classes };
  drawLines();
  const rows = [["whole", overall], ...segments.map((part) => [`${(part.startMs / 1000).toFixed(2)} to ${(part.endMs / 1000).toFixed(2)} s`, part])];
  fillTable(["time", "answer", ...classes], rows.map(([when, part]) =>
    [when, part.label || (part.error ? part.error.message : ""), ...classes.map((one) => percent((part.probabilities || {})[one]))]));
}

function showPrediction(answer) {
  const result = answer.results[0];
  player.hidden = byId("chart").hidden = true;
  const rows = [];
  for (const [target, said] of Object.entries(result.answers)) {
    if (said.kind === "number") rows.push([target, String(said.value), said.variance === null ? "" : `variance ${said.variance}`]);
    else for (const [one, value] of Object.entries(said.probabilities)) rows.push([`${target}: ${one}`, percent(value), ""]);
  }
  const first = Object.values(result.answers)[0];
  reveal(String(first.prediction ?? first.value ?? "declined"), `model ${answer.model}`);
  fillTable(["answer", "value", ""], rows);
}

function fillTable(head, rows) {
  const table = byId("table");
  const line = (cells, tag) => {
    const row = make("tr");
    row.append(...cells.map((cell, at) => make(at ? tag : "th", { scope: at ? "col" : tag === "th" ? "col" : "row" }, cell)));
    return row;
  };
  const top = make("thead"), body = make("tbody");
  top.append(line(head, "th"));
  body.append(...rows.map((cells) => line(cells, "td")));
  for (const cell of body.querySelectorAll("td")) cell.removeAttribute("scope");
  table.replaceChildren(top, body);
}

function drawLines() {
  const { segments, seconds, classes } = shown, svg = byId("lines");
  byId("chart").hidden = !classes.length;
  SIZE.width = svg.clientWidth;
  const { width, height, left, right, top, bottom } = SIZE;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const x = (at) => left + (width - left - right) * (seconds ? at / seconds : 0);
  const y = (value) => height - bottom - (height - top - bottom) * value;
  const nodes = [0, 0.5, 1].flatMap((value) => [
    make("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
    make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, String(value)),
  ]);
  const base = height - bottom, words = { "text-anchor": "middle" };
  nodes.push(make("text", { x: left, y: base + 16 }, "0"));
  nodes.push(make("text", { x: width - right, y: base + 16, "text-anchor": "end" }, seconds.toFixed(1)));
  nodes.push(make("text", { x: (left + width - right) / 2, y: height - 8, ...words }, "time in seconds"));
  nodes.push(make("text", { transform: `translate(12 ${y(0.5)}) rotate(-90)`, ...words }, "probability"));
  classes.forEach((one, at) => { // a step for each segment: its probability holds from its start to its end
    const steps = segments.map((part, place) => {
      if (!part.probabilities) return ""; // a gap
      const level = y(part.probabilities[one]), joined = place && segments[place - 1].probabilities;
      return `${joined ? "L" : "M"} ${x(part.startMs / 1000)} ${level} L ${x(part.endMs / 1000)} ${level}`;
    });
    nodes.push(make("path", { class: `line k${at % 8}`, d: steps.join(" ") }));
  });
  nodes.push(make("line", { id: "cursor", class: "cursor", x1: left, x2: left, y1: top, y2: height - bottom }));
  svg.replaceChildren(...nodes);
  byId("legend").replaceChildren(...classes.map((one, at) => {
    const entry = make("span"), mark = make("svg", { viewBox: "0 0 32 8", "aria-hidden": "true" });
    mark.append(make("line", { class: `line k${at % 8}`, x1: 0, x2: 32, y1: 4, y2: 4 }));
    entry.append(mark, one);
    return entry;
  }));
  follow();
}

function follow() { // the moment that is heard, in the chart and in the table
  if (!shown) return;
  const cursor = byId("cursor"), at = player.currentTime;
  const place = SIZE.left + (SIZE.width - SIZE.left - SIZE.right) * Math.min(1, at / (shown.seconds || 1));
  if (cursor) { cursor.setAttribute("x1", place); cursor.setAttribute("x2", place); }
  byId("table").querySelectorAll("tbody tr").forEach((row, number) => {
    const part = shown.segments[number - 1];
    const heard = part && 1000 * at >= part.startMs && 1000 * at < part.endMs;
    if (heard) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
  });
}

// --- Recording: as WAV, so that the server needs no decoder for what this browser records with

async function toggleRecording() {
  if (recorder) { recorder.stop(); return; }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = async () => {
      stream.getTracks().forEach((track) => track.stop());
      recorder = null;
      recordButton.textContent = "Record";
      recordButton.setAttribute("aria-pressed", "false");
      answerFile(await asWav(new Blob(parts)));
    };
    recorder.start();
    recordButton.textContent = "Stop";
    recordButton.setAttribute("aria-pressed", "true");
    say("Recording. Press Stop to end.");
  } catch (error) { fail(`No recording: ${error.message}`); }
}

async function asWav(blob) {
  const context = new AudioContext();
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  context.close();
  const samples = sound.getChannelData(0), view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (at, text) => [...text].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  letters(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true); letters(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, at) => view.setInt16(44 + 2 * at, 32767 * Math.max(-1, Math.min(1, value)), true));
  return new Blob([view], { type: "audio/wav" });
}

// --- Events

const drop = byId("drop");
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files.length) answerFile(event.dataTransfer.files[0]);
});
fileBox.addEventListener("change", () => { if (fileBox.files.length) answerFile(fileBox.files[0]); });
recordButton.addEventListener("click", toggleRecording);
modelBox.addEventListener("change", fit);
tokenBox.addEventListener("change", loadModels);
player.addEventListener("timeupdate", follow);
addEventListener("resize", () => { if (shown) drawLines(); });
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  if (chosen().reads.includes("audio") && fileBox.files.length) answerFile(fileBox.files[0]); else answerText();
});
byId("correct").addEventListener("submit", (event) => { event.preventDefault(); sendCorrection(); });
loadModels();
