import dandelion from "@examples/dandelion.jpg";
import mountains from "@examples/mountains.jpg";
import pagoda from "@examples/pagoda.jpg";
import { insist } from "@/shared/api/session-ends";
import dandelionSmall from "./examples/dandelion.jpg";
import mountainsSmall from "./examples/mountains.jpg";
import pagodaSmall from "./examples/pagoda.jpg";

/** Photos to try things with. */
export const EXAMPLES = [
  { name: "Pagoda", url: pagoda, small: pagodaSmall, by: "danielbuechele", license: "CC BY 2.0" },
  { name: "Mountains", url: mountains, small: mountainsSmall, by: "Aitzol Berasategi", license: "CC BY 4.0" },
  { name: "Dandelion", url: dandelion, small: dandelionSmall, by: "Clemens Engelhardt", license: "CC0" },
] as const;

/** What the service takes, by how such files begin. Browsers give files of the rarer kinds no type. */
const KINDS: [name: string, begins: RegExp, shown: boolean][] = [
  ["JPEG", /^\xff\xd8\xff/, true],
  ["PNG", /^\x89PNG\r\n\x1a\n/, true],
  ["WebP", /^RIFF[^]{4}WEBP/, true],
  ["HEIC", /^[^]{4}ftyp(heic|heix|heim|heis|hevc|hevx|mif1|msf1)/, false],
  ["AVIF", /^[^]{4}ftyp(avif|avis)/, true],
  ["GIF", /^GIF8[79]a/, true],
  ["TIFF", /^(II[*+]\0|MM\0[*+])/, false],
  ["BMP", /^BM/, true],
];
const ENDINGS = [".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp"];
export const ACCEPTED = [...["jpeg", "png", "webp", "heic", "heif", "avif", "gif", "tiff", "bmp"].map((kind) => `image/${kind}`), ...ENDINGS];

/** Why a file cannot be edited, or null: it is read as far as that takes. `most` is what the service takes, in bytes. */
export async function refusal(file: File, most = Number.POSITIVE_INFINITY): Promise<string | null> {
  const name = file.name || "This";
  const begins = String.fromCharCode(...new Uint8Array(await file.slice(0, 32).arrayBuffer()));
  const kind = KINDS.find(([, sign]) => sign.test(begins));
  if (!kind) return `${name} is no ${listed(KINDS.map(([one]) => one))} picture.`;
  if (file.size > most) return `${name} is larger than ${Math.floor(most / 2 ** 20)} MB, the most that is taken.`;
  if (kind[2] && !(await canBeShown(file))) return `${name} is broken: it begins as a ${kind[0]} picture, and cannot be read.`;
  return null;
}

const listed = (names: string[]) => `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;

async function canBeShown(file: File): Promise<boolean> {
  const url = URL.createObjectURL(file);
  const image = new Image();
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
      image.src = url;
    });
    return true;
  } catch {
    return false;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The files of a drop, a paste or a choice. */
export const filesOf = (data: DataTransfer | HTMLInputElement | null): File[] => [...(data?.files ?? [])];

/** A picture of ours as a file, to be sent like any other. */
export async function fetchFile(url: string, name = url.split(/[/?]/).pop() ?? "photo"): Promise<File> {
  const answer = await insist(() => fetch(url));
  if (!answer.ok) throw new Error(`The picture at ${url} cannot be had (${answer.status}).`);
  const blob = await answer.blob();
  return new File([blob], name, { type: blob.type });
}
