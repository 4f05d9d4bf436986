// A TCP proxy between the browser and the edge that loses connections where a test wants it. Knows nothing of gRPC but the
// path of a request line.
import { connect, createServer } from "node:net";

/** Starts a proxy for `target`. */
export async function startProxy(target) {
  const sockets = new Set();
  /** After how many bytes of the answer to `path` to act; undefined: pass everything. */
  let plan;
  /** Bytes of the answer to a path so far, by path. */
  const measured = new Map();
  let refusing = false;
  let acted;

  const server = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    let left;
    let measuring;
    sockets.add(client);
    const end = () => {
      sockets.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
    client.on("data", (bytes) => {
      if (bytes.includes("POST /")) measuring = bytes.toString("latin1").match(/POST (\S+)/)?.[1];
      if (measuring) measured.set(measuring, 0);
      if (plan && measuring === plan.path) left = plan.bytes;
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (measuring) measured.set(measuring, measured.get(measuring) + bytes.length);
      if (left === undefined || !plan) {
        client.write(bytes);
        return;
      }
      client.write(bytes.subarray(0, left));
      if (bytes.length < left) {
        left -= bytes.length;
        return;
      }
      const { hold } = plan;
      plan = undefined;
      refusing = true;
      left = undefined;
      upstream.pause();
      if (hold) upstream.removeAllListeners("data");
      // A browser keeps connections open: the others would carry the next request.
      for (const socket of sockets) if (!hold || socket !== client) socket.destroy();
      acted();
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** How long the last answer to `path` was, in bytes. */
    length: (path) => measured.get(path) ?? 0,
    /** Lets `bytes` of the next answer to `path` through, then cuts it, or holds it, and refuses all others. Resolves then. */
    loseAfter(path, bytes, { hold = false } = {}) {
      plan = { path, bytes, hold };
      return new Promise((resolve) => {
        acted = resolve;
      });
    },
    /** Lets everything through again. */
    heal() {
      refusing = false;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
