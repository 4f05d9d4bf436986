// A tool for working on the client without the mesh: serves dist/ with the headers of the edge and answers gRPC-Web from the
// fixture logs. Never part of the product; what it says is made up. `node replay_server.js [port] [ms between events]`.
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext, Interceptor } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb.js";
import { GatewayService } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import type { Turn, TurnEvent } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { Outcome, RatingSchema, TurnEventSchema, TurnFinishedSchema, TurnSchema } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { canonical, LOGS, SOURCES } from "../fixtures/logs.js";
import { utf8Length } from "../src/text/bytes.js";
import { asked, fold } from "../src/turn/fold.js";

const DIST = path.resolve(import.meta.dirname, "../../web/dist");
const PORT = Number(process.argv[2] ?? 8090);
const PAUSE_MS = Number(process.argv[3] ?? 120);
const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

interface Live {
  name: string;
  question: string;
  log: TurnEvent[];
  /** How many events have happened. */
  at: number;
  stopped: boolean;
  rating: Turn["rating"];
}
const conversations = new Map<string, { title: string; owner: string; turns: Live[] }>();
const sessions = new Set<string>();

const authenticate: Interceptor = (next) => (request) => {
  const open = ["CreateSession", "GetAssistant"].includes(request.method.name);
  if (!open && !sessions.has(owner(request.header))) throw new ConnectError("no such session", Code.Unauthenticated);
  return next(request);
};

function owner(header: HandlerContext["requestHeader"]): string {
  return (header.get("authorization") ?? "").replace("Bearer ", "");
}

/** Which log answers a question. */
function pick(question: string): TurnEvent[] {
  const named = /^state: ([a-z]+)$/.exec(question)?.[1];
  if (named && LOGS[named]) return LOGS[named];
  if (/ignore|system prompt/i.test(question)) return LOGS["blocked"] as TurnEvent[];
  if (/world cup|capital/i.test(question)) return LOGS["abstained"] as TurnEvent[];
  if (/hello|hi\b/i.test(question)) return LOGS["template"] as TurnEvent[];
  return LOGS["answered"] as TurnEvent[];
}

function refuse(code: Code, reason: string, metadata: Record<string, string> = {}, retrySeconds = 0): ConnectError {
  const details = [{ desc: ErrorInfoSchema, value: { reason, domain: "ragmesh", metadata } }];
  const retry = { desc: RetryInfoSchema, value: { retryDelay: { seconds: BigInt(retrySeconds) } } };
  return new ConnectError("from the replay server", code, undefined, retrySeconds ? [...details, retry] : details);
}

function find(turn: string): Live {
  const live = conversations.get(turn.split("/turns/")[0] ?? "")?.turns.find((one) => one.name === turn);
  if (!live) throw refuse(Code.NotFound, "TURN_NOT_FOUND");
  return live;
}

function begin(question: string, conversation: string, by: string): Live {
  if (question === "state: limited") throw refuse(Code.ResourceExhausted, "RATE_LIMITED", { limit_per_minute: "30" }, 9);
  if (conversation && !conversations.has(conversation)) throw refuse(Code.NotFound, "CONVERSATION_NOT_FOUND");
  const name = conversation || `conversations/${crypto.randomUUID()}`;
  const kept = conversations.get(name) ?? { title: question, owner: by, turns: [] };
  conversations.set(name, kept);
  const turn = `${name}/turns/${crypto.randomUUID()}`;
  const log = pick(question).map((event) => {
    const body = event.event.case === "started" ? { case: "started" as const, value: { ...event.event.value, conversation: name, question } } : event.event;
    return create(TurnEventSchema, { turn, seq: event.seq, createTime: timestampNow(), event: body });
  });
  const live: Live = { name: turn, question, log, at: 1, stopped: false, rating: undefined };
  kept.turns.push(live);
  const timer = setInterval(() => {
    live.at += 1;
    if (live.at >= live.log.length) clearInterval(timer);
  }, PAUSE_MS);
  return live;
}

