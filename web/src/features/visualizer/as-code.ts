import { fileName, type Job, photoName, prompt } from "@/entities/job/job";

const NOT_SENT = new Set(["prompt", "mask", "format"]);

/** An edit as it is asked for elsewhere, with what makes its picture the same. `address` is the service's. */
export function asCode(job: Job, address: string): { label: string; text: string }[] {
  const photo = photoName(job) || "photo.jpg";
  const isGiven = ([name, value]: [string, unknown]) => !NOT_SENT.has(name) && value !== null && value !== "" && !(name === "n" && value === 1);
  const given = Object.entries(job.params).filter(isGiven);
  const settings: [string, unknown][] = [["model", job.model], ...given];
  const output = fileName(job);
  return [
    {
      label: "curl",
      text: [
        `curl -sf ${quoted(`${address}/v1/jobs`)}`,
        `-F image=${quoted(`@${photo}`)}`,
        `-F prompt=${quoted(prompt(job))}`,
        ...settings.map(([name, value]) => `-F ${name}=${quoted(String(value))}`),
      ].join(" \\\n  "),
    },
    {
      label: "Python",
      text: [
        "from darkroom.client import Client",
        "",
        `with Client(${JSON.stringify(address)}) as client:`,
        "    client.edit(",
        ...[photo, prompt(job)].map((value) => `        ${JSON.stringify(value)},`),
        ...[...settings, ["output", output] as const].map(([name, value]) => `        ${name}=${JSON.stringify(value)},`),
        "    )",
      ].join("\n"),
    },
    {
      label: "CLI",
      text: [
        `darkroom edit ${quoted(photo)} ${quoted(prompt(job))}`,
        ...settings.map(([name, value]) => `${name.length > 1 ? "--" : "-"}${name.replaceAll("_", "-")} ${quoted(String(value))}`),
        `-o ${quoted(output)} --url ${quoted(address)}`,
      ].join(" \\\n  "),
    },
  ];
}

/** As a shell takes it for one word. */
const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
