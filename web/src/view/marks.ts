// The icon and word that say how well a claim stands.
import { OverallVerdict } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Standing } from "../turn/runs.js";
import { words } from "../words.js";
import { h, icon, type Icon } from "./dom.js";

const ICONS: Record<Standing, Icon> = { verified: "check", partly: "partly", unverified: "question", contradicted: "alert" };

/** Icon and word. */
export function standingMark(standing: Standing): HTMLElement {
  return h("span", { class: `standing ${standing}` }, icon(ICONS[standing]), h("span", { text: words.standing(standing) }));
}

/** The verdict over a whole answer; undefined where it was not judged. */
export function overallStanding(verdict: OverallVerdict | undefined): Standing | undefined {
  switch (verdict) {
    case OverallVerdict.VERIFIED:
      return "verified";
    case OverallVerdict.PARTLY:
      return "partly";
    case OverallVerdict.UNVERIFIED:
      return "unverified";
    default:
      return undefined;
  }
}
