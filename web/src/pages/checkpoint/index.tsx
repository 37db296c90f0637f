import text from "@docs/micro-checkpoint.md?raw";
import { sections } from "@/features/reading/markdown";
import { Prose } from "@/features/reading/prose";
import { Chapter, Reading } from "@/features/reading/reading";

const pictures = import.meta.glob<string>("../../../../docs/images/micro-*", { eager: true, query: "?url", import: "default" });
const urlOf = (name: string) => pictures[`../../../../docs/images/${name}`] ?? "";

const [lead, ...chapters] = sections(text.replaceAll(/\(images\/([\w-]+\.\w+)\)/g, (_, name: string) => `(${urlOf(name)})`));

/** What the checkpoint that comes with the project can do and cannot. */
export default function CheckpointPage() {
  return (
    <Reading title={lead?.title ?? ""} lead={<Prose text={lead?.body ?? ""} />} places={chapters}>
      {chapters.map(({ id, title, body }) => (
        <Chapter key={id} id={id} title={title}>
          <Prose text={body} />
        </Chapter>
      ))}
    </Reading>
  );
}
