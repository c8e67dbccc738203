// What an item shows: media, text, what is known of it.
import { make, Player } from "/player.js";

/** Control characters as pictures: they must neither vanish nor do anything. */
export const visible = (text) => String(text).replace(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)))
  .replace(/[\x7f-\x9f]/g, (sign) => (sign === "\x7f" ? "␡" : `\\x${sign.charCodeAt(0).toString(16)}`));

/** Make what shows an entry's item, so that it is ready when its turn comes: its `node`, its `players`, and the one that
 *  the space bar plays, `heard`. sped(speed): the person has chosen another one. */
export function prepare(entry, speed, sped) {
  const { item } = entry, node = make("div", { class: "content" });
  entry.players = [];
  if (item.problem) node.append(make("p", { class: "problem" }, visible(item.problem)));
  item.media.forEach((medium, place) => node.append(prepareMedium(entry, medium, item.media.length > 1 ? `${medium.kind} ${place + 1}` : medium.kind, speed, sped)));
  if (item.text !== null) node.append(make("p", { class: "text", dir: "auto" }, visible(item.text)));
  if (item.shown?.length) {
    const pairs = item.shown.map(([name, value]) => make("div", {}, make("dt", { dir: "auto" }, visible(name)), make("dd", { dir: "auto" }, visible(value))));
    node.append(make("h2", {}, "What is known of it"), make("dl", { class: "facts" }, ...pairs));
  }
  const names = [["id", item.id], ...item.media.filter((medium) => medium.name).map((medium) => ["file", medium.name])];
  const list = names.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, visible(value)))));
  node.append(make("details", { class: "about" }, make("summary", {}, "About this item"), make("dl", { class: "facts" }, ...list)));
  entry.node = node;
}

function prepareMedium(entry, medium, label, speed, sped) {
  const figure = make("figure", { class: medium.kind }), problem = make("p", { class: "problem", role: "alert" });
  problem.textContent = medium.problem ? visible(medium.problem) : "";
  problem.hidden = !medium.problem;
  figure.append(problem);
  if (medium.problem) return figure;
  const failed = () => {
    problem.textContent = `The ${label} cannot be ${medium.kind === "image" ? "shown" : "played"} here. You can skip the item, or answer it all the same.`;
    problem.hidden = false;
  };
  if (medium.kind === "image") {
    const image = make("img", { alt: `The ${label} to answer` });
    image.addEventListener("error", failed);
    image.addEventListener("load", () => { problem.hidden = true; image.classList.toggle("small", image.naturalHeight < 240); });
    image.src = medium.url;
    figure.append(image);
    entry.players.push({ reload: () => { if (image.complete && !image.naturalWidth) image.src = medium.url; }, release: () => {} });
  } else {
    const player = new Player(medium, label, speed, { failed, sped });
    player.media.addEventListener("canplay", () => { problem.hidden = true; });
    player.media.addEventListener("play", () => {
      entry.heard = player;
      entry.players?.forEach((other) => { if (other !== player) other.pause?.(); });
    });
    figure.append(player.node);
    entry.players.push(player);
    entry.heard ||= player;
  }
  return figure;
}

/** Free the media of an entry that is shown no longer. */
export function leave(entry) {
  entry.players?.forEach((player) => player.release());
  Object.assign(entry, { node: null, players: null, heard: null });
}
