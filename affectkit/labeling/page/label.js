// The page of `affectkit label`: shows item after item, takes the answer by keys, pointer or touch, and hands it to the outbox.
import { Controls } from "/controls.js";
import { leave, prepare, visible } from "/items.js";
import { ask, makeKey, Outbox } from "/outbox.js";
import { make, SPEEDS } from "/player.js";

const HELD = 12; // items that this tab has in hand, so that it can go on while the network is away
const STAGED = 4; // of them, those whose media are loaded already
const MOST_WAITING = 400; // answers, beyond which no further items are asked for: their rows must be told to the server
const UNDOABLE = 100;
const TOO_SOON = 120; // milliseconds after an item has come in which no answer can be meant for it
const AGAIN = [1000, 2000, 4000, 8000, 15_000]; // milliseconds between attempts to get items
const RENEW = 60_000; // milliseconds; the server lends items for a few minutes
const LENT = 5000; // milliseconds after which items are asked for again that others had
const IDLE = 180_000; // milliseconds without a sign of the person after which items are lent no further

const byId = (id) => document.getElementById(id);
const setup = JSON.parse(byId("setup").textContent); // study, queue, annotator, raters, shown, controls
const form = byId("answer"), stage = byId("stage"), comment = byId("comment");

// --- What the browser remembers. It may forbid that.

const recall = (store, name) => { try { return window[store].getItem(`affectkit/${name}`); } catch { return null; } };
const remember = (store, name, value) => { try { window[store].setItem(`affectkit/${name}`, value); } catch { /* not kept */ } };
const forget = (store, name) => { try { window[store].removeItem(`affectkit/${name}`); } catch { /* not there */ } };

// A tab keeps its name when it is loaded again. It takes it out of the store meanwhile: a copy of the tab must not have it.
const tab = recall("sessionStorage", "tab") || makeKey();
addEventListener("pagehide", () => remember("sessionStorage", "tab", tab));
addEventListener("pageshow", () => forget("sessionStorage", "tab"));

const who = `${setup.study}/annotator`;
let annotator = recall("sessionStorage", who) || recall("localStorage", who) || setup.annotator;
let speed = SPEEDS.find((one) => one === Number(recall("localStorage", "speed"))) || 1;
let current = null; // {item, node, players, labels, comment}
let ahead = [];
let done = []; // {key, ...of current}, the last one last
let progress = null;
let shownAt = 0, hiddenFor = 0, hiddenAt = 0; // milliseconds
let asking = false, failures = 0, timer = 0, trouble = null;
let byPointer = false, active = Date.now(); // when the person last did something

const controls = new Controls(form, setup.controls);
const outbox = new Outbox(setup.study, tab, draw, (told, of) => { if (of === annotator) progress = told; refill(trouble ? "once" : ""); });

// --- Items

const rowsInHand = (shownAlone) => [...(current ? [current] : []), ...(shownAlone ? [] : ahead)].map((entry) => entry.item.row);

/** Ask for further items, where few are left. at: "once" (and not when the next attempt is due, and what is lent is
 *  renewed); "fresh": for those ahead as well, as others may have had them meanwhile. */
async function refill(at = "") {
  const fresh = at === "fresh", waiting = outbox.waiting, count = waiting.length > MOST_WAITING ? 0 : HELD - (fresh ? 0 : ahead.length);
  if (asking || !annotator || (!at && (trouble || (current && count < HELD / 3)))) return;
  clearTimeout(timer);
  asking = true;
  const person = annotator, holding = new Set([...rowsInHand(fresh), ...waiting.map((record) => record.row)]);
  const query = new URLSearchParams({ annotator, tab, count, holding: [...holding].join(","), study: setup.study });
  try {
    const found = await ask(`/api/next?${query}`);
    if (!Array.isArray(found.items)) throw Object.assign(new Error(), { status: 200 });
    if (person === annotator) {
      if (fresh) ahead.splice(0).forEach(leave);
      const rows = new Set([...holding, ...rowsInHand()]);
      ahead.push(...found.items.filter((item) => !rows.has(item.row)).map((item) => ({ item })));
      progress = found.progress;
    }
    if (trouble) mend();
    failures = 0;
    trouble = null;
  } catch (error) {
    trouble = { status: error.status ?? 200, message: error.message };
    timer = setTimeout(() => refill("once"), AGAIN[Math.min(failures++, AGAIN.length - 1)]);
  }
  asking = false;
  if (person !== annotator) { refill("once"); return; }
  if (!current) next();
  if (!current && !trouble && progress.left) timer = setTimeout(() => refill("once"), LENT); // the rest is with others
  stageAhead();
  draw();
}

function mend() { // the server is back
  for (const entry of [current, ...ahead]) entry?.players?.forEach((player) => player.reload());
  if (outbox.trouble?.status === 0) outbox.send();
}

