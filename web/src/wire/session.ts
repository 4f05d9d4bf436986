// The visitor's anonymous session: a token in localStorage, made when it is first needed and made anew when it runs out.
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { CreateSessionResponse } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";

const KEY = "ragmesh.session";
/** A token that ends sooner than this is renewed before it is used. */
const MARGIN_MS = 60_000;

interface Stored {
  token: string;
  expires: number;
}

/** Holds the token. `make` is CreateSession. */
export class Session {
  readonly #make: () => Promise<CreateSessionResponse>;
  readonly #storage: Pick<Storage, "getItem" | "setItem">;
  #current: Stored | undefined;
  #pending: Promise<string> | undefined;

  constructor(make: () => Promise<CreateSessionResponse>, storage: Pick<Storage, "getItem" | "setItem">) {
    this.#make = make;
    this.#storage = storage;
    this.#current = read(storage);
  }

  /** A token that is good for now. */
  async token(): Promise<string> {
    const current = this.#current;
    if (current && current.expires - MARGIN_MS > Date.now()) return current.token;
    return this.renew(current?.token);
  }

  /** Makes a new session, unless someone else has done so since `refused` was read. Calls at the same time share one. */
  async renew(refused: string | undefined): Promise<string> {
    if (this.#current && this.#current.token !== refused) return this.#current.token;
    this.#pending ??= this.#create().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #create(): Promise<string> {
    const made = await this.#make();
    this.#current = { token: made.token, expires: made.expireTime ? timestampMs(made.expireTime) : Number.MAX_SAFE_INTEGER };
    this.#storage.setItem(KEY, JSON.stringify(this.#current));
    return made.token;
  }
}

function read(storage: Pick<Storage, "getItem">): Stored | undefined {
  try {
    const stored = JSON.parse(storage.getItem(KEY) ?? "null") as Partial<Stored> | null;
    if (typeof stored?.token === "string" && typeof stored.expires === "number") {
      return { token: stored.token, expires: stored.expires };
    }
  } catch {
    // A value that is not ours: a new session replaces it.
  }
  return undefined;
}
