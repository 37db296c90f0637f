import "katex/dist/katex.min.css";
import rehypeKatex from "rehype-katex";
import remarkMath from "remark-math";
import { displayed } from "./markdown";
import { Prose } from "./prose";

/** Markdown with formulas between dollars. */
export function Formulas({ text }: { text: string }) {
  return <Prose text={displayed(text)} remark={[remarkMath]} rehype={[rehypeKatex]} />;
}

const FONTS = ["1em KaTeX_Main", "italic 1em KaTeX_Math", "1em KaTeX_Size1", "1em KaTeX_Size2", "1em KaTeX_AMS"];
const PATIENCE = 2000;

/** Resolves when formulas can be drawn in their own fonts, so that no line breaks anew; or when that takes too long. */
export async function fontsOfFormulas(): Promise<void> {
  const loaded = Promise.all(FONTS.map((font) => document.fonts.load(font)));
  await Promise.race([loaded, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
}
