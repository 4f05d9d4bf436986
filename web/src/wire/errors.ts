// What a failed call means, read from its google.rpc.Status. Knows no words that a reader sees.
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb.js";

/** A failed call. */
export interface CallFailure {
  /** The ErrorReason without its prefix; empty where the answer carried none: then nobody of the mesh has spoken. */
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** When to ask again, in milliseconds; undefined where the server did not say. */
  readonly retryAfterMs: number | undefined;
  readonly code: Code;
}

/** Longest wait that is taken from a server. */
const MAX_RETRY_MS = 10 * 60_000;

/** Reads an error of any kind. */
export function callFailure(error: unknown): CallFailure {
  const connectError = ConnectError.from(error);
  const info = connectError.findDetails(ErrorInfoSchema)[0];
  const delay = connectError.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    reason: info?.domain === "ragmesh" ? info.reason : "",
    metadata: info?.metadata ?? {},
    retryAfterMs: delay ? Math.min(MAX_RETRY_MS, Math.max(0, durationMs(delay))) : undefined,
    code: connectError.code,
  };
}

/** Whether the connection broke, as opposed to the mesh having said no. */
export function isLost(failure: CallFailure): boolean {
  if (failure.reason !== "") return false;
  return [Code.Unavailable, Code.Unknown, Code.Internal, Code.DeadlineExceeded, Code.Canceled, Code.Aborted].includes(failure.code);
}

/** Whether the mesh is there but asks to wait. */
export function isBusy(failure: CallFailure): boolean {
  return ["SERVICE_UNAVAILABLE", "DRAINING", "STORE_UNAVAILABLE", "TURN_INTERRUPTED"].includes(failure.reason);
}
