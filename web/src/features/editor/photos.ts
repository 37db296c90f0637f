import dandelion from "@examples/dandelion.jpg";
import mountains from "@examples/mountains.jpg";
import pagoda from "@examples/pagoda.jpg";
import dandelionSmall from "./examples/dandelion.jpg";
import mountainsSmall from "./examples/mountains.jpg";
import pagodaSmall from "./examples/pagoda.jpg";

/** Photos to try things with. */
export const EXAMPLES = [
  { name: "Pagoda", url: pagoda, small: pagodaSmall, by: "danielbuechele", licence: "CC BY 2.0" },
  { name: "Mountains", url: mountains, small: mountainsSmall, by: "Aitzol Berasategi", licence: "CC BY 4.0" },
  { name: "Dandelion", url: dandelion, small: dandelionSmall, by: "Clemens Engelhardt", licence: "CC0" },
] as const;

/** What the service takes. Browsers give files of the rarer kinds no type, so their endings count too. */
const KINDS = "JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF or BMP";
const TYPES = ["jpeg", "png", "webp", "heic", "heif", "avif", "gif", "tiff", "bmp"].map((kind) => `image/${kind}`);
const ENDINGS = [".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp"];
export const ACCEPTED = [...TYPES, ...ENDINGS];
const MOST_MEGABYTES = 20;

/** Why a file cannot be edited, or null. The service looks again, at the content. */
export function refusal(file: File): string | null {
  const name = file.name.toLowerCase();
  if (!TYPES.includes(file.type) && !ENDINGS.some((ending) => name.endsWith(ending)))
    return `${file.name || "This"} is no ${KINDS} picture.`;
  if (file.size > MOST_MEGABYTES * 2 ** 20) return `${file.name} is larger than ${MOST_MEGABYTES} MB.`;
  return null;
}

/** The first file of a drop, a paste or a choice. */
export function fileOf(data: DataTransfer | HTMLInputElement | null): File | null {
  return data?.files?.[0] ?? null;
}

/** A picture of ours as a file, to be sent like any other. */
export async function fetchFile(url: string, name = url.split(/[/?]/).pop() ?? "photo"): Promise<File> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`The picture at ${url} cannot be had (${answer.status}).`);
  const blob = await answer.blob();
  return new File([blob], name, { type: blob.type });
}
