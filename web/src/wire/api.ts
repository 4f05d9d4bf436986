// The gateway as a browser calls it: gRPC-Web on the page's own origin, with the session in `authorization`.
import type { Client, Interceptor } from "@connectrpc/connect";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GatewayService } from "@gen/ragmesh/gateway/v1/gateway_service_pb.js";
import { Session } from "./session.js";

/** Calls of the gateway. */
export type Gateway = Client<typeof GatewayService>;

/** Calls that need no identity. */
const ANONYMOUS = new Set(["CreateSession", "GetAssistant"]);

/** A client of the gateway behind `baseUrl`. */
export function openGateway(baseUrl: string, storage: Pick<Storage, "getItem" | "setItem">): Gateway {
  const bare = createClient(GatewayService, createGrpcWebTransport({ baseUrl }));
  const session = new Session(() => bare.createSession({}, { timeoutMs: 10_000 }), storage);
  return createClient(GatewayService, createGrpcWebTransport({ baseUrl, interceptors: [authorize(session)] }));
}

/** Attaches the token; a call that is refused for it is made once more with a new one. */
function authorize(session: Session): Interceptor {
  return (next) => async (request) => {
    if (ANONYMOUS.has(request.method.name)) return next(request);
    const token = await session.token();
    request.header.set("authorization", `Bearer ${token}`);
    try {
      return await next(request);
    } catch (error) {
      // A stream's request is read once, so that only unary calls are repeated here; streams are by turn/follow.ts.
      if (ConnectError.from(error).code !== Code.Unauthenticated) throw error;
      const renewed = await session.renew(token);
      if (request.stream) throw error;
      request.header.set("authorization", `Bearer ${renewed}`);
      return next(request);
    }
  };
}
