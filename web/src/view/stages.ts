// The one line of real stages while a turn runs, which folds into "0.4 s, 5 passages" and opens "How this was answered".
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Runtime } from "@gen/ragmesh/evidence/v1/model_pb.js";
import type { TurnFinished } from "@gen/ragmesh/gateway/v1/turn_pb.js";
import type { Entry } from "../model.js";
import { looksRunning } from "../model.js";
import type { TurnState } from "../turn/fold.js";
import { words } from "../words.js";
import { fill, h, icon, uniqueId } from "./dom.js";
import { overallStanding, standingMark } from "./marks.js";

const SHORT_HASH = 12;

/** Stage line and details of one turn. */
export class StagesView {
  readonly element = h("div", { class: "stages" });
  #painted: readonly unknown[] = [];

  update(entry: Entry): void {
    const { shown: state } = entry;
    const seen = [state.stages, state.finished, state.degradations, entry.failure, state.name];
    if (seen.every((part, index) => part === this.#painted[index]) && this.#painted.length) return;
    this.#painted = seen;
    if (looksRunning(entry)) fill(this.element, line(state));
    else if (state.finished) fill(this.element, ...summary(state, state.finished));
    else fill(this.element);
  }
}

function line(state: TurnState): HTMLElement {
  const last = state.stages.length - 1;
  const steps = state.stages.map((stage, index) =>
    h(
      "span",
      { class: index < last ? "stage done" : "stage now" },
      index < last ? icon("check") : h("span", { class: "pulse" }),
      h("span", { text: words.stage(stage.stage, stage.count, index < last) }),
    ),
  );
  if (!steps.length) steps.push(h("span", { class: "stage now" }, h("span", { class: "pulse" }), h("span", { text: words.sending })));
  return h("p", { class: "stage-line" }, ...steps, ...chips(state));
}

function chips(state: TurnState): HTMLElement[] {
  const names = [...new Set(state.degradations.map((degraded) => degraded.skipped))];
  return names.map((skipped) => h("span", { class: "chip caution", title: words.degradedText }, icon("alert"), h("span", { text: words.degraded(skipped) })));
}

function summary(state: TurnState, finished: TurnFinished): HTMLElement[] {
  const elapsed = finished.timings.reduce((sum, timing) => sum + (timing.elapsed ? durationMs(timing.elapsed) : 0), 0);
  const passages = finished.usage?.passages || state.evidence.length;
  const id = uniqueId("how");
  const details = h("div", { class: "how", id, hidden: true }, ...how(finished));
  const button = h(
    "button",
    { type: "button", class: "summary", "aria-expanded": "false", "aria-controls": id },
    h("span", { class: "sr", text: `${words.how}: ` }),
    h("span", { text: words.summary(finished.timings.length ? elapsed : undefined, passages) }),
    icon("chevron"),
  );
  button.title = words.how;
  button.addEventListener("click", () => {
    details.hidden = !details.hidden;
    button.setAttribute("aria-expanded", String(!details.hidden));
  });
  const verdict = overallStanding(finished.verdict);
  return [h("div", { class: "stage-line" }, button, verdict && state.text.trim() ? standingMark(verdict) : undefined, ...chips(state)), details];
}

function how(finished: TurnFinished): HTMLElement[] {
  const rows: [string, ...(Node | string)[]][] = [];
  for (const timing of finished.timings) {
    rows.push([words.stageName(timing.stage), timing.elapsed ? words.elapsed(durationMs(timing.elapsed)) : ""]);
  }
  if (finished.confidence !== undefined && finished.confidence > 0) rows.push([words.confidence, words.confidenceWord(finished.confidence)]);
  if (finished.usage && (finished.usage.inputTokens || finished.usage.outputTokens)) {
    rows.push([words.tokens, words.tokensValue(finished.usage.inputTokens, finished.usage.outputTokens)]);
  }
  for (const [index, model] of finished.models.entries()) {
    const facts = [model.version && `v${model.version}`, runtimeName(model.runtime), model.precision].filter(Boolean).join(" · ");
    const hash = model.weightsSha256 && h("code", { text: model.weightsSha256.slice(0, SHORT_HASH), title: model.weightsSha256 });
    rows.push([index ? "" : words.models, h("span", { text: `${model.name} ` }), h("span", { class: "muted", text: `${facts} ` }), hash || ""]);
  }
  if (finished.traceId) rows.push([words.trace, h("code", { text: finished.traceId })]);
  const list = h("dl", {}, ...rows.map(([term, ...what]) => h("div", {}, h("dt", { text: term }), h("dd", {}, ...what))));
  return [h("p", { class: "how-title", text: words.how }), list];
}

function runtimeName(runtime: Runtime): string {
  return { [Runtime.UNSPECIFIED]: "", [Runtime.ONNXRUNTIME]: "ONNX Runtime", [Runtime.TENSORRT]: "TensorRT", [Runtime.OPENAI_COMPATIBLE]: "OpenAI-compatible" }[runtime] ?? "";
}
