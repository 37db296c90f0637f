import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { job } from "@/test/jobs";
import { asCode } from "./as-code";

const PROMPT = `make Ann's "sky" $HOME \`blue\`; 雪 \\`;
const told = job({ params: { prompt: PROMPT, steps: 3, seed: 7, negative_prompt: "", size: "auto", format: "png" }, metadata: { photo: "my photo.jpg" } });
const text = (label: string) => asCode(told, "http://127.0.0.1:8000").find((one) => one.label === label)?.text ?? "";

/** The words that a shell makes of a command. */
const words = (command: string) => execFileSync("sh", ["-c", `for word in "$@"; do :; done; printf '%s\\0' ${command}`], { encoding: "utf8" }).split("\0").slice(0, -1);

test("a shell reads the instruction and the photo's name as they were said", () => {
  expect(words(text("curl"))).toContain(`prompt=${PROMPT}`);
  expect(words(text("curl"))).toContain("image=@my photo.jpg");
  expect(words(text("CLI")).slice(0, 4)).toEqual(["darkroom", "edit", "my photo.jpg", PROMPT]);
});

test("what makes the picture the same is in each, and what was left empty is not", () => {
  expect(words(text("CLI")).join(" ")).toContain("--model pix2pix-full --steps 3 --seed 7 --size auto");
  for (const label of ["curl", "Python", "CLI"]) expect(text(label)).not.toContain("negative");
  expect(text("Python")).toContain(`    seed=7,\n`.trimStart());
});
