// Records, inside the page, what each painted frame showed of a turn, and how far the layout moved. No waiting is added.

/** Begins to record. */
export function record(page) {
  return page.evaluate(() => {
    const frames = [];
    let shifts = 0;
    const look = () => {
      const turn = document.querySelector(".turn:last-child");
      return {
        stage: turn?.querySelector(".stage.now")?.textContent ?? "",
        evidence: turn ? document.querySelectorAll(".source:not(.waiting)").length : 0,
        sentences: turn?.querySelectorAll(".claim").length ?? 0,
        ended: turn ? turn.dataset.outcome !== "running" : false,
      };
    };
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: false });
    // The order in which things came, which does not depend on how many frames there were.
    const order = [];
    new MutationObserver(() => {
      const { evidence, sentences, ended } = look();
      for (const [what, there] of Object.entries({ evidence, sentences, ended })) if (there && !order.includes(what)) order.push(what);
    }).observe(document.querySelector(".app"), { childList: true, subtree: true, attributes: true, attributeFilter: ["data-outcome"] });
    let last = "";
    const frame = () => {
      // The last look before this frame is painted; the task that is queued here runs after it was.
      const seen = look();
      const key = JSON.stringify(seen);
      if (key !== last) {
        last = key;
        const channel = new MessageChannel();
        channel.port1.onmessage = () => frames.push({ at: performance.now(), ...seen });
        channel.port2.postMessage(undefined);
      }
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.recorded = () => ({ frames, shifts, order });
  });
}

/** What was recorded. */
export function recorded(page) {
  return page.evaluate(() => window.recorded());
}