async function* tail(live: Live, after: number, signal: AbortSignal) {
  let sent = after;
  while (!signal.aborted) {
    while (sent < Math.min(live.at, live.log.length)) yield { event: live.log[sent++] as TurnEvent };
    if (sent >= live.log.length && live.log.at(-1)?.event.case === "finished") return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function turnOf(live: Live): Turn {
  const state = live.log.slice(0, live.at).reduce(fold, asked(live.question));
  return create(TurnSchema, {
    name: live.name,
    question: live.question,
    text: state.text,
    claims: [...state.claims],
    evidence: [...state.evidence],
    retractions: [...state.retractions],
    degradations: [...state.degradations],
    lastSeq: state.seq,
    createTime: timestampNow(),
    ...(state.finished ? { finished: state.finished } : {}),
    ...(state.understood ? { understood: state.understood } : {}),
    ...(state.stages.at(-1) ? { stage: state.stages.at(-1)! } : {}),
    ...(live.rating ? { rating: live.rating } : {}),
  });
}

function routes(router: ConnectRouter): void {
  router.service(GatewayService, {
    createSession() {
      const token = crypto.randomUUID();
      sessions.add(token);
      return { token, expireTime: { seconds: BigInt(Math.floor(Date.now() / 1000) + 86_400) }, subject: "sessions/replay" };
    },
    getAssistant: () => ({
      assistant: {
        name: "assistants/default",
        displayName: "ChatCBD",
        introduction: "Answers from 63 documents on cannabidiol. Every claim shows its source.",
        sampleQuestions: ["Does CBD interact with blood thinners?", "How much CBD was used in sleep trials?", "Can dogs take CBD?", "Who won the World Cup in 2014?"],
        disclaimer: "Not medical advice",
        documentCount: 63,
      },
    }),
    async *streamAnswer(request, context) {
      yield* tail(begin(request.question, request.conversation, owner(context.requestHeader)), 0, context.signal);
    },
    async *resumeAnswer(request, context) {
      yield* tail(find(request.turn), request.afterSeq, context.signal);
    },
    stopAnswer(request) {
      const live = find(request.turn);
      if (live.at < live.log.length) {
        live.log = live.log.slice(0, live.at);
        const finished = create(TurnFinishedSchema, { outcome: Outcome.STOPPED });
        live.log.push(create(TurnEventSchema, { turn: live.name, seq: live.at + 1, createTime: timestampNow(), event: { case: "finished", value: finished } }));
        live.at = live.log.length;
      }
      return { turn: turnOf(live) };
    },
    getPassage(request) {
      const evidence = turnOf(find(request.turn)).evidence.find((one) => one.name === request.evidence);
      const source = Object.values(SOURCES).find((one) => one.text === evidence?.text);
      if (!evidence || !source) throw refuse(Code.NotFound, "EVIDENCE_NOT_FOUND");
      const text = canonical(source);
      return {
        passage: {
          documentVersion: evidence.documentVersion,
          titlePath: source.path,
          range: { start: 0, end: utf8Length(text) },
          text,
          chunkRange: evidence.spans[0]!,
          sourceUri: evidence.sourceUri,
          nextChunk: "collections/default/documents/a/versions/b/chunks/9",
        },
      };
    },
    listConversations: (_, context) => ({
      conversations: [...conversations].filter(([, kept]) => kept.owner === owner(context.requestHeader)).reverse().map(([name, kept]) => ({ name, title: kept.title, updateTime: timestampNow(), turnCount: kept.turns.length })),
    }),
    listTurns(request) {
      const kept = conversations.get(request.parent);
      if (!kept) throw refuse(Code.NotFound, "CONVERSATION_NOT_FOUND");
      return { turns: kept.turns.map(turnOf) };
    },
    getTurn: (request) => ({ turn: turnOf(find(request.name)) }),
    deleteConversation(request) {
      const count = conversations.get(request.name)?.turns.length ?? 0;
      conversations.delete(request.name);
      return { turnCount: count };
    },
    rateAnswer(request) {
      find(request.turn).rating = create(RatingSchema, request.rating);
      return { rating: request.rating! };
    },
  });
}

const rpc = connectNodeAdapter({ routes, interceptors: [authenticate], grpc: false, connect: false });
createServer((request, response) => {
  response.setHeader("content-security-policy", CSP);
  const url = new URL(request.url ?? "/", "http://localhost");
  if (request.method === "POST") {
    rpc(request, response);
    return;
  }
  const name = path.basename(url.pathname) || "index.html";
  readFile(path.join(DIST, name)).then(
    (content) => response.writeHead(200, { "content-type": TYPES[path.extname(name)] ?? "application/octet-stream" }).end(content),
    () => response.writeHead(404).end(),
  );
}).listen(PORT, "127.0.0.1", () => console.log(`replay server on http://127.0.0.1:${PORT}`));
