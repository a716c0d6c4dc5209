/** Every sentence that people read, in their language where it is ours, and what can be read from Label Studio's. */

// `requests` says it so, with the backend's own sentence as the reason (docs/decisions/0007 of labelrig).
const BACKEND_ERROR = /^(\d{3}) (?:Client|Server) Error: (.*) for url: \S+$/s;

const ENGLISH = {
  starting: "SAM2: checking its state …",
  loading: (/** @type {string} */ model) => `SAM2 ${model}: the model is loading …`,
  encoding: (/** @type {string} */ name) => `${name}: reading the image …`,
  ready: (/** @type {string} */ name) => `${name}: ready`,
  thinking: (/** @type {string} */ name) => `${name}: thinking …`,
  pending: "Enter accepts, Esc rejects",
  unlabelledMask: "pick a label for the mask: press its key; Esc rejects",
  wantsLabel: "Not accepted: this mask has no label, and no export would have it. Pick a label, or press Esc",
  nothing: "no object there; try another point, or draw a box",
  nothingInBox: "no object in that box; draw it closer, or add a point",
  nothingThere: (/** @type {number} */ number, /** @type {number} */ of) =>
    `no mask here (this is ${number} of ${of}); C: another one`,
  off: "SAM2: off; switch Auto-Annotation on",
  label: "pick a label: press its key",
  click: "click on the object",
  drawBox: "draw a box around the object",
  paint: "paint over the object",
  brushKeys: (/** @type {string} */ thinner, /** @type {string} */ thicker) => `${thinner} ${thicker}: thinner, thicker`,
  selected: (/** @type {string} */ label) => `selected: ${label || "a region"}; a label’s key changes its label, Esc lets it go`,
  relabelled: (/** @type {string} */ from, /** @type {string} */ to) => `${from} is ${to} now; Ctrl+Z takes it back`,
  notSaved: (/** @type {string} */ reason) =>
    `Not saved yet, it is tried again: leave this page open. ${reason}`,
  another: (/** @type {number} */ number, /** @type {number} */ of) => `C: another mask (this is ${number} of ${of})`,
  negative: "N: points say “not this”",
  byHand: "Shift+B: the brush paints by hand",
  pictureLoading: "the picture is loading …",
  noPicture: (/** @type {string} */ reason) => `The picture does not load: ${reason}`,
  missing: (/** @type {string} */ name, /** @type {number} */ status) => `${name} is not there, or you may not see it (${status})`,
  notAPicture: (/** @type {string} */ name) => `${name} is no picture that this browser shows`,
  notFromStorage: (/** @type {string} */ name) =>
    `the storage of ${name} does not let this page read it; whoever runs the project can switch pre-signed URLs off in the storage’s settings`,
  look: (/** @type {string} */ contrast, /** @type {string} */ brightness) => `contrast ${contrast}, brightness ${brightness}`,
  page: (/** @type {number} */ count) => `page 1 of ${count} of this file`,
  inverted: "inverted",
  coloured: "false colour",
  asItCame: "Shift+G: as SAM2 sees it",
  unlabelled: (/** @type {string} */ share) => `${share} of the pixels have no label`,
  complete: "every pixel has a label",
  demo: "DEMO model, for drawn shapes only",
  regions: (/** @type {number} */ count) => (count === 1 ? "1 region" : `${count} regions`),
  toggle: "show or hide this class",
  noLabel: "without a label",
  keepLabel: "L: keep the label for the next object",
  previews: "outline before the click",
  slowPreviews: (/** @type {number} */ ms) => `outline before the click: off, SAM2 needs ${ms} ms here`,
  kept: "L: the label stays",
  fill: (/** @type {number} */ percent) => `O: masks filled ${percent} %`,
  waits: "Enter or Esc first, then Tab",
  saving: "saving, then the next task …",
  last: "that was the last task of the list",
  unsaved: "Label Studio did not save this task: it stays open",
  demoShort: "DEMO",
  silent: (/** @type {string} */ url) =>
    `SAM2 does not answer at ${url}: it is stopped or starts again; tell whoever runs the server (./inv status)`,
  noBackend: "SAM2 is not connected to this project any more: tell whoever runs the server (./inv project.apply)",
  refused: (/** @type {string} */ reason) => `SAM2 cannot serve this project: ${reason}`,
  unreachable: "Label Studio does not answer: is the network up, or the server restarting?",
  signedOut: "You are signed out of Label Studio: sign in again in another tab, then go on here",
  http: (/** @type {number} */ status) => `Label Studio answered with an error (${status}); its log says more`,
  cut: "SAM2 did not answer in time; try again",
  request: (/** @type {string} */ id) => `request ${id}`,
  finding: (/** @type {number} */ percent) => `A: looking for all objects, ${percent} % (Esc ends)`,
  offered: (/** @type {number} */ count) => `${count} object${count === 1 ? "" : "s"}: pick a label and click on one; Shift+Enter takes all, Esc ends`,
  copies: (/** @type {number} */ count) => `${count} mask${count === 1 ? "" : "s"} of the image before: click on one; Shift+Enter takes all, Esc ends`,
  leftOut: (/** @type {number} */ count) => `${count} left out: ${count === 1 ? "it has a mask" : "they have masks"}`,
  noneFound: "A: SAM2 finds no objects here; try a point or a box",
  noTaskBefore: "J: this is the first image of the list",
  noMasksBefore: "J: the image before has no masks that fit here",
  otherSizeBefore: "J: the image before has another size",
  continued: (/** @type {number} */ count) => `${count} mask${count === 1 ? "" : "s"} continued from the image before: click on one; Shift+Enter takes all, Esc ends`,
  doubted: (/** @type {number} */ count, /** @type {number} */ of) => `${count} of ${of} object${of === 1 ? "" : "s"} left out: SAM2 is not sure of the mask`,
  byPlace: "M: this image begins its sequence, so these are the list’s masks before, as they lie there",
  goneHere: "M: SAM2 finds none of the objects of the image before here",
  doubtedHere: "M: SAM2 is not sure of any of these masks here, so there are none",
  onward: (/** @type {number} */ done, /** @type {number} */ total) => `continuing: ${done} of ${total || "…"} images (Shift+M ends)`,
  onwardDone: (/** @type {number} */ done, /** @type {number} */ doubted) =>
    `${done} image${done === 1 ? "" : "s"} continued${doubted ? `; ${doubted} without masks that SAM2 is not sure of` : ""}`,
  passedOver: (/** @type {string} */ names) => `passed over, as SAM2 cannot read them: ${names}`,
  onwardStopped: (/** @type {number} */ done, /** @type {number} */ total) => `ended after ${done} of ${total} images; what they have stays`,
  onwardFailed: (/** @type {number} */ done, /** @type {number} */ total, /** @type {string} */ reason) =>
    `not continued${total ? `, after ${done} of ${total} images` : ""}: ${reason} (Shift+M: again)`,
  onwardCount: (/** @type {number} */ count) => (count ? `Shift+M: continue into ${count} images` : "Shift+M: continue to the end"),
  noMasksHere: "Shift+M: this image has no masks that could be continued",
  lastOfSequence: "this image is the last of its sequence",
  endsAt: (/** @type {string} */ name) => `${name} is annotated without masks, so all objects end there`,
  track: (/** @type {string} */ track, /** @type {string} */ origin, /** @type {string} */ score) => `track ${track} from ${origin}, score ${score}`,
  lowScore: "low, look closely",
  workKeys: "mask: A add, X take away, F fill holes, S split, J join, M smooth, P polygon or brush; W ends",
  adding: "the next mask is added: draw, then Enter; Esc twice ends",
  taking: "the next mask is taken away: draw, then Enter; Esc twice ends",
  tolerance: (/** @type {number} */ pixels) => `polygon within ${pixels} pixels: + coarser, - finer; W ends`,
  noMask: "W: there is no mask to work on",
  joinTwo: "J: select two masks first (Ctrl and click), then W and J",
};

