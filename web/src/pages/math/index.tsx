import text from "@docs/math.md?raw";
import { type ComponentType, use } from "react";
import { Formulas, fontsOfFormulas } from "@/features/reading/formulas";
import { sections } from "@/features/reading/markdown";
import { Chapter, Reading } from "@/features/reading/reading";
import { GuidanceFigure } from "./guidance-figure";
import { LevelsFigure } from "./levels-figure";
import { NoiseFigure } from "./noise-figure";

const [lead, ...chapters] = sections(text);
const fonts = fontsOfFormulas();

/** What stands under which heading of docs/math.md. */
export const FIGURES: Record<string, ComponentType> = {
  "Adding noise": NoiseFigure,
  "Which levels an edit visits": LevelsFigure,
  Guidance: GuidanceFigure,
};

export default function MathPage() {
  use(fonts);
  return (
    <Reading title={lead?.title ?? ""} lead={<Formulas text={lead?.body ?? ""} />} places={chapters}>
      {chapters.map(({ id, title, body }) => {
        const Drawing = FIGURES[title];
        return (
          <Chapter key={id} id={id} title={title}>
            <Formulas text={body} />
            {Drawing && <Drawing />}
          </Chapter>
        );
      })}
    </Reading>
  );
}
