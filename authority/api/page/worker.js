// The one listener of all tabs of a browser: a browser has six connections to an authority, and ten tabs need them too.
import { Listening } from "./listen.js";

const listening = new Map();  // token, "" for none -> { heard, ports }

function join(port, token) {
  leave(port);
  let group = listening.get(token);
  if (!group) {
    const ports = new Set();
    const tell = (name, data, age) => {
      if (name === "token") listening.delete(token);  // a tab that has another one joins with that
      ports.forEach(each => each.postMessage({ name, data, age }));
    };
    group = { ports, heard: new Listening(new URL("./", self.location), token, tell) };
    listening.set(token, group);
    group.heard.start();
  }
  group.ports.add(port);
  group.heard.present((name, data, age) => port.postMessage({ name, data, age }));
}

function leave(port) {
  for (const [token, { ports, heard }] of listening) {
    if (ports.delete(port) && ports.size === 0) {
      heard.end();
      listening.delete(token);
    }
  }
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => ("join" in data ? join(port, data.join) : leave(port));
};