/** @type {typeof ENGLISH} */
const SPANISH = {
  starting: "SAM2: comprobando su estado …",
  loading: (model) => `SAM2 ${model}: cargando el modelo …`,
  encoding: (name) => `${name}: leyendo la imagen …`,
  ready: (name) => `${name}: listo`,
  thinking: (name) => `${name}: pensando …`,
  pending: "Intro acepta, Esc descarta",
  unlabelledMask: "elige una etiqueta para la máscara: pulsa su tecla; Esc la descarta",
  wantsLabel:
    "No aceptada: esta máscara no tiene etiqueta y no saldría en ninguna exportación. Elige una etiqueta o pulsa Esc",
  nothing: "ahí no encuentra ningún objeto; prueba otro punto o dibuja una caja",
  nothingInBox: "no encuentra ningún objeto en esa caja; dibújala más ajustada o añade un punto",
  nothingThere: (number, of) => `aquí no hay máscara (esta es la ${number} de ${of}); C: otra`,
  off: "SAM2: apagado; activa Auto-Annotation",
  label: "elige una etiqueta: pulsa su tecla",
  click: "haz clic en el objeto",
  drawBox: "dibuja una caja alrededor del objeto",
  paint: "pinta sobre el objeto",
  brushKeys: (thinner, thicker) => `${thinner} ${thicker}: más fino, más grueso`,
  selected: (label) =>
    `seleccionada: ${label || "una región"}; la tecla de una etiqueta le cambia la suya, Esc la suelta`,
  relabelled: (from, to) => `${from} es ahora ${to}; Ctrl+Z lo deshace`,
  notSaved: (reason) => `Aún no está guardado, se vuelve a intentar: deja esta página abierta. ${reason}`,
  another: (number, of) => `C: otra máscara (esta es la ${number} de ${of})`,
  negative: "N: los puntos dicen «esto no»",
  byHand: "Mayús+B: el pincel pinta a mano",
  pictureLoading: "cargando la imagen …",
  noPicture: (reason) => `La imagen no se carga: ${reason}`,
  missing: (name, status) => `${name} no está, o no tienes permiso para verla (${status})`,
  notAPicture: (name) => `${name} no es una imagen que este navegador muestre`,
  notFromStorage: (name) =>
    `el almacenamiento de ${name} no deja que esta página la lea; quien lleva el proyecto puede desactivar las URL prefirmadas en los ajustes del almacenamiento`,
  look: (contrast, brightness) => `contraste ${contrast}, brillo ${brightness}`,
  page: (count) => `página 1 de ${count} de este archivo`,
  inverted: "invertida",
  coloured: "falso color",
  asItCame: "Mayús+G: como la ve SAM2",
  unlabelled: (share) => `${share} de los píxeles sin etiqueta`,
  complete: "todos los píxeles tienen etiqueta",
  demo: "modelo de DEMOSTRACIÓN, solo para figuras dibujadas",
  regions: (count) => (count === 1 ? "1 región" : `${count} regiones`),
  toggle: "mostrar u ocultar esta clase",
  noLabel: "sin etiqueta",
  keepLabel: "L: conservar la etiqueta para el siguiente objeto",
  previews: "contorno antes del clic",
  slowPreviews: (ms) => `contorno antes del clic: apagado, aquí SAM2 tarda ${ms} ms`,
  kept: "L: la etiqueta se queda",
  fill: (percent) => `O: máscaras rellenas al ${percent} %`,
  waits: "primero Intro o Esc, después Tab",
  saving: "guardando, después la siguiente tarea …",
  last: "era la última tarea de la lista",
  unsaved: "Label Studio no ha guardado esta tarea: sigue abierta",
  demoShort: "DEMO",
  silent: (url) =>
    `SAM2 no responde en ${url}: está parado o reiniciándose; avisa a quien lleva el servidor (./inv status)`,
  noBackend: "SAM2 ya no está conectado a este proyecto: avisa a quien lleva el servidor (./inv project.apply)",
  refused: (reason) => `SAM2 no puede trabajar en este proyecto: ${reason}`,
  unreachable: "Label Studio no responde: ¿hay red, o se está reiniciando el servidor?",
  signedOut: "Se ha cerrado tu sesión en Label Studio: entra otra vez en otra pestaña y sigue aquí",
  http: (status) => `Label Studio respondió con un error (${status}); su registro dice más`,
  cut: "SAM2 no respondió a tiempo; inténtalo otra vez",
  request: (id) => `petición ${id}`,
  finding: (percent) => `A: buscando todos los objetos, ${percent} % (Esc termina)`,
  offered: (count) => `${count} objeto${count === 1 ? "" : "s"}: elige una etiqueta y haz clic en uno; Mayús+Intro los toma todos, Esc termina`,
  copies: (count) => `${count} máscara${count === 1 ? "" : "s"} de la imagen anterior: haz clic en una; Mayús+Intro las toma todas, Esc termina`,
  leftOut: (count) => (count === 1 ? "1 no se ofrece: ya tiene máscara" : `${count} no se ofrecen: ya tienen máscara`),
  noneFound: "A: SAM2 no encuentra objetos aquí; prueba un punto o una caja",
  noTaskBefore: "J: esta es la primera imagen de la lista",
  noMasksBefore: "J: la imagen anterior no tiene máscaras que sirvan aquí",
  otherSizeBefore: "J: la imagen anterior tiene otro tamaño",
  continued: (count) => `${count} máscara${count === 1 ? "" : "s"} continuada${count === 1 ? "" : "s"} desde la imagen anterior: haz clic en una; Mayús+Intro las toma todas, Esc termina`,
  doubted: (count, of) => `${of === 1 ? "1 objeto queda" : `${count} de ${of} objetos quedan`} fuera: SAM2 no está seguro de la máscara`,
  byPlace: "M: con esta imagen empieza su secuencia; son las máscaras anteriores de la lista, tal como están allí",
  goneHere: "M: SAM2 no encuentra aquí ningún objeto de la imagen anterior",
  doubtedHere: "M: SAM2 no está seguro aquí de ninguna de estas máscaras, así que no hay ninguna",
  onward: (done, total) => `continuando: ${done} de ${total || "…"} imágenes (Mayús+M termina)`,
  onwardDone: (done, doubted) =>
    `${done} imagen${done === 1 ? "" : "es"} continuada${done === 1 ? "" : "s"}${doubted ? `; ${doubted} sin máscaras de las que SAM2 no está seguro` : ""}`,
  passedOver: (names) => `saltadas, porque SAM2 no puede leerlas: ${names}`,
  onwardStopped: (done, total) => `terminado tras ${done} de ${total} imágenes; lo que tienen se queda`,
  onwardFailed: (done, total, reason) => `no se ha continuado${total ? `, tras ${done} de ${total} imágenes` : ""}: ${reason} (Mayús+M: otra vez)`,
  onwardCount: (count) => (count ? `Mayús+M: continuar en ${count} imágenes` : "Mayús+M: continuar hasta el final"),
  noMasksHere: "Mayús+M: esta imagen no tiene máscaras que se puedan continuar",
  lastOfSequence: "esta imagen es la última de su secuencia",
  endsAt: (name) => `${name} está anotada sin máscaras, así que ahí terminan todos los objetos`,
  track: (track, origin, score) => `pista ${track} desde ${origin}, puntuación ${score}`,
  lowScore: "baja, mírala bien",
  workKeys: "máscara: A añadir, X quitar, F rellenar agujeros, S separar, J unir, M suavizar, P polígono o pincel; W termina",
  adding: "la siguiente máscara se añade: dibuja y pulsa Intro; Esc dos veces termina",
  taking: "la siguiente máscara se quita: dibuja y pulsa Intro; Esc dos veces termina",
  tolerance: (pixels) => `polígono a ${pixels} píxeles como mucho: + más simple, - más fino; W termina`,
  noMask: "W: no hay ninguna máscara con la que trabajar",
  joinTwo: "J: selecciona antes dos máscaras (Ctrl y clic), después W y J",
};

