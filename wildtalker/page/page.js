"use strict";
// One WebSocket: JSON for controls, binary for sound and frames (docs/live.md has the form); where
// webrtc.js has sound and picture, its frames are headers alone.
const $ = (id) => document.getElementById(id);
const HEADER_BYTES = 28, FILE_BYTES = 200e6, FILE_SECONDS = 600, AHEAD_SECONDS = 5;
const canvas = $("portrait"), pen = canvas.getContext("2d");
const say = (text) => { $("status").textContent = text; };
let socket, sound, microphone = null, playing = 0, shown = [], waiting = 0, playsUntil = 0;
let isSaying = false, wasSpeaking = false;
window.seen = [];  // times, sizes and loudness of the last frames, for whoever looks

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/live${location.search}`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => say("Ready");
  socket.onclose = (event) => { leavePeer(); stopMicrophone(); say(event.reason || "The connection is closed"); };
  socket.onmessage = (event) => {
    if (typeof event.data === "string") return told(JSON.parse(event.data));
    frame(event.data);
  };
}

function told(message) {
  if (message.error) say(message.error);
  if (message.gain !== undefined) $("gain").value = message.gain;
  if (message.voice !== undefined) $("words").hidden = !message.voice;
  if (message.webrtc) connectPeer();
  if (message.answer && peer) peer.setRemoteDescription({ type: "answer", sdp: message.answer });
}

async function frame(data) {
  const view = new DataView(data);
  const [seconds, lag] = [view.getFloat64(0, true), view.getFloat32(8, true)];
  const [dropped, nSamples] = [view.getUint32(12, true), view.getUint32(16, true)];
  waiting = view.getFloat32(20, true);
  const isSpeaking = view.getUint32(24, true) === 1;
  $("dropped").textContent = dropped;
  $("delay").textContent = microphone ? `${Math.round(1000 * lag)} ms` : "–";
  if (wasSpeaking && !isSpeaking && isSaying) { isSaying = false; say("Ready"); }
  wasSpeaking = isSpeaking;
  if (data.byteLength === HEADER_BYTES) return note({ seconds, isSpeaking, nSamples, loudness: 0 });
  const end = HEADER_BYTES + 2 * nSamples, pcm = new Int16Array(data.slice(HEADER_BYTES, end));
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, end)]));
  let wait = 0;
  if (isSpeaking && !microphone && sound && pcm.length) wait = play(pcm);
  setTimeout(() => {
    if (canvas.width !== picture.width) { canvas.width = picture.width; canvas.height = picture.height; }
    pen.drawImage(picture, 0, 0);
    shown.push(performance.now());
    note({ seconds, isSpeaking, nSamples, loudness: loudness(pcm) });
  }, 1000 * wait);
}

function note(facts) {
  window.seen.push(facts);
  if (window.seen.length > 500) window.seen.shift();
}

function loudness(pcm) {
  return pcm.length ? Math.sqrt(pcm.reduce((sum, x) => sum + x * x, 0) / pcm.length) / 32768 : 0;
}

// Pieces follow each other without a gap; a picture waits for its own piece.
function play(pcm) {
  const buffer = sound.createBuffer(1, pcm.length, 16000);
  const channel = buffer.getChannelData(0);
  for (let i = 0; i < pcm.length; i++) channel[i] = pcm[i] / 32768;
  const node = sound.createBufferSource();
  node.buffer = buffer;
  node.connect(sound.destination);
  if (playsUntil < sound.currentTime) playsUntil = sound.currentTime + 0.06;
  const wait = playsUntil - sound.currentTime;
  node.start(playsUntil);
  playsUntil += buffer.duration;
  return wait;
}

setInterval(() => {
  const now = performance.now();
  shown = shown.filter((t) => now - t < 2000);
  $("rate").textContent = (shown.length / 2).toFixed(1);
}, 500);

function control(values) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(values));
}

// Binary to the server: uint32 rate, then int16 samples.
function send(samples, rate) {
  if (socket.readyState !== WebSocket.OPEN) return;
  const data = new ArrayBuffer(4 + 2 * samples.length), view = new DataView(data);
  view.setUint32(0, rate, true);
  for (let i = 0; i < samples.length; i++)
    view.setInt16(4 + 2 * i, Math.max(-1, Math.min(1, samples[i])) * 32767, true);
  socket.send(data);
}

async function wake() {
  sound = sound || new AudioContext();
  await sound.resume();
  hush();
}

async function startMicrophone() {
  // Browsers give it to pages of this machine and to https alone.
  if (!navigator.mediaDevices) return say("The microphone needs https, or 127.0.0.1");
  await wake();
  let stream;
  try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); }
  catch (error) { return say(`No microphone: ${error.message}`); }
  await sound.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(sound, "pieces");
  sound.createMediaStreamSource(stream).connect(node);
  node.port.onmessage = (event) => { if (!peerRuns()) send(event.data, sound.sampleRate); };
  microphone = { stream, node };
  playing++;
  isSaying = false;
  carryMicrophone();
  control({ microphone: true, interrupt: true });
  $("microphone").setAttribute("aria-pressed", "true");
  $("microphone").textContent = "Stop listening";
  say("Listening");
}

function stopMicrophone() {
  if (!microphone) return;
  microphone.node.port.onmessage = null;
  microphone.stream.getTracks().forEach((track) => track.stop());
  microphone = null;
  carryMicrophone();
  $("microphone").setAttribute("aria-pressed", "false");
  $("microphone").textContent = "Microphone";
  control({ microphone: false });
  say("Ready");
}

async function speak(file) {
  if (!file) return;
  if (file.size > FILE_BYTES) return say("The file is larger than 200 MB");
  await wake();
  stopMicrophone();
  let decoded;
  try { decoded = await sound.decodeAudioData(await file.arrayBuffer()); }
  catch { return say(`${file.name} has no sound that this browser can read`); }
  if (decoded.duration > FILE_SECONDS) return say("The sound is longer than ten minutes");
  control({ interrupt: true });
  isSaying = true;
  const mine = ++playing, channel = decoded.getChannelData(0);
  say(`Saying ${file.name}`);
  const step = Math.round(decoded.sampleRate / 4);
  waiting = 0;
  for (let first = 0; first < channel.length && mine === playing; first += step) {
    while (waiting > AHEAD_SECONDS && mine === playing) await new Promise((r) => setTimeout(r, 100));
    send(channel.subarray(first, first + step), decoded.sampleRate);
    waiting += 0.25;
    await new Promise((r) => setTimeout(r, 60));
  }
}

async function sayText(text) {
  if (!text.trim()) return;
  await wake();
  stopMicrophone();
  playing++;
  isSaying = true;
  say("Saying the text");
  control({ interrupt: true, text });
}

$("microphone").onclick = () => (microphone ? stopMicrophone() : startMicrophone());
$("interrupt").onclick = () => {
  playing++; playsUntil = 0; isSaying = false;
  if (sound && !microphone) { sound.close(); sound = null; }
  control({ interrupt: true });
  say("Interrupted");
};
$("background").onchange = (event) => control({ background: event.target.value });
$("gain").oninput = (event) => control({ gain: Number(event.target.value) });
$("words").onsubmit = (event) => { event.preventDefault(); sayText($("text").value); };
// Enter says it, Shift and Enter begin a line.
$("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sayText($("text").value);
};
$("file").onchange = (event) => speak(event.target.files[0]);
// A file that misses the field would otherwise replace the page.
document.ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
document.ondragleave = () => $("drop").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  speak(event.dataTransfer.files[0]);
};
const token = new URLSearchParams(location.search).get("token");
$("back").href = token ? `./?${new URLSearchParams({ token })}` : "./";
$("back").hidden = location.pathname !== "/talk";
connect();
