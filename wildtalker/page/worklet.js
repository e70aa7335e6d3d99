// Gathers the microphone's blocks of 128 samples to pieces of 20 ms.
class Pieces extends AudioWorkletProcessor {
  constructor() { super(); this.piece = new Float32Array(Math.round(sampleRate / 50)); this.n = 0; }
  process(inputs) {
    const channel = inputs[0][0];
    if (!channel) return true;
    for (const value of channel) {
      this.piece[this.n++] = value;
      if (this.n === this.piece.length) { this.port.postMessage(this.piece.slice()); this.n = 0; }
    }
    return true;
  }
}
registerProcessor("pieces", Pieces);
