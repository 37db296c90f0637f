import { Text, Textarea } from "@mantine/core";
import { useRef } from "react";
import { draft, useDraft } from "./draft";
import classes from "./editor.module.css";
import { usePromptHistory } from "./history";

const USUAL = ["make it sunset", "make it look like winter", "turn it into a pencil sketch", "make it a watercolour"];

type Props = { instructions: string[]; problem?: string; onSubmit: () => void };

/** The instruction, with examples that the loaded checkpoint follows well and the instructions given before. */
export function PromptField({ instructions, problem, onSubmit }: Props) {
  const { prompt } = useDraft();
  const input = useRef<HTMLTextAreaElement>(null);
  const history = usePromptHistory();
  const set = (text: string) => draft.set({ prompt: text });

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      onSubmit();
    }
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const earlier = direction && event.altKey ? history(direction, prompt) : null;
    if (earlier !== null) {
      event.preventDefault();
      set(earlier);
    }
  };

  return (
    <div>
      <Textarea
        ref={input}
        id="prompt"
        label="What should change?"
        description="Enter sends it, Alt ↑ brings back earlier ones, Esc cancels, J and K go through your edits"
        placeholder="make it look like night"
        autosize
        minRows={2}
        maxRows={5}
        maxLength={1000}
        value={prompt}
        error={problem}
        inputWrapperOrder={["label", "input", "error", "description"]}
        classNames={{ input: classes.prompt, description: classes.hint }}
        onChange={(event) => set(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <ul className={classes.chips} aria-label="Instructions that work well">
        {(instructions.length ? instructions : USUAL).map((text) => (
          <li key={text}>
            <button
              type="button"
              onClick={() => {
                set(text);
                input.current?.focus();
              }}
            >
              <Text component="span" size="xs">
                {text}
              </Text>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
