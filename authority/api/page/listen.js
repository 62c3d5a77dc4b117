// What the authority pushes, heard over one stream, or asked for where no stream gets through what lies between.
// It runs in a worker that all tabs of a browser share, or in the page itself where there is no such worker.

const SILENT_MS = 12000;      // the authority speaks every 5 s: after this the stream is dead
const FIRST_WORD_MS = 3000;   // a stream that says nothing for so long at its start is kept back on its way
const ASK_EVERY_MS = 2000;    // where no stream gets through
const STREAM_AGAIN_MS = 60000;
const SLOWEST_RETRY_MS = 4000;

const pause = ms => new Promise(resume => setTimeout(resume, ms));

export class Listening {
  // `base` is the address of the page, `tell(name, data, ageMs)` is called with each message, and with
  // "link" ({ live, asking }) and "token" (the authority asks for one, and this is over).
  constructor(base, token, tell) {
    this.base = base;
    this.token = token;
    this.tell = tell;
    this.seq = null;
    this.instance = null;
    this.link = { live: null, asking: false };  // not known yet
    this.statuses = new Map();  // equipment id -> { status, received }
    this.ended = false;
    this.control = new AbortController();
  }

  start() { this.run(); return this; }

  end() { this.ended = true; this.control.abort(); }

  // What somebody who comes later has to hear first.
  present(tell) {
    if (this.seq !== null) {
      const { seq, instance } = this;
      tell("snapshot", { seq, instance, equipment: Object.fromEntries([...this.statuses].map(([id, { status }]) => [id, status])) },
        Object.fromEntries([...this.statuses].map(([id, { received }]) => [id, performance.now() - received])));
    }
    if (this.link.live !== null) tell("link", this.link);
  }

  async run() {
    let streamAt = 0;
    let wait = 300;
    while (!this.ended) {
      const streams = performance.now() >= streamAt;
      const heard = await (streams ? this.stream() : this.ask());
      if (this.ended) return;
      if (streams && heard) { this.linked(false, false); wait = 300; }
      if (streams && !heard) {
        // Either nobody is there, or the stream is kept back: what answers a plain question tells which.
        if (await this.ask()) streamAt = performance.now() + STREAM_AGAIN_MS;
        else this.linked(false, false);
      }
      if (!streams && !heard) { this.linked(false, false); streamAt = 0; }
      this.tell("link", this.link);  // also where nothing is new: whoever listens hears that somebody does
      await pause(this.link.asking ? ASK_EVERY_MS : wait * (0.7 + 0.6 * Math.random()));
      if (!heard && !this.link.asking) wait = Math.min(wait * 1.7, SLOWEST_RETRY_MS);
    }
  }

  // Follow one stream to its end; whether anything came.
  async stream() {
    let lastWord = performance.now();
    let heard = false;
    const control = new AbortController();
    this.control = control;
    const watching = setInterval(() => {
      if (performance.now() - lastWord > (heard ? SILENT_MS : FIRST_WORD_MS)) control.abort();
    }, 500);
    try {
      await this.read(this.address(), "text/event-stream", control.signal, () => {
        lastWord = performance.now();
        heard = true;
        this.linked(true, false);
      });
    } catch { /* the next attempt tells */ } finally { clearInterval(watching); }
    return heard;
  }

  // Ask once for what was missed and how everything stands; whether there was an answer.
  async ask() {
    let heard = false;
    this.control = new AbortController();
    const late = setTimeout(() => this.control.abort(), SILENT_MS);
    try {
      await this.read(this.address("&once=true"), "*/*", this.control.signal, () => { heard = true; });
    } catch { /* no answer */ } finally { clearTimeout(late); }
    if (heard) this.linked(true, true);
    return heard;
  }

  address(more = "") {
    return new URL(`api/events?role=watch${this.seq === null ? "" : `&after=${this.seq}`}${more}`, this.base);
  }

  async read(address, accept, signal, word) {
    const headers = { Accept: accept, ...(this.token && { Authorization: `Bearer ${this.token}` }) };
    const reply = await fetch(address, { headers, cache: "no-store", signal });
    if (reply.status === 401) {
      this.end();
      this.tell("token", null);
      return;
    }
    if (!reply.ok || !reply.headers.get("content-type")?.startsWith("text/event-stream")) throw new Error(reply.status);
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value: text, done } = await reader.read();
      if (done) return;
      word();
      const frames = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
      rest = frames.pop();
      frames.forEach(frame => this.frame(frame));
    }
  }

  frame(text) {
    let name = "message";
    let data = "";
    for (const line of text.split("\n")) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data += line.slice(5).trimStart();
    }
    if (data) this.take(name, JSON.parse(data));
  }

  // Keep how everything stands, for who comes later, and tell it.
  take(name, data) {
    if (name === "snapshot") {
      this.instance = data.instance;
      this.statuses.clear();
      Object.entries(data.equipment).forEach(([id, status]) => this.keep(id, status));
    } else if (name === "change" && data.status) {
      this.keep(data.event.equipment_id, data.status);
    } else if (name === "status") {
      this.keep(data.equipment_id, data);
    } else if (name === "progress" && this.statuses.has(data.equipment_id)) {
      this.statuses.get(data.equipment_id).status.readback = data.readback;
    }
    if (typeof data.seq === "number") this.seq = data.seq;
    this.tell(name, data);
  }

  keep(id, status) { this.statuses.set(id, { status, received: performance.now() }); }

  linked(live, asking) {
    if (live === this.link.live && asking === this.link.asking) return;
    this.link = { live, asking };
    this.tell("link", this.link);
  }
}