const stageAhead = () => ahead.slice(0, STAGED).forEach((entry) => entry.node || prepare(entry, speed, setSpeed));

// --- One item after the other

function next(message = "") {
  const before = current, entry = ahead.shift();
  current = null;
  if (entry) show(entry, message); else showNothing(message);
  if (before) leave(before);
  setTimeout(stageAhead); // when the next one is on the screen
  refill();
}

function show(entry, message = "") {
  if (!entry.node) prepare(entry, speed, setSpeed);
  current = entry;
  stage.replaceChildren(entry.node);
  form.hidden = false;
  document.body.classList.remove("over");
  controls.fill(entry.labels || {});
  comment.value = entry.comment || "";
  byId("missing").textContent = "";
  shownAt = performance.now();
  hiddenFor = 0;
  hiddenAt = shownAt;
  draw();
  scrollTo(0, 0);
  for (const player of entry.players) {
    player.setSpeed?.(speed);
    player.reload(); // what could not be loaded ahead
  }
  if (byId("autoplay").checked) entry.heard?.play();
  const kinds = entry.item.media.map((medium) => medium.problem || medium.kind);
  say([message, byId("title").textContent, ...kinds, (entry.item.text || "").slice(0, 500)].filter(Boolean).join(". "));
}

function showNothing(message) {
  stage.replaceChildren();
  form.hidden = !done.length; // to undo the last one
  document.body.classList.add("over");
  draw();
  say(`${message} ${byId("title").textContent}`);
}

function send() {
  if (!current || performance.now() - shownAt < TOO_SOON) return;
  const { missing } = controls, wrong = controls.all.map((one) => one.wrong).filter(Boolean);
  if (!missing.length) { finish(controls.labels, "Sent"); return; }
  byId("missing").textContent = wrong.join(" ") || `Still to answer: ${missing.map((one) => one.name).join(", ")}.`;
  if (form.querySelector(":focus-visible")) missing[0].focus();
}

function skip() { if (current && performance.now() - shownAt >= TOO_SOON) finish({}, "Skipped"); }

function finish(labels, message) {
  const { item } = current, key = makeKey(), text = comment.value.trim(), seconds = (performance.now() - shownAt - hiddenFor) / 1000;
  const byKeys = form.querySelector(":focus-visible") && document.activeElement !== comment;
  done.push({ item, labels, comment: text, key });
  done.splice(0, done.length - UNDOABLE);
  outbox.add(annotator, item.row, { key, id: item.id, labels, comment: text, seconds: Number(seconds.toFixed(2)), at: new Date().toISOString() });
  next(message);
  if (current && byKeys) controls.focus(); else if (form.contains(document.activeElement)) document.activeElement.blur();
}

function undo() {
  const last = done.pop();
  if (!last) return;
  if (!outbox.takeBack(last.key)) outbox.add(annotator, last.item.row, { key: makeKey(), id: last.item.id, labels: {}, undo: last.key });
  const before = current;
  if (before) ahead.unshift(Object.assign(before, { labels: controls.labels, comment: comment.value }));
  show(last, "Taken back");
  if (before) leave(before);
}

function choose(digit) {
  if (current && controls.active.digit(digit) && controls.oneClass && byId("at-once").checked) send();
}

function setSpeed(to) {
  speed = to;
  remember("localStorage", "speed", speed);
  for (const entry of [current, ...ahead]) entry?.players?.forEach((player) => player.setSpeed?.(speed));
}

// --- What is said of it all

const counted = (number, one) => `${number} ${one}${number === 1 ? "" : "s"}`;
const write = (node, text) => { if (node.textContent !== text) node.textContent = text; }; // else it is read aloud again

function say(text) {
  byId("said").textContent = "";
  setTimeout(() => { byId("said").textContent = text; }, 50); // the same words are read again
}

function duration(seconds) {
  const minutes = Math.round(seconds / 60), hours = Math.floor(minutes / 60);
  if (minutes < 1) return "less than a minute left";
  return `about ${hours ? `${hours} h ` : ""}${hours && !(minutes % 60) ? "" : `${minutes % 60} min `}left`;
}

function draw() {
  drawProgress();
  drawAgreement();
  drawState();
  byId("undo").disabled = !done.length;
  byId("skip").disabled = byId("send").disabled = !current;
}

