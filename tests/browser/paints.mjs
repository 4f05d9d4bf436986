// Records, inside the page, in which frames something new was painted, and how far the layout moved. No waiting is added.

/** Begins to record. */
export function record(page) {
  return page.evaluate(() => {
    const frames = [];
    let shifts = 0;
    let pending = new Set();
    let ended = false;
    const kindOf = (node) => {
      const element = node instanceof Element ? node : node.parentElement;
      if (element?.closest(".answer")) return "sentence";
      if (element?.closest(".stage-line") && element.closest(".turn")?.getAttribute("aria-busy") === "true") return "stage";
      if (element?.closest(".source:not(.waiting), .card:not(.waiting)")) return "evidence";
      if (element?.querySelector?.(".source:not(.waiting), .card:not(.waiting)")) return "evidence";
      return undefined;
    };
    new MutationObserver((records) => {
      for (const { addedNodes } of records) {
        for (const node of addedNodes) {
          const kind = kindOf(node);
          if (kind) pending.add(kind);
        }
      }
      if (document.querySelector('.turn:last-child:not([data-outcome="running"])')) ended = true;
    }).observe(document.querySelector(".app"), { childList: true, subtree: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: false });
    const frame = () => {
      const kinds = pending;
      pending = new Set();
      const last = ended;
      // A task that is queued in a frame runs after that frame was painted.
      const channel = new MessageChannel();
      channel.port1.onmessage = () => {
        if (kinds.size) frames.push({ at: performance.now(), kinds: [...kinds], last });
      };
      channel.port2.postMessage(undefined);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.recorded = () => ({ frames, shifts });
  });
}

/** What was recorded. */
export function recorded(page) {
  return page.evaluate(() => window.recorded());
}
