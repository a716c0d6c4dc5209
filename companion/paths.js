/** From the URL in a task to a path that names its image; dataset/export/image_name.py has the same rule. */

const CLOUD = /^(?!https?:|file:|data:)[a-z][a-z0-9+.-]*:\/\/[^/]/i;
const PARTS = /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/(?<host>[^/?#]*))?(?<path>[^?#]*)(?:\?(?<query>[^#]*))?/i;
const LOCAL_FILES = /\/data\/local-files\/*$/;
const UPLOADS = "/data/upload/";
const IMAGE = /[^/]\.(?:avif|bmp|dng|gif|heic|heif|jfif|jp2|jpe?g|mpo|pfm|pgm|png|ppm|svg|tiff?|webp)\/*$/i;
const ESCAPED = /(?:%[0-9a-f]{2})+/gi;
const NOT_IN_NAMES = /[\0-\x1f\\]/g;

/**
 * The path of an image below the folder that Label Studio serves, or where else it lies. An address that does not end
 * as an image's (`/view.php?id=7`) keeps its query, which says which image it is.
 * @param {string} url
 */
export function pathOf(url) {
  const named = imagePath(url).split("/").filter((step) => step !== "" && step !== "." && step !== "..");
  return named.map((step) => step.replace(NOT_IN_NAMES, "_")).join("/") || "image";
}

/** @param {string} url */
function imagePath(url) {
  // In the key of a cloud storage's object `#` is a character as any other; elsewhere a fragment follows it.
  const { host = "", path = "", query = "" } = PARTS.exec(CLOUD.test(url) ? url.replaceAll("#", "%23") : url)?.groups ?? {};
  if (LOCAL_FILES.test(path)) return new URLSearchParams(query).get("d") ?? "";
  if (path.startsWith(UPLOADS)) return unescaped(path.slice("/data/".length));
  const plain = unescaped(path);
  const whole = query && !IMAGE.test(plain) ? `${plain.replace(/\/+$/, "")}_${unescaped(query).replaceAll("/", "_")}` : plain;
  return host ? `${host}/${whole}` : whole;
}

/**
 * With the characters that are written as `%20`; bytes that are no UTF-8 become the sign for that, other `%` stay.
 * @param {string} text
 */
function unescaped(text) {
  return text.replace(ESCAPED, (run) =>
    new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(run.slice(1).split("%"), (one) => Number.parseInt(one, 16))),
  );
}