function drawProgress() {
  if (!progress) return;
  const unsent = outbox.waiting.filter((record) => record.annotator === annotator).reduce((sum, record) => sum + (record.answer.undo ? -1 : 1), 0);
  const { answered, skipped, left } = progress, total = answered + skipped + left; // others have answered the rest
  const place = Math.max(0, Math.min(total, answered + skipped + unsent));
  const told = progress.seconds_left === null || !current ? "" : ` · ${duration(progress.seconds_left)}`;
  byId("bar").max = total || 1;
  byId("bar").value = place;
  write(byId("left"), `${place} of ${total}${skipped ? `, ${skipped} skipped` : ""}${told}`);
  let title = `Item ${Math.min(place + 1, total)} of ${total}`;
  if (!current && trouble) title = "Waiting for the server";
  else if (!current && place < total) title = "The remaining items are in other tabs, or with other persons";
  else if (!current) title = "All done. Thank you!";
  write(byId("title"), title);
  write(byId("end"), current ? "" : `${counted(answered, "answer")}, ${skipped} skipped.`);
  document.title = `${title} | affectkit label`;
}

const MEASURES = { alpha: "Krippendorff’s α", kappa: "Cohen’s κ" };

function drawAgreement() {
  const told = setup.raters > 1 && progress ? progress.agreement : [], names = Object.keys(MEASURES).filter((name) => told.some(({ measure }) => measure === name));
  byId("agreement").hidden = !told.length;
  const cell = (target, name) => {
    const value = told.find((one) => one.target === target && one.measure === name)?.value;
    return make("td", {}, typeof value === "number" ? value.toFixed(2).replace("-", "−") : "–");
  };
  const rows = [...new Map(told.map((one) => [one.target, one])).values()].map(({ target, rows: both, raters }) => make("tr", {},
    make("th", { scope: "row" }, make("bdi", {}, target)), ...names.map((name) => cell(target, name)), make("td", {}, `${both} by ${raters}`)));
  const head = ["Target", ...names.map((name) => MEASURES[name]), "Rows"].map((name) => make("th", { scope: "col" }, name));
  byId("agreement-table").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function reason({ status, message }) {
  if (status === 0) return "The server cannot be reached.";
  if ([401, 403, 421].includes(status)) return "The server does not know this browser. Open the address again that affectkit label has printed.";
  if (status === 409) return "The server at this address has another study now.";
  if (status === 507) return `The server cannot write: ${message || "its disk is full"}.`;
  if (status === 200) return "What answers at this address is not affectkit label.";
  return `The server has a problem (${message || status}).`;
}

function drawState() {
  const waiting = outbox.waiting.length, refused = outbox.refused, wrong = outbox.trouble || trouble, words = [];
  if (wrong) words.push(reason(wrong));
  if (wrong && waiting) words.push(`${counted(waiting, "answer")} ${waiting === 1 ? "waits" : "wait"} in this browser, to be sent as soon as that is possible.`);
  if (wrong && current) words.push("You can go on.");
  if (!outbox.keeps) words.push("This browser lets the page keep nothing: leave this tab open until all answers are saved.");
  byId("notice").hidden = !words.length;
  byId("retry").hidden = !wrong;
  const before = byId("notice-text").textContent;
  write(byId("notice-text"), words.join(" "));
  if (before && !words.length && !waiting) say("All answers are saved.");
  write(byId("saved"), waiting ? (wrong ? `${counted(waiting, "answer")} not sent yet` : "Saving …") : done.length ? "All answers are saved" : "");
  byId("refused").hidden = !refused.length;
  write(byId("refused-title"), `${counted(refused.length, "answer")} refused by the server`);
  byId("refused-list").replaceChildren(...refused.map(({ answer, why }) => make("li", {}, make("bdi", {}, visible(answer.id)), ` (${described(answer)}): ${visible(why)}`)));
}

function described({ labels, undo: takenBack }) {
  if (takenBack) return "taken back";
  return Object.entries(labels).map(([name, value]) => `${name} ${value}`).join(", ") || "skipped";
}

// --- Keys, pointer, dialogs

const WRITES = "textarea, select, input:not([type=radio], [type=range], [type=checkbox])";

function press(event) {
  const { key, target } = event;
  byPointer = false;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]")) {
    if (key === "Enter" && target === comment && (event.ctrlKey || event.metaKey)) send();
    return;
  }
  if (target.matches(WRITES)) {
    if (key === "Escape") target.blur();
    return;
  }
  const does = action(key, target);
  if (!does) return;
  event.preventDefault();
  if (!event.repeat || key.startsWith("Arrow")) does(); // a key that is held down answers one item, not ten
}

function action(key, target) {
  const heard = current?.heard, pressable = target.matches("button, a, summary");
  if (key.length === 1 && key !== " " && !byId("letters").checked) return null;
  if (/^[0-9]$/.test(key)) return () => choose(Number(key));
  if (key === " ") return heard && !pressable && !target.matches("[type=radio], [type=checkbox]") && (() => heard.toggle());
  if (key === "Enter") return !pressable && send;
  if (key === "ArrowLeft" || key === "ArrowRight") return heard && !target.matches("[type=radio], [type=range], #grid") && (() => heard.seekBy(key === "ArrowLeft" ? -1 : 1));
  if (key === "<" || key === ">") return () => setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(speed) + (key === "<" ? -1 : 1)))]);
  return { Backspace: undo, s: skip, S: skip, c: () => comment.focus(), "?": openHelp }[key];
}

