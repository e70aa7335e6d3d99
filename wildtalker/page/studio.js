"use strict";
// A video is sent once; its key is kept in this browser and asks how the run stands.
const $ = (id) => document.getElementById(id);
const VIDEO_BYTES = 2e9, POLL_MS = 1000, IDLE_MS = 5000;
const STAGES = {
  evaluate: "Networks", media: "Frames and sound", speech: "Speech", person: "Face and body",
  occlusion: "Hands and masks", pose: "Head pose", scene: "Scene and body", train: "Portrait",
};
const PICTURES = {
  crop: "The crop around the face", parsing: "Head, neck, torso and hands",
  masks: "What moves is left out", hand_free: "Without hands",
  portrait: "A frame it has not seen, and the portrait",
};
const HEADLINES = {
  waiting: "Waiting for its turn", making: "Making the portrait", ready: "The portrait is ready",
  failed: "This did not work", stopped: "Stopped",
};
let key = localStorage.getItem("video"), pending = null, request = null, timer = 0;

// Address with the token that this page was opened with.
function address(path, values = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) query.set(name, value);
  return `${path}?${query}`;
}
const mine = (path, values = {}) => address(path, { video: key, ...values });

function show(section) {
  $("give").hidden = section !== "give";
  $("made").hidden = section !== "made";
}

function say(text, isBad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", isBad);
}

// Sending

function take(file) {
  if (!file || request) return;
  if (file.size > VIDEO_BYTES) return say("The video is larger than 2 GB; send a shorter part.", true);
  if (file.type && !file.type.startsWith("video/"))
    return say(`${file.name} is no video.`, true);
  pending = file;
  if (!$("consent").checked)
    return say(`${file.name} is sent as soon as you tick that the person agreed.`);
  send(file);
}

function send(file) {
  pending = null;
  request = new XMLHttpRequest();
  request.open("POST", address("video", { consent: "yes" }));
  request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
  request.upload.onprogress = (event) => { $("sent").value = event.loaded / event.total; };
  request.onload = () => {
    const { status, responseText } = request;
    ended();
    if (status !== 200) return say(`${responseText}.`, true);
    keepKey(JSON.parse(responseText).video);
    look();
  };
  request.onerror = () => { ended(); say("The studio ended the upload; try again.", true); };
  request.onabort = () => { ended(); say("Cancelled."); };
  $("sent").value = 0;
  $("sending").hidden = false;
  say(`Sending ${file.name}`);
  request.send(file);
}

function ended() {
  request = null;
  $("file").value = "";
  $("sending").hidden = true;
  say("");
}

function keepKey(value) {
  key = value;
  if (key) localStorage.setItem("video", key);
  else localStorage.removeItem("video");
}

// Watching

async function look() {
  clearTimeout(timer);
  if (!key) return show("give");
  let facts = null;
  try {
    const answer = await fetch(mine("video"));
    if (answer.status === 404) { keepKey(null); return show("give"); }
    if (answer.ok) facts = await answer.json();
  } catch { /* said below */ }
  if (facts) draw(facts);
  else $("line").textContent = "The studio does not answer; asking again.";
  show("made");
  const isBusy = !facts || facts.state === "making" || facts.state === "waiting";
  timer = setTimeout(look, isBusy ? POLL_MS : IDLE_MS);
}

function draw(facts) {
  const { state } = facts, isBusy = state === "making" || state === "waiting";
  const [nJobs, nDone] = ["n_jobs", "n_done"].map(
    (what) => facts.stages.reduce((sum, stage) => sum + stage[what], 0));
  document.title = `${HEADLINES[state]} – WildTalker studio`;
  $("headline").textContent = HEADLINES[state];
  $("line").textContent = lineOf(facts, nJobs, nDone);
  $("line").classList.toggle("bad", state === "failed");
  $("whole").hidden = $("leave").hidden = !isBusy;
  if (nJobs) $("whole").value = (nDone + (facts.bar ? facts.bar[1] / 100 : 0)) / nJobs;
  else $("whole").removeAttribute("value");
  $("talk").hidden = $("keep").hidden = state !== "ready";
  $("talk").href = mine("talk");
  $("keep").href = mine("portrait");
  $("go").hidden = state !== "failed" && state !== "stopped";
  $("go").textContent = state === "failed" ? "Try again" : "Go on";
  $("stop").hidden = !isBusy;
  $("delete").hidden = isBusy;
  $("stages").replaceChildren(...facts.stages.map((stage) => stageOf(stage, facts.running)));
  $("stages").hidden = state === "ready";
  $("warnings").replaceChildren(...facts.warnings.map((text) => element("li", text)));
  for (const name of Object.keys(PICTURES)) if (facts.pictures[name]) hang(name, facts.pictures[name]);
}

function lineOf(facts, nJobs, nDone) {
  if (facts.state === "failed") return facts.failure;
  if (facts.state === "stopped") return "It goes on where it stopped.";
  if (facts.state === "ready")
    return "Talk to it here, or download the one file that it is; it opens on any machine.";
  if (facts.state === "waiting") return `Before it: ${facts.n_before}`;
  if (!nJobs) return "Looking what there is to do";
  const minutes = Math.floor(facts.seconds / 60), seconds = String(facts.seconds % 60).padStart(2, "0");
  const bar = facts.bar ? `: ${facts.bar[0]} ${facts.bar[1]} %` : "";
  return `Step ${Math.min(nDone + 1, nJobs)} of ${nJobs}${bar}, after ${minutes}:${seconds}`;
}

function stageOf(stage, running) {
  const item = element("li", STAGES[stage.name] || stage.name);
  const isNow = running.some((job) => job.stage === stage.name);
  item.className = stage.n_done >= stage.n_jobs ? "done" : isNow ? "now" : "";
  item.append(element("span", `${stage.n_done}/${stage.n_jobs}`));
  return item;
}

function hang(name, version) {
  let figure = $("pictures").querySelector(`[data-name=${name}]`);
  if (!figure) {
    figure = element("figure");
    figure.dataset.name = name;
    if (name === "portrait") figure.className = "wide";
    const picture = element("img");
    picture.alt = PICTURES[name];
    figure.append(picture, element("figcaption", PICTURES[name]));
    $("pictures").append(figure);
  }
  const picture = figure.querySelector("img");
  if (picture.dataset.version === version) return;
  picture.dataset.version = version;
  picture.src = mine("picture", { name, version });
}

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

async function act(method, path) {
  try {
    const answer = await fetch(mine(path), { method });
    if (method === "DELETE" && path === "video" && answer.ok) keepKey(null);
  } catch { /* the next look says so */ }
  look();
}

$("file").onchange = (event) => take(event.target.files[0]);
$("consent").onchange = () => { if ($("consent").checked && pending) send(pending); };
$("cancel").onclick = () => request.abort();
$("go").onclick = () => act("POST", "run");
$("stop").onclick = () => act("DELETE", "run");
// Hours of work may go with it, so it takes two clicks.
$("delete").onclick = async () => {
  const button = $("delete"), isSure = button.dataset.sure === "yes";
  button.dataset.sure = isSure ? "" : "yes";
  button.textContent = isSure ? "Delete and start anew" : "Delete video and portrait, really";
  if (!isSure) return;
  $("pictures").replaceChildren();
  await act("DELETE", "video");
};
// A file that misses the field would otherwise replace the page.
document.ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
document.ondragleave = () => $("drop").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (!$("give").hidden) take(event.dataTransfer.files[0]);
};
look();
