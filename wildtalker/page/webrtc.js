"use strict";
// Microphone, sound and picture by WebRTC where the server has it. Until it runs, and after it
// failed, page.js plays what the WebSocket brings; that goes on with controls and figures anyway.
const PEER_SECONDS = 8;
const moving = document.getElementById("moving");
let peer = null, voiceSender = null;

const peerRuns = () => peer !== null && peer.connectionState === "connected";

async function connectPeer() {
  if (!window.RTCPeerConnection || !moving.requestVideoFrameCallback) return;
  peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });  // no STUN server: nobody is asked
  voiceSender = peer.addTransceiver("audio", { direction: "sendrecv" }).sender;
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.ontrack = (event) => {
    event.receiver.jitterBufferTarget = 0;
    moving.srcObject = event.streams[0];
  };
  watch();
  peer.onconnectionstatechange = () => {
    if (peerRuns()) carryMicrophone();
    else if (["disconnected", "failed"].includes(peer.connectionState)) leavePeer();
  };
  await peer.setLocalDescription();
  control({ offer: peer.localDescription.sdp });
  setTimeout(() => { if (peer && !peerRuns()) leavePeer(); }, 1000 * PEER_SECONDS);
}

function leavePeer() {
  if (!peer) return;
  peer.onconnectionstatechange = null;
  peer.close();
  peer = voiceSender = null;
  showCanvas();
  control({ offer: null });
}

function carryMicrophone() {
  if (peerRuns()) voiceSender.replaceTrack(microphone ? microphone.stream.getTracks()[0] : null);
  hush();
}

// The own voice is not played back, and before the first click a browser plays nothing.
function hush() { moving.muted = microphone !== null || sound === null; }

function showCanvas() {
  moving.classList.remove("on");
  $("transport").textContent = "WebSocket";
}

function watch() {
  if (!peer) return;
  moving.requestVideoFrameCallback(watch);
  if (!peerRuns()) return;
  moving.classList.add("on");
  $("transport").textContent = "WebRTC";
  shown.push(performance.now());
}