function wake() {
  const idle = Date.now() - active;
  active = Date.now();
  if (idle > IDLE && !trouble) refill("fresh");
}

addEventListener("keydown", press);
addEventListener("keydown", wake, true);
addEventListener("pointerdown", () => { byPointer = true; wake(); }, true);

/** Focus that a pointer has left on a button would take the keys; sliders keep it, to be moved by the arrow keys. */
function letGo() {
  const node = document.activeElement;
  if (byPointer && node.matches("button, select, summary, [type=radio]") && !node.closest("dialog")) node.blur();
}
addEventListener("click", () => setTimeout(letGo));
addEventListener("change", () => setTimeout(letGo));

form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
form.addEventListener("click", (event) => { // not the click that arrow keys make: detail is 0 then
  if (event.detail && event.target.type === "radio" && controls.oneClass && byId("at-once").checked) send();
});
form.addEventListener("change", () => { byId("missing").textContent = ""; });
byId("undo").addEventListener("click", undo);
byId("skip").addEventListener("click", skip);
byId("retry").addEventListener("click", () => { outbox.send(); refill("once"); });
byId("refused-retry").addEventListener("click", () => outbox.sendRefused());
byId("refused-drop").addEventListener("click", () => { if (confirm("Throw these answers away? They are nowhere else.")) outbox.dropRefused(); });
byId("refused-save").addEventListener("click", () => {
  const lines = outbox.refused.map(({ annotator: by, answer, why }) => JSON.stringify({ ...answer, annotator: by, why }));
  const link = make("a", { href: URL.createObjectURL(new Blob([`${lines.join("\n")}\n`])), download: "refused.jsonl" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

const naming = byId("naming"), nameBox = byId("name");

function openNaming() {
  nameBox.value = annotator || recall("localStorage", "name") || "";
  byId("naming-cancel").hidden = !annotator;
  byId("naming-done").textContent = annotator ? "Save" : "Begin";
  naming.showModal();
  nameBox.select();
}

function setAnnotator(name) {
  const changed = name !== annotator;
  annotator = name;
  write(byId("who-name"), annotator);
  remember("sessionStorage", who, name);
  remember("localStorage", who, name);
  remember("localStorage", "name", name);
  if (!changed) return;
  const before = [current, ...ahead];
  [current, ahead, done, progress] = [null, [], [], null]; // another person has other items
  stage.replaceChildren();
  before.forEach((entry) => entry && leave(entry));
  refill("once");
}

byId("who").addEventListener("click", openNaming);
byId("naming-cancel").addEventListener("click", () => naming.close());
naming.addEventListener("close", () => { if (!annotator) openNaming(); });
byId("naming-form").addEventListener("submit", (event) => {
  const name = nameBox.value.trim();
  if (name) setAnnotator(name); else event.preventDefault();
});

function openHelp() {
  const { elsewhere } = outbox;
  byId("elsewhere").hidden = !elsewhere;
  write(byId("elsewhere"), `${counted(elsewhere, "answer")} of other studies at this address ${elsewhere === 1 ? "waits" : "wait"} in this browser, to be sent when their page is opened again.`);
  byId("help").showModal();
}
byId("help-open").addEventListener("click", openHelp);
for (const name of ["autoplay", "at-once", "letters"]) {
  const box = byId(name);
  box.checked = (recall("localStorage", name) ?? (box.checked ? "1" : "0")) === "1";
  box.addEventListener("change", () => remember("localStorage", name, box.checked ? "1" : "0"));
}
byId("at-once-row").hidden = !controls.oneClass;
if (controls.oneClass) write(byId("help-digits"), "Choose a class, and send it.");

// --- Come and go

addEventListener("visibilitychange", () => {
  if (document.hidden) { hiddenAt = performance.now(); return; }
  hiddenFor += performance.now() - Math.max(hiddenAt, shownAt);
  refill("once");
});
addEventListener("online", () => refill("once"));
addEventListener("pagehide", () => { // others need not wait for what this tab has in hand
  const query = new URLSearchParams({ annotator, tab, count: 0, holding: "", study: setup.study });
  if (annotator) fetch(`/api/next?${query}`, { keepalive: true }).catch(() => {});
});
addEventListener("beforeunload", (event) => { if (outbox.waiting.length) event.preventDefault(); });
addEventListener("pageshow", (event) => { if (event.persisted) refill("fresh"); });
setInterval(() => { if (!document.hidden && Date.now() - active < IDLE) refill("once"); }, RENEW);
outbox.start();
drawState();
if (annotator) { write(byId("who-name"), annotator); refill(); } else openNaming();
