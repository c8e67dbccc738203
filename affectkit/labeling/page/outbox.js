// Answers on their way. Each is kept in localStorage, under a name of its own, from before it is sent until the server
// says that it is written. A key makes a repeat harmless: so answers that another tab has left behind are sent from here
// too, without asking whether that tab still lives, and no two tabs ever change the same thing.

const LEFT_BEHIND = 20_000; // milliseconds for which answers of another tab are left to it
const LOOK = 10_000; // milliseconds between two looks for such answers
const TIMEOUT = 20_000;
const WAITS = [1000, 2000, 4000, 8000, 15_000]; // milliseconds between attempts, while the server does not write
const BATCH = 50; // answers, and
const LARGEST = 60_000; // characters of JSON for each request; the server takes four times that many bytes

/** A key that nobody else makes; `randomUUID` is missing where the page comes from another machine without TLS. */
export function makeKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** JSON of the server. Throws an Error with the `status` (0: not reached) and with what the server says. */
export async function ask(path, body) {
  const options = { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) };
  if (body !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  let status = 0, message = "";
  try {
    const response = await fetch(path, options);
    status = response.status;
    const answer = await response.json();
    if (response.ok) return answer;
    message = String(answer.error.message);
  } catch { /* not reached, or not JSON: the status says which */ }
  throw Object.assign(new Error(message), { status });
}

export class Outbox {
  /** changed(): what waits, what was refused or what is wrong is not what it was; told(progress): the server said so. */
  constructor(study, tab, changed, told) {
    Object.assign(this, { study, tab, changed, told, records: new Map(), stores: true, trouble: null });
    Object.assign(this, { sending: false, failures: 0, timer: 0, last: 0, alone: false });
    this.prefix = `affectkit/${study}/`;
  }

  start() {
    addEventListener("storage", (event) => this.heard(event));
    addEventListener("online", () => this.send());
    addEventListener("pagehide", () => this.sendLast());
    setInterval(() => this.look(), LOOK);
    try {
      localStorage.setItem("affectkit/test", "1");
      localStorage.removeItem("affectkit/test");
    } catch { this.stores = false; }
    this.look();
  }

  /** Whether what waits would outlive this tab: a browser may forbid its store, or have it full. */
  get keeps() { return this.stores && [...this.records.values()].every((record) => record.kept); }

  /** How many answers of other studies at this address wait in this browser. */
  get elsewhere() {
    try { return Object.keys(localStorage).filter((name) => /^affectkit\/[^/]+\/[^/]+\/./.test(name) && !name.startsWith(this.prefix)).length; } catch { return 0; }
  }

  get waiting() { return [...this.records.values()].filter((record) => !record.why).sort((a, b) => a.order - b.order); }

  get refused() { return [...this.records.values()].filter((record) => record.why); }

  add(annotator, row, answer) {
    this.last = Math.max(this.last + 1, Date.now()); // a clock that is set back changes no order
    const record = { annotator, row, answer, order: this.last, name: `${this.prefix}${this.tab}/${answer.key}` };
    this.records.set(answer.key, record);
    this.keep(record);
    this.changed();
    if (!this.trouble) this.send();
  }

  keep(record) {
    const { name, kept, ...told } = record;
    try {
      localStorage.setItem(name, JSON.stringify(told));
      record.kept = true;
    } catch { record.kept = false; }
  }

  drop(key) {
    const record = this.records.get(key);
    this.records.delete(key);
    try { if (record) localStorage.removeItem(record.name); } catch { /* then it was not there */ }
  }

  refuse(key, why) {
    const record = this.records.get(key);
    if (!record) return;
    if (record.answer.undo && this.records.get(record.answer.undo)?.why) { // of an answer that was refused: both are off
      this.drop(record.answer.undo);
      this.drop(key);
    } else {
      record.why = why || "refused";
      this.keep(record);
    }
  }

  /** Whether the answer of this key had been refused, and need not be taken back on the server. */
  takeBack(key) {
    if (!this.records.get(key)?.why) return false;
    this.drop(key);
    this.changed();
    return true;
  }

  /** Take up what this tab had before it was loaded again, and what other tabs have left behind. */
  look() {
    try {
      for (const name of Object.keys(localStorage)) if (name.startsWith(this.prefix)) this.take(name, localStorage.getItem(name));
    } catch { return; }
    for (const record of this.records.values()) if (!record.kept) this.keep(record); // there may be room now
    if (this.waiting.length && !this.trouble) this.send();
    this.changed();
  }

  take(name, text) {
    const [tab, key] = name.slice(this.prefix.length).split("/");
    if (!key || this.records.has(key)) return;
    try {
      const record = { ...JSON.parse(text), name, kept: true };
      const own = tab === this.tab || Math.abs(Date.now() - record.order) > LEFT_BEHIND;
      if (own && record.answer.key === key) this.records.set(key, record);
    } catch { /* not written by this page */ }
  }

  heard(event) { // from another tab, which has sent it, or was refused
    const key = event.key?.startsWith(this.prefix) ? event.key.split("/").at(-1) : "";
    if (!this.records.has(key)) return;
    this.records.delete(key);
    if (event.newValue) this.take(event.key, event.newValue);
    this.changed();
  }

  batch() {
    const waiting = this.waiting, answers = [];
    let size = 0;
    for (const { annotator, answer } of waiting) {
      size += JSON.stringify(answer).length;
      if (annotator !== waiting[0].annotator || (answers.length && (size > LARGEST || this.alone || answers.length === BATCH))) break;
      answers.push(answer);
    }
    return { annotator: waiting[0].annotator, tab: this.tab, study: this.study, answers };
  }

  async send() {
    clearTimeout(this.timer);
    if (this.sending) return;
    if (!this.waiting.length) { this.trouble = null; return; } // another tab was quicker
    this.sending = true;
    const body = this.batch();
    try {
      const { written, refused, progress } = await ask("/api/answers", body);
      written.forEach((key) => this.drop(key));
      refused.forEach(({ key, why }) => this.refuse(key, why));
      if (body.answers.some(({ key }) => this.waiting.some((record) => record.answer.key === key))) throw Object.assign(new Error(), { status: 200 });
      this.failures = 0;
      this.alone = false;
      this.trouble = null;
      this.told(progress, body.annotator);
    } catch (error) { this.fail(error, body.answers); }
    this.sending = false;
    this.changed();
    if (!this.trouble) this.send();
  }

  fail(error, answers) {
    if ([400, 413, 415, 422].includes(error.status)) { // one of them is not as it should be: which?
      if (answers.length === 1) this.refuse(answers[0].key, error.message);
      this.alone = true;
      return;
    }
    this.trouble = { status: error.status ?? 200, message: error.message };
    this.timer = setTimeout(() => this.send(), WAITS[Math.min(this.failures++, WAITS.length - 1)]);
  }

  sendLast() { // the answer to this is not heard; what is written by it is only repeated
    if (!this.waiting.length) return;
    const options = { method: "POST", keepalive: true, body: JSON.stringify(this.batch()), headers: { "Content-Type": "application/json" } };
    fetch("/api/answers", options).catch(() => {});
  }

  sendRefused() {
    for (const record of this.refused) {
      delete record.why;
      this.keep(record);
    }
    this.changed();
    this.send();
  }

  dropRefused() {
    this.refused.forEach((record) => this.drop(record.answer.key));
    this.changed();
  }
}
