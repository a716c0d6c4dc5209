/** How things are, as the line above the bottom bar is told. */

import { imagesOf, openAnnotation, selectedIn } from "./editor.js";
import { AS_IT_CAME, isAsItCame } from "./looks.js";
import { pickedTool } from "./picked.js";
import { coverageWords, lookWords, pageWords } from "./status.js";

/** @import { Session } from "./session.js" */
/** @import { Situation } from "./status.js" */

/**
 * @param {Session} session
 * @param {Store} store its store
 * @returns {Situation}
 */
export function situationOf(session, store) {
  const { texts, drawing, saving, watch } = session;
  const annotation = openAnnotation(store);
  const images = imagesOf(store);
  const shares = watch.wantsCompleteMaps && annotation ? session.coverage.look(images, annotation.regions) : new Map();
  const changed = images.map((one) => session.viewing.look(one.name)).find((one) => !isAsItCame(one)) ?? AS_IT_CAME;
  const pages = pageWords(watch.state?.pages ?? {}, images.length, texts);
  const chosen = annotation ? selectedIn(annotation).filter((one) => !one.dynamic) : [];
  return {
    autoAnnotation: store.autoAnnotation,
    trouble: watch.trouble,
    unsaved: saving.problem,
    state: watch.state,
    pictures: session.pictures.look(images),
    look: [...session.tools.hints, pages, lookWords(changed, texts), ...session.board.hints].filter(Boolean).join(" · "),
    leads: session.tools.leads,
    coverage: coverageWords(shares, texts),
    isUnknown: watch.isUnknown,
    isBusy: drawing.isBusy || session.twin.isBusy || session.tools.isBusy,
    isSuggested: drawing.isSuggested,
    foundNothing: drawing.foundNothing,
    hasBox: drawing.pending.hasBox,
    candidate: drawing.candidates.number,
    candidates: drawing.candidates.of,
    negative: drawing.negative.isOn,
    lacksLabel: session.lacksLabel,
    isUnlabelled: drawing.pending.isUnlabelled,
    wantsLabel: drawing.wantsLabel && drawing.pending.isUnlabelled,
    brushAsks: session.choices.read().brushAsks,
    selected: chosen.length === 1 ? chosen[0].labelName ?? "" : null,
    relabelled: annotation ? session.relabelled.look(annotation) : null,
    tool: pickedTool(session.page),
    brushKeys: session.keyboard.brushKeys,
  };
}