/** @typedef {typeof ENGLISH} Texts */

/**
 * @param {readonly string[]} languages as the browser prefers them
 * @returns {Texts}
 */
export function textsFor(languages) {
  const first = languages.map((one) => one.slice(0, 2).toLowerCase()).find((one) => one === "es" || one === "en");
  return first === "es" ? SPANISH : ENGLISH;
}

/**
 * The backend's own sentence in what Label Studio says of an error; null when the backend was not reached.
 * @param {string} text
 */
export function backendSentence(text) {
  return BACKEND_ERROR.exec(text.trim())?.[2] ?? null;
}

/**
 * `SAM2 tiny (cuda:0)`; the demo model is never shown without saying what it is.
 * @param {BackendState | null} state
 * @param {Texts} texts
 */
export function nameOf(state, texts) {
  if (!state?.model) return "SAM2";
  const where = state.device ? ` (${state.device})` : "";
  return state.model === "demo" ? `SAM2 demo${where}, ${texts.demo}` : `SAM2 ${state.model}${where}`;
}

/**
 * The same in a word, for the line.
 * @param {BackendState | null} state
 * @param {Texts} texts
 */
export function shortNameOf(state, texts) {
  return state?.model === "demo" ? `SAM2 ${texts.demoShort}` : "SAM2";
}
